"""Who goes first where several processes want a core: whoever answers, before whoever is only being loaded.

A host that loads computes for a tenth of a second without a pause. Where the kernel lets it have its whole share each
time, every step of every answer meanwhile waits for milliseconds. So the node and the hosts that answer ask the kernel
for short turns, which may interrupt long ones (Linux 6.12), and a host that loads steps back. Its priority alone would
not do that: hosts have sessions of their own, and where the kernel shares its time among sessions (autogroup), it is
the session's that counts. A host of a shadow steps back for good, and farther. None of this needs a privilege; what a
kernel does not know is left.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import struct
import time
from pathlib import Path

from .system import call

SHORT_TURN_NS = 100_000
STEP_BACK = 5
LONG_TURN_NS = 100_000_000
_SET_ATTRIBUTES = {"x86_64": 314, "aarch64": 274, "riscv64": 274}
_TRIES = 3
_AUTOGROUP = "/proc/self/autogroup"


def answer_first() -> None:
    """Ask for short turns for this thread, as befits whoever answers."""
    _take_turns(getattr(os, "SCHED_OTHER", 0), SHORT_TURN_NS)


def step_aside() -> None:
    """Take turns of the usual length, and interrupt nobody: for this process and what it forks."""
    _take_turns(getattr(os, "SCHED_BATCH", 3), 0)


def step_behind() -> None:
    """Let all other processes of the machine go first: this one gets what time they leave. For good, and for what it
    starts; called by the leader of a session that is its own.

    Three measures, since each holds where the others do not. Where sessions share the time, only the session's own
    weight counts outside of it. In a container there is one group for all, where SCHED_IDLE counts. With a long turn,
    whoever wakes up with a shorter one goes first at once.
    """
    for left in reversed(range(_TRIES)):
        try:
            Path(_AUTOGROUP).write_text("19")
            break
        except BlockingIOError:  # without privileges one process in a tenth of a second may
            time.sleep(0.1 if left else 0)
        except OSError:
            break
    with contextlib.suppress(OSError):
        os.nice(19)
    _take_turns(getattr(os, "SCHED_IDLE", 5), LONG_TURN_NS)


class SteppedBack:
    """A session that yields to others until it is over, or for good. Made by the leader of a session of its own."""

    def __init__(self, *, for_good: bool = False) -> None:
        self._file = -1
        if for_good:
            step_behind()
            return
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
