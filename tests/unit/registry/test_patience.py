"""Waiting for others at the edge: for a place, and for bytes."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.edge.patience import GRACE_SECONDS, IDLE_SECONDS, LEAST_BYTES_A_SECOND, Places, Sender
from registry.errors import Refused


def test_who_finds_no_place_in_time_is_refused() -> None:
    """A wait for a place ends; a place that comes free is given on."""

    async def story() -> None:
        places = Places(1, seconds=0.01)
        async with places.one():
            with pytest.raises(Refused) as refused:
                async with places.one():
                    raise AssertionError("there was one place")
        assert refused.value.code == "overloaded" and refused.value.retry_after
        async with places.one():
            pass

    asyncio.run(story())


def test_a_sender_may_pause_and_not_for_ever() -> None:
    """The next bytes have their time, and a sender of a byte now and then runs out of it."""
    sender = Sender()
    assert sender.seconds_left() == IDLE_SECONDS
    for _ in range(int(GRACE_SECONDS)):
        sender.sent(1, 1)
    assert sender.seconds_left() < 1


@given(st.lists(st.tuples(st.integers(0, 2**30), st.floats(0, IDLE_SECONDS)), max_size=50))
def test_who_is_fast_enough_is_never_cut_off(sent: list[tuple[int, float]]) -> None:
    """At the least rate or above, a body of any size arrives; a fast beginning buys no long pause."""
    sender = Sender()
    for size, seconds in sent:
        sender.sent(size + int(seconds * LEAST_BYTES_A_SECOND) + 1, seconds)
        assert sender.seconds_left() == IDLE_SECONDS
