"""The memory budget: who waits for room, who goes for whom, and what is said where there is none."""

from __future__ import annotations

import asyncio

import pytest

from registry.errors import Unavailable
from registry.records import ModelName
from registry.snapshots import ServableVersion
from serving.pool.eviction import Claim
from serving.pool.limits import PoolLimits
from serving.pool.pool import Pool
from serving.pool.slot import Identity, Lease
from serving.pool.state import State
from tests.support.serving_fakes import Clock, FakeCache, FakeRuntime, FakeWatcher, eventually, servable, settle

pytestmark = pytest.mark.anyio
M = ModelName("m")
MIB = 1 << 20
A, B, C, D = (servable(str(n)) for n in range(1, 5))


class World:
    """A pool for 100 MiB; every version is thought to cost 32, and costs 40."""

    def __init__(self, patience: float = 0.0) -> None:
        self.cache, self.runtime, self.watcher, self.clock = FakeCache(), FakeRuntime(), FakeWatcher(), Clock()
        self.runtime.memory = {v.digest: 40 * MIB for v in (A, B, C, D)}
        limits = PoolLimits(60, 100 * MIB, patience)
        self.pool = Pool(self.cache, self.runtime, self.watcher, limits=limits, clock=self.clock)

    async def lease(self, version: ServableVersion) -> Lease:
        """Use a version, a second after whatever was before."""
        self.clock.now += 1
        return await self.pool.lease(M, version, 5)

    async def use(self, *versions: ServableVersion) -> None:
        """Use versions and give them back."""
        for version in versions:
            (await self.lease(version)).release()

    def loaded(self) -> list[str]:
        """Return the numbers of the versions that live."""
        return sorted(copy.version.version for copy in self.runtime.loaded if copy.alive)


@pytest.fixture
def world() -> World:
    """Return a new world."""
    return World()


async def test_the_least_recently_used_version_makes_room(world: World) -> None:
    """A third version sends away the one that was used longest ago, and says why it went."""
    await world.use(A, B, A, C)
    assert world.loaded() == ["1", "3"]
    assert ("unloaded", "evicted") in world.watcher.events
    assert world.pool.status(B).state is State.COLD


async def test_a_load_waits_until_its_victim_is_gone(world: World) -> None:
    """What must go ends first, then the load begins: never are both there."""
    await world.use(A, B)
    ended = asyncio.Event()
    copy = world.runtime.newest(A)
    close = copy.close

    async def slowly() -> None:
        await ended.wait()
        await close()

    copy.close = slowly  # type: ignore[method-assign]  # the situation drawn
    waiting = asyncio.create_task(world.lease(C))
    await settle()
    assert not world.runtime.loads[C.digest]
    ended.set()
    (await waiting).release()
    assert world.loaded() == ["2", "3"]


async def test_what_is_in_use_stays_and_the_request_is_told(world: World) -> None:
    """With every version under a lease, the next one is refused with no_capacity, at once and without blame."""
    leases = [await world.lease(A), await world.lease(B)]
    with pytest.raises(Unavailable) as refused:
        await world.lease(C)
    told = refused.value
    assert (told.code, told.details["reason"], told.retry_after) == ("no_capacity", "memory_in_use", 1)
    assert world.loaded() == ["1", "2"]
    assert world.pool.status(C).state is State.COLD
    leases[0].release()
    await world.use(C)
    assert world.loaded() == ["2", "3"]


async def test_a_short_wait_is_spared_the_refusal() -> None:
    """Where something becomes idle within a second, the request is served."""
    world = World(patience=5.0)
    leases = [await world.lease(A), await world.lease(B)]
    waiting = asyncio.create_task(world.lease(C))
    await settle()
    assert not waiting.done()
    leases[0].release()
    (await waiting).release()
    assert world.loaded() == ["2", "3"]


async def test_who_waits_too_long_is_refused() -> None:
    """Patience has an end, though nothing else happens meanwhile."""
    world = World(patience=0.01)
    await world.lease(A)
    await world.lease(B)
    with pytest.raises(Unavailable, match="in use"):
        await world.lease(C)


async def test_loads_under_way_count(world: World) -> None:
    """A fourth load waits for the outcome of three that have reserved the room, and then has what they left."""
    world.runtime.memory = {v.digest: 10 * MIB for v in (A, B, C, D)}
    world.runtime.gates = {v.digest: asyncio.Event() for v in (A, B, C, D)}
    waiting = [asyncio.create_task(world.lease(v)) for v in (A, B, C, D)]
    await settle()
    assert [world.runtime.loads[v.digest] for v in (A, B, C, D)] == [1, 1, 1, 0]
    for gate in world.runtime.gates.values():
        gate.set()
    for task in waiting:
        (await task).release()
    assert world.loaded() == ["1", "2", "3", "4"]


