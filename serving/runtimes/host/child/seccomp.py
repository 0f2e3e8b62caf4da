"""A filter of system calls: no socket of any kind, no way around it, and nothing a model has no business with.

One filter closes TCP, UDP, netlink, vsock and other programs' Unix sockets alike, needs no privilege, and works in any
container. A pair of sockets connected to one another stays possible: asyncio and multiprocessing live on them. Not
here: what else confines a host (``sandbox.py``).
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import platform
import struct
import sys

from .system import call

_LOAD, _JUMP_EQUAL, _JUMP_ABOVE, _JUMP_ANY, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_NUMBER_AT, _ARCH_AT, _FIRST_ARGUMENT_AT = 0, 4, 16
_X32 = 0x40000000
_SET_MODE_FILTER, _ASK_FOR_VERDICT = 1, 2
# Without this flag, kernels before 5.16 slow the whole process down for the sake of its filter.
_SPEC_ALLOW = 4
_NEW_NAMESPACES = 0x7E020000

_X86 = {
    "arch": 0xC000003E, "seccomp": 317, "clone": 56, "socket": 41, "ptrace": 101, "process_vm_readv": 310,
    "process_vm_writev": 311, "bpf": 321, "perf_event_open": 298, "userfaultfd": 323, "keyctl": 250, "add_key": 248,
    "request_key": 249, "unshare": 272, "setns": 308, "mount": 165, "open_by_handle_at": 304, "shmget": 29,
    "semget": 64, "msgget": 68, "mq_open": 240, "setsid": 112,
}  # fmt: skip
_ARM = {
    "arch": 0xC00000B7, "seccomp": 277, "clone": 220, "socket": 198, "ptrace": 117, "process_vm_readv": 270,
    "process_vm_writev": 271, "bpf": 280, "perf_event_open": 241, "userfaultfd": 282, "keyctl": 219, "add_key": 217,
    "request_key": 218, "unshare": 97, "setns": 268, "mount": 40, "open_by_handle_at": 265, "shmget": 194,
    "semget": 190, "msgget": 186, "mq_open": 180, "setsid": 157,
}  # fmt: skip
_TABLES = {"x86_64": _X86, "aarch64": _ARM}
_EVERYWHERE = {"io_uring_setup": 425, "io_uring_enter": 426, "io_uring_register": 427, "pidfd_getfd": 438}
_CLONE3 = 435
_NOT_REFUSED = ("arch", "seccomp", "clone", "setsid")


def program(numbers: dict[str, int]) -> bytes:
    """Return the filter for a machine with these system call numbers."""
    refused = sorted({n for name, n in numbers.items() if name not in _NOT_REFUSED} | set(_EVERYWHERE.values()))
    # Every test jumps over its own verdict where it does not hold, so the tests can stand in any order.
    code = [
        _step(_LOAD, _ARCH_AT),
        _step(_JUMP_EQUAL, numbers["arch"], 1, 0),
        _step(_RETURN, _ERRNO | errno.ENOSYS),
        _step(_LOAD, _NUMBER_AT),
        _step(_JUMP_ABOVE, _X32, 0, 1),  # another table of the same calls, on x86
        _step(_RETURN, _ERRNO | errno.ENOSYS),
        _step(_JUMP_EQUAL, _CLONE3, 0, 1),  # its flags lie in memory: the C library falls back to ``clone``
        _step(_RETURN, _ERRNO | errno.ENOSYS),
    ]
    # A new session would get a processor share of its own, so a hundred of them would push everybody else aside. It is
    # said to have begun: those who ask for one want to be left alone, and are.
    code += [_step(_JUMP_EQUAL, numbers["setsid"], 0, 1), _step(_RETURN, _ERRNO)]
    for number in refused:
        code += [_step(_JUMP_EQUAL, number, 0, 1), _step(_RETURN, _ERRNO | errno.EPERM)]
    code += [
        _step(_JUMP_EQUAL, numbers["clone"], 0, 3),
        _step(_LOAD, _FIRST_ARGUMENT_AT),
        _step(_JUMP_ANY, _NEW_NAMESPACES, 0, 1),
        _step(_RETURN, _ERRNO | errno.EPERM),
        _step(_RETURN, _ALLOW),
    ]
    return b"".join(code)


def _step(code: int, value: int, holds: int = 0, fails: int = 0) -> bytes:
    return struct.pack("=HBBI", code, holds, fails, value)


def available() -> bool:
    """Tell whether the kernel, and this file, know filters for this machine."""
    with contextlib.suppress(OSError):
        verdict = ctypes.create_string_buffer(struct.pack("=I", _ERRNO), 4)
        call(_numbers()["seccomp"], _ASK_FOR_VERDICT, 0, ctypes.addressof(verdict))
        return True
    return False


def _numbers() -> dict[str, int]:
    found = _TABLES.get(platform.machine()) if sys.maxsize > 1 << 32 and sys.byteorder == "little" else None
    if found is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    return found


def restrict() -> None:
    """Refuse these system calls from now on, to this process and all that it starts. Raises OSError.

    ``no_new_privs`` comes first.
    """
    numbers = _numbers()
    steps = program(numbers)
    text = ctypes.create_string_buffer(steps, len(steps))
    head = ctypes.create_string_buffer(struct.pack("@HP", len(steps) // 8, ctypes.addressof(text)))
    try:
        call(numbers["seccomp"], _SET_MODE_FILTER, _SPEC_ALLOW, ctypes.addressof(head))
    except OSError as error:
        if error.errno != errno.EINVAL:  # Linux before 4.17 does not know the flag
            raise
        call(numbers["seccomp"], _SET_MODE_FILTER, 0, ctypes.addressof(head))
