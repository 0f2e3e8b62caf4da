"""The lane, told as stories: when a batch starts, who is in it, and what becomes of each request."""

from __future__ import annotations

import logging

import numpy as np
import pytest

from registry.errors import ModelFault, Refused
from serving.exchange import ArrayOutput, JsonInput, Priority
from serving.exchange import Call as AnyCall
from serving.runtimes.lane.lane import Lane
from serving.runtimes.lane.line import PASSES, Tell
from tests.support.lanes import POISON, HandEngine, answered, ask, move_clock, rows_of, tell, turns


class Counts:
    """A watch that remembers."""

    def __init__(self) -> None:
        self.batches: list[tuple[int, int]] = []
        self.runs: list[int] = []
        self.reasons: list[str] = []

    def batch(self, rows: int, requests: int) -> None:
        """Remember."""
        self.batches.append((rows, requests))

    def ran(self, rows: int, seconds: float) -> None:
        """Remember."""
        assert seconds >= 0
        self.runs.append(rows)

    def refused(self, reason: str) -> None:
        """Remember."""
        self.reasons.append(reason)


def test_an_idle_engine_takes_what_came_in_one_turn_together() -> None:
    """No timer: the batch starts at the end of the turn in which its requests came."""

    async def story() -> None:
        engine = HandEngine()
        lane = Lane([engine])
        futures = [lane.predict(ask(float(i)), 9) for i in range(5)]
        await turns(1)
        assert engine.sizes == [5]
        engine.finish()
        await turns()
        assert [answered(f) for f in futures] == [[2.0 * i] for i in range(5)]

    tell(story())


def test_requests_gather_while_the_engine_is_busy() -> None:
    """The next batch takes all that came meanwhile, up to the limit."""

    async def story() -> None:
        engine = HandEngine()
        lane = Lane([engine], max_batch_rows=4)
        futures = [lane.predict(ask(0.0), 9)]
        await turns(1)
        futures += [lane.predict(ask(float(i), float(i)), 9) for i in range(1, 6)]
        for _ in range(4):
            engine.finish()
            await turns()
        assert engine.sizes == [1, 4, 4, 2]
        assert [answered(f) for f in futures] == [[0.0], *([2.0 * i] * 2 for i in range(1, 6))]

    tell(story())


def test_a_request_larger_than_a_batch_runs_alone() -> None:
    """Neither refused nor cut."""

    async def story() -> None:
        engine = HandEngine()
        lane = Lane([engine], max_batch_rows=2, queue_rows=3)
        big, small = lane.predict(ask(*range(7)), 9), lane.predict(ask(1.0), 9)
        await turns()
        assert isinstance(small.exception(), Refused)
        engine.finish()
        await turns()
        assert len(answered(big)) == 7

    tell(story())


def test_only_equals_share_a_batch() -> None:
    """Other params, another width, or a plain value go in batches of their own, in the order of arrival."""

    async def story() -> None:
        engine = HandEngine()
        lane = Lane([engine])
        first = [ask(1.0), ask(2.0, width=2), ask(3.0, n=1), ask(4.0), ask(5.0, n=True), ask(6.0, n=1)]
        for call in (*first, AnyCall(JsonInput([1]))):
            lane.predict(call, 9)
        await turns(1)
        for _ in range(4):
            engine.finish()
            await turns()
        assert [rows_of(c).tolist() for c in engine.batches[:4]] == [[1.0, 4.0], [2.0], [3.0, 6.0], [5.0]]
        assert engine.batches[4].data == JsonInput([1])

    tell(story())


def test_one_bad_row_is_its_callers_error_alone() -> None:
    """A batch that failed is run again request by request; each is told what its own run came to."""

    async def story() -> None:
        engine = HandEngine()
        lane = Lane([engine])
        futures = [lane.predict(ask(v), 9) for v in (1.0, POISON, 3.0)]
        await turns(1)
        for _ in range(4):
            engine.finish()
            await turns()
        assert engine.sizes == [3, 1, 1, 1]
        assert [answered(futures[0]), answered(futures[2])] == [[2.0], [6.0]]
        assert isinstance(futures[1].exception(), ModelFault)

    tell(story())


@pytest.mark.parametrize("how", ["model_timeout", "died"])
def test_a_batch_that_took_too_long_or_its_process_along_is_not_tried_again(how: str) -> None:
    """Everybody is told; each gets an exception of its own."""

    async def story() -> None:
        engine = HandEngine()
        lane = Lane([engine])
        futures = [lane.predict(ask(1.0), 9) for _ in range(3)]
        await turns(1)
        if how == "died":
            engine.die()
        else:
            engine.fail(how)
        await turns()
        errors = [f.exception() for f in futures]
        assert all(isinstance(e, ModelFault) for e in errors)
        assert len(set(map(id, errors))) == 3
        assert engine.sizes == [3]

    tell(story())


