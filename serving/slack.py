"""Memory that was freed and that the process still has: glibc keeps it, until it is asked to give it back.

After a flood of large bodies or answers that may be hundreds of megabytes. Standard library alone. Not here: what is
large (``serving/http/body.py``, ``serving/aside.py``), and memory that is in use.
"""

from __future__ import annotations

import asyncio
import ctypes
from collections.abc import Callable
from functools import cache
from time import monotonic

from serving.values import value


@cache
def _trim_function() -> Callable[[int], int] | None:
    return getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's alone


def trim() -> None:
    """Give freed memory back to the system. Blocks for some milliseconds, ten for each 100 MB that there are to give;
    does nothing where the C library is not glibc."""
    function = _trim_function()
    if function is not None:
        function(0)


@value
class Pace:
    """When memory is given back; in seconds.

    Attributes:
        quiet: For how long nothing large was worked on: what comes next would only ask for the memory again.
        most: How long that is waited for, where large work never ends.
        late: After how long it is looked once more: what slow readers and shadows held is free by then.
        rest: How long nothing happens afterwards.
    """

    quiet: float = 2.0
    most: float = 30.0
    late: float = 30.0
    rest: float = 5.0


class Slack:
    """Gives memory back once large work is over. For one event loop.

    Args:
        pace: When.
        give_back: Does it, in a thread: whoever wants memory from the heap meanwhile waits.
    """

    def __init__(self, pace: Pace | None = None, give_back: Callable[[], None] = trim) -> None:
        self._pace = pace or Pace()
        self._give_back = give_back
        self._noted = asyncio.Event()
        self._at = 0.0

    def note(self) -> None:
        """Say that something large was worked on just now."""
        self._at = monotonic()
        self._noted.set()

    async def run(self) -> None:
        """Give back what is free, for ever: some seconds after it was noted last, and once more a while later."""
        pace = self._pace
        while True:
            await self._noted.wait()
            await self._quiet()
            self._noted.clear()
            await asyncio.to_thread(self._give_back)
            await asyncio.sleep(pace.rest)
            if await self._undisturbed(pace.late - pace.rest):
                await asyncio.to_thread(self._give_back)

    async def _quiet(self) -> None:
        until = monotonic() + self._pace.most
        # Until a time that moves on, not until an event.
        while (left := min(self._at + self._pace.quiet, until) - monotonic()) > 0:  # noqa: ASYNC110 -- see above
            await asyncio.sleep(left)

    async def _undisturbed(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await self._noted.wait()
        except TimeoutError:
            return True
        return False
