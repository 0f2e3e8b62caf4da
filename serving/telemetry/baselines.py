"""The baselines that a node counts by: fetched off the path when rows first ask for one, kept on disk and in memory.

An object store that is away costs counts of new baselines alone: what is on disk is counted by, and everything is
tried again, ever more rarely, as long as rows ask. Not here: counting (``counted.py``); what is done with rows
meanwhile (``features.py``).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from registry import log
from registry.baselines import Baseline
from registry.errors import Unavailable
from registry.records import Digest
from serving.documents import Documents
from serving.sources.registry import is_news
from serving.telemetry.counted import Plan

MOST_BYTES = 64 << 20
"""How much memory plans may take, about; those that were asked for last stay."""
LONGEST_PAUSE = 60.0
FORGOTTEN_SECONDS = 120.0
"""After so long without a question, one that could not be had is not sought any more."""
KEEP_SECONDS = 7 * 86_400.0
"""How long a document stays on disk that nobody reads."""


@dataclass(slots=True)
class _Sought:
    """A baseline that is not here yet: when it was last asked for, how often it failed, when it is tried next."""

    asked: float
    failures: int = 0
    due: float = 0.0


class KnownBaselines:
    """The baselines of one node. ``get`` is for any thread, the rest for one event loop.

    Args:
        documents: Where their documents come from.
        most_bytes: How much memory they may take.
        clock: Monotonic seconds.
    """

    def __init__(
        self, documents: Documents, *, most_bytes: int = MOST_BYTES, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._documents = documents
        self._most_bytes = most_bytes
        self._clock = clock
        self._lock = threading.Lock()
        self._plans: OrderedDict[Digest, Plan] = OrderedDict()
        self._sought: dict[Digest, _Sought] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._wake = asyncio.Event()

    def get(self, digest: Digest) -> Plan | None:
        """Return a baseline, ready for counting; None where it is not here yet, and from now on it is sought."""
        with self._lock:
            plan = self._plans.get(digest)
            if plan is not None:
                self._plans.move_to_end(digest)
                return plan
            sought, now = self._sought.get(digest), self._clock()
            if sought is not None:
                sought.asked = now
                return None
            self._sought[digest] = _Sought(now)
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop has ended, and nobody counts any more
                self._loop.call_soon_threadsafe(self._wake.set)
        return None

    async def run(self) -> None:
        """Fetch what is asked for, for ever."""
        self._loop = asyncio.get_running_loop()
        while True:
            self._wake.clear()
            pause = await self.tend()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._wake.wait()

    async def tend(self) -> float | None:
        """Fetch what is due; return in how many seconds something will be, None where nothing is sought."""
        for digest, sought in self._seek():
            if sought.due <= self._clock():
                await self._fetch(digest, sought)
        left = [sought.due for _, sought in self._seek()]
        return max(0.0, min(left) - self._clock()) if left else None

    def _seek(self) -> list[tuple[Digest, _Sought]]:
        """Return what is sought, without what nobody asks for any more."""
        with self._lock:
            until = self._clock() - FORGOTTEN_SECONDS
            self._sought = {digest: sought for digest, sought in self._sought.items() if sought.asked >= until}
            return list(self._sought.items())

    async def _fetch(self, digest: Digest, sought: _Sought) -> None:
        try:
            document = await self._documents.read(digest)
            plan = await asyncio.to_thread(lambda: Plan(Baseline.from_bytes(document)))
        except (Unavailable, ValueError) as error:
            sought.failures += 1
            sought.due = self._clock() + min(LONGEST_PAUSE, 0.5 * 2.0 ** min(sought.failures, 10))
            if is_news(sought.failures):
                kind = error.code if isinstance(error, Unavailable) else "unreadable"
                log.event("baseline_not_fetched", logging.WARNING, digest=digest, code=kind, failures=sought.failures)
            return
        with self._lock:
            self._sought.pop(digest, None)
            self._plans[digest] = plan
            while len(self._plans) > 1 and sum(known.bytes for known in self._plans.values()) > self._most_bytes:
                self._plans.popitem(last=False)
            needed = list(self._plans)
        await asyncio.to_thread(self._documents.sweep, needed, KEEP_SECONDS)
