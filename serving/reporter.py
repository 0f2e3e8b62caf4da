"""Tells the registry what this node serves, and hands over what it has counted: each count exactly once.

    changed, or a window is over ── standing + windows ── report n ──► sent, and again, until its answer comes ── n + 1
                                                             (meanwhile new counts gather)

A report that may have arrived is sent again as it was, byte for byte, under its number; the registry takes each number
once. What is lost is what a killed process had not sent yet, and that is never counted twice. Serving waits for nothing
here: an unreachable registry costs the memory of the windows that are kept. Not here: what is counted
(``telemetry/windows.py``) and how a report travels (``sources/reports.py``).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Protocol

import orjson

from registry import log
from registry.errors import Unavailable
from registry.observed import Answered, FeatureWindow
from registry.reports import NodeReport
from serving.pool.standing import Standing
from serving.ports import ReportSink
from serving.shadows.counting import Taken
from serving.shadows.shadows import NoShadows
from serving.sources.registry import is_news, pause_seconds
from serving.telemetry.windows import MOST_TAKEN, ArmWindows

GATHER_SECONDS = 0.1
"""How long after a change others are waited for that come with it."""
LAST_SECONDS = 1.0
"""How long a node that stops tries to hand over its last counts."""


class Compares(Protocol):
    """Who counts how shadows compare. For the event loop's thread; what was taken is for any."""

    @property
    def windows_waiting(self) -> int:
        """How many windows were not taken yet."""
        ...

    def take(self) -> tuple[Taken, ...]:
        """Hand over the oldest few windows, at once."""
        ...


class CountsRows(Protocol):
    """Who counts the rows of requests by feature. For any thread."""

    def when_crowded(self, tell: Callable[[], None]) -> None:
        """Have ``tell`` called where it is time to ``settle``."""
        ...

    def gather(self) -> None:
        """Let all that came be counted by the next ``settle``. On the event loop's thread."""
        ...

    def settle(self) -> None:
        """Count what was gathered."""
        ...

    @property
    def waiting(self) -> int:
        """How many windows were not taken yet."""
        ...

    @property
    def left(self) -> bool:
        """Whether more waited than was taken last."""
        ...

    def take(self) -> tuple[FeatureWindow, ...]:
        """Hand over windows: as many as a report may well carry."""
        ...


class KeepsAnswers(Protocol):
    """Who keeps predictions for labels. For any thread."""

    def when_crowded(self, tell: Callable[[], None]) -> None:
        """Have ``tell`` called where it is time to ``settle``."""
        ...

    def settle(self) -> None:
        """Go through what came."""
        ...

    @property
    def waiting(self) -> int:
        """How many answers were not taken yet."""
        ...

    def take(self) -> tuple[Answered, ...]:
        """Hand over all: no more are kept than a report may well carry."""
        ...


class NoRows:
    """Counts nothing, and keeps nothing."""

    waiting = 0
    left = False

    def when_crowded(self, tell: Callable[[], None]) -> None:
        """Do nothing."""

    def gather(self) -> None:
        """Do nothing."""

    def settle(self) -> None:
        """Do nothing."""

    def take(self) -> tuple[()]:
        """Hand over nothing."""
        return ()


@dataclass(frozen=True, slots=True)
class Beside:
    """What is reported beside the windows of arms: how shadows compared, what rows were asked about, and what was
    predicted, for labels; ``note`` has them take in what was observed and not noted yet."""

    shadows: Compares = field(default_factory=NoShadows)
    features: CountsRows = field(default_factory=NoRows)
    answers: KeepsAnswers = field(default_factory=NoRows)
    note: Callable[[], None] = lambda: None

    def gather(self) -> None:
        """Let all that was observed be counted next. On the event loop's thread."""
        self.note()
        self.features.gather()

    @property
    def waiting(self) -> bool:
        """Whether anything was not taken yet."""
        return bool(self.shadows.windows_waiting or self.features.waiting or self.answers.waiting)


@dataclass(frozen=True, slots=True)
class _Sealed:
    """A report as it is sent, however often. ``requests`` is how many its windows count, copies for shadows and
    kept answers too, and ``rows`` those that were counted by feature."""

    sequence: int
    body: bytes
    requests: int
    rows: int


