"""Who goes first where several processes want a core: whoever answers, before whoever is only being loaded.

A host that loads computes for a tenth of a second without a pause. Where the kernel lets it have its whole turn each
time, every step of every answer meanwhile waits for milliseconds. So the node and the hosts that answer ask for short
turns, which may interrupt long ones (Linux 6.12), and what loads interrupts nobody. Priorities would not do: whoever
runs keeps its turn whatever they are. The host of a shadow steps behind everybody, for good. None of this needs a
privilege, and what a kernel does not know is left.
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


def _take_turns(policy: int, nanoseconds: int) -> None:
    number = _SET_ATTRIBUTES.get(platform.machine())
    with contextlib.suppress(OSError, AttributeError):
        if number is None or os.sched_getscheduler(0) not in (os.SCHED_OTHER, os.SCHED_BATCH):
            return  # somebody has decided otherwise
        nice = os.getpriority(os.PRIO_PROCESS, 0)
        attributes = ctypes.create_string_buffer(struct.pack("=IIQiIQQQ", 48, policy, 0, nice, 0, nanoseconds, 0, 0))
        call(number, 0, ctypes.addressof(attributes), 0)
