"""Rows counted on a node: each in its feature's cell, none twice, none kept for ever, and what is lost is counted."""

from __future__ import annotations

import threading
from collections import Counter
from typing import Any

import numpy as np
import pytest

from registry.baselines import Feature, NumberCounts
from registry.observed import FeatureWindow
from registry.records import Digest
from registry.snapshots import ServableVersion
from serving.exchange import ArrayOutput, Table, TensorInput
from serving.telemetry import features as module
from serving.telemetry.features import CROWDED, LARGE, MOST_PENDING, PATIENCE_SECONDS, FeatureWindows
from serving.telemetry.finished import Finished
from serving.telemetry.joined import join_inputs
from tests.support.serving_fakes import Clock, digest_of
from tests.support.watched import BASELINE, Shelf, finished, known, number, prediction, row, travelled

AGE = number("age", 0.0, 10.0, 20.0)
SCORE = prediction(0.0, 1.0)


class World:
    """Windows with everything around them in the hand."""

    def __init__(self, *features: Feature, **more: Any) -> None:
        self.shelf, self.clock = Shelf(*features), Clock()
        self.version: ServableVersion | None = known()
        self.lost: Counter[str] = Counter()
        self.crowds = 0
        self.windows = FeatureWindows(
            lambda _model, _version: self.version, self.shelf, lost=self._lose, clock=self.clock, **more
        )
        self.windows.when_crowded(self._crowd)

    def _lose(self, reason: str, rows: int) -> None:
        self.lost[reason] += rows

    def _crowd(self) -> None:
        self.crowds += 1

    def observe(self, *requests: Finished) -> None:
        """Let requests finish."""
        for request in requests:
            self.windows.observe(request)

    def take(self) -> tuple[FeatureWindow, ...]:
        """Take windows, as the registry reads them."""
        self.windows.gather()
        return travelled(self.windows.take())


def cells(window: FeatureWindow, name: str) -> list[int]:
    """Return the rows of a feature by cell."""
    counts = window.counts[name]
    assert isinstance(counts, NumberCounts)
    found: list[int] = counts.cells.tolist()
    return found


def test_rows_are_counted_by_the_baseline() -> None:
    """Inputs and predictions, in the window of their version and baseline."""
    world = World(AGE, SCORE)
    world.observe(row({"age": 5.0}, 0.5), row({"age": 15.0}, 0.5), row({"age": 30.0}, 2.0))

    (window,) = world.take()

    assert (window.model, window.version, window.baseline, window.rows) == ("m", "1", BASELINE, 3)
    assert window.start_ms == 1_000_000
    assert cells(window, "age") == [0, 1, 1, 1]
    assert cells(window, "prediction") == [0, 2, 1]
    assert not window.samples


def test_what_was_taken_is_not_taken_again() -> None:
    """Windows are handed over once; later rows make new ones."""
    world = World(AGE)
    world.observe(row({"age": 5.0}))
    assert [window.rows for window in world.take()] == [1]
    assert world.take() == ()
    world.observe(row({"age": 5.0}), row({"age": 5.0}))
    assert [window.rows for window in world.take()] == [2]


def test_failures_and_requests_without_an_answer_are_not_counted() -> None:
    """Only successes tell what a version is asked."""
    world = World(AGE)
    world.observe(row({"age": 5.0}, code="model_error"), Finished("m", "1"), row({"age": 5.0}, inputs=None))
    assert world.take() == ()


def test_every_form_of_the_same_rows_counts_alike() -> None:
    """One row or many, a block or columns, an array or a table: the cells are the same."""
    ages = np.array([5.0, 15.0, 15.0, 25.0])
    table, block = Table(("age",), (ages,)), Table(("age",), (ages,), True, ages.reshape(1, -1))
    forms = (
        [row({"age": age}) for age in ages.tolist()],
        [finished(table, np.zeros(4), 4)],
        [finished(block, np.zeros(4), 4)],
        [finished(Table(("age",), (ages[at : at + 1],)), np.zeros(1)) for at in range(4)],
        [
            finished(Table(("age",), (ages[at : at + 2],), True, ages[None, at : at + 2]), np.zeros(2), 2)
            for at in (0, 2)
        ],
    )
    for requests in forms:
        world = World(AGE)
        world.observe(*requests)
        (window,) = world.take()
        assert (window.rows, cells(window, "age")) == (4, [0, 1, 2, 1])


