"""Who waits, and who is next: three queues, of which a batch is taken by rows.

High priority goes first, then normal, then low, each in the order of arrival; what a batch has room for may come from
the next. So that nobody starves, a queue that several batches in a row have passed over leads the next one. Not here:
clocks and engines (``lane.py``), what fits together (``batch.py``).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from serving.exchange import Call, Output, Priority
from serving.runtimes.lane.batch import Key, key_of

PASSES = 8
"""How many batches may pass over a queue before it leads one: so low priority gets a ninth of a busy model at least."""
LOOK_AHEAD = 64
"""How many requests that do not fit a batch are stepped over in search of some that do."""


Tell = Callable[[Output | BaseException], None]
Start = Callable[[Any, Tell], None]
"""Begins a stream on the engine that it is given, and has the lane told how it ended."""


class Waiter:
    """One request: its call, who is to be answered, and until when (the loop's time); ``start`` where it is a stream,
    which goes alone."""

    __slots__ = ("_key", "alone", "answer", "call", "rows", "seconds", "start", "until")

    def __init__(self, call: Call, rows: int, answer: asyncio.Future[Output], seconds: float, until: float) -> None:
        self.call, self.rows, self.answer, self.seconds, self.until = call, rows, answer, seconds, until
        self.alone = False
        self.start: Start | None = None
        self._key: Key | None = None

    @property
    def key(self) -> Key | None:
        """What it must have in common with its batch; None for one that goes alone."""
        if self._key is None and not self.alone:
            self._key = key_of(self.call)
            self.alone = self._key is None
        return None if self.alone else self._key


class Line:
    """The requests that wait. ``rows`` is how many rows they have, those of callers gone included until ``sweep``."""

    __slots__ = ("_passed", "_queues", "_retries", "rows")

    def __init__(self) -> None:
        self._queues: tuple[deque[Waiter], ...] = tuple(deque() for _ in Priority)
        self._retries: deque[Waiter] = deque()
        self._passed = [0] * len(self._queues)
        self.rows = 0

    def __bool__(self) -> bool:
        """Whether anybody waits."""
        return self.rows > 0

    def __iter__(self) -> Iterator[Waiter]:
        """Go through all that wait, in no order that matters."""
        yield from self._retries
        for queue in self._queues:
            yield from queue

    def add(self, waiter: Waiter, priority: Priority) -> None:
        """Put a request at the end of its queue."""
        self._queues[priority].append(waiter)
        self.rows += waiter.rows

    def again(self, waiters: Sequence[Waiter]) -> None:
        """Put requests in front of all others, each to be run alone."""
        for waiter in waiters:
            waiter.alone = True
            self._retries.append(waiter)
            self.rows += waiter.rows

    def sweep(self) -> list[Waiter]:
        """Let go of requests that need no answer any more, and return the others."""
        left = [w for w in self if not w.answer.done()]
        for queue in (self._retries, *self._queues):
            kept = [w for w in queue if not w.answer.done()]
            queue.clear()
            queue.extend(kept)
        self.rows = sum(w.rows for w in left)
        return left

    def take(self, most: int) -> list[Waiter]:
        """Remove and return the next batch: at most ``most`` rows, or one request that has more; empty when nobody
        waits."""
        batch: list[Waiter] = []
        while self._retries and not batch:
            self._pick(self._retries, batch, 0)
        if batch:
            return batch
        room = most
        for number in self._order():
            queue = self._queues[number]
            if not queue:
                self._passed[number] = 0
                continue
            before = len(batch)
            if room > 0:
                room = self._pick(queue, batch, room)
            self._passed[number] = 0 if len(batch) > before or not batch else self._passed[number] + 1
        return batch

    def _order(self) -> tuple[int, ...]:
        if self._passed[Priority.LOW] >= PASSES:
            return (Priority.LOW, Priority.HIGH, Priority.NORMAL)
        if self._passed[Priority.NORMAL] >= PASSES:
            return (Priority.NORMAL, Priority.HIGH, Priority.LOW)
        return (Priority.HIGH, Priority.NORMAL, Priority.LOW)

    def _pick(self, queue: deque[Waiter], batch: list[Waiter], room: int) -> int:
        """Move from ``queue`` to ``batch`` what fits in, and return how many rows there is room for still."""
        stepped: list[Waiter] = []
        key = batch[0].key if batch else None
        while queue:
            waiter = queue[0]
            if waiter.answer.done():  # its caller has gone, or was told that it is too late
                self.rows -= queue.popleft().rows
            elif batch and (room <= 0 or waiter.rows > room or key is None):
                room = 0
                break
            elif not batch or waiter.key == key:
                if not batch:
                    key = waiter.key
                batch.append(queue.popleft())
                self.rows -= waiter.rows
                room -= waiter.rows
            elif len(stepped) < LOOK_AHEAD:
                stepped.append(queue.popleft())
            else:
                break
        queue.extendleft(reversed(stepped))
        return room
