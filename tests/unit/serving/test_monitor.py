"""What a node notes of requests: some at a time, and of very many only some."""

from __future__ import annotations

import asyncio
from collections import Counter

import numpy as np
import pytest

from serving.exchange import ArrayOutput, TensorInput
from serving.monitor import AT_ONCE, NOTE_SECONDS, PACE_SECONDS, Monitor, Rush
from serving.telemetry.finished import Finished

pytestmark = pytest.mark.anyio


class Seen:
    """Takes note of requests, in place of features, answers and baselines."""

    def __init__(self) -> None:
        self.ids: list[str] = []

    def observe(self, done: Finished) -> None:
        """Remember who it was."""
        self.ids.append(done.request_id)


class Story:
    """A monitor, what it was told to note, and a clock in the hand."""

    def __init__(self, full_rate: float = 4000.0) -> None:
        self.now = 0.0
        self.features, self.answers = Seen(), Seen()
        self.lost: Counter[str] = Counter()
        self.monitor = Monitor(
            self.features,  # type: ignore[arg-type]  # what is asked of it
            None,  # type: ignore[arg-type]  # not asked
            self.answers,  # type: ignore[arg-type]  # what is asked of it
            rush=Rush(full_rate, lambda reason, rows: self.lost.update({reason: rows}), lambda: self.now),
        )

    def finish(self, *names: str, size: int = 100, code: str = "") -> None:
        """Have requests of two rows end."""
        for name in names:
            done = Finished("m", "1", code=code, rows=2, request_id=name, size=size)
            done.inputs, done.output = TensorInput(np.ones((2, 2))), ArrayOutput(np.ones(2))
            self.monitor.observe(done)


async def test_requests_are_noted_some_at_a_time_or_soon() -> None:
    """When there are enough, when one is large, and in any case within moments; failures are not."""
    story = Story()
    story.finish(*map(str, range(AT_ONCE - 1)))
    assert story.features.ids == []
    story.finish("last")
    assert len(story.features.ids) == len(story.answers.ids) == AT_ONCE
    story.finish("large", size=1_000_000)
    assert story.features.ids[-1] == "large"
    story.finish("failed", code="model_error")
    story.finish("soon")
    await asyncio.sleep(2 * NOTE_SECONDS)
    assert story.answers.ids[-1] == "soon" and "failed" not in story.answers.ids


async def test_of_very_many_requests_only_some_are_counted() -> None:
    """Every so manieth, evenly, and what is passed by is counted as lost; labels may still join all."""
    story = Story(full_rate=100.0)
    story.finish(*map(str, range(AT_ONCE)))
    assert len(story.features.ids) == AT_ONCE
    story.now += PACE_SECONDS
    story.finish(*map(str, range(3 * AT_ONCE)))
    assert story.lost["sampled"] > 0
    counted, answered = len(story.features.ids), len(story.answers.ids)
    assert answered == 4 * AT_ONCE and answered - counted == story.lost["sampled"] // 2
    story.now += 100 * PACE_SECONDS
    story.finish(*map(str, range(2 * AT_ONCE)))
    assert len(story.features.ids) - counted == 2 * AT_ONCE, "all again, once it is quiet"


async def test_a_few_requests_are_all_counted_even_in_a_rush() -> None:
    """A list that is shorter than the step is no rush."""
    story = Story(full_rate=1.0)
    story.finish(*map(str, range(AT_ONCE)))
    story.now += PACE_SECONDS
    story.finish("one")
    story.monitor.note()
    assert story.features.ids[-1] == "one"
