"""Large bodies and answers are worked on beside the event loop, in a thread or two.

Not here: what is large (``protocols/limits.py``), and tables, which are read in another process (``reader``).
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter
from typing import TypeVar

from registry.edge.errand import in_task
from registry.errors import ModelFault

T = TypeVar("T")
COLLECT_SECONDS = 5.0
"""For how long the collector rests at a stretch where heavy work never ends."""


class Aside:
    """Does work in threads. For one event loop."""

    def __init__(self, collect_seconds: float = COLLECT_SECONDS) -> None:
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="heavy")
        self._heavy = 0
        self._collect_seconds = collect_seconds
        self._rested_since = 0.0
        self._collections = 0
        self._tell: Callable[[], None] = lambda: None

    def when_done(self, tell: Callable[[], None]) -> None:
        """Have ``tell`` called whenever a work has ended; it must be quick."""
        self._tell = tell

    async def do(self, until: float, work: Callable[[], T]) -> T:
        """Return what ``work`` does; raise ModelFault ``model_timeout`` at ``until``, as ``perf_counter`` counts."""
        await in_task()
        running = asyncio.get_running_loop().run_in_executor(self._threads, work)
        self._rest_collector()
        running.add_done_callback(self._wake_collector)
        try:
            async with asyncio.timeout(max(0.0, until - perf_counter())):
                return await running
        except TimeoutError:
            raise ModelFault("model_timeout", "the time for this request was over before it was worked on") from None
        finally:
            # What failed has this frame in its traceback: with the future, which has what failed, it would be a circle,
            # and the body in it would wait for the garbage collector.
            del running

    def _rest_collector(self) -> None:
        # A large body may be millions of small lists, and each few hundred wake the collector, which looks at all the
        # others again and holds the interpreter meanwhile: the event loop would stand still for seconds. There are no
        # cycles in what is read and written here.
        if not self._heavy:
            self._rested_since = perf_counter()
        self._heavy += 1
        gc.disable()

    def _wake_collector(self, _: object) -> None:
        self._tell()
        self._heavy -= 1
        if not self._heavy:
            gc.enable()
        elif perf_counter() - self._rested_since >= self._collect_seconds:
            # Else the cycles of all other requests would pile up for as long as some heavy work is always under way.
            # The older ones are looked at as seldom as the collector itself would.
            self._collections += 1
            gc.collect(2 if self._collections % 100 == 0 else 1 if self._collections % 10 == 0 else 0)
            self._rested_since = perf_counter()

    def close(self) -> None:
        """End the threads; they are idle by then."""
        self._threads.shutdown(wait=False, cancel_futures=True)