def test_an_answer_that_is_not_row_by_row_ends_batching(caplog: pytest.LogCaptureFixture) -> None:
    """Each request is run alone, the lane never joins requests again, and says so once."""

    async def story() -> None:
        engine = HandEngine()
        lane = Lane([engine], name="v")
        futures = [lane.predict(ask(1.0), 9) for _ in range(2)]
        await turns(1)
        for _ in range(3):
            engine.answer(ArrayOutput(np.array([7.0])))
            await turns()
        assert [answered(f) for f in futures] == [[7.0], [7.0]]
        again = [lane.predict(ask(1.0), 9) for _ in range(2)]
        for _ in range(2):
            await turns(1)
            engine.finish()
            await turns()
        assert all(f.done() for f in again)
        assert engine.sizes == [2, 1, 1, 1, 1]
        assert not lane.batching

    with caplog.at_level(logging.WARNING):
        tell(story())
    assert [r.getMessage() for r in caplog.records] == ["batching_given_up"]


def test_high_goes_first_and_low_is_not_forgotten() -> None:
    """Priority decides who is next; a queue that was passed over often enough leads a batch."""

    async def story() -> None:
        engine = HandEngine()
        lane = Lane([engine], max_batch_rows=1)
        lane.predict(ask(0.0), 9)
        await turns(1)
        lane.predict(ask(100.0), 9, Priority.LOW)
        for i in range(PASSES + 4):
            lane.predict(ask(float(i)), 9, Priority.NORMAL if i % 2 else Priority.HIGH)
        for _ in range(PASSES + 6):
            engine.finish()
            await turns()
        order = [rows_of(c)[0] for c in engine.batches[1:]]
        evens = [float(i) for i in range(0, PASSES + 4, 2)]
        assert order[: len(evens)] == evens
        assert order.index(100.0) == PASSES
        assert sorted(order) == sorted([100.0, *map(float, range(PASSES + 4))])

    tell(story())


def test_what_a_batch_has_room_for_comes_from_the_next_queue() -> None:
    """High first, filled up with normal and low."""

    async def story() -> None:
        engine = HandEngine()
        lane = Lane([engine], max_batch_rows=4)
        for value, priority in ((1.0, Priority.LOW), (2.0, Priority.NORMAL), (3.0, Priority.HIGH), (4.0, Priority.LOW)):
            lane.predict(ask(value), 9, priority)
        await turns(1)
        assert rows_of(engine.batches[0]).tolist() == [3.0, 2.0, 1.0, 4.0]
        engine.finish()
        await turns()

    tell(story())


def test_too_many_rows_are_refused_with_the_reason() -> None:
    """The bound counts rows that wait; those that run have room of their own, and callers that left make room."""

    async def story() -> None:
        engine, counts = HandEngine(), Counts()
        lane = Lane([engine], queue_rows=3)
        lane.watch = counts
        lane.predict(ask(0.0), 9)
        await turns(1)
        waiting = [lane.predict(ask(1.0), 9) for _ in range(3)]
        refused = lane.predict(ask(1.0), 9).exception()
        assert isinstance(refused, Refused)
        assert refused.details == {"reason": "queue_full", "queue_rows": 3, "queued_rows": 3}
        assert refused.retry_after
        waiting[0].cancel()
        move_clock(1)
        late = lane.predict(ask(2.0), 9)
        assert lane.queued_rows == 3
        for _ in range(2):
            engine.finish()
            await turns()
        assert answered(late) == [4.0]
        assert (counts.batches, counts.runs, counts.reasons) == ([(1, 1), (3, 3)], [1, 3], ["queue_full"])

    tell(story())


def test_deadlines_are_kept_by_those_that_wait_and_those_that_run() -> None:
    """Each is told in time, in words that say where it was; the batch goes on for the others."""

    async def story() -> None:
        engine, counts = HandEngine(), Counts()
        lane = Lane([engine])
        lane.watch = counts
        patient, running = lane.predict(ask(1.0), 9), lane.predict(ask(2.0), 0.5)
        await turns(1)
        waiting, later = lane.predict(ask(3.0), 0.25), lane.predict(ask(4.0), 9)
        move_clock(0.3)
        await turns()
        assert "0.25 s: the request was waiting for others" in str(waiting.exception())
        assert not running.done()
        move_clock(0.3)
        await turns()
        error = running.exception()
        assert isinstance(error, ModelFault)
        assert (error.code, "was running" in error.message) == ("model_timeout", True)
        for _ in range(2):
            engine.finish()
            await turns()
        assert (answered(patient), answered(later)) == ([2.0], [8.0])
        assert engine.sizes == [2, 1]
        assert counts.reasons == ["expired"]
        assert lane._alarm is not None
        lane.close("it was unloaded")
        assert lane._alarm is None

    tell(story())


