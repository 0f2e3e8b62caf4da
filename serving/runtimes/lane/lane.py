"""The lane: between everybody who asks a version and the engines that run it. Natural batching lives here.

    predict ─► line ─► (end of this turn of the loop) ─► batch ─► an idle engine ─► split ─► everybody's own answer

An engine that is idle starts at once; while all are busy, requests gather, and the next batch takes them. No request
ever waits for a timer. While requests come one by one, each is run in the turn that it came in: to wait for the turn's
end would cost it a turn of the loop, and nobody would have joined it. A batch that fails is run again, each request
alone, so that one caller's bad row is that caller's error. For one event loop. Not here: what a batch is made of
(``batch.py``), who is next (``line.py``), what an engine is (a process of its own: ``host/process.py``; or an ONNX
session: ``inline``).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from functools import partial
from time import perf_counter
from typing import Protocol

from registry.errors import HeadgateError, ModelFault, Refused
from registry.log import event
from serving.exchange import Call, JsonOutput, Output, Priority
from serving.ports import BatchWatch
from serving.runtimes.lane.batch import Key, form_of, merge, split
from serving.runtimes.lane.line import Line, Start, Tell, Waiter

QUEUE_ROWS = 1024
MAX_BATCH_ROWS = 256
ALARM_GRAIN_SECONDS = 0.001
SWEEP_SECONDS = 0.005
LONE_RUNS = 2
"""How many requests of one turn are run at once before more of them are taken for a crowd: a client that asks again as
soon as it has its answer may be heard twice in a turn."""
STREAMED: Output = JsonOutput(None)
"""What a stream's engine tells its lane once the stream has ended well."""
_ONE_BAD_ROW = ("model_error", "model_output_invalid", "invalid_input")


class Engine(Protocol):
    """Runs one batch at a time."""

    @property
    def alive(self) -> bool:
        """False once it can run nothing any more."""
        ...

    def run(self, call: Call, seconds: float, tell: Tell) -> None:
        """Run one batch, and ``tell`` its answer, or the ModelFault or InvalidRequest that it came to.

        Once, on the event loop, before this returns or at any time after: a callback and no Future, which would cost
        every request one more turn of the loop. What is raised here is told as well. ``seconds`` is how long the most
        patient caller still waits; each is told by the lane when its own time is over.
        """
        ...


class Unwatched:
    """Nobody."""

    def batch(self, rows: int, requests: int) -> None:
        """Do nothing."""

    def ran(self, rows: int, seconds: float) -> None:
        """Do nothing."""

    def refused(self, reason: str) -> None:
        """Do nothing."""


class _Place:
    """An engine, and what it is busy with: of how many rows, and since when."""

    __slots__ = ("batch", "engine", "rows", "since", "tell")

    def __init__(self, engine: Engine, ended: Callable[[_Place, Output | BaseException], None]) -> None:
        self.engine = engine
        self.batch: list[Waiter] | None = None
        self.rows, self.since = 0, 0.0
        self.tell: Tell = partial(ended, self)


