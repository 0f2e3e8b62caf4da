"""Parents that cannot fork safely, and parents that cannot be started."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import uvloop

from registry.errors import Unavailable
from registry.snapshots import ServableVersion
from serving.exchange import ArrayOutput, Call
from serving.runtimes.host.nursery import Nursery
from serving.runtimes.host.process import HostProcess
from serving.runtimes.host.runtime import PARALLEL_LOADS, HostRuntime
from tests.integration.runtimes.conftest import Hosts, OneEnvironment, rows
from tests.support.models import SavedModels, servable
from tests.support.serving_fakes import eventually

pytestmark = pytest.mark.integration
# An interpreter whose warm parents have a thread, as a library could start one at import.
THREADED = """#!/bin/sh
for last; do :; done
[ "$last" = warm ] || exec {python} "$@"
shift 3
exec {python} -I -B -u -c '
import importlib, runpy, sys, threading, time
load = importlib.import_module
def importing(*names, **named):
    if names[0] == "numpy":
        threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
    return load(*names, **named)
importlib.import_module = importing
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
' "$@"
"""

# The same, but the thread begins at a signal: as if a library started it at its first use.
LATE = THREADED.replace(
    "threading.Thread(target=time.sleep, args=(600,), daemon=True).start()",
    "import signal; signal.signal(signal.SIGUSR1, lambda *_: threading.Thread("
    "target=time.sleep, args=(600,), daemon=True).start())",
)
BARE = """#!/bin/sh
exec {python} "$1" "$2" "$3" "$4" "$5" "$6" "$7" "$8" bare
"""


class OtherEnvironment(OneEnvironment):
    """Every version runs by the given program."""

    def __init__(self, python: Path) -> None:
        self._python = python

    async def python_for(self, version: ServableVersion, seconds: float) -> Path:
        """Return the program."""
        return self._python


def program(path: Path, text: str) -> Path:
    """Write an executable script."""
    path.write_text(text)
    path.chmod(0o755)
    return path


def test_a_parent_with_threads_is_replaced_by_a_bare_one(
    saved_models: SavedModels, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Where libraries start threads, hosts come from a process that imported nothing, and that is logged once."""
    python = program(tmp_path / "python", THREADED.format(python=sys.executable))

    async def load_twice() -> list[object]:
        runtime = HostRuntime(OtherEnvironment(python), tmp_path / "hosts")
        await runtime.start()
        try:
            saved = saved_models.get("sum")
            loaded = [await runtime.load(saved.version, saved.directory, 90) for _ in range(2)]
            return [await host.predict(Call(rows()), 20) for host in loaded]
        finally:
            await runtime.close()

    with caplog.at_level(logging.WARNING):
        outputs = asyncio.run(load_twice())
    assert all(isinstance(o, ArrayOutput) for o in outputs)
    assert [r.getMessage() for r in caplog.records] == ["warm_parent_unusable"]


def test_the_loop_of_a_running_node_does_as_well(saved_models: SavedModels, tmp_path: Path) -> None:
    """On uvloop, which serves in production, a version loads, answers, is seen to die, and unloads."""

    async def live() -> tuple[object, bool]:
        runtime = HostRuntime(OneEnvironment(), tmp_path)
        await runtime.start()
        try:
            saved = saved_models.get("sum")
            host = await runtime.load(saved.version, saved.directory, 60)
            output = await host.predict(Call(rows()), 20)
            os.kill(host.pid, signal.SIGKILL)
            async with asyncio.timeout(5):
                while host.alive:
                    await asyncio.sleep(0.01)
            await host.close()
            return output, host.alive
        finally:
            await runtime.close()

    output, alive = uvloop.run(live())
    assert isinstance(output, ArrayOutput)
    assert not alive


def test_an_interpreter_that_does_not_work_is_a_version_that_cannot_be_loaded_now(
    saved_models: SavedModels, tmp_path: Path
) -> None:
    """A parent that dies at once again and again leads to an error in time, not to a wait without end."""
    python = program(tmp_path / "python", "#!/bin/sh\nexit 3\n")

    async def load() -> None:
        runtime = HostRuntime(OtherEnvironment(python), tmp_path / "hosts")
        await runtime.start()
        try:
            saved = saved_models.get("sum")
            await runtime.load(saved.version, saved.directory, 2)
        finally:
            await runtime.close()

    with pytest.raises(Unavailable) as caught:
        asyncio.run(load())
    assert caught.value.code == "loading"


def test_directories_of_nodes_that_are_gone_are_removed(tmp_path: Path) -> None:
    """A node that was killed leaves a directory, whoever has its number now; the next one removes it, and its own."""
    (tmp_path / f"node-{os.getpid()}-x").mkdir()
    (tmp_path / "other").mkdir()

    async def live() -> None:
        runtime = HostRuntime(OneEnvironment(), tmp_path)
        await runtime.start()
        await runtime.close()

    asyncio.run(live())
    assert list(tmp_path.iterdir()) == [tmp_path / "other"]


