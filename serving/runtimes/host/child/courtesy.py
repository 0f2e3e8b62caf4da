"""Who goes first where several processes want a core: whoever answers, before whoever is only being loaded.

A host that loads computes for a tenth of a second without a pause. Where the kernel lets it have its whole share each
time, every step of every answer meanwhile waits for milliseconds. So the node and the hosts that answer ask the kernel
for short turns, which may interrupt long ones (Linux 6.12), and a host that loads steps back. Its priority alone would
not do that: hosts have sessions of their own, and where the kernel shares its time among sessions (autogroup), it is
the session's that counts. None of this needs a privilege; what a kernel does not know is left.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import struct

from .system import call

SHORT_TURN_NS = 100_000
STEP_BACK = 5
_SET_ATTRIBUTES = {"x86_64": 314, "aarch64": 274}
_AUTOGROUP = "/proc/self/autogroup"


def answer_first() -> None:
    """Ask for short turns for this thread, as befits whoever answers."""
    _take_turns(getattr(os, "SCHED_OTHER", 0), SHORT_TURN_NS)


def step_aside() -> None:
    """Take turns of the usual length, and interrupt nobody: for this process and what it forks."""
    _take_turns(getattr(os, "SCHED_BATCH", 3), 0)


class SteppedBack:
    """A session that yields to others until it is ``over``. Made by the leader of a session that is its own."""

    def __init__(self) -> None:
        self._file = -1
        with contextlib.suppress(OSError):  # now: what gives up its rights may not open it any more
            self._file = os.open(_AUTOGROUP, os.O_WRONLY | os.O_CLOEXEC)
            os.write(self._file, b"%d" % STEP_BACK)

    @property
    def descriptor(self) -> int:
        """What must stay open until it is over; -1 for nothing."""
        return self._file

    def end(self) -> bool:
        """Step forward again; return False where the kernel wants to be asked again later, as it does ten times a
        second."""
        try:
            os.write(self._file, b"0")
        except BlockingIOError:
            return False
        except OSError:  # there was none, or it was taken away
            pass
        with contextlib.suppress(OSError):
            os.close(self._file)
        self._file = -1
        return True


def _take_turns(policy: int, nanoseconds: int) -> None:
    number = _SET_ATTRIBUTES.get(platform.machine())
    with contextlib.suppress(OSError, AttributeError):
        if number is None or os.sched_getscheduler(0) not in (os.SCHED_OTHER, os.SCHED_BATCH):
            return  # somebody has decided otherwise
        nice = os.getpriority(os.PRIO_PROCESS, 0)
        attributes = ctypes.create_string_buffer(struct.pack("=IIQiIQQQ", 48, policy, 0, nice, 0, nanoseconds, 0, 0))
        call(number, 0, ctypes.addressof(attributes), 0)
