"""What a host and its parent ask of the kernel: switches, memory, threads, signals. Not here: what for."""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
from pathlib import Path

# Threads that hold no lock a forked child could wait for: pyarrow's allocator has handlers for a fork.
SAFE_THREADS = ("jemalloc_bg_thd",)
_PDEATHSIG, _CHILD_SUBREAPER, _NO_NEW_PRIVS = 1, 36, 38


def confine() -> list[str]:
    """Give up what no model needs; return what was applied. All further sandboxing belongs here.

    Whatever changes credentials here must ask for ``die_with_parent`` again afterwards: the kernel forgets it then.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    return ["core"] + (["no_new_privs"] if _prctl(_NO_NEW_PRIVS, 1) else [])


def die_with_parent(number: int = signal.SIGKILL) -> None:
    """Ask for a signal when the parent ends."""
    _prctl(_PDEATHSIG, number)


def adopt_orphans() -> None:
    """Become the parent of what descendants leave behind."""
    _prctl(_CHILD_SUBREAPER, 1)


def _prctl(option: int, value: int) -> bool:
    with contextlib.suppress(OSError, AttributeError):  # not Linux
        return bool(ctypes.CDLL(None).prctl(option, value, 0, 0, 0) == 0)
    return False


def private_bytes() -> int:
    """Return the memory that ends with this process: its private pages."""
    total = 0
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/smaps_rollup").read_text().splitlines():
            if line.startswith(("Private_Clean:", "Private_Dirty:")):
                total += int(line.split()[1]) * 1024
    return total


def unsafe_threads() -> list[str]:
    """Return the names of threads, other than the main one, that could hold a lock across a fork."""
    names = []
    for thread in Path("/proc/self/task").iterdir():
        with contextlib.suppress(OSError):  # it ended meanwhile
            name = (thread / "comm").read_text().strip()
            if thread.name != str(os.getpid()) and name not in SAFE_THREADS:
                names.append(name)
    return names


def children() -> set[int]:
    """Return the process ids of this process's children, as far as the kernel tells."""
    with contextlib.suppress(OSError):
        return {int(p) for p in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()}
    return set()


def kill_group(pid: int) -> None:
    """Kill a process and the group that it leads."""
    for kill in (os.killpg, os.kill):
        with contextlib.suppress(OSError):
            kill(pid, signal.SIGKILL)


def close_descriptors(keep: int) -> None:
    """Close every descriptor but the standard ones and ``keep``."""
    for entry in list(Path("/proc/self/fd").iterdir()):
        if int(entry.name) > 2 and int(entry.name) != keep:
            with contextlib.suppress(OSError):  # the listing's own descriptor is gone already
                os.close(int(entry.name))
