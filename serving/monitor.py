"""What a node notes of every answered request beside its times: its rows, counted for drift; what was predicted, for
labels; and both, where that is asked for.

Requests are put on a list, and noted some at a time: code that runs a hundred times in a row costs a third of what it
costs once between two requests. One object, so that a node without monitoring is one without it. Not here: how each
does it (``telemetry/``), and sending what was counted (``reporter.py``).
"""

from __future__ import annotations

import asyncio
from typing import Protocol

from serving.telemetry.answered import KeptAnswers
from serving.telemetry.baselines import KnownBaselines
from serving.telemetry.features import FeatureWindows
from serving.telemetry.finished import Finished

AT_ONCE = 128
NOTE_SECONDS = 0.05
"""How many requests are noted at once, and how long the first of them waits for that."""
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


class Monitor:
    """Notes every success. For one event loop.

    Args:
        features: Counts the rows.
        baselines: What they are counted by.
        answers: Keeps predictions for labels.
        capture: Keeps requests; None where nobody asked for that.
    """

    def __init__(
        self,
        features: FeatureWindows,
        baselines: KnownBaselines,
        answers: KeptAnswers,
        capture: Captures | None = None,
    ) -> None:
        self.features = features
        self.answers = answers
        self._baselines = baselines
        self._capture = capture
        self._noted: list[Finished] = []

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
        for observe in (self.features.observe, self.answers.observe):
            for done in noted:
                observe(done)
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
