"""Windows: who is counted for what, and that nothing is counted twice or lost."""

from __future__ import annotations

import math
import threading
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.edge.problems import STATUS
from registry.windows import ArmCounts, ArmWindow, latency_bin, value_bins
from serving.exchange import Array, ArrayOutput, JsonOutput, Output
from serving.outputs import MOST_VALUES
from serving.telemetry import windows as module
from serving.telemetry.finished import Finished
from serving.telemetry.windows import CROWDED, LARGE, MOST_PENDING, MOST_TAKEN, MOST_WINDOWS, OWN_FAULTS, ArmWindows
from tests.support.serving_fakes import Clock

Whose = tuple[str, int, str, str]


def finished(output: Output | None = None, **more: Any) -> Finished:
    """Return a success of the canary, version 2 under revision 5, that answered 1.5 for its one row."""
    given = {"model": "m", "version": "2", "arm": "canary", "revision": 5, "watched": True, "rows": 1, "seconds": 0.01}
    answer = ArrayOutput(np.array([1.5])) if output is None else output
    return Finished(**{**given, "output": None if more.get("code") else answer, **more})


def ones(count: int) -> Array:
    """Return numbers."""
    return np.ones(count)


def counted(*requests: Finished) -> dict[Whose, ArmCounts]:
    """Return what is made of some requests."""
    windows = ArmWindows(10)
    for request in requests:
        windows.observe(request)
    return added(windows.take())


def added(taken: tuple[ArmWindow, ...]) -> dict[Whose, ArmCounts]:
    """Add windows up by whose they are."""
    total: dict[Whose, ArmCounts] = {}
    for window in taken:
        whose = (window.model, window.revision, window.arm, window.version)
        total[whose] = total.get(whose, ArmCounts()).plus(window.counts)
    return total


def test_a_success_is_counted_with_its_time_and_what_it_predicted() -> None:
    """By model, revision, arm and version."""
    stable = finished(ArrayOutput(np.array(["yes"])), version="1", arm="stable", seconds=0.5)
    assert counted(finished(), stable) == {
        ("m", 5, "canary", "2"): ArmCounts(1, latency={latency_bin(0.01): 1}, predictions=value_bins(np.array([1.5]))),
        ("m", 5, "stable", "1"): ArmCounts(1, latency={latency_bin(0.5): 1}, predictions={"c:yes": 1}),
    }


@pytest.mark.parametrize("code", sorted(STATUS))
def test_each_code_counts_as_the_versions_error_or_not_at_all(code: str) -> None:
    """What the version itself did wrong counts; callers' faults, want of room and clients that left do not."""
    expected = {("m", 5, "canary", "2"): ArmCounts(1, 1)} if code in OWN_FAULTS else {}
    assert counted(finished(code=code)) == expected


def test_own_faults_are_faults_of_the_server() -> None:
    """Each has a status of 500 and more, and none is a refusal for want of room."""
    assert all(STATUS[code] >= 500 for code in OWN_FAULTS)
    assert not OWN_FAULTS & {"loading", "no_capacity", "shutting_down", "overloaded", "request_timeout"}


@pytest.mark.parametrize("arm", ["pinned", "alias", "rule", "fallback", ""])
def test_other_arms_count_nowhere(arm: str) -> None:
    """They are not drawn by lot, so they compare nothing."""
    assert counted(finished(arm=arm), finished(arm=arm, code="model_error")) == {}


@pytest.mark.parametrize("code", ["", "model_error", "overloaded"])
def test_a_canary_that_made_a_request_fall_back_is_charged_with_it(code: str) -> None:
    """One request and one error of the canary; how the version in its place did is not counted."""
    assert counted(finished(arm="fallback", version="1", failed="2", code=code)) == {
        ("m", 5, "canary", "2"): ArmCounts(1, 1)
    }


def test_plans_without_a_canary_are_not_counted() -> None:
    """Nothing is kept of a request that nobody compares."""
    assert counted(finished(watched=False), finished(watched=False, code="model_error")) == {}


def test_a_process_that_settles_is_not_timed() -> None:
    """Its first answers count, their times do not."""
    (counts,) = counted(finished(settling=True)).values()
    assert (counts.requests, counts.latency, sum(counts.predictions.values())) == (1, {}, 1)


@pytest.mark.parametrize(
    ("output", "rows", "invalid"),
    [
        (ArrayOutput(np.array([1.0])), 1, 0),
        (ArrayOutput(np.array([math.nan])), 1, 1),
        (ArrayOutput(np.array([math.nan, 1.0])), 1, 1),
        (ArrayOutput(np.array([1.0, 1.0])), 1, 1),
        (JsonOutput([math.inf]), 1, 1),
        (ArrayOutput(np.full(100_000, math.nan)), 100_000, 1),
        (ArrayOutput(ones(100_000)), 99_999, 1),
        (ArrayOutput(ones(100_000)), 100_000, 0),
    ],
)
def test_an_answer_without_values_is_invalid_once(output: Output, rows: int, invalid: int) -> None:
    """NaN, infinity and missing rows each make the whole answer invalid, beside answers that are not."""
    (counts,) = counted(finished(), finished(output, rows=rows), finished()).values()
    assert (counts.requests, counts.errors, counts.invalid) == (3, 0, invalid)


def test_windows_begin_at_multiples_of_their_length() -> None:
    """A request is counted into the window of its moment, however late it is counted."""
    clock = Clock()
    windows = ArmWindows(10, clock=clock)
    for now in (1009.999, 1010.0, 1019.0, 1003.0):
        clock.now = now
        windows.observe(finished())
    assert [(w.start_ms, w.counts.requests) for w in windows.take()] == [(1_000_000, 2), (1_010_000, 2)]
    assert windows.take() == ()


