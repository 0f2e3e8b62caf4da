"""When gRPC's calls wait for one another, in simulated time; and that nobody waits for ever, on a real loop."""

from __future__ import annotations

import asyncio
import heapq
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from serving.grpc.gathering import CALM_SECONDS, HOLD_SECONDS, LEARN_SECONDS, TICK_SECONDS, Crowd, Gathering, Turn

APART = 0.00012
"""How far apart the library hands over calls that it has."""


@dataclass
class Simulation:
    """Calls that come to a crowd, one after the other, and what became of each."""

    crowd: Crowd = field(default_factory=Crowd)
    now: float = 0.0
    held: list[float] = field(default_factory=list)
    groups: list[int] = field(default_factory=list)
    ends: list[float] = field(default_factory=list)
    _events: list[tuple[float, int, str]] = field(default_factory=list)
    _waiting: list[float] = field(default_factory=list)
    _count: int = 0

    def open_loop(self, arrivals: Sequence[float]) -> None:
        """Have calls come at certain times; nobody hears of answers."""
        for at in arrivals:
            self._add(at, "come")
        self._run(until=float("inf"))

    def closed_loop(self, callers: int, seconds: float, service: float = 0.0003) -> None:
        """Have callers call, wait for the answer, and call again; a group is answered in ``service`` seconds."""
        for number in range(callers):
            self._add(self.now + number * APART, "come")
        self._run(until=self.now + seconds, again=service)
        self._events = [event for event in self._events if event[2] != "come"]
        self._run(until=float("inf"))

    def _run(self, until: float, again: float | None = None) -> None:
        while self._events and self._events[0][0] <= until:
            self.now, _, what = heapq.heappop(self._events)
            if what == "answered":
                self.crowd.answered(self.now)
                continue
            if what == "come":
                first, turn = not self._waiting, self.crowd.come(self.now)
                self._waiting.append(self.now)
                if first and turn is Turn.WAIT:
                    self._add(self.now + TICK_SECONDS, "tick")
            else:
                turn = self.crowd.tick(self.now)
                if turn is Turn.WAIT:
                    self._add(self.now + TICK_SECONDS, "tick")
            if turn is Turn.GO:
                self._go(again)

    def _go(self, again: float | None) -> None:
        self._events = [event for event in self._events if event[2] != "tick"]
        heapq.heapify(self._events)
        self.held += [self.now - came for came in self._waiting]
        self.groups.append(len(self._waiting))
        self.ends.append(self.now)
        if again is not None:
            for number in range(len(self._waiting)):
                answered = self.now + again + number * APART
                self._add(answered, "answered")
                self._add(answered + APART, "come")
        self._waiting = []

    def _add(self, at: float, what: str) -> None:
        self._count += 1
        heapq.heappush(self._events, (at, self._count, what))


def test_who_comes_alone_hardly_ever_waits() -> None:
    """A caller that comes again at once waits for one tick each 0.2 s, which is how a crowd would be found."""
    alone = Simulation()
    alone.closed_loop(1, seconds=4)
    waits = [held for held in alone.held if held]
    assert len(alone.held) > 5000
    assert len(waits) <= 4 / LEARN_SECONDS[1] + 4
    assert max(waits) < 1.5 * TICK_SECONDS


def test_two_are_no_crowd() -> None:
    """Two callers have nothing to gain, and wait as rarely as one."""
    two = Simulation()
    two.closed_loop(2, seconds=4)
    assert sum(held > 0 for held in two.held) <= 2 * (4 / LEARN_SECONDS[1] + 4)


def test_a_crowd_goes_together() -> None:
    """Once it was found out how many there are, all of them make one group, without waiting for a timer."""
    crowd = Simulation()
    crowd.closed_loop(32, seconds=2)
    settled = crowd.groups[len(crowd.groups) // 4 :]
    assert statistics.median(settled) == 32
    assert statistics.fmean(settled) > 30
    assert max(crowd.held) < HOLD_SECONDS + TICK_SECONDS


def test_a_crowd_is_found_soon() -> None:
    """When one caller becomes eight, half a second later nearly all go eight at a time."""
    several = Simulation()
    several.closed_loop(1, seconds=2)
    began = several.now
    several.closed_loop(8, seconds=1)
    later = [group for group, end in zip(several.groups, several.ends, strict=True) if end > began + 0.5]
    assert statistics.median(later) == 8
    assert statistics.fmean(later) > 6


def test_whom_a_crowd_left_waits_a_few_times_only() -> None:
    """The last of 32 expects half as many each time, then nobody."""
    left = Simulation()
    left.closed_loop(32, seconds=1)
    before = len(left.held)
    left.closed_loop(1, seconds=0.2)
    assert sum(held > 0 for held in left.held[before:]) <= 10


def test_calls_that_are_far_apart_never_wait() -> None:
    """A hundred calls a second find nobody waiting, and go at once; so does who comes after a crowd and a calm."""
    sparse = Simulation()
    sparse.closed_loop(32, seconds=0.3)
    before = len(sparse.held)
    start = sparse.now + 1
    sparse.open_loop([start + number * 2 * CALM_SECONDS for number in range(300)])
    assert sum(sparse.held[before:]) == 0


def test_a_timer_that_ended_early_is_not_believed() -> None:
    """A long turn of the loop makes the next timer end at once; that nobody came by then says nothing."""
    crowd = Crowd()
    crowd.answered(1.0)
    assert crowd.come(1.0001) is Turn.WAIT  # it finds out how many there are
    assert crowd.tick(1.0002) is Turn.WAIT
    assert crowd.tick(1.0001 + TICK_SECONDS) is Turn.GO


def test_a_loop_that_is_always_late_keeps_nobody_waiting_for_long() -> None:
    """Where timers end far too late, one call in a while waits for one, and not each."""
    crowd, now, waits = Crowd(), 1.0, 0
    crowd.answered(now)
    for _ in range(1000):
        now += 0.0005
        if crowd.come(now) is Turn.WAIT:
            waits += 1
            while crowd.tick(now := now + 5 * TICK_SECONDS) is Turn.WAIT:
                pass
        crowd.answered(now)
    assert waits < 20


@settings(max_examples=200, deadline=None)
@given(st.lists(st.floats(min_value=0, max_value=0.01), min_size=1, max_size=300))
def test_nobody_waits_long(gaps: list[float]) -> None:
    """However calls come, each goes, once, within the longest hold and a tick."""
    any_order = Simulation()
    at, arrivals = 0.0, []
    for gap in gaps:
        at += gap
        arrivals.append(at)
    any_order.open_loop(arrivals)
    assert sum(any_order.groups) == len(gaps)
    assert any_order.crowd.waiting == 0
    assert max(any_order.held) <= HOLD_SECONDS + 2 * TICK_SECONDS + 1e-9


def test_whoever_leaves_keeps_nobody_back() -> None:
    """Of calls that wait, some are cancelled; all others go, and so does the next."""

    async def calls() -> list[bool]:
        gathering = Gathering()
        await gathering.join()
        gathering.answered()
        waiting = [asyncio.create_task(gathering.join()) for _ in range(8)]
        await asyncio.sleep(0)
        for task in waiting[::3]:
            task.cancel()
        async with asyncio.timeout(10):
            await asyncio.gather(*waiting, return_exceptions=True)
            await gathering.join()
        return [task.cancelled() for task in waiting]

    cancelled = asyncio.run(calls())
    assert cancelled == [number % 3 == 0 for number in range(8)]