def test_threads_that_are_not_known_to_be_safe_are_found() -> None:
    """A process with a thread of its own is told apart from one without."""
    code = """
import json, threading, time
from serving.runtimes.host.child.system import unsafe_threads
before = unsafe_threads()
threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
print(json.dumps([before, len(unsafe_threads())]))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[3]
    )
    assert json.loads(done.stdout) == [[], 1]


def test_a_parent_that_gets_threads_later_keeps_the_versions_that_it_has_loaded(
    saved_models: SavedModels, tmp_path: Path
) -> None:
    """The next version comes from a bare parent beside; the old one ends with its last host."""
    python = program(tmp_path / "python", LATE.format(python=sys.executable))

    async def story() -> None:
        runtime = HostRuntime(OtherEnvironment(python), tmp_path / "hosts")
        await runtime.start()
        try:
            saved = saved_models.get("sum")
            first = await runtime.load(saved.version, saved.directory, 90)
            old = runtime._nurseries[python].parent
            assert old is not None
            os.kill(psutil.Process(first.pid).ppid(), signal.SIGUSR1)  # not old.pid, which may be its watcher
            second = await runtime.load(saved.version, saved.directory, 90)
            assert runtime._nurseries[python].parent is not old
            for host in (first, second):
                assert isinstance(await host.predict(Call(rows()), 20), ArrayOutput)
            await first.close()
            await eventually(lambda: not old.alive)
            assert isinstance(await second.predict(Call(rows()), 20), ArrayOutput)
        finally:
            await runtime.close()

    asyncio.run(story())


def test_a_parent_that_nobody_needs_ends_and_is_started_again(tmp_path: Path) -> None:
    """Some time after it was last needed a parent ends, and whoever needs one next has another."""
    python = program(tmp_path / "python", BARE.format(python=sys.executable))

    async def story() -> None:
        nursery = Nursery(python, tmp_path, idle_seconds=0.05)
        try:
            parent = await nursery.ready()
            await eventually(lambda: not parent.alive)
            assert (await nursery.ready()).alive
        finally:
            await nursery.close()

    asyncio.run(story())


def test_a_parent_that_was_killed_while_importing_is_tried_warm_again(tmp_path: Path) -> None:
    """Twice dead, the next one is bare; after a while a warm one takes its place, beside the bare one's hosts."""
    dies_twice = 'echo x >> "$0.runs"; [ $(wc -l < "$0.runs") -gt 2 ] || exit 3'
    python = program(tmp_path / "python", f'#!/bin/sh\n{dies_twice}\nexec {sys.executable} "$@"\n')

    async def story() -> None:
        nursery = Nursery(python, tmp_path, again_seconds=0.01)
        try:
            warmth = []
            for _ in range(2):
                await nursery.ready()
                warmth.append(nursery.warm)
                await asyncio.sleep(0.02)
                nursery.try_warmth_again()
            assert warmth == [False, True]
        finally:
            await nursery.close()

    asyncio.run(story())


def test_few_models_are_loaded_at_once(hosts: Hosts, monkeypatch: pytest.MonkeyPatch) -> None:
    """Loads take turns, and all come to theirs."""
    now, most, loaded = 0, 0, HostProcess.loaded

    async def counted(host: HostProcess) -> None:
        nonlocal now, most
        now += 1
        most = max(now, most)
        try:
            await loaded(host)
        finally:
            now -= 1

    monkeypatch.setattr(HostProcess, "loaded", counted)
    saved = hosts.models.get("sum")

    async def load_many() -> None:
        loads = (hosts.runtime.load(saved.version, saved.directory, 60) for _ in range(5))
        await asyncio.gather(*[host.close() for host in await asyncio.gather(*loads)])

    hosts.run(load_many())
    assert most == PARALLEL_LOADS


def test_models_that_hang_while_they_are_loaded_are_overtaken(saved_models: SavedModels, tmp_path: Path) -> None:
    """As many hanging loads as may run at once keep no other version from being loaded."""

    async def story() -> None:
        runtime = HostRuntime(OtherEnvironment(Path(sys.executable)), tmp_path / "hosts")
        await runtime.start()
        try:
            hanging = []
            for number in range(PARALLEL_LOADS):
                directory = tmp_path / f"hangs{number}"
                saved_models.save_custom(directory, "return model_input")
                (code,) = directory.glob("*_model.py")
                code.write_text("import time\ntime.sleep(600)\n" + code.read_text())
                hanging.append(asyncio.ensure_future(runtime.load(servable(directory), directory, 60)))
            saved = saved_models.get("sum")
            host = await runtime.load(saved.version, saved.directory, 30)
            assert not any(load.done() for load in hanging)
            assert isinstance(await host.predict(Call(rows()), 20), ArrayOutput)
            for load in hanging:
                load.cancel()
            await asyncio.gather(*hanging, return_exceptions=True)
        finally:
            await runtime.close()

    asyncio.run(story())