REQUESTS = st.builds(
    finished,
    st.sampled_from(
        [
            ArrayOutput(np.array([0.25, math.nan])),
            ArrayOutput(np.array([7, 8])),
            JsonOutput(["a", 0.5]),
            ArrayOutput(ones(LARGE)),
        ]
    ),
    arm=st.sampled_from(["stable", "canary", "pinned"]),
    code=st.sampled_from(["", "", "", "model_error", "overloaded"]),
    rows=st.integers(0, 2),
    settling=st.booleans(),
    failed=st.sampled_from(["", "", "", "2"]),
)


@given(st.lists(st.one_of(REQUESTS, st.sampled_from(["settle", "take", "later"])), max_size=40))
def test_counts_add_up_whenever_they_are_counted_and_taken(steps: list[Finished | str]) -> None:
    """Any order of requests, counting and handing over gives what one window of all of them gives."""
    clock = Clock()
    windows, at_once = ArmWindows(1, clock=clock), ArmWindows(1)
    taken: list[ArmWindow] = []
    for step in steps:
        if step == "settle":
            windows.settle()
        elif step == "take":
            taken += windows.take()
        elif step == "later":
            clock.now += 0.7
        elif isinstance(step, Finished):
            windows.observe(replace(step))
            at_once.observe(replace(step))
    taken += windows.take()
    assert added(tuple(taken)) == added(at_once.take())


def test_counting_beside_the_loop_loses_nothing() -> None:
    """Requests go on being observed while other threads count and take."""
    windows = ArmWindows(10)
    taken: list[ArmWindow] = []
    over = threading.Event()

    def take() -> None:
        while not over.is_set():
            taken.extend(windows.take())

    def settle() -> None:
        while not over.is_set():
            windows.settle()

    threads = [threading.Thread(target=work) for work in (take, settle)]
    for thread in threads:
        thread.start()
    observed = 0
    for _ in range(20_000):
        if len(windows._pending) < MOST_PENDING:
            windows.observe(finished())
            observed += 1
    over.set()
    for thread in threads:
        thread.join()
    (counts,) = added((*taken, *windows.take())).values()
    assert counts.requests == sum(counts.predictions.values()) == observed
    assert windows._put == windows._counted


def test_large_answers_are_let_go_at_once() -> None:
    """Of an answer that is too large to keep, what it tells is kept and no view of it."""
    windows = ArmWindows(10)
    large = ones(LARGE)
    windows.observe(finished(ArrayOutput(large), rows=LARGE))
    kept = windows._pending[0][-1]
    assert isinstance(kept, module._Looked)
    assert kept.values.base is None
    assert (kept.valid, kept.values.size) == (True, MOST_VALUES)


def test_answers_that_wait_take_bounded_memory() -> None:
    """Beyond the bound answers are looked at as they come, and their values left out at last; none goes unjudged."""
    windows = ArmWindows(10, most_bytes=1000)
    for _ in range(200):
        windows.observe(finished(ArrayOutput(np.array([math.nan] * 5)), rows=5))
        assert windows._put - windows._counted <= 1000
    (counts,) = added(windows.take()).values()
    assert (counts.requests, counts.invalid, counts.predictions) == (200, 200, {"nan": 125})
    assert windows._put == windows._counted


def test_a_crowd_is_told_of_and_bounded() -> None:
    """Whoever counts is woken in time; where nobody comes, requests are left out and that is said."""
    lost: list[tuple[str, int]] = []
    told: list[int] = []
    windows = ArmWindows(10, lost=lambda reason, requests: lost.append((reason, requests)))
    windows.when_crowded(lambda: told.append(1))
    request = finished(code="model_error")
    for _ in range(CROWDED):
        windows.observe(request)
    assert not told
    for _ in range(CROWDED, MOST_PENDING + 3):
        windows.observe(request)
    assert told
    assert lost == [("busy", 1)] * 3
    (counts,) = added(windows.take()).values()
    assert counts.requests == MOST_PENDING


def test_what_cannot_be_counted_costs_the_others_nothing() -> None:
    """Its whole block is said to be lost, its room is free again, and other windows are counted."""
    lost: list[tuple[str, int]] = []
    windows = ArmWindows(10, lost=lambda reason, requests: lost.append((reason, requests)))

    class Strange(str):
        __slots__ = ()

        def __str__(self) -> str:
            raise ValueError

    strange = ArrayOutput(np.array([Strange("a")], dtype=object))
    for output in (None, strange, None):
        windows.observe(finished(output))
    windows.observe(finished(version="1", arm="stable"))
    assert [(w.version, w.counts.requests) for w in windows.take()] == [("1", 1)]
    assert lost == [("fault", 3)]
    assert windows._put == windows._counted
    windows.observe(finished())
    assert [(w.version, w.counts.requests) for w in windows.take()] == [("2", 1)]


def test_windows_that_nobody_takes_are_bounded() -> None:
    """The oldest go, and are counted; the newest are handed over, the oldest of them first."""
    lost: list[tuple[str, int]] = []
    clock = Clock()
    windows = ArmWindows(1, lost=lambda reason, requests: lost.append((reason, requests)), clock=clock)
    for _ in range(MOST_WINDOWS + 7):
        clock.now += 1
        windows.observe(finished(code="model_error"))
    windows.settle()
    assert lost == [("full", 7)]
    assert windows.waiting == MOST_WINDOWS
    parts = [windows.take() for _ in range(MOST_WINDOWS // MOST_TAKEN)]
    assert [w.start_ms for part in parts for w in part] == [1_008_000 + 1000 * n for n in range(MOST_WINDOWS)]
    assert windows.take() == ()
