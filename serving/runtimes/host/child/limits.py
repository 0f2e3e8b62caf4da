"""Bounds on what a host may use: memory, processes, descriptors, files. Not here: who sets them (``sandbox.py``)."""

from __future__ import annotations

import contextlib
import os
import resource
from pathlib import Path

_FILES = 4096
_FILE_BYTES = 1 << 30
_ADDRESS_ROOM = 8 << 30
_PER_USER_NAMESPACE_SINCE = (5, 14)


def bound_small() -> None:
    """Bound core files, open files and the size of each file."""
    bound(resource.RLIMIT_CORE, 0)
    bound(resource.RLIMIT_NOFILE, _FILES)
    bound(resource.RLIMIT_FSIZE, _FILE_BYTES)
    with contextlib.suppress(OSError):  # where the machine itself runs out, this process goes before the node
        Path("/proc/self/oom_score_adj").write_text("1000")


def bound_memory(most: int) -> None:
    """Bound the memory that this process may add to what it was forked with. Raises OSError.

    Data counts what is written, not what is merely reserved, as allocators and threads do lavishly. Address space is a
    wide second fence, for what is shared and therefore not counted as data.
    """
    pages = [int(n) * resource.getpagesize() for n in Path("/proc/self/statm").read_text().split()]
    bound(resource.RLIMIT_DATA, pages[5] + most)
    with contextlib.suppress(OSError):
        bound(resource.RLIMIT_AS, pages[0] + 2 * most + _ADDRESS_ROOM)


def bound_processes(most: int, alone: bool) -> None:
    """Bound processes and threads: of this host, if its user or user namespace is its own, else of all of its user.

    Raises OSError.
    """
    if not alone:
        most += _of_user(os.getuid())
    bound(resource.RLIMIT_NPROC, most)


def counts_by_namespace() -> bool:
    """Tell whether the kernel counts a user's processes apart in each user namespace."""
    release = os.uname().release.split(".")
    with contextlib.suppress(ValueError, IndexError):
        return (int(release[0]), int(release[1].split("-")[0])) >= _PER_USER_NAMESPACE_SINCE
    return False


def bound(kind: int, most: int) -> None:
    """Set a limit for good, unless a lower one is set already. Raises OSError."""
    _, now = resource.getrlimit(kind)
    if now != resource.RLIM_INFINITY:
        most = min(most, now)
    try:
        resource.setrlimit(kind, (most, most))
    except ValueError as error:
        raise OSError(str(error)) from None


def _of_user(user: int) -> int:
    """Count a user's threads, as far as they can be seen."""
    count = 0
    for entry in os.scandir("/proc"):
        if entry.name.isdecimal():
            with contextlib.suppress(OSError):
                if entry.stat().st_uid == user:
                    count += sum(1 for _ in Path(f"/proc/{entry.name}/task").iterdir())
    return count
