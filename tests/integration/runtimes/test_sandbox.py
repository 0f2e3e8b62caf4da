"""What a host is kept from, tried from inside a model."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from registry.errors import Unavailable
from serving.exchange import Call, JsonOutput
from serving.runtimes.host.confinement import Confinement, Mode
from serving.runtimes.host.runtime import HostRuntime
from tests.integration.runtimes.conftest import OneEnvironment, rows
from tests.support.models import SavedModels, servable

pytestmark = pytest.mark.integration
ROOT = Path(__file__).parents[3]
# Each attempt of a model, and how it ended: "done", or the name of what was raised.
ATTEMPTS = """
import ctypes, multiprocessing, os, socket, subprocess, sys, tempfile, threading, zoneinfo

def connect(address, family=socket.AF_INET):
    with socket.socket(family) as s:
        s.connect(address)

def new_user_namespace():
    if ctypes.CDLL(None, use_errno=True).unshare(0x10000000):
        raise PermissionError

def in_a_pool():
    from multiprocessing.pool import ThreadPool
    with ThreadPool(2) as pool:
        assert pool.map(abs, [-1]) == [1]

def plot():
    from matplotlib import pyplot
    pyplot.switch_backend("agg")
    pyplot.plot([1, 2])
    pyplot.savefig("plot.png")

def another_python():
    code = "import numpy, os; open('by-child', 'w').write(str(numpy.ones(1)))"
    subprocess.run([sys.executable, "-c", code], check=True)

def other_parent():
    os.kill(int({parent}), 9)

def rename():
    os.mkdir("a"); os.mkdir("b"); open("a/f", "w").close(); os.rename("a/f", "b/f")

attempts = {{
    "read the platform's home": lambda: open({secret!r}).read(),
    "list the platform's home": lambda: os.listdir({home!r}),
    "read another model": lambda: open({other!r}).read(),
    "list the home of root": lambda: os.listdir(os.path.expanduser("~root")),
    "list /tmp": lambda: os.listdir("/tmp"),
    "read /etc/shadow": lambda: open("/etc/shadow").read(),
    "read the node's environment": lambda: open("/proc/{node}/environ", "rb").read(),
    "read the node's memory": lambda: open("/proc/{node}/mem", "rb").read(1),
    "write to its model": lambda: open(os.path.join({model!r}, "new"), "w"),
    "write to /tmp": lambda: open("/tmp/headgate-should-not-be", "w"),
    "connect": lambda: connect(("127.0.0.1", 9)),
    "connect by name": lambda: connect("/run/any.sock", socket.AF_UNIX),
    "become root": lambda: os.setuid(0) if os.getuid() else os.setuid(1),
    "kill the node": lambda: os.kill({node}, 9),
    "kill its parent": other_parent,
    "make a namespace": new_user_namespace,
    "write to its home": lambda: open("new", "w").write("x"),
    "move in its home": rename,
    "make a temporary file": lambda: tempfile.NamedTemporaryFile().write(b"x"),
    "read its model": lambda: open(os.path.join({model!r}, "MLmodel")).read(),
    "import lazily": lambda: __import__("sklearn.manifold"),
    "know the time of Berlin": lambda: zoneinfo.ZoneInfo("Europe/Berlin"),
    "run a program": lambda: subprocess.run(["ls"], check=True, stdout=subprocess.DEVNULL),
    "run a program in a session": lambda: subprocess.run(["true"], check=True, start_new_session=True),
    "run another Python": another_python,
    "have threads": in_a_pool,
    "have a lock of processes": lambda: multiprocessing.Lock(),
    "have a pair of sockets": lambda: [s.close() for s in socket.socketpair()],
    "plot": plot,
}}
ended = {{}}
for name in {only!r} or attempts:
    attempt = attempts[name]
    try:
        attempt()
        ended[name] = "done"
    except BaseException as error:
        ended[name] = type(error).__name__ + ": " + str(error)
