"""How much of the event loop's time shadows may take: a small share, whatever there is to do.

    piece ─► done after 0.1 ms ─► the next not before 0.1 ms / share have passed since it began, but for what was saved

Time that was not used is saved up to a bound, so that copies of thin traffic are worked at once. Not here: what a piece
is (``shadows.py``).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import perf_counter

SHARE = 0.01
"""A request that comes while a piece is being done waits for its end: so one in a hundred may, for less than 0.1 ms."""
SAVED_SECONDS = 0.01
"""How much of the loop's time may be used at once, where it was not used before."""
COPY_SECONDS = 80e-6
"""What a copy costs the loop beside its pieces: sockets, timers, and waking up for them."""


class Pace:
    """The loop's time for shadows, as a bucket that fills at ``share`` seconds a second. For one event loop."""

    def __init__(
        self, share: float = SHARE, saved: float = SAVED_SECONDS, clock: Callable[[], float] = perf_counter
    ) -> None:
        self._share, self._most, self._clock = share, saved, clock
        self._left, self._at = saved, clock()
        self._queue = asyncio.Lock()

    @property
    def pause_seconds(self) -> float:
        """How long to wait for the next piece; 0 where it may begin."""
        self._fill(self._clock())
        return max(0.0, -self._left / self._share)

    async def turn(self) -> None:
        """Return when a piece may begin, never in the turn of the loop that this was called in. One after another."""
        async with self._queue:
            await asyncio.sleep(self.pause_seconds)

    def count(self, seconds: float) -> None:
        """Count time that was, or will be, used outside of pieces."""
        self._left -= seconds

    @contextmanager
    def piece(self) -> Iterator[None]:
        """Count the time of what is done inside; it must not wait for anything."""
        began = self._clock()
        self._fill(began)
        try:
            yield
        finally:
            self._left -= self._clock() - began

    def _fill(self, now: float) -> None:
        self._left = min(self._most, self._left + (now - self._at) * self._share)
        self._at = now
