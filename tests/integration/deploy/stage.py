"""Putting a supervisor with stand-ins on its feet, and looking at what becomes of them."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
PATIENCE = 20.0


def free_port() -> int:
    """Return a port that was free a moment ago, from below those that outgoing connections are given."""
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def until(condition: Callable[[], object], what: str) -> None:
    """Wait until a condition holds; fail, saying what was awaited, after a while."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.02)


def alive(pid: int) -> bool:
    """Tell whether a process runs; a zombie does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


@dataclass
class Stage:
    """One supervisor as a process of its own, with its stand-ins."""

    home: Path
    children: list[dict[str, object]] = field(default_factory=list)
    process: subprocess.Popen[bytes] | None = None

    def add(self, name: str, *options: str, stop_seconds: float = 10.0, ready: bool = True) -> None:
        """Add a stand-in; without ``ready`` it never opens its port."""
        port = free_port()
        listen = ("--port", str(port)) if ready else ()
        argv = [sys.executable, str(HERE / "stand_in.py"), name, str(self.home / "diary"), *listen, *options]
        url = f"http://127.0.0.1:{port}/readyz"
        self.children.append({"name": name, "argv": argv, "ready_url": url, "stop_seconds": stop_seconds})

    def children_of_supervisor(self) -> list[int]:
        """Return the process ids of the supervisor's present children."""
        assert self.process is not None
        pid = self.process.pid
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split()]

    def start(self) -> subprocess.Popen[bytes]:
        """Start the supervisor."""
        (self.home / "logs").mkdir(exist_ok=True)
        (self.home / "children.json").write_text(json.dumps(self.children), "utf-8")
        with (self.home / "terminal").open("wb") as terminal:
            self.process = subprocess.Popen(
                [sys.executable, str(HERE / "drive.py"), str(self.home)],
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                stdout=terminal,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return self.process

    def start_until_ready(self) -> subprocess.Popen[bytes]:
        """Start the supervisor and wait for its word that all is ready."""
        process = self.start()
        until(lambda: "Headgate is ready" in self.terminal() or process.poll() is not None, "readiness")
        assert process.poll() is None, self.terminal()
        return process

    def terminal(self) -> str:
        """Return what the user sees."""
        return (self.home / "terminal").read_text("utf-8")

    def diary(self, event: str) -> list[tuple[str, int]]:
        """Return name and process id of everyone to whom ``event`` happened, in order."""
        path = self.home / "diary"
        lines = [line.split() for line in path.read_text("ascii").splitlines()] if path.exists() else []
        return [(words[0], int(words[-1])) for words in lines if words[1] == event]

    def close(self) -> None:
        """Leave nothing running."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait(PATIENCE)
        for _, pid in self.diary("born"):
            if alive(pid):
                os.kill(pid, signal.SIGKILL)
        for line in (self.home / "diary").read_text("ascii").splitlines() if (self.home / "diary").exists() else ():
            if line.split()[1] == "left" and alive(int(line.split()[2])):
                os.kill(int(line.split()[2]), signal.SIGKILL)
