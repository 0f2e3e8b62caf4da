"""What a node notes of every answered request beside its times: its rows, counted for drift; what was predicted, for
labels; and both, where that is asked for.

Requests are put on a list, and noted some at a time: code that runs a hundred times in a row costs a third of what it
costs once between two requests. One object, so that a node without monitoring is one without it. Not here: how each
does it (``telemetry/``), and sending what was counted (``reporter.py``).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Protocol

from serving.telemetry.answered import KeptAnswers
from serving.telemetry.baselines import KnownBaselines
from serving.telemetry.features import FeatureWindows
from serving.telemetry.finished import Finished

AT_ONCE = 128
NOTE_SECONDS = 0.05
"""How many requests are noted at once, and how long the first of them waits for that."""
PACE_SECONDS = 1.0
"""How often it is decided anew how many requests there are."""
SAMPLED = "sampled"
"""The reason by which rows that were passed by are counted."""
LARGE_BYTES = 64 * 1024
"""A body or an answer from this size on is noted at once: it would keep too much memory."""


class Captures(Protocol):
    """Who keeps requests with their answers. For the event loop's thread."""

    def observe(self, done: Finished) -> None:
        """Take note of one finished request; quick."""
        ...

    async def run(self) -> None:
        """Store what gathers, for ever."""
        ...

    async def close(self) -> None:
        """Store what is left, as far as that can be done soon. After ``run`` was cancelled."""
        ...


class Rush:
    """Decides of which requests the rows are counted: of all, but where there are very many of every second, or every
    fourth, and so on. Drift needs thousands of rows, not millions. For one thread.

    Args:
        full_rate: How many requests a second are counted in full.
        lost: Told ``SAMPLED``, and of how many rows the counts are gone.
        clock: Seconds that only go forward.
    """

    def __init__(
        self,
        full_rate: float = 3000.0,
        lost: Callable[[str, int], None] = lambda _reason, _rows: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._full_rate, self._lost, self._clock = full_rate, lost, clock
        self._since, self._came, self._every = clock(), 0, 1

    def counted(self, noted: list[Finished]) -> list[Finished]:
        """Return those that are counted; all of a list that is shorter than the step, because that is no rush."""
        self._came += len(noted)
        now = self._clock()
        if now - self._since >= PACE_SECONDS:
            rate, self._every = self._came / (now - self._since), 1
            while rate > self._full_rate * self._every:
                self._every *= 2
            self._since, self._came = now, 0
        if self._every == 1 or len(noted) < self._every:
            return noted
        some = noted[:: self._every]
        self._lost(SAMPLED, sum([done.rows for done in noted]) - sum([done.rows for done in some]))
        return some


class Monitor:
    """Notes every success. For one event loop.

    Args:
        features: Counts the rows.
        baselines: What they are counted by.
        answers: Keeps predictions for labels.
        capture: Keeps requests; None where nobody asked for that.
        rush: Says of which requests the rows are counted.
    """

    def __init__(
        self,
        features: FeatureWindows,
        baselines: KnownBaselines,
        answers: KeptAnswers,
        capture: Captures | None = None,
        rush: Rush | None = None,
    ) -> None:
        self.features = features
        self.answers = answers
        self._baselines = baselines
        self._capture = capture
        self._noted: list[Finished] = []
        self._rush = rush or Rush()

    def observe(self, done: Finished) -> None:
        """Take note of one finished request: now, or with the next few."""
        output = done.output
        if done.code or done.inputs is None or output is None:
            return
        noted = self._noted
        noted.append(done)
        if len(noted) >= AT_ONCE or done.size > LARGE_BYTES or output.size > LARGE_BYTES:
            self.note()
        elif len(noted) == 1:
            asyncio.get_running_loop().call_later(NOTE_SECONDS, self.note)

    def note(self) -> None:
        """Note all that were observed."""
        noted, self._noted = self._noted, []
        for done in self._rush.counted(noted):
            self.features.observe(done)
        for done in noted:
            self.answers.observe(done)
        if self._capture is not None:
            for done in noted:
                self._capture.observe(done)

    async def run(self) -> None:
        """Do what is done beside requests, for ever."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._baselines.run())
            if self._capture is not None:
                group.create_task(self._capture.run())

    async def close(self) -> None:
        """End. After ``run`` was cancelled."""
        self.note()
        if self._capture is not None:
            await self._capture.close()
