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

import pytest
import uvloop

from registry.errors import Unavailable
from registry.records import ServableVersion
from serving.exchange import ArrayOutput, Call
from serving.runtimes.host.runtime import HostRuntime
from tests.integration.runtimes.conftest import OneEnvironment, rows
from tests.support.models import SavedModels

pytestmark = pytest.mark.integration
# An interpreter whose warm parents have a thread, as a library could start one at import.
THREADED = """#!/bin/sh
for last; do :; done
[ "$last" = warm ] || exec {python} "$@"
shift 3
exec {python} -I -B -u -c '
import runpy, sys, threading, time
threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
' "$@"
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
    """A node that was killed leaves a directory; the next one removes it, and its own when it ends."""
    with subprocess.Popen(["true"]) as ended:
        pass
    (tmp_path / f"node-{ended.pid}-x").mkdir()
    living = tmp_path / f"node-{os.getpid()}-x"
    living.mkdir()

    async def live() -> None:
        runtime = HostRuntime(OneEnvironment(), tmp_path)
        await runtime.start()
        await runtime.close()

    asyncio.run(live())
    assert list(tmp_path.iterdir()) == [living]


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
