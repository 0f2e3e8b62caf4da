"""Who goes first on a core: what a process asks of the kernel while it loads, and once it answers."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from serving.runtimes.host.child.courtesy import answer_first, step_aside


@pytest.mark.skipif(sys.platform != "linux", reason="Linux has these policies")
def test_whoever_loads_interrupts_nobody_and_whoever_answers_is_as_all_are() -> None:
    """The one is a batch to the scheduler, the other is not, and one may become the other without any privilege."""

    def policy_after(step: Callable[[], None]) -> int:
        step()
        return os.sched_getscheduler(0)

    with ThreadPoolExecutor(1) as thread:  # it concerns one thread alone: not the one that runs the tests
        policies = list(thread.map(policy_after, [step_aside, answer_first]))
    assert policies == [os.SCHED_BATCH, os.SCHED_OTHER]