class Reporter:
    """Sends one report after another. For one event loop.

    Args:
        standing: Says what this node serves.
        windows: What it has counted.
        sink: Where reports go.
        seconds: How often one is sent at least.
        beside: What else is reported.
        lost: Told why (``refused``), and of how many requests the counts are gone.
    """

    def __init__(
        self,
        standing: Standing,
        windows: ArmWindows,
        sink: ReportSink,
        *,
        seconds: float,
        beside: Beside | None = None,
        lost: Callable[[str, int], None] = lambda _reason, _requests: None,
    ) -> None:
        self._standing = standing
        self._windows = windows
        self._sink = sink
        self._seconds = seconds
        self._beside = beside or Beside()
        self._left = False
        self._lost = lost
        self._changed, self._crowded = asyncio.Event(), asyncio.Event()
        self._changed.set()
        windows.when_crowded(self._crowded.set)
        for one in (self._beside.features, self._beside.answers):
            one.when_crowded(self._crowded.set)
        self._sequence = self._failures = self._refusals = 0
        self._sealing: asyncio.Future[_Sealed] | None = None
        self._under_way: _Sealed | None = None
        self._told: tuple[object, ...] = ()
        self._taken_at: float | None = None

    def changed(self) -> None:
        """Learn that what is in force or loaded may have changed; quick, and as often as it happens."""
        self._changed.set()

    @property
    def age(self) -> float | None:
        """Seconds since a report was taken; None before the first."""
        return None if self._taken_at is None else time.monotonic() - self._taken_at

    async def run(self) -> None:
        """Report for ever, and count what gathers meanwhile."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._count())
            group.create_task(self._report())

    async def close(self) -> None:
        """Hand over what is left, within ``LAST_SECONDS``; then nothing more is sent. After ``run`` was cancelled."""
        try:
            async with asyncio.timeout(LAST_SECONDS):
                if self._under_way is not None or self._sealing is not None:
                    await self.send()
                await self.send()
                while self._windows.waiting or self._beside.waiting:
                    await self.send()
        except (Unavailable, TimeoutError) as error:
            log.event("last_report_not_sent", logging.WARNING, error=type(error).__name__)

    async def send(self) -> None:
        """Send the report under way once more, or else the next one.

        Raises Unavailable ``registry_unavailable`` where it may not have arrived: it stays under way.
        """
        sealed = self._under_way or await self._seal()
        taken = await self._sink.send(sealed.body, sealed.sequence)
        self._under_way = None
        if taken:
            self._taken_at = time.monotonic()
            return
        self._refusals += 1
        self._lost("refused", sealed.requests + sealed.rows)
        if is_news(self._refusals):
            log.event(
                "report_refused", logging.WARNING, requests=sealed.requests, rows=sealed.rows, times=self._refusals
            )

    async def _seal(self) -> _Sealed:
        """Make the next report; what it takes out of the windows is under way even if nobody waits for it any more."""
        if self._sealing is None:
            place = self._standing.now()
            self._told = place.news
            self._sequence += 1
            filled = partial(self._filled, self._standing.report(place, self._sequence), self._beside.shadows.take())
            self._beside.gather()
            self._left = self._beside.shadows.windows_waiting > 0
            self._sealing = asyncio.get_running_loop().run_in_executor(None, filled)
            self._sealing.add_done_callback(self._take_up)
        return await asyncio.shield(self._sealing)

    def _take_up(self, sealing: asyncio.Future[_Sealed]) -> None:
        self._sealing = None
        if not sealing.cancelled() and sealing.exception() is None:
            self._under_way = sealing.result()

    def _filled(self, blank: NodeReport, taken: tuple[Taken, ...]) -> _Sealed:
        shadows = tuple(each.window() for each in taken)
        beside = self._beside
        features, answers = beside.features.take(), beside.answers.take()
        report = replace(blank, arms=self._windows.take(), shadows=shadows, features=features, answers=answers)
        requests = sum(window.counts.requests for window in report.arms) + sum(each.count.copies for each in taken)
        requests += len(answers)
        rows = sum(window.rows for window in features)
        return _Sealed(report.sequence, orjson.dumps(report.to_json()), requests, rows)

    async def _count(self) -> None:
        while True:
            await self._crowded.wait()
            self._crowded.clear()
            self._beside.gather()
            try:
                await asyncio.to_thread(self._settle)
            except Exception as error:  # noqa: BLE001  # the edge of a task: what cannot be counted must not stop the rest
                log.failure("counting_raised", error)

    def _settle(self) -> None:
        self._windows.settle()
        self._beside.features.settle()
        self._beside.answers.settle()

    async def _report(self) -> None:
        behind = False
        while True:
            if not behind:
                await self._until_due()
            behind = self._failures > 0 or self._windows.waiting > MOST_TAKEN
            try:
                await self.send()
            except Unavailable as error:
                await asyncio.sleep(self._note_failure(error.message))
            except Exception as error:  # noqa: BLE001  # the edge of a task: a node that cannot report serves all the same
                log.failure("reporting_raised", error)
                await asyncio.sleep(self._note_failure("a fault of the platform"))
            else:
                beside = self._beside
                behind = behind or self._left or beside.features.left
                if self._failures:
                    log.event("reports_taken_again", after_failures=self._failures)
                self._failures = 0

    async def _until_due(self) -> None:
        """Wait until a window is over, or something has changed that is worth saying at once."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._seconds):
                while True:
                    await self._changed.wait()
                    await asyncio.sleep(GATHER_SECONDS)
                    self._changed.clear()
                    if not self._is_told():
                        return

    def _is_told(self) -> bool:
        return self._standing.now().news == self._told

    def _note_failure(self, reason: str) -> float:
        self._failures += 1
        if is_news(self._failures):
            log.event("report_not_sent", logging.WARNING, reason=reason, failures=self._failures)
        return pause_seconds(self._failures)