def test_an_unnamed_array_counts_by_channel() -> None:
    """Each column of the tensor is a feature, of arrays in whatever layout."""
    world = World(
        number("", 0.0, 1.0, channel=0),
        number("", 0.0, 10.0, channel=1),
        prediction(0.5, channel=1, name="prediction[1]"),
    )
    whole = np.array([[0.5, 5.0, 9.0], [2.0, 20.0, 9.0]])
    for array in (whole[:1], whole[1:], np.asfortranarray(whole)):
        world.observe(finished(TensorInput(array), np.array([[0.1, 0.9]] * len(array)), len(array)))

    (window,) = world.take()

    assert cells(window, "input[0]") == [0, 2, 2]
    assert cells(window, "input[1]") == [0, 2, 2]
    assert cells(window, "prediction[1]") == [0, 4]


def test_a_column_that_some_requests_lack_is_missing_there() -> None:
    """Rows without it are missing ones; a column that no request had is left out."""
    world = World(AGE, number("size", 0.0), number("gone", 0.0))
    world.observe(row({"age": 5.0, "size": 1.0}), row({"age": 5.0}), row({"age": float("nan")}))

    (window,) = world.take()

    assert (window.counts["age"].missing, window.counts["size"].missing) == (1, 2)
    assert "gone" not in window.counts


def test_versions_and_baselines_have_windows_of_their_own() -> None:
    """A new baseline begins a new window; what was counted by the old one stays there."""
    world = World(AGE)
    newer = digest_of("newer")
    world.shelf.plans[newer] = world.shelf.plans[BASELINE]
    world.observe(row({"age": 5.0}), row({"age": 5.0}, version="2"))
    world.windows.gather()
    world.windows.settle()
    world.version = known(newer)
    world.observe(row({"age": 5.0}))
    assert {(w.version, w.baseline): w.rows for w in world.take()} == {
        ("1", BASELINE): 1,
        ("2", BASELINE): 1,
        ("1", newer): 1,
    }


def test_rows_wait_for_a_baseline_that_is_on_its_way() -> None:
    """They are counted once it is here, under the time that they came at."""
    world = World()
    world.observe(row({"age": 5.0}))
    assert world.take() == ()
    world.clock.now += PATIENCE_SECONDS / 2
    world.observe(row({"age": 15.0}))
    world.shelf.plans.update(Shelf(AGE).plans)
    (window,) = world.take()
    assert (window.rows, window.start_ms, world.lost) == (2, 1_000_000, Counter())


def test_rows_do_not_wait_for_ever() -> None:
    """A baseline that does not come costs the counts, which is said; the node goes on."""
    world = World()
    world.observe(row({"age": 5.0}), row({"age": 5.0}))
    assert world.take() == ()
    world.clock.now += PATIENCE_SECONDS + 1
    assert world.take() == ()
    assert world.lost == {"no_baseline": 2}
    world.shelf.plans.update(Shelf(AGE).plans)
    world.observe(row({"age": 5.0}))
    assert [window.rows for window in world.take()] == [1]


def test_a_version_that_is_gone_is_not_counted() -> None:
    """Nobody asks how the rows of a retired version drift."""
    world = World(AGE)
    world.observe(row({"age": 5.0}))
    world.version = None
    assert world.take() == ()


def test_single_rows_beyond_what_may_wait_are_lost_and_counted() -> None:
    """The list is bounded in bytes; the loop asks for counting long before."""
    world = World(AGE, most_bytes=CROWDED * 16)
    for _ in range(3):
        world.observe(*[row({"age": 5.0})] * CROWDED)
    assert (world.crowds, world.lost) == (3, {"busy": 2 * CROWDED})
    assert [window.rows for window in world.take()] == [CROWDED]
    world.observe(row({"age": 5.0}))
    assert [window.rows for window in world.take()] == [1]


def test_other_requests_beyond_what_may_wait_are_lost_and_counted() -> None:
    """The list is bounded in requests too."""
    world = World(AGE)
    request = finished(Table(("age",), (np.array([1.0, 2.0]),)), np.zeros(2), 2)
    world.observe(*[request] * (MOST_PENDING + 3))
    assert world.lost == {"busy": 6}
    assert sum(window.rows for window in world.take()) == 2 * MOST_PENDING


def test_of_a_large_request_some_rows_are_counted_spread_evenly() -> None:
    """It takes little memory until then, and the rest is counted as lost."""
    rows = 4 * LARGE // 8
    ages = np.linspace(0.0, 40.0, rows)
    world = World(number("age", 10.0, 20.0, 30.0), SCORE)
    world.observe(finished(Table(("age",), (ages,), True, ages.reshape(1, -1)), np.full(rows, 0.5), rows))
    (window,) = world.take()
    assert window.rows + world.lost["large"] == rows
    assert window.rows == rows // 8
    assert all(abs(count - window.rows / 4) <= 2 for count in cells(window, "age"))
    assert cells(window, "prediction")[1] == window.rows