class Lane:
    """Binds the ``predict`` of ``LoadedVersion`` for one version.

    Args:
        engines: What runs it, each one batch at a time; ``add`` and ``remove`` change them later.
        max_batch_rows: The most rows of several requests in one batch; one request alone may have more.
        queue_rows: How many rows may wait; one request alone may have more.
        batching: Whether requests may share a batch at all.
        name: What log lines call the version.

    Attributes:
        watch: Who is told of batches and refusals; set it at any time.
    """

    def __init__(
        self,
        engines: Sequence[Engine],
        *,
        max_batch_rows: int = MAX_BATCH_ROWS,
        queue_rows: int = QUEUE_ROWS,
        batching: bool = True,
        name: str = "",
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._places = [_Place(engine, self._ended) for engine in engines]
        self._most = max_batch_rows
        self._queue_rows = queue_rows
        self._name = name
        self._line = Line()
        self._soon = False
        self._alone = False  # whether the last turn that brought requests brought one
        self._lone_runs = 0  # how many this turn has brought that were run at once
        self._swept = 0.0
        self._alarm: asyncio.TimerHandle | None = None
        self._alarm_at = float("inf")
        self._end: str | None = None
        self._form: Key | None = None  # kind and types of its answers
        self.batching = batching and max_batch_rows > 1
        self.watch: BatchWatch = Unwatched()

    @property
    def queued_rows(self) -> int:
        """How many rows wait now, those that run not counted."""
        self._line.sweep()
        return self._line.rows

    @property
    def engines(self) -> tuple[Engine, ...]:
        """The engines now."""
        return tuple(place.engine for place in self._places)

    def predict(self, call: Call, seconds: float, priority: Priority = Priority.NORMAL) -> asyncio.Future[Output]:
        """Return the answer to come; see ``LoadedVersion``. Cancel it to give the request up. Never raises itself.

        Refused ``overloaded`` names in its details the ``reason`` (``queue_full``), ``queue_rows`` and ``queued_rows``;
        where no engine lives, and none will, ModelFault says in its details whether the request had ``started``.
        """
        answer = self._loop.create_future()
        rows = call.data.rows or 1
        line = self._line
        if self._end is not None:
            answer.set_exception(_never_run(self._end))
            return answer
        now = self._loop.time()
        if line.rows and line.rows + rows > self._queue_rows and not self._make_room(rows, now):
            answer.set_exception(self._full())
            return answer
        waiter = Waiter(call, rows, answer, seconds, now + seconds)
        if self._alone and not line.rows and (place := self._idle()) is not None:
            if self._lone_runs < LONE_RUNS:
                if not self._lone_runs:
                    self._loop.call_soon(self._close_turn)
                self._lone_runs += 1
                self._start(place, [waiter])
                if not answer.done() and waiter.until < self._alarm_at:
                    self._set_alarm(waiter.until)
                return answer
            self._alone = False
        line.add(waiter, priority)
        if waiter.until < self._alarm_at:
            self._set_alarm(waiter.until)
        if not self._soon:
            self._flush_soon()
        return answer

    def stream(self, call: Call, seconds: float, priority: Priority, start: Start) -> Waiter:
        """Have ``start`` called once an engine is idle, which then has this request alone until it tells of its end.

        Returns who waits: its ``answer`` is STREAMED, or how the stream failed, as for ``predict``; cancel it where
        nobody wants the stream any more. Its time is over at ``until``, which may be set anew.
        """
        now = self._loop.time()
        waiter = Waiter(call, 1, self._loop.create_future(), seconds, now + seconds)
        waiter.start, waiter.alone = start, True
        if self._end is not None:
            waiter.answer.set_exception(_never_run(self._end))
        elif self._line.rows and self._line.rows >= self._queue_rows and not self._make_room(1, now):
            waiter.answer.set_exception(self._full())
        else:
            self._line.add(waiter, priority)
            if waiter.until < self._alarm_at:
                self._set_alarm(waiter.until)
            self._flush_soon()
        return waiter

    def add(self, engine: Engine) -> None:
        """Have one more engine take batches."""
        self._places.append(_Place(engine, self._ended))
        self._flush_soon()

    def remove(self, engine: Engine) -> None:
        """Give an engine no more batches; the one that it runs is still answered."""
        self._places = [place for place in self._places if place.engine is not engine]

    def close(self, end: str) -> None:
        """Answer all who wait, and all who will come, with ModelFault ``model_error``: no engine will run them.

        Args:
            end: Why, as a sentence: "the process of this version died: …", "this version was unloaded".
        """
        if self._end is None:
            self._end = end
            for waiter in self._line.sweep():
                waiter.answer.set_exception(_never_run(end))
            self._line = Line()
            self._unset_alarm()

    # ---- batches --------------------------------------------------------------------------------------------------

    def _flush_soon(self) -> None:
        # At the end of this turn of the loop, so that a batch takes all that came in with it.
        if not self._soon and self._line and self._idle() is not None:
            self._soon = True
            self._loop.call_soon(self._flush)

    def _idle(self) -> _Place | None:
        for place in self._places:
            if place.batch is None and place.engine.alive:
                return place
        return None

    def _close_turn(self) -> None:
        self._lone_runs = 0

    def _flush(self) -> None:
        self._soon = False
        came = self._line.rows
        while self._line and (place := self._idle()) is not None:
            batch = self._line.take(self._most if self.batching else 1)
            if not batch:  # all who waited have gone
                break
            self._alone = len(batch) == 1 and batch[0].rows == came
            self._start(place, batch)

    def _start(self, place: _Place, batch: list[Waiter]) -> None:
        place.batch = batch
        try:
            if len(batch) == 1:
                call, rows, until = batch[0].call, batch[0].rows, batch[0].until
            else:
                call, rows = merge([w.call for w in batch]), sum([w.rows for w in batch])
                until = max([w.until for w in batch])
            place.rows, place.since = rows, perf_counter()  # the loop's clock may count milliseconds
            if (start := batch[0].start) is not None:
                start(place.engine, place.tell)
            else:
                place.engine.run(call, max(until - self._loop.time(), 0.0), place.tell)
        except Exception as error:  # noqa: BLE001 -- whatever it is (no memory, say), nobody may be left waiting
            place.batch = None
            self._failed(place, batch, error)
            return
        self.watch.batch(rows, len(batch))

    def _ended(self, place: _Place, outcome: Output | BaseException) -> None:
        batch, place.batch = place.batch or [], None
        if isinstance(outcome, BaseException):
            self._failed(place, batch, outcome)
        else:
            self.watch.ran(place.rows, perf_counter() - place.since)
            if len(batch) == 1:
                if outcome is not STREAMED:
                    self._learn_form(outcome)
                if not batch[0].answer.done():
                    batch[0].answer.set_result(outcome)
            else:
                self._share_out(batch, outcome)
        if self._line:
            self._flush_soon()

    def _share_out(self, batch: list[Waiter], output: Output) -> None:
        parts = split(output, [w.rows for w in batch])
        if parts is None:
            self._give_up_batching("not one answer for each row")
        elif self._form is None:
            self._form = form_of(output)
        if parts is None or form_of(output) != self._form:  # somebody's row changes how the others' are answered
            self._retry(batch)
            return
        for waiter, part in zip(batch, parts, strict=True):
            if not waiter.answer.done():
                waiter.answer.set_result(part)

    def _learn_form(self, output: Output) -> None:
        form = form_of(output)
        if self._form is not None and form != self._form:
            self._give_up_batching("the type of its answer differs from row to row")
        self._form = form

    def _give_up_batching(self, reason: str) -> None:
        if self.batching:
            self.batching = False
            event("batching_given_up", logging.WARNING, version=self._name, reason=reason)

    def _failed(self, place: _Place, batch: list[Waiter], error: BaseException) -> None:
        perhaps_one = not isinstance(error, HeadgateError) or error.code in _ONE_BAD_ROW
        if len(batch) > 1 and perhaps_one and place.engine.alive:
            self._retry(batch)
            return
        for waiter in batch:
            if not waiter.answer.done():
                waiter.answer.set_exception(_as_new(error))

    def _retry(self, batch: list[Waiter]) -> None:
        waiters = [w for w in batch if not w.answer.done()]
        if self._end is None:
            self._line.again(waiters)
        else:
            for waiter in waiters:
                waiter.answer.set_exception(_never_run(self._end))

    # ---- bounds ---------------------------------------------------------------------------------------------------

    def _make_room(self, rows: int, now: float) -> bool:
        # Callers that have gone still count. To look for them costs time, which an overload has none of: not each time.
        if now < self._swept + SWEEP_SECONDS:
            return False
        self._swept = now
        self._line.sweep()
        return not self._line.rows or self._line.rows + rows <= self._queue_rows

    def _full(self) -> Refused:
        self.watch.refused("queue_full")
        waiting, most = self._line.rows, self._queue_rows
        return Refused(
            "overloaded",
            f"{waiting} rows wait for this version already, of {most} that may (HEADGATE_QUEUE_ROWS)",
            {"reason": "queue_full", "queue_rows": most, "queued_rows": waiting},
            retry_after=1.0,
        )

    def _set_alarm(self, at: float) -> None:
        # One timer for all: it rings for the first whose time is over, and is set anew for the next.
        self._unset_alarm()
        self._alarm_at = at
        self._alarm = self._loop.call_at(at, self._ring)

    def _unset_alarm(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm, self._alarm_at = None, float("inf")

    def _ring(self) -> None:
        self._alarm, self._alarm_at = None, float("inf")
        now = self._loop.time()
        first = float("inf")
        waiting = [(w, False) for w in self._line]
        running = [(w, True) for place in self._places for w in place.batch or ()]
        for waiter, started in (*waiting, *running):
            if waiter.answer.done():
                continue
            if waiter.until > now:
                first = min(first, waiter.until)
                continue
            if not started:
                self.watch.refused("expired")
            waiter.answer.set_exception(_too_late(waiter, started=started))
        self._line.sweep()
        if first < float("inf"):
            self._set_alarm(max(first, now + ALARM_GRAIN_SECONDS))


def _too_late(waiter: Waiter, *, started: bool) -> ModelFault:
    state = "was running" if started else "was waiting for others"
    message = f"no answer within {waiter.seconds:.3g} s: the request {state}"
    return ModelFault("model_timeout", message, {} if started else {"reason": "expired"})


def _never_run(end: str) -> ModelFault:
    return ModelFault("model_error", end, {"started": False})


def _as_new(error: BaseException) -> BaseException:
    # Each caller raises its own: one exception raised in many tasks would collect the traces of all.
    return error.anew() if isinstance(error, HeadgateError) else error
