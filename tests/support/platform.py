"""The platform itself, as ``make up`` runs it: real processes on free ports, in a home of their own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest

from registry.variables import KNOWN

ROOT = Path(__file__).resolve().parents[2]
READY_SECONDS = 60
# Windows of drift that end while a test waits. Until every process reads them, an unknown one would refuse the start.
SHARED = {
    name: value
    for name, value in {"HEADGATE_DRIFT_ROWS": "1000", "HEADGATE_DRIFT_SECONDS": "1"}.items()
    if name in KNOWN
}
# Words of each child's command line that no other process has.
CHILDREN = {"s3": "mini", "registry": "registry", "serving": "serving"}


def free_ports(count: int) -> list[int]:
    """Return ports that nothing uses at this moment."""
    sockets = [socket.socket() for _ in range(count)]
    for s in sockets:
        s.bind(("127.0.0.1", 0))
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


def until(condition: Callable[[], bool], seconds: float = 30, what: str = "it") -> None:
    """Wait until ``condition`` holds; fail the test after ``seconds``."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"{what} did not happen within {seconds} s")
        time.sleep(0.05)


class Platform:
    """One platform under a supervisor."""

    def __init__(self, home: Path, extra: Mapping[str, str] | None = None) -> None:
        self.home = home
        registry, serving, grpc = free_ports(3)
        self.registry_url = f"http://127.0.0.1:{registry}"
        self.serving_url = f"http://127.0.0.1:{serving}"
        self.grpc_address = f"127.0.0.1:{grpc}"
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("HEADGATE_", "AWS_", "MLFLOW_"))}
        self.environment = clean | {
            "HEADGATE_HOME": str(home),
            "HEADGATE_REGISTRY_PORT": str(registry),
            "HEADGATE_SERVING_PORT": str(serving),
            "HEADGATE_GRPC_PORT": str(grpc),
            **(extra or {}),
        }
        self._process: subprocess.Popen[bytes] | None = None
        self.output = home.with_suffix(".out")

    def start(self) -> None:
        """Start it, and wait until it says that it is ready."""
        home = self.output.open("ab")
        with home:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "deploy.local"], cwd=ROOT, env=self.environment, stdout=home, stderr=home
            )
        self.wait_ready()

    def wait_ready(self) -> None:
        """Wait until both processes are ready."""
        until(lambda: self.is_ready(self.registry_url), READY_SECONDS, "the registry's readiness")
        until(lambda: self.is_ready(self.serving_url), READY_SECONDS, "serving's readiness")

    def is_ready(self, url: str) -> bool:
        """Tell whether a process is ready."""
        assert self._process is not None
        assert self._process.poll() is None, f"make up ended: {self.output.read_text()[-2000:]}"
        try:
            return httpx.get(f"{url}/readyz", timeout=2).status_code == 200
        except httpx.HTTPError:
            return False

    def process(self, child: str) -> psutil.Process:
        """Return the process of ``s3``, ``registry`` or ``serving``."""
        assert self._process is not None
        for process in psutil.Process(self._process.pid).children():
            if CHILDREN[child] in command_line(process):
                return process
        pytest.fail(f"no {child} is running")

    def runs(self, child: str) -> bool:
        """Tell whether a child's process is there, ready or not."""
        assert self._process is not None
        children = psutil.Process(self._process.pid).children()
        return any(CHILDREN[child] in command_line(process) for process in children)

    def kill(self, child: str) -> None:
        """Kill a child with SIGKILL, and wait until it is gone."""
        process = self.process(child)
        process.kill()
        until(lambda: not process.is_running() or process.status() == psutil.STATUS_ZOMBIE, 10, f"the end of {child}")

    def kill_all(self) -> None:
        """Kill the supervisor with SIGKILL, and wait until nothing of it is left."""
        assert self._process is not None
        family = psutil.Process(self._process.pid).children(recursive=True)
        self._process.kill()
        self._process.wait()
        psutil.wait_procs(family, timeout=10)
        self._process = None

    def family(self) -> list[psutil.Process]:
        """Return the supervisor and every process below it: children, warm parents, hosts."""
        assert self._process is not None
        supervisor = psutil.Process(self._process.pid)
        return [supervisor, *supervisor.children(recursive=True)]

    def stop(self, number: signal.Signals = signal.SIGINT) -> int:
        """Stop it, as Ctrl-C does where nothing else is said; return its exit code."""
        if self._process is None:
            return 0
        self._process.send_signal(number)
        try:
            return self._process.wait(40)
        finally:
            if self._process.poll() is None:
                self.kill_all()
            self._process = None


def command_line(process: psutil.Process) -> list[str]:
    """Return the words a process was started with; none of one that has ended."""
    try:
        return process.cmdline()
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return []


@contextmanager
def running(home: Path, extra: Mapping[str, str] | None = None) -> Iterator[Platform]:
    """Start a platform, and stop it whatever happens."""
    platform = Platform(home, extra)
    try:
        platform.start()
        yield platform
    finally:
        platform.stop()


@pytest.fixture(scope="session")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """One platform that the tests share; a test that breaks something starts its own."""
    with running(tmp_path_factory.mktemp("platform") / "home", SHARED) as shared:
        yield shared


def run_python(code: str, platform: Platform, *arguments: str) -> str:
    """Run a script that knows MLFLOW_TRACKING_URI and nothing else; return what it printed."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(platform.home),
        "MLFLOW_TRACKING_URI": platform.registry_url,
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=platform.home.parent)
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout
