"""How much of the loop's time shadows get."""

from __future__ import annotations

import asyncio

import pytest

from serving.shadows.pace import Pace
from tests.support.serving_fakes import Clock

pytestmark = pytest.mark.anyio


async def test_saved_time_is_used_at_once_and_then_no_more_than_the_share() -> None:
    """After 10 ms at once, each millisecond of work costs a pause of fifty; no more is ever saved."""
    clock = Clock()
    pace = Pace(share=0.02, saved=0.01, clock=clock)
    for _ in range(9):
        assert pace.pause_seconds == 0
        with pace.piece():
            clock.now += 0.001
    with pace.piece():
        clock.now += 0.002
    assert pace.pause_seconds == pytest.approx((0.011 - 0.01) / 0.02 - 0.011, abs=1e-6)
    clock.now += 100
    with pace.piece():
        clock.now += 0.011
    assert pace.pause_seconds == pytest.approx((0.011 - 0.01) / 0.02 - 0.011, abs=1e-6)


async def test_a_piece_that_raises_is_counted_too() -> None:
    """A body that cannot be read took its time all the same."""
    clock = Clock()
    pace = Pace(share=0.02, saved=0.01, clock=clock)
    with pytest.raises(ValueError, match="no"), pace.piece():
        clock.now += 1
        raise ValueError("no")
    assert pace.pause_seconds > 1


async def test_what_is_used_elsewhere_counts_too() -> None:
    """Sockets and timers cost the loop as much as pieces do."""
    pace = Pace(share=0.02, saved=0.01, clock=Clock())
    pace.count(0.011)
    assert pace.pause_seconds == pytest.approx(0.05)


async def test_turns_are_taken_one_after_another() -> None:
    """While one waits for its turn, whoever comes after it waits behind it."""
    pace = Pace(share=0.02, saved=0.0)
    with pace.piece():
        await asyncio.sleep(0)
    order: list[str] = []

    async def take(name: str) -> None:
        await pace.turn()
        order.append(name)

    tasks = [asyncio.create_task(take(name)) for name in "abc"]
    await asyncio.sleep(0)  # all have asked, and none can have had its turn yet
    tasks[1].cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert order == ["a", "c"]