async def test_what_a_version_cost_is_remembered(world: World) -> None:
    """The second time a version needs the room that it took, not the guess."""
    world.runtime.memory[A.digest] = 90 * MIB
    await world.use(A)
    world.pool.unload(A)
    await settle()
    await world.use(B)
    leased = await world.lease(B)
    with pytest.raises(Unavailable):
        await world.lease(A)
    leased.release()
    await world.use(A)
    assert world.loaded() == ["1"]


async def test_a_version_larger_than_the_budget_has_it_for_itself(world: World) -> None:
    """It loads where nothing else is in use, stays, and makes room like any other."""
    world.runtime.memory[A.digest] = 500 * MIB
    await world.use(B, A)
    await world.pool.measure(10)
    assert world.loaded() == ["1"]
    await world.use(B)
    assert world.loaded() == ["2"]


async def test_a_version_that_grows_sends_idle_ones_away(world: World) -> None:
    """Measuring again finds what has grown; idle versions go until the sum fits."""
    await world.use(A, B)
    leased = await world.lease(B)
    world.runtime.newest(B).memory_bytes = 90 * MIB
    await world.pool.measure(10)
    await settle()
    assert world.loaded() == ["2"]
    assert world.pool.status(B).memory_bytes == 90 * MIB
    leased.release()


async def test_those_measured_longest_ago_are_measured_first(world: World) -> None:
    """With one measurement at a time, every version has its turn."""
    await world.use(A, B)
    for version in (A, B):
        world.runtime.newest(version).memory_bytes = 20 * MIB
        world.clock.now += 1
        await world.pool.measure(1)
        assert world.pool.status(version).memory_bytes == 20 * MIB


async def test_a_version_that_cannot_be_measured_hurts_no_other(world: World) -> None:
    """Whatever an adapter raises, the others are measured."""

    async def broken() -> int:
        raise RuntimeError("no such process")

    await world.use(A, B)
    world.runtime.newest(A).measure = broken  # type: ignore[method-assign]  # the situation drawn
    world.runtime.newest(B).memory_bytes = 10 * MIB
    await world.pool.measure(10)
    assert (world.pool.status(A).memory_bytes, world.pool.status(B).memory_bytes) == (40 * MIB, 10 * MIB)


async def test_loading_ahead_takes_nobodys_place(world: World) -> None:
    """A load that nobody waits for sends away only what is long idle, and nothing that is kept."""
    await world.use(A, B)
    with pytest.raises(Unavailable):
        await world.pool.load(M, C, Claim.AHEAD)
    world.clock.now += 120
    world.pool.keep(frozenset({Identity.of(A)}))
    await world.pool.load(M, C, Claim.AHEAD)
    assert world.loaded() == ["1", "3"]


async def test_a_request_lends_its_weight_to_a_load_ahead() -> None:
    """Once somebody waits for it, the load may send away what a request may."""
    world = World(patience=5.0)
    await world.use(A, B)
    ahead = asyncio.create_task(world.pool.load(M, C, Claim.AHEAD))
    await settle()
    assert world.loaded() == ["1", "2"]
    await world.use(C)
    await ahead
    assert world.loaded() == ["2", "3"]


async def test_one_that_cannot_be_helped_holds_up_nobody() -> None:
    """A version that needs more than can become free waits, while a smaller one behind it loads."""
    world = World(patience=5.0)
    big = ServableVersion(D.version, D.digest, 50 * MIB, "host")
    lease = await world.lease(A)
    waiting = asyncio.create_task(world.pool.lease(M, big, 5))
    await settle()
    await world.use(B)
    assert not waiting.done()
    lease.release()
    await eventually(waiting.done)
    (await waiting).release()
    assert world.loaded() == ["4"]


async def test_closing_leaves_nobody_waiting_for_room() -> None:
    """A load that waits for room ends with the pool."""
    world = World(patience=5.0)
    leases = [await world.lease(A), await world.lease(B)]
    waiting = asyncio.create_task(world.lease(C))
    await settle()
    closing = asyncio.create_task(world.pool.close())
    with pytest.raises(Unavailable, match="shutting down"):
        await waiting
    for lease in leases:
        lease.release()
    await closing
    assert not +world.cache.held
