"""Memory that was freed goes back to the system once large work is over, and nothing happens otherwise."""

from __future__ import annotations

import asyncio
import ctypes
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from time import perf_counter

import pytest

from serving.aside import Aside
from serving.http.body import MUCH_BYTES, BodyReader
from serving.slack import Pace, Slack, trim
from tests.support.serving_fakes import eventually

pytestmark = pytest.mark.anyio
LONG = 60.0
PIECE = 100_000


class Given:
    """Notes the threads in which memory was given back."""

    def __init__(self) -> None:
        self.by: list[int] = []

    def give_back(self) -> None:
        """Note it."""
        self.by.append(threading.get_ident())


@asynccontextmanager
async def running(pace: Pace, given: Given) -> AsyncIterator[Slack]:
    """Let one run."""
    slack = Slack(pace, given.give_back)
    task = asyncio.create_task(slack.run())
    await asyncio.sleep(0)
    try:
        yield slack
    finally:
        task.cancel()


async def test_memory_is_given_back_in_a_thread_once_it_is_quiet() -> None:
    """The event loop goes on meanwhile; what was noted many times is done once."""
    given = Given()
    async with running(Pace(quiet=0, rest=LONG), given) as slack:
        for _ in range(10):
            slack.note()
        await eventually(lambda: bool(given.by))
        assert len(given.by) == 1 and given.by[0] != threading.get_ident()


async def test_nothing_is_given_back_while_large_work_goes_on() -> None:
    """It would be asked for again at once."""
    given = Given()
    async with running(Pace(quiet=LONG, most=LONG), given) as slack:
        slack.note()
        await asyncio.sleep(0.01)
        assert given.by == []


async def test_large_work_that_never_ends_is_not_waited_for() -> None:
    """A node that always has some of it gives back what a flood has left."""
    given = Given()
    async with running(Pace(quiet=LONG, most=0, rest=LONG), given) as slack:
        slack.note()
        await eventually(lambda: len(given.by) == 1)


async def test_what_was_held_for_longer_is_given_back_later() -> None:
    """Slow readers have their answers, and shadows their copies, when it was quiet for long."""
    given = Given()
    async with running(Pace(quiet=0, late=0, rest=0), given) as slack:
        slack.note()
        await eventually(lambda: len(given.by) == 2)
        await asyncio.sleep(0.01)
        assert len(given.by) == 2


async def test_it_is_told_of_bodies_that_take_much() -> None:
    """One that is large, or many; small ones pass untold."""
    told: list[int] = []
    bodies = BodyReader(2 * MUCH_BYTES, much=lambda: told.append(1))
    small, large = b"x" * 1000, b"x" * (MUCH_BYTES + 1)
    bodies.free(len(bodies.take(small)))
    assert told == []
    bodies.free(len(bodies.take(large)))
    assert told == [1]
    many = [bodies.take(small) for _ in range(MUCH_BYTES // len(small) + 1)]
    bodies.free(len(many.pop()))
    assert told == [1, 1]


async def test_it_is_told_of_work_beside_the_loop() -> None:
    """Large answers are written there, whatever their requests were."""
    told: list[int] = []
    aside = Aside()
    aside.when_done(lambda: told.append(1))
    await aside.do(perf_counter() + 5, lambda: None)
    await eventually(lambda: told == [1])
    aside.close()


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="not glibc")
def test_what_the_heap_keeps_goes_back_to_the_system() -> None:
    """Among what is still in use, too; which is why it is not given back by itself."""
    pieces = [b"x" * (PIECE + at % 7) for at in range(1000)]
    pieces = pieces[::10]
    before = resident()
    trim()
    assert before - resident() > 500 * PIECE
    assert len(pieces) == 100


def resident() -> int:
    """Return how many bytes of memory this process has."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * 4096
