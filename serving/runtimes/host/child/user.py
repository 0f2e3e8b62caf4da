"""Who a host is: a user of its own where it may change that, and without capabilities but, at most, one to read.

As root, a host becomes a user that nobody else is. Such a user could not read an interpreter below a private home, or
the node's files; so where Landlock has already said which files there are, it keeps the right to read them, and only
there. Not here: Landlock (``landlock.py``).
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import struct
from collections.abc import Iterable
from pathlib import Path

from .system import prctl

_SECURE_BITS, _KEEP_CAPABILITIES, _DROP_BOUND, _AMBIENT = 28, 8, 24, 47
_AMBIENT_RAISE, _AMBIENT_CLEAR = 2, 4
_NO_ROOT = 0b1111  # neither a program nor a change of user gives root's capabilities back, and that stays so
_VERSION = 0x20080522
_OVERRIDE, _READ_SEARCH, _KILL, _SET_GROUP, _SET_USER, _SET_CAPABILITIES = 1, 2, 5, 6, 7, 8
_NEEDED = (_KILL, _SET_GROUP, _SET_USER)

_libc = ctypes.CDLL(None, use_errno=True)


def may_change() -> bool:
    """Tell whether this process may become another user, and what it started could still end it then."""
    return os.geteuid() == 0 and held().issuperset(_NEEDED)


def become(number: int) -> None:
    """Become another user, whose group has the same number; capabilities stay as they are. Raises OSError."""
    prctl(_KEEP_CAPABILITIES, 1)
    os.setgroups([])
    os.setresgid(number, number, number)
    os.setresuid(number, number, number)


def could_read(number: int, paths: Iterable[str]) -> bool:
    """Tell whether a user whose group has the same number could read all these, as root."""
    os.setgroups([])
    os.setegid(number)
    os.seteuid(number)
    try:
        return all(os.access(path, os.R_OK, effective_ids=True) for path in paths)
    finally:
        os.seteuid(0)
        os.setegid(0)


def drop_capabilities(reading: bool) -> None:
    """Give up every capability for good, but the one that reads others' files if ``reading``. Raises OSError."""
    have = held()
    kept = next((c for c in (_READ_SEARCH, _OVERRIDE) if reading and c in have), None)
    with contextlib.suppress(OSError):
        prctl(_AMBIENT, _AMBIENT_CLEAR)
    _set(have)  # a change of user has put them all aside
    if _SET_CAPABILITIES in have:
        for number in range(64):
            if number != kept:
                try:
                    prctl(_DROP_BOUND, number)
                except OSError:
                    break  # it was the last
        with contextlib.suppress(OSError):
            prctl(_SECURE_BITS, _NO_ROOT | 0b110000 if kept is None else _NO_ROOT)
    _set({kept} if kept is not None else set())
    if kept is not None:
        with contextlib.suppress(OSError):  # only programs that it starts would miss it
            prctl(_AMBIENT, _AMBIENT_RAISE, kept)


def held() -> set[int]:
    """Return the capabilities that this process could make use of."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapPrm:"):
            bits = int(line.split()[1], 16)
            return {n for n in range(64) if bits >> n & 1}
    return set()


def _set(capabilities: set[int]) -> None:
    low, high = (sum(1 << (n - shift) for n in capabilities if 0 <= n - shift < 32) for shift in (0, 32))
    header = ctypes.create_string_buffer(struct.pack("=Ii", _VERSION, 0), 8)
    data = ctypes.create_string_buffer(struct.pack("=6I", low, low, low, high, high, high), 24)
    if _libc.capset(header, data) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
