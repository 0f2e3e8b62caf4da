"""Who goes first on a core: what a process asks of the kernel while it loads, and once it answers."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from serving.runtimes.host.child.courtesy import answer_first, step_aside

ROOT = Path(__file__).resolve().parents[3]
STEPS = """
import time
from pathlib import Path
from serving.runtimes.host.child.courtesy import SteppedBack

def nice():
    return Path("/proc/self/autogroup").read_text().split()[-1]

back = SteppedBack()
print(nice())
until = time.monotonic() + 10
while not back.end() and time.monotonic() < until:
    time.sleep(0.02)
print(nice(), back.descriptor)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="Linux has these policies")
def test_whoever_loads_interrupts_nobody_and_whoever_answers_is_as_all_are() -> None:
    """The one is a batch to the scheduler, the other is not, and one may become the other without any privilege."""

    def policy_after(step: Callable[[], None]) -> int:
        step()
        return os.sched_getscheduler(0)

    with ThreadPoolExecutor(1) as thread:  # it concerns one thread alone: not the one that runs the tests
        policies = list(thread.map(policy_after, [step_aside, answer_first]))
    assert policies == [os.SCHED_BATCH, os.SCHED_OTHER]


@pytest.mark.skipif(not Path("/proc/self/autogroup").exists(), reason="this kernel shares its time without sessions")
def test_a_session_steps_back_and_forward_again() -> None:
    """It yields until it is over; where the kernel wants to be asked again later, asking again helps."""
    done = subprocess.run(
        [sys.executable, "-c", STEPS], cwd=ROOT, start_new_session=True, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["5", "0", "-1"]
