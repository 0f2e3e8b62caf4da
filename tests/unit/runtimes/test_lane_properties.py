"""Any interleaving of requests, departures, failures, deaths and passing time: the lane's promises hold."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import partial

from hypothesis import given, settings
from hypothesis import strategies as st

from registry.errors import ModelFault, Refused
from serving.exchange import ArrayOutput, Output, Priority
from serving.runtimes.lane.lane import Lane
from tests.support.lanes import POISON, HandEngine, answered, ask, move_clock, tell, turns

MOST, QUEUE = 4, 12
ACTIONS = st.one_of(
    st.tuples(
        st.just("ask"),
        st.integers(1, 6),  # rows
        st.integers(1, 2),  # width: two kinds that never share a batch
        st.sampled_from(Priority),
        st.booleans(),  # poisoned
        st.sampled_from([0.5, 2.0, 50.0]),  # patience
    ),
    st.tuples(st.just("cancel"), st.integers(0, 100)),
    st.tuples(st.just("finish"), st.integers(0, 1)),
    st.tuples(st.just("fail"), st.integers(0, 1), st.sampled_from(["model_error", "model_timeout"])),
    st.tuples(st.just("die"), st.integers(0, 1)),
    st.tuples(st.just("wait"), st.sampled_from([0.1, 1.0])),
    st.tuples(st.just("turn")),
)


@dataclass(eq=False)
class Asked:
    """A request, and what may become of it."""

    future: asyncio.Future[Output]
    values: list[float]
    poisoned: bool
    until: float
    cancelled: bool = False


class World:
    """A lane over two engines, and everything that was ever asked of it."""

    def __init__(self) -> None:
        self.engines = [HandEngine(), HandEngine()]
        self.lane = Lane(self.engines, max_batch_rows=MOST, queue_rows=QUEUE)
        self.asked: list[Asked] = []
        self.deaths = self.failures = 0

    def waiting_rows(self) -> int:
        """Return how many rows wait, by the lane's own count."""
        return self.lane.queued_rows

    def ask(self, rows: int, width: int, priority: Priority, *, poisoned: bool, patience: float) -> None:
        """Ask with numbers that nobody else asks with."""
        number = float(len(self.asked) * 10 + 1)
        values = [number + i for i in range(rows)]
        if poisoned:
            values[-1] = POISON
        before = self.waiting_rows()
        future = self.lane.predict(ask(*values, width=width), patience, priority)
        if before == 0 or before + rows <= QUEUE:
            assert not future.done(), "refused, though there was room"
        until = asyncio.get_running_loop().time() + patience
        self.asked.append(Asked(future, values, poisoned, until))

    def die(self, engine: HandEngine) -> None:
        """Lose an engine, and replace it, as a version with instances does."""
        if engine.alive:
            self.deaths += 1
            engine.die()
            self.lane.remove(engine)
            place = self.engines.index(engine)
            self.engines[place] = HandEngine()
            self.lane.add(self.engines[place])

    def check(self) -> None:
        """Check what must hold at any moment."""
        for engine in self.engines:
            for call in engine.batches:
                assert call.data.rows <= max(MOST, 6)
        free = [e for e in self.engines if not e.busy]
        assert not (free and self.waiting_rows()), "somebody waits beside an idle engine"

    def check_end(self) -> None:
        """Check what must hold once all is done."""
        for asked in self.asked:
            assert asked.future.done(), "somebody was never answered"
            if asked.future.cancelled():
                assert asked.cancelled
                continue
            error = asked.future.exception()
            if error is None:
                assert not asked.poisoned
                assert answered(asked.future) == [2 * v for v in asked.values]
            elif isinstance(error, ModelFault) and error.code == "model_timeout":
                assert self.failures or asyncio.get_running_loop().time() >= asked.until
            elif isinstance(error, ModelFault):
                assert asked.poisoned or self.deaths or self.failures
            else:
                assert isinstance(error, Refused)


async def act(world: World, action: tuple[object, ...]) -> None:
    """Do one thing."""
    match action:
        case ("ask", int(rows), int(width), Priority() as priority, bool(poisoned), float(patience)):
            world.ask(rows, width, priority, poisoned=poisoned, patience=patience)
        case ("cancel", int(which)) if world.asked:
            asked = world.asked[which % len(world.asked)]
            asked.cancelled = asked.future.cancel() or asked.cancelled
        case ("finish", int(which)) if world.engines[which].busy:
            world.engines[which].finish()
        case ("fail", int(which), str(code)) if world.engines[which].busy:
            world.failures += 1
            world.engines[which].fail(code)
        case ("die", int(which)):
            world.die(world.engines[which])
        case ("wait", float(seconds)):
            move_clock(seconds)
        case _:
            await turns(1)


@settings(max_examples=300, deadline=None)
@given(st.lists(ACTIONS, max_size=60))
def test_each_answer_belongs_to_its_own_rows_and_nothing_is_lost(actions: list[tuple[object, ...]]) -> None:
    """Whatever happens in whatever order, everybody gets the answer to their own rows, or the error that is theirs."""

    async def story() -> None:
        world = World()
        for action in actions:
            await act(world, action)
        await turns()
        while any(e.busy for e in world.engines) or world.waiting_rows():
            for engine in world.engines:
                if engine.busy:
                    engine.finish()
            await turns()
            world.check()
        world.check_end()
        world.lane.close("it was unloaded")

    tell(story())


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 5), st.sampled_from(Priority)), min_size=1, max_size=30))
def test_within_one_priority_the_order_is_that_of_arrival(requests: list[tuple[int, Priority]]) -> None:
    """Nobody of one's own priority and kind is overtaken."""

    def note(order: list[int], number: int, _: object) -> None:
        order.append(number)

    async def story() -> None:
        engine = HandEngine()
        lane = Lane([engine], max_batch_rows=MOST, queue_rows=1000)
        served: dict[Priority, list[int]] = {priority: [] for priority in Priority}
        for i, (rows, priority) in enumerate(requests):
            future = lane.predict(ask(*[float(i)] * rows), 9, priority)
            future.add_done_callback(partial(note, served[priority], i))
        await turns(1)
        while engine.busy:
            engine.finish()
            await turns()
        assert all(order == sorted(order) for order in served.values())
        assert sum(map(len, served.values())) == len(requests)
        assert all(size <= MOST or size in {rows for rows, _ in requests} for size in engine.sizes)

    tell(story())


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_no_priority_starves(data: st.DataObject) -> None:
    """However much of the higher ones comes, a low request is answered after a bounded number of batches."""

    async def story() -> None:
        engine = HandEngine()
        lane = Lane([engine], max_batch_rows=1)
        lane.predict(ask(0.0), 1000)
        await turns(1)
        low = lane.predict(ask(1.0), 1000, Priority.LOW)
        batches = 0
        while not low.done():
            for _ in range(data.draw(st.integers(1, 3))):
                lane.predict(ask(2.0), 1000, data.draw(st.sampled_from([Priority.HIGH, Priority.NORMAL])))
            engine.finish()
            await turns()
            batches += 1
            assert batches < 30
        assert isinstance(low.result(), ArrayOutput)

    tell(story())