def test_a_table_of_some_thousand_rows_of_text_is_counted_whole() -> None:
    """Texts take many times their bytes in memory, and that alone makes no request a large one."""
    world = World(AGE)
    texts = np.array([f"a note {at} of some words" for at in range(4000)], object)
    table = Table(("age", *(f"note{at}" for at in range(8))), (np.full(4000, 5.0), *[texts] * 8))
    world.observe(finished(table, np.zeros(4000), 4000, size=4000 * 8 * 24))
    assert [window.rows for window in world.take()] == [4000]
    assert not world.lost


def test_what_cannot_be_counted_costs_the_others_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault is counted as lost rows, and the rest goes on."""
    world = World(AGE)

    def join(parts: Any) -> Any:
        if any(isinstance(part, np.ndarray) for part in parts):
            raise RuntimeError("a fault of ours")
        return join_inputs(parts)

    monkeypatch.setattr(module, "join_inputs", join)
    world.observe(row({"age": 5.0}, version="2"), finished(TensorInput(np.zeros((1, 3))), np.zeros(1)))
    assert [(window.version, window.rows) for window in world.take()] == [("2", 1)]
    assert world.lost == {"fault": 1}


@pytest.mark.parametrize("version", [known(), known(None)])
def test_what_cannot_be_counted_costs_its_own_version_nothing_else(
    monkeypatch: pytest.MonkeyPatch, version: ServableVersion
) -> None:
    """Of a block that raises each request is counted that can be."""
    world = World(AGE)
    world.version = version

    def join(parts: Any) -> Any:
        if any(isinstance(part, np.ndarray) for part in parts):
            raise RuntimeError("a fault of ours")
        return join_inputs(parts)

    monkeypatch.setattr(module, "join_inputs", join)
    good = [finished(Table(("age",), (np.array([5.0]),), True), np.zeros(1)) for _ in range(7)]
    world.observe(*good[:3], finished(TensorInput(np.zeros((2, 3))), np.zeros(2), 2), *good[3:])
    assert [window.rows for window in world.take()] == [7]
    assert world.lost == {"fault": 2}


@pytest.mark.parametrize("version", [known(), known(None)])
@pytest.mark.parametrize("shape", [(0,), (1, 0), (1, 0, 2), (0, 3)])
def test_arrays_without_values_cost_nothing(shape: tuple[int, ...], version: ServableVersion) -> None:
    """A model may answer nothing, and a request may hold nothing: there is nothing to count, and others are."""
    world = World(AGE, SCORE)
    world.version = version
    data = Table(("age",), (np.array([5.0]),), True)
    world.observe(row({"age": 5.0}, 0.5), row({"age": 5.0}, 0.5))
    world.observe(finished(data, np.zeros(shape)), finished(TensorInput(np.zeros((1, 2))), np.zeros(shape)))
    world.observe(finished(TensorInput(np.zeros(shape)), np.zeros(1)))
    assert [window.rows for window in world.take()] == [5]
    assert not world.lost


def test_reports_stay_small_however_many_windows_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows are handed over in portions, each once, and the rest is said to wait."""
    monkeypatch.setattr(module, "TAKEN_BYTES", 1000)
    world = World(AGE, SCORE)
    world.observe(*[row({"age": 5.0}, version=str(version)) for version in range(20)])
    world.windows.gather()
    taken: list[str] = []
    while portion := world.windows.take():
        assert len(portion) < 4
        taken += [window.version for window in portion]
        assert world.windows.left is (len(taken) < 20)
    assert sorted(taken) == sorted(map(str, range(20)))


def test_counting_beside_the_loop_loses_nothing() -> None:
    """One thread observes while another counts and takes: every row is counted once."""
    world, total, over = World(AGE), Counter[Digest | None](), threading.Event()

    def count() -> None:
        while not over.is_set():
            world.windows.settle()
            for window in world.windows.take():
                total[window.baseline] += window.rows

    other = threading.Thread(target=count)
    other.start()
    for turn in range(3 * CROWDED):
        world.observe(row({"age": float(turn % 30)}))
        if turn % 7 == 0:
            world.observe(finished(Table(("age",), (np.array([1.0]),)), ArrayOutput(np.zeros(1))))
        if turn % 500 == 0:
            world.windows.gather()
    over.set()
    other.join()
    for window in world.take():
        total[window.baseline] += window.rows
    assert total == {BASELINE: 3 * CROWDED + len(range(0, 3 * CROWDED, 7))}
