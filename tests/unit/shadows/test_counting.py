"""Windows of shadows: what is counted adds up, by plan and time, within bounds."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.records import ModelName, VersionNumber
from registry.windows import MOST_BINS, MOST_EXAMPLES, ShadowCounts, ShadowWindow, latency_bin
from serving.exchange import ArrayOutput
from serving.shadows.comparison import Piece, pieces
from serving.shadows.counting import MOST_OUTPUTS, MOST_TAKEN, MOST_TAKEN_BYTES, Count, ShadowWindows
from tests.support.serving_fakes import Clock

M, TWO = ModelName("m"), VersionNumber("2")


def compared(ours: list[float], theirs: list[float]) -> ShadowCounts:
    """Return what comparing two arrays counts."""
    count = Count()
    count.compared(list(pieces(ArrayOutput(np.array(ours)), ArrayOutput(np.array(theirs)))))
    return count.counts()


def test_outcomes_and_times_are_counted() -> None:
    """A copy that was asked is a request; one that was not is an outcome only."""
    count = Count()
    count.unasked("dropped")
    count.asked("compared", 0.001, 0.002)
    count.asked("timeout", 0.001, 30.0)
    count.asked("error", 0.001, None)
    found = count.counts()
    assert found.outcomes == {"dropped": 1, "compared": 1, "timeout": 1, "error": 1}
    assert found.requests == 3
    assert found.primary == {latency_bin(0.001): 3}
    assert found.shadow == {latency_bin(0.002): 1, latency_bin(30.0): 1}


def test_differences_are_counted_by_output() -> None:
    """How far apart numbers are is kept in bins; a request with any difference is one that differs."""
    found = compared([1.0, 2.0, 4.0], [1.0, 2.0, 5.0])
    (difference,) = found.outputs.values()
    assert (found.differing, difference.compared, difference.differed) == (1, 3, 1)
    assert sum(difference.absolute.values()) == sum(difference.relative.values()) == 3
    assert difference.absolute["n:0"] == 2


@given(st.lists(st.floats() | st.integers().map(float), max_size=700))
def test_a_shadow_that_is_the_primary_never_differs(values: list[float]) -> None:
    """Whatever is answered, however much of it."""
    found = compared(values, values)
    assert found.differing == 0
    assert all(d.differed == 0 and d.absolute.keys() <= {"n:0"} for d in found.outputs.values())


def test_outputs_pairs_and_examples_are_bounded() -> None:
    """A model that answers ever new names and words makes no window larger than the bounds."""
    count = Count()
    for n in range(MOST_BINS + 50):
        count.compared([Piece("label", 1, 1, pairs=[(str(n), "x")]), Piece(f"output {n}", 1)])
        count.keep({"request_id": str(n)})
    found = count.counts()
    assert len(found.outputs) == MOST_OUTPUTS
    assert len(found.outputs["label"].pairs) == MOST_BINS + 1
    assert sum(found.outputs["label"].pairs.values()) == found.differing == MOST_BINS + 50
    assert [e["request_id"] for e in found.examples] == [str(MOST_BINS + 50 - k) for k in range(MOST_EXAMPLES, 0, -1)]


def test_windows_are_by_plan_and_time_and_begin_anew_when_taken() -> None:
    """Each revision and each ten seconds have counts of their own; what was taken is not told again."""
    clock = Clock()
    windows = ShadowWindows(10.0, clock)
    windows.of(M, 1, TWO).unasked("dropped")
    clock.now += 3
    windows.of(M, 1, TWO).unasked("dropped")
    windows.of(M, 2, TWO).unasked("dropped")
    clock.now += 10
    windows.of(M, 2, TWO).unasked("dropped")
    taken = [each.window() for each in windows.take()]
    told = [(w.model, w.revision, w.version, w.start_ms, w.counts.outcomes["dropped"]) for w in taken]
    assert told == [(M, 1, TWO, 1_000_000, 2), (M, 2, TWO, 1_000_000, 1), (M, 2, TWO, 1_010_000, 1)]
    assert windows.take() == ()


def test_the_oldest_window_goes_where_nobody_takes_them() -> None:
    """A node whose registry is away keeps the newest, and says of how many copies the counts are gone."""
    clock = Clock()
    lost: list[tuple[str, int]] = []
    windows = ShadowWindows(1.0, clock, lambda reason, copies: lost.append((reason, copies)), most=2)
    for _ in range(3):
        windows.of(M, 1, TWO).unasked("dropped")
        windows.of(M, 1, TWO).asked("compared", 0.001, 0.001)
        clock.now += 1
    assert lost == [("full", 2)]
    assert [w.start_ms for w in windows.take()] == [1_001_000, 1_002_000]


def test_a_few_windows_are_handed_over_at_once_the_oldest_first() -> None:
    """However many wait; what is counted after that makes a window of its own."""
    clock = Clock()
    windows = ShadowWindows(1.0, clock)
    for _ in range(MOST_TAKEN + 3):
        windows.of(M, 1, TWO).unasked("dropped")
        clock.now += 1
    first = windows.take()
    assert [w.start_ms for w in first] == [1_000_000 + 1000 * n for n in range(MOST_TAKEN)]
    assert windows.waiting == 3
    assert len(windows.take()) == 3
    clock.now -= 1
    windows.of(M, 1, TWO).unasked("dropped")
    assert [(w.start_ms, w.count.copies) for w in windows.take()] == [(1_018_000, 1)]
    assert (windows.take(), windows.waiting) == ((), 0)


def test_windows_that_are_handed_over_fit_into_a_report() -> None:
    """Models with many outputs of many long words are told in more reports, but each window in one."""
    clock = Clock()
    windows = ShadowWindows(1.0, clock)
    words = [("é" * 60 + str(n), "ü" * 60 + str(n)) for n in range(MOST_BINS)]
    for _ in range(4):
        windows.of(M, 1, TWO).compared([Piece(f"output {n}", 1, 1, pairs=words) for n in range(MOST_OUTPUTS)])
        clock.now += 1
    parts = []
    while taken := windows.take():
        parts.append(taken)
        sizes = [len(json.dumps(each.window().counts.to_json(), ensure_ascii=False).encode()) for each in taken]
        assert sum(sizes) < 16 << 20
    assert len(parts) > 1
    assert sum(map(len, parts)) == 4
    assert sum(each.count.size for each in parts[0]) <= MOST_TAKEN_BYTES


@pytest.mark.parametrize("cut", [0, 1, 299, 600])
def test_counts_taken_in_parts_add_up(cut: int) -> None:
    """What was counted before and after a report is the same as all at once."""
    values = np.random.default_rng(0).normal(size=(600, 2))

    def counted(part: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> ShadowWindow:
        windows = ShadowWindows(10.0, Clock())
        windows.of(M, 1, TWO)
        for one, other in part:
            windows.of(M, 1, TWO).compared(list(pieces(ArrayOutput(np.array([one])), ArrayOutput(np.array([other])))))
        return windows.take()[0].window()

    parts = counted(values[:cut]).counts.plus(counted(values[cut:]).counts)
    assert parts.plus(ShadowCounts()).to_json() == ShadowCounts().plus(parts).to_json()
    whole = counted(values).counts
    assert (parts.differing, parts.outputs[""]) == (whole.differing, whole.outputs[""])
