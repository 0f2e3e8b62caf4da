"""How long the edge waits for others: for a free place, and for a sender's bytes. Both waits end.

Not here: what is done at the place or with the bytes, and limits of connections (``connection.py``).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from registry.errors import Refused

PLACE_SECONDS = 30.0
IDLE_SECONDS = 30.0
GRACE_SECONDS = 60.0
LEAST_BYTES_A_SECOND = 32 * 1024


class Places:
    """So many at once; who finds no place free waits, but not for ever. Lives in one event loop.

    Args:
        count: Places.
        seconds: The longest wait for one.
    """

    def __init__(self, count: int, seconds: float = PLACE_SECONDS) -> None:
        self._free = asyncio.Semaphore(count)
        self._seconds = seconds

    @asynccontextmanager
    async def one(self) -> AsyncIterator[None]:
        """Hold a place; raise Refused ``overloaded`` where none comes free in time."""
        try:
            async with asyncio.timeout(self._seconds):
                await self._free.acquire()
        except TimeoutError:
            raise Refused("overloaded", "too many requests of this kind at once; try again", retry_after=5) from None
        try:
            yield
        finally:
            self._free.release()


class Sender:
    """One who sends a body of any length: some bytes within ``IDLE_SECONDS``, and ``LEAST_BYTES_A_SECOND`` in the long
    run.

    Only the time that was spent waiting for the sender counts. Without the second rule a byte now and then would hold
    a place for days; ``GRACE_SECONDS`` is how long anybody may be slower.
    """

    def __init__(self) -> None:
        self._credit = GRACE_SECONDS

    def seconds_left(self) -> float:
        """Return how long to wait for the next bytes."""
        return max(0.0, min(IDLE_SECONDS, self._credit))

    def sent(self, size: int, seconds: float) -> None:
        """Note that ``size`` bytes came after ``seconds``."""
        self._credit = min(GRACE_SECONDS, self._credit + size / LEAST_BYTES_A_SECOND - seconds)
