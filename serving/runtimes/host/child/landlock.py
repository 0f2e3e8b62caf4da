"""Landlock: a process names the files that it will go on using, and the kernel refuses it all others.

It needs no privilege, and binds root as well. Three system calls, the same numbers on every machine. Not here: which
files those are (``readable.py``).
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import stat
import struct
from collections.abc import Iterable

from .system import call

_CREATE, _ADD_RULE, _RESTRICT = 444, 445, 446
_VERSION_FLAG, _PATH_BENEATH = 1, 1
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIRECTORY = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_MAKE_DEVICES = 1 << 6 | 1 << 11
_REFER, _TRUNCATE, _IOCTL_DEVICE = 1 << 13, 1 << 14, 1 << 15
_FIRST_RIGHTS = (1 << 13) - 1
_RIGHTS_OF_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEVICE
_READ = _EXECUTE | _READ_FILE | _READ_DIRECTORY
_TCP, _SCOPES = 3, 3  # bind and connect; abstract Unix sockets and signals
_TCP_SINCE, _SCOPES_SINCE = 4, 6


def version() -> int:
    """Return the version of Landlock that the kernel offers; raise OSError where it offers none."""
    return call(_CREATE, 0, 0, _VERSION_FLAG)


def available() -> bool:
    """Tell whether the kernel offers any."""
    with contextlib.suppress(OSError):
        return version() > 0
    return False


def refuses_network() -> bool:
    """Tell whether it would refuse TCP."""
    return available() and version() >= _TCP_SINCE


def refuses_signals() -> bool:
    """Tell whether it would keep signals from processes outside."""
    return available() and version() >= _SCOPES_SINCE


class Rules:
    """What stays allowed. ``restrict`` makes it so, for this process and all that it starts."""

    def __init__(self) -> None:
        self._version = version()
        rights = _FIRST_RIGHTS
        for since, right in ((2, _REFER), (3, _TRUNCATE), (5, _IOCTL_DEVICE)):
            rights |= right if self._version >= since else 0
        self._rights = rights
        network = _TCP if self._version >= _TCP_SINCE else 0
        scopes = _SCOPES if self._version >= _SCOPES_SINCE else 0
        attributes = ctypes.create_string_buffer(struct.pack("=QQQ", rights, network, scopes), 24)
        size = 8 if self._version < _TCP_SINCE else 16 if self._version < _SCOPES_SINCE else 24
        self._rules = call(_CREATE, ctypes.addressof(attributes), size, 0)

    def read(self, paths: Iterable[str]) -> None:
        """Let files be read and run, and all files below directories. What does not exist is passed over."""
        for path in paths:
            self._allow(path, _READ)

    def write(self, paths: Iterable[str]) -> None:
        """Let files, and all below directories, be written too."""
        for path in paths:
            self._allow(path, self._rights & ~_MAKE_DEVICES)

    def restrict(self) -> None:
        """Refuse everything else from now on. ``no_new_privs`` comes first. Raises OSError."""
        call(_RESTRICT, self._rules, 0)
        os.close(self._rules)

    def _allow(self, path: str, rights: int) -> None:
        try:
            descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except OSError:
            return
        try:
            if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
                rights &= _RIGHTS_OF_FILES
            rule = ctypes.create_string_buffer(struct.pack("=Qi", rights & self._rights, descriptor), 12)
            call(_ADD_RULE, self._rules, _PATH_BENEATH, ctypes.addressof(rule), 0)
        finally:
            os.close(descriptor)
