"""The machine under measurement: which core runs what, and what processes cost in private memory. Linux alone.

Not here: measuring time (``load.py``).
"""

from __future__ import annotations

import os
import platform
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[2]
MB = 1024 * 1024
SERVER_CORE = min(os.sched_getaffinity(0))
LOAD_CORE = max(os.sched_getaffinity(0))


def describe() -> dict[str, str | float]:
    """Return what a reader of the figures must know of this machine."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "unknown")
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "processor": model,
        "cores": len(os.sched_getaffinity(0)),
        "load_before": round(os.getloadavg()[0], 2),
    }


@contextmanager
def on_core(core: int) -> Iterator[None]:
    """Run the block, and whatever it starts, on one core."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def move(process: psutil.Process, core: int) -> None:
    """Move every thread of a process and of all below it to one core; what they start later follows them."""
    for one in (process, *process.children(recursive=True)):
        for thread in Path(f"/proc/{one.pid}/task").glob("*"):
            os.sched_setaffinity(int(thread.name), {core})


@contextmanager
def server(command: Sequence[str], port: int, seconds: float = 60) -> Iterator[psutil.Process]:
    """Run a server on the server's core until the block ends; give it once its port listens."""
    with on_core(SERVER_CORE):
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for_port(port, seconds, process)
        yield psutil.Process(process.pid)
    finally:
        end(process)


def wait_for_port(port: int, seconds: float, process: subprocess.Popen[bytes]) -> None:
    """Wait until something listens; raise RuntimeError where the process ends first, or after ``seconds``."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            if process.poll() is not None:
                raise RuntimeError(f"it ended with {process.returncode} before it listened") from None
            if time.monotonic() > deadline:
                raise RuntimeError(f"nothing listens after {seconds:g} s") from None
            time.sleep(0.05)


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process and all that it started."""
    try:
        family = psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        family = []
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for child in family:
        if child.is_running():
            child.kill()
    psutil.wait_procs(family, timeout=10)


def private_mb(processes: Iterable[psutil.Process]) -> float:
    """Return the private memory of some processes together, as the kernel counts it."""
    total = 0
    for process in processes:
        try:
            total += _private_bytes(process.pid)
        except (FileNotFoundError, ProcessLookupError, psutil.NoSuchProcess):
            continue  # it has ended: it has none
    return total / MB


def _private_bytes(pid: int) -> int:
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return sum(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Private_")) * 1024


def family(process: psutil.Process) -> list[psutil.Process]:
    """Return a process and all below it."""
    return [process, *process.children(recursive=True)]


def python(*arguments: str) -> list[str]:
    """Return the command that runs this interpreter with ``arguments``."""
    return [sys.executable, *arguments]