return [ended]
"""
MAY = {
    *("write to its home", "move in its home", "make a temporary file", "read its model", "import lazily", "plot"),
    *("know the time of Berlin", "run a program", "run a program in a session", "run another Python", "have threads"),
    *("have a lock of processes", "have a pair of sockets"),
}


def attempts(
    models: SavedModels, home: Path, mode: Mode, only: Sequence[str] = ()
) -> tuple[dict[str, str], tuple[str, ...]]:
    """Have a model try everything, or ``only`` this; return how it ended, and what the host says was applied."""
    secret, other, directory = home / "secret", home / "serving" / "artifacts" / "other", home / "trying"
    models.get("sum")  # so that MLflow is imported where its warnings are expected
    other.mkdir(parents=True)
    (other / "MLmodel").write_text("another model")
    secret.write_text("a credential")

    async def story() -> tuple[Any, tuple[str, ...]]:
        confinement = Confinement(mode, home, memory_bytes=1 << 30)
        runtime = HostRuntime(OneEnvironment(), home / "serving" / "hosts", confinement=confinement)
        await runtime.start()
        try:
            nursery = runtime._nurseries[Path(sys.executable)]
            parent = (await nursery.ready()).pid
            words = {"secret": str(secret), "home": str(home), "other": str(other / "MLmodel"), "model": str(directory)}
            models.save_custom(directory, ATTEMPTS.format(**words, node=os.getpid(), parent=parent, only=list(only)))
            host = await runtime.load(servable(directory), directory, 60)
            output = await host.predict(Call(rows()), 60)
            assert isinstance(output, JsonOutput)
            return output.value[0], host.confined
        finally:
            await runtime.close()

    return asyncio.run(story())


@pytest.fixture(scope="module")
def tried(
    saved_models: SavedModels, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[dict[str, str], tuple[str, ...]]]:
    """What a confined model could do."""
    yield attempts(saved_models, tmp_path_factory.mktemp("home"), "auto")


def test_a_model_can_do_what_models_do(tried: tuple[dict[str, str], tuple[str, ...]]) -> None:
    """Temporary files, plots, threads, programs, lazy imports: all as anywhere."""
    ended, _ = tried
    assert {name: ended[name] for name in MAY} == dict.fromkeys(MAY, "done")


def test_a_model_can_do_nothing_else(tried: tuple[dict[str, str], tuple[str, ...]]) -> None:
    """No other file, no network, no other process, no privilege."""
    ended, confined = tried
    if "files:landlock" not in confined or "signals:pidns" not in confined:
        pytest.skip("this system has not what it takes")
    assert {name: how for name, how in ended.items() if how == "done"}.keys() == MAY
    refused = ("PermissionError", "ProcessLookupError", "OSError: [Errno 22]")
    assert [how for name, how in ended.items() if name not in MAY and not how.startswith(refused)] == []


def test_what_was_applied_is_said(tried: tuple[dict[str, str], tuple[str, ...]]) -> None:
    """Each measure has a word, and its way another."""
    _, confined = tried
    assert {"no_new_privs", "memory:rlimit"} <= set(confined)
    assert any(word.startswith("network:") for word in confined)


def test_off_confines_nothing(saved_models: SavedModels, tmp_path: Path) -> None:
    """Where it is switched off, a host is a process like any other, and says so."""
    ended, confined = attempts(saved_models, tmp_path, "off", only=["read the platform's home"])  # no harm, this one
    assert confined == ()
    assert ended == {"read the platform's home": "done"}


NODE = """
import asyncio, logging, sys
from pathlib import Path
from tests.integration.runtimes.conftest import OneEnvironment
from tests.support.models import servable
from registry.errors import Unavailable
from serving.runtimes.host.confinement import Confinement
from serving.runtimes.host.runtime import HostRuntime

async def main(home, model, mode):
    runtime = HostRuntime(OneEnvironment(), home, confinement=Confinement(mode, home, memory_bytes=1 << 30))
    await runtime.start()
    try:
        for _ in range(2):
            host = await runtime.load(servable(model), model, 60)
            print("loaded", *host.confined)
    except Unavailable as error:
        print(error.code, error.message)
    finally:
        await runtime.close()

logging.basicConfig(level=logging.WARNING, stream=sys.stdout, format="%(message)s %(headgate_fields)s")
asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]))
"""


def with_less(home: Path, model: Path, mode: Mode) -> str:
    """Load a model in a node that may neither change users nor make namespaces; return what it said."""
    program = shutil.which("setpriv")
    if os.geteuid() != 0 or program is None:
        pytest.skip("only root can have less")
    less = "-sys_admin,-setuid,-setgid"
    command = [program, f"--bounding-set={less}", f"--inh-caps={less}", sys.executable, "-c", NODE]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [*command, str(home), str(model), mode], capture_output=True, text=True, cwd=ROOT, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_required_sandbox_that_cannot_be_had_is_a_version_that_cannot_be_loaded(
    saved_models: SavedModels, tmp_path: Path
) -> None:
    """Before a line of the model has run, the load fails, naming what the system does not give."""
    said = with_less(tmp_path, saved_models.get("sum").directory, "required")
    assert said.startswith("sandbox_unavailable HEADGATE_SANDBOX is required")
    assert "processes" in said
    assert "loaded" not in said


def test_what_cannot_be_applied_is_a_warning_once(saved_models: SavedModels, tmp_path: Path) -> None:
    """Else versions load, and the log says once what is missing, and why."""
    said = with_less(tmp_path, saved_models.get("sum").directory, "auto").splitlines()
    assert len([line for line in said if line.startswith("sandbox_incomplete")]) == 1
    assert len([line for line in said if line.startswith("loaded")]) == 2


def test_a_required_sandbox_loads_where_it_can_be_had(saved_models: SavedModels, tmp_path: Path) -> None:
    """What is required and there loads and answers."""

    async def story() -> tuple[str, ...]:
        confinement = Confinement("required", tmp_path, memory_bytes=1 << 30)
        runtime = HostRuntime(OneEnvironment(), tmp_path / "hosts", confinement=confinement)
        await runtime.start()
        saved = saved_models.get("sum")
        try:
            return (await runtime.load(saved.version, saved.directory, 60)).confined
        except Unavailable as error:
            pytest.skip(error.message)
        finally:
            await runtime.close()

    assert "no_new_privs" in asyncio.run(story())