def test_who_leaves_hurts_nobody() -> None:
    """A cancelled request is left out of the next batch, or its rows are dropped from the answer."""

    async def story() -> None:
        engine = HandEngine()
        lane = Lane([engine])
        futures = [lane.predict(ask(float(i)), 9) for i in range(3)]
        await turns(1)
        futures += [lane.predict(ask(float(i)), 9) for i in range(3, 6)]
        futures[1].cancel()
        futures[4].cancel()
        for _ in range(2):
            engine.finish()
            await turns()
        assert engine.sizes == [3, 2]
        assert [answered(futures[i]) for i in (0, 2, 3, 5)] == [[0.0], [4.0], [6.0], [10.0]]

    tell(story())


def test_several_engines_share_the_work_and_the_loss_of_one_is_its_own_batch() -> None:
    """Both are busy at once; when one dies, the other takes what waits, and a new one joins in."""

    async def story() -> None:
        engines = [HandEngine(), HandEngine()]
        lane = Lane(engines, max_batch_rows=1)
        futures = [lane.predict(ask(float(i)), 9) for i in range(4)]
        await turns(1)
        assert [e.sizes for e in engines] == [[1], [1]]
        engines[0].die()
        lane.remove(engines[0])
        await turns()
        assert isinstance(futures[0].exception(), ModelFault)
        engines[1].finish()
        await turns()
        lane.add(third := HandEngine())
        await turns()
        assert third.sizes == [1]
        assert lane.engines == (engines[1], third)
        third.finish()
        engines[1].finish()
        await turns()
        assert [answered(f) for f in futures[1:]] == [[2.0], [4.0], [6.0]]

    tell(story())


def test_a_closed_lane_answers_all_who_wait_and_who_come() -> None:
    """Nobody waits for engines that are gone; whoever never ran is told so."""

    async def story() -> None:
        engine = HandEngine()
        lane = Lane([engine])
        running = lane.predict(ask(1.0), 9)
        await turns(1)
        waiting = lane.predict(ask(1.0), 9)
        engine.die()
        lane.remove(engine)
        lane.close("the process of this version died: signal 9 (SIGKILL)")
        late = lane.predict(ask(1.0), 9)
        await turns()
        for future, started in ((running, True), (waiting, False), (late, False)):
            error = future.exception()
            assert isinstance(error, ModelFault)
            assert (error.code, error.details["started"]) == ("model_error", started)
        assert "died: signal 9 (SIGKILL)" in str(late.exception())

    tell(story())


class Inline:
    """An engine that has its answer at once, or raises on the spot."""

    alive = True

    def run(self, call: AnyCall, seconds: float, tell: Tell) -> None:
        """Answer."""
        if POISON in rows_of(call):
            raise MemoryError
        tell(ArrayOutput(2 * rows_of(call)))


def test_an_engine_may_answer_at_once_or_fail_to_start() -> None:
    """What is done already is shared out in the same turn; what cannot even begin fails whom it must."""

    async def story() -> None:
        lane = Lane([Inline()])
        futures = [lane.predict(ask(v), 9) for v in (1.0, 2.0, POISON)]
        await turns()
        assert [answered(f) for f in futures[:2]] == [[2.0], [4.0]]
        assert isinstance(futures[2].exception(), MemoryError)

    tell(story())


def test_a_row_that_changes_how_others_are_answered_is_kept_from_them() -> None:
    """A batch whose answer is of another type than one alone is run again one by one, and then no more."""

    async def story() -> None:
        engine = HandEngine()
        lane = Lane([engine])
        first = lane.predict(ask(1.0), 9)
        await turns()
        whole, missing = lane.predict(ask(2.0), 9), lane.predict(ask(3.0), 9)
        engine.answer(ArrayOutput(np.array([2])))
        await turns()
        assert engine.sizes == [1, 2]
        engine.answer(ArrayOutput(np.array([4.0, np.nan])))  # integers became floats, for a neighbour's missing value
        await turns()
        engine.answer(ArrayOutput(np.array([4])))
        await turns()
        engine.answer(ArrayOutput(np.array([np.nan])))
        await turns()
        answers = [future.result() for future in (first, whole, missing)]
        assert [a.array.dtype.kind for a in answers if isinstance(a, ArrayOutput)] == ["i", "i", "f"]
        assert not lane.batching

    tell(story())
