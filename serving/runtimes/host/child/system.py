"""What a host and its parent ask of the kernel: switches, memory, threads, signals. Not here: what for."""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
from pathlib import Path

# Threads that hold no lock a forked child could wait for: pyarrow's allocator has handlers for a fork.
SAFE_THREADS = ("jemalloc_bg_thd",)
_PDEATHSIG, _DUMPABLE, _CHILD_SUBREAPER, _NO_NEW_PRIVS = 1, 4, 36, 38

_libc = ctypes.CDLL(None, use_errno=True)


def call(number: int, *arguments: int) -> int:
    """Make a system call by its number; raise OSError where it fails."""
    return _checked(_libc.syscall(ctypes.c_long(number), *(ctypes.c_long(a) for a in arguments)))


def prctl(option: int, *values: int) -> int:
    """Ask something of the kernel for this process; raise OSError where it refuses."""
    four = [*values, 0, 0, 0, 0][:4]
    return _checked(_libc.prctl(ctypes.c_int(option), *(ctypes.c_ulong(v) for v in four)))


def unshare(flags: int) -> None:
    """Leave namespaces for new ones; raise OSError where that is not allowed."""
    _checked(_libc.unshare(ctypes.c_int(flags)))


def set_namespace(descriptor: int, kind: int) -> None:
    """Enter the namespace behind a descriptor; raise OSError where that is not allowed."""
    _checked(_libc.setns(ctypes.c_int(descriptor), ctypes.c_int(kind)))


def mount(kind: str, target: str, flags: int, options: str = "") -> None:
    """Mount a file system; raise OSError where that is not allowed."""
    words = [ctypes.c_char_p(w.encode()) for w in (kind, target, kind, options)]
    _checked(_libc.mount(words[0], words[1], words[2], ctypes.c_ulong(flags), words[3]))


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return int(result)


def no_new_privileges() -> None:
    """Have no program that is started from here gain privileges. Raises OSError."""
    prctl(_NO_NEW_PRIVS, 1)


def not_dumpable() -> None:
    """Keep processes of the same user from looking into this one. Raises OSError."""
    prctl(_DUMPABLE, 0)


def die_with_parent(number: int = signal.SIGKILL) -> None:
    """Ask for a signal when the parent ends. Forgotten by the kernel when credentials change: ask again then."""
    with contextlib.suppress(OSError, AttributeError):  # not Linux
        prctl(_PDEATHSIG, number)


def adopt_orphans() -> None:
    """Become the parent of what descendants leave behind."""
    with contextlib.suppress(OSError, AttributeError):  # not Linux
        prctl(_CHILD_SUBREAPER, 1)


def look_at(pid: int) -> int | None:
    """Return a descriptor by which a process is known for good; None where the kernel has none such."""
    try:
        return os.pidfd_open(pid)
    except (AttributeError, OSError):  # Linux before 5.3
        return None


def has_ended(descriptor: int) -> bool:
    """Tell whether the process behind a descriptor has ended."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))


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
    me = Path("/proc/self").readlink().name  # the number that /proc knows us by, which may be another than our own
    for thread in Path("/proc/self/task").iterdir():
        with contextlib.suppress(OSError):  # it ended meanwhile
            name = (thread / "comm").read_text().strip()
            if thread.name != me and name not in SAFE_THREADS:
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


def kill_trees(pids: set[int]) -> None:
    """Kill processes and all below them: stopped first, so that none can start another while the rest is looked for."""
    seen: set[int] = set()
    while new := _with_descendants(pids) - seen:
        seen |= new
        for pid in new:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGSTOP)
    for pid in seen:
        kill_group(pid)


def _with_descendants(pids: set[int]) -> set[int]:
    found, left = set(pids), list(pids)
    while left:
        pid = left.pop()
        with contextlib.suppress(OSError):
            for thread in Path(f"/proc/{pid}/task").iterdir():
                below = {int(p) for p in (thread / "children").read_text().split()} - found
                found |= below
                left += below
    return found


def close_descriptors(keep: int) -> None:
    """Close every descriptor but the standard ones and ``keep``."""
    for entry in list(Path("/proc/self/fd").iterdir()):
        if int(entry.name) > 2 and int(entry.name) != keep:
            with contextlib.suppress(OSError):  # the listing's own descriptor is gone already
                os.close(int(entry.name))
