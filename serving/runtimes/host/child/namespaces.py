"""Process namespaces: a parent in one of its own, and each host in another below it.

When the first process of a namespace ends, the kernel ends all others in it at once, whatever they did to hide: a fork
bomb is gone with its host, and all hosts with their parent. From inside, no process outside can be named. Root may make
them, others inside a user namespace, where that is allowed. Not here: how many processes there may be (``limits.py``).

    node ── watcher (the process that the node started; waits) ── parent (first of its namespace) ── hosts (each first)
"""

from __future__ import annotations

import contextlib
import os
import signal

from .system import die_with_parent, has_ended, look_at, mount, set_namespace, unshare

_USER, _PROCESSES, _MOUNTS = 0x10000000, 0x20000000, 0x00020000
_PRIVATE_BELOW = 1 << 18 | 1 << 14
_NO_SUID, _NO_DEVICES = 2, 4
_OWN_NAMESPACE = "/proc/self/ns/pid"
SHARED_MEMORY = "/dev/shm"  # noqa: S108 -- where the C library puts its semaphores
_SHARED_MEMORY_OPTIONS = "mode=1777,size=64m,nr_inodes=4096"


class Namespaces:
    """What a parent has of its own. ``own_user`` tells that it is in a user namespace too."""

    def __init__(self) -> None:
        self.own_user = os.geteuid() != 0
        self._own = os.open(_OWN_NAMESPACE, os.O_RDONLY | os.O_CLOEXEC)

    def fork(self) -> int:
        """Fork into a namespace of its own, whose first process the child is."""
        unshare(_PROCESSES)
        try:
            pid = os.fork()
        except OSError:
            set_namespace(self._own, _PROCESSES)
            raise
        if pid:
            set_namespace(self._own, _PROCESSES)
        return pid


def enter() -> Namespaces | None:
    """Go on in namespaces of its own, as a child of this process, which waits for its end and ends with it.

    Return None, in the process that called, where the system does not let it. Call before anything starts a thread.
    """
    if not _allowed():
        return None
    watcher = look_at(os.getpid())
    _leave()
    pid = os.fork()
    if pid:
        _watch(pid)
    die_with_parent()
    if watcher is None or has_ended(watcher):
        os._exit(0)
    os.close(watcher)
    return Namespaces()


def _watch(pid: int) -> None:
    """Wait for a child's end, holding nothing; never return."""
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _, status = os.waitpid(pid, 0)
    os._exit(os.WEXITSTATUS(status) if os.WIFEXITED(status) else 1)


def _allowed() -> bool:
    """Find out in a child, which may fail, whether this process may do all that it would have to."""
    pid = os.fork()
    if pid == 0:
        with contextlib.suppress(OSError):
            if look_at(os.getpid()) is None:
                os._exit(1)
            _leave()
            if (first := os.fork()) == 0:
                with contextlib.suppress(OSError):
                    if (host := Namespaces().fork()) == 0:
                        os._exit(0)
                    os._exit(os.waitpid(host, 0)[1])
                os._exit(1)
            os._exit(os.waitstatus_to_exitcode(os.waitpid(first, 0)[1]))
        os._exit(1)
    return os.waitpid(pid, 0)[1] == 0


def _leave() -> None:
    if os.geteuid() == 0:
        unshare(_PROCESSES)
    else:
        own_user(_PROCESSES)


def own_user(others: int = 0) -> None:
    """Enter a user namespace in which this user is who it was, so that its files stay its own. Raises OSError."""
    user, group = os.geteuid(), os.getegid()
    unshare(_USER | others)
    _write("/proc/self/setgroups", "deny")
    _write("/proc/self/uid_map", f"{user} {user} 1")
    _write("/proc/self/gid_map", f"{group} {group} 1")


def own_shared_memory() -> None:
    """Have a small place for semaphores and shared memory that nobody else sees. Raises OSError."""
    unshare(_MOUNTS)
    mount("none", "/", _PRIVATE_BELOW)
    mount("tmpfs", SHARED_MEMORY, _NO_SUID | _NO_DEVICES, _SHARED_MEMORY_OPTIONS)


def _write(path: str, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)
