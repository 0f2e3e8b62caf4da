"""A lane's surroundings in the hand: engines that answer when told to, and a clock that moves when told to."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np

from registry.errors import ModelFault
from serving.exchange import ArrayOutput, Call, Output, TensorInput
from serving.runtimes.lane.line import Tell

T = TypeVar("T")
POISON = -1.0


class HandLoop(asyncio.SelectorEventLoop):
    """A loop whose clock stands still until it is moved."""

    now = 1000.0

    def time(self) -> float:
        """Return the time that was set."""
        return self.now


class HandEngine:
    """Runs one batch at a time: each row's answer is its first number doubled, and a row of POISON fails its batch."""

    def __init__(self) -> None:
        self.alive = True
        self.batches: list[Call] = []
        self._tell: Tell | None = None
        self._call: Call | None = None

    @property
    def busy(self) -> bool:
        """Whether a batch is on its way."""
        return self._tell is not None

    @property
    def sizes(self) -> list[int]:
        """How many rows each batch had."""
        return [call.data.rows for call in self.batches]

    def run(self, call: Call, seconds: float, tell: Tell) -> None:
        """Take a batch; see ``Engine``."""
        assert self.alive, "a dead engine was given a batch"
        assert not self.busy, "an engine was given two batches at once"
        self.batches.append(call)
        self._call, self._tell = call, tell

    def finish(self) -> None:
        """Answer the batch that is on its way, as the model would."""
        assert self._call is not None
        values = rows_of(self._call)
        if POISON in values:
            self.fail("model_error")
        else:
            self.answer(ArrayOutput(2 * values))

    def answer(self, output: Output) -> None:
        """Answer anything."""
        self._end(output)

    def fail(self, code: str) -> None:
        """Fail the batch that is on its way."""
        self._end(ModelFault(code, "these rows cannot be had", {"started": True}))

    def die(self) -> None:
        """End, with what is on its way."""
        self.alive = False
        if self.busy:
            self.fail("model_error")

    def _end(self, outcome: Output | BaseException) -> None:
        assert self._tell is not None
        tell, self._tell = self._tell, None
        tell(outcome)


def rows_of(call: Call) -> Any:
    """Return the first number of each row."""
    assert isinstance(call.data, TensorInput)
    return call.data.array.reshape(call.data.rows, -1)[:, 0]


def ask(*values: float, width: int = 1, **params: object) -> Call:
    """Return a request of one row for each value."""
    return Call(TensorInput(np.repeat(np.array(values)[:, None], width, axis=1)), params)


def telling(answer: asyncio.Future[Output]) -> Tell:
    """Return what tells ``answer`` what a run came to."""

    def tell(outcome: Output | BaseException) -> None:
        if isinstance(outcome, BaseException):
            answer.set_exception(outcome)
        else:
            answer.set_result(outcome)

    return tell


def answered(future: asyncio.Future[Output]) -> list[float]:
    """Return the numbers of an answer."""
    output = future.result()
    assert isinstance(output, ArrayOutput)
    return [float(v) for v in output.array]


async def turns(count: int = 5) -> None:
    """Let the loop turn."""
    for _ in range(count):
        await asyncio.sleep(0)


@contextmanager
def hand_loop() -> Iterator[HandLoop]:
    """Give a loop, and close it."""
    loop = HandLoop()
    try:
        yield loop
    finally:
        loop.close()


def tell(story: Coroutine[Any, Any, T]) -> T:
    """Run a story on a loop whose clock is in its hand."""
    with hand_loop() as loop:
        return loop.run_until_complete(story)


def move_clock(seconds: float) -> None:
    """Let time pass."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, HandLoop)
    loop.now += seconds
