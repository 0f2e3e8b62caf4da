"""What a version has done so far, as inference servers tell it."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from time import process_time

from hypothesis import given
from hypothesis import strategies as st

from serving.telemetry.finished import Finished
from serving.telemetry.metrics import Metrics
from serving.telemetry.statistics import BatchRuns, Statistics, Timed, statistics_of
from serving.telemetry.tally import MAX_SIZES, PENDING, Batches, Tally

counts = st.integers(0, 2**40)
timed = st.builds(Timed, counts, counts)
runs = st.lists(st.builds(BatchRuns, st.integers(1, 64), timed), unique_by=lambda each: each.rows).map(
    lambda found: tuple(sorted(found, key=lambda each: each.rows))
)
some = st.builds(Statistics, counts, counts, counts, timed, timed, timed, timed, timed, timed, runs)


def answered(rows: int = 1, protocol: str = "native", code: str = "") -> Finished:
    """Return a request that took 8 ms."""
    done = Finished("churn", "1", "stable", protocol, code, seconds=0.008, rows=rows)
    done.decode, done.queue, done.predict, done.encode = 0.001, 0.002, 0.004, 0.001
    return done


def test_a_version_that_was_never_asked_has_done_nothing() -> None:
    """All zeros, and no batches."""
    assert statistics_of(None) == Statistics()


def test_answers_and_errors_are_counted_over_all_protocols() -> None:
    """Rows and times of answers by stage; errors by number and time alone."""
    metrics = Metrics()
    for done in (answered(3), answered(2, "grpc"), answered(9, code="invalid_input")):
        metrics.observe(done)
    found = statistics_of(metrics.tally("other", "other"))  # nobody has told the metrics which models exist
    assert (found.success, found.fail) == (Timed(2, 16_000_000), Timed(1, 8_000_000))
    assert (found.inferences, found.executions) == (5, 2)
    assert (found.compute_input, found.queue) == (Timed(2, 2_000_000), Timed(2, 4_000_000))
    assert (found.compute_infer, found.compute_output) == (Timed(2, 8_000_000), Timed(2, 2_000_000))
    assert found.last_inference > 1_600_000_000_000


def test_counts_go_on_beyond_what_is_pending() -> None:
    """Times that are counted by the list, and those still on it, come to the same."""
    metrics = Metrics()
    for _ in range(PENDING + 3):
        metrics.observe(answered(2))
    found = statistics_of(metrics.tally("other", "other"))
    assert (found.inferences, found.success.count) == (2 * (PENDING + 3), PENDING + 3)
    assert abs(found.success.ns - 8_000_000 * (PENDING + 3)) < 1000


def test_batches_are_told_apart_by_their_rows() -> None:
    """Runs of one size add up; executions are all runs."""
    tally = Tally(("churn", "1"))
    tally.batches = Batches()
    for rows, seconds in ((4, 0.002), (1, 0.001), (4, 0.004)):
        tally.batches.ran(rows, seconds)
    found = statistics_of(tally)
    assert found.executions == 3
    assert found.batches == (BatchRuns(1, Timed(1, 1_000_000)), BatchRuns(4, Timed(2, 6_000_000)))


def test_sizes_of_batches_are_bounded() -> None:
    """A caller that sends another number of rows each time fills no memory; its runs still count as executions."""
    batches = Batches()
    for rows in range(1, 2 * MAX_SIZES):
        batches.ran(rows, 0.001)
    batches.ran(1, 0.001)
    assert len(batches.runs) == MAX_SIZES
    assert (batches.executions, batches.runs[1][0]) == (2 * MAX_SIZES, 2)


@given(some, some)
def test_processes_add_up_in_any_order(one: Statistics, other: Statistics) -> None:
    """What two processes have done together does not depend on who says it first."""
    assert one.plus(other) == other.plus(one)
    assert one.plus(Statistics()) == one


@given(some)
def test_siblings_read_what_siblings_write(one: Statistics) -> None:
    """Through JSON and back it is the same."""
    assert Statistics.from_json(json.loads(json.dumps(one.to_json()))) == one


@given(some)
def test_the_form_for_siblings_has_every_count(one: Statistics) -> None:
    """Nothing is left out, also of what is added later."""
    assert one.to_json() == asdict(replace(one, batches=list(one.batches)))  # type: ignore[arg-type]  # JSON has no tuples


def test_the_form_for_siblings_costs_little() -> None:
    """It is written on the event loop, for each of a thousand versions."""
    one = Statistics(batches=tuple(BatchRuns(rows, Timed(rows, rows)) for rows in range(64)))
    ours, plain = [], []
    for _ in range(20):
        begun = process_time()
        one.to_json()
        written = process_time()
        asdict(one)
        ours.append(written - begun)
        plain.append(process_time() - written)
    assert 3 * min(ours) < min(plain)
