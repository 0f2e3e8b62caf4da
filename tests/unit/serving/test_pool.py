"""The pool: who loads, who waits, who may use a version, who must go."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from registry.errors import Conflict, HeadgateError, Internal, ModelFault, Unavailable
from registry.records import ModelName, VersionNumber
from registry.snapshots import ServableVersion
from serving.pool.limits import PoolLimits
from serving.pool.pool import Pool
from serving.pool.state import State
from tests.support.serving_fakes import Clock, FakeCache, FakeRuntime, FakeWatcher, servable, settle

pytestmark = pytest.mark.anyio
CHURN = ModelName("churn")
V1, V2 = servable("1"), servable("2")


class World:
    """A pool and what it stands on."""

    def __init__(self) -> None:
        self.cache, self.runtime, self.watcher, self.clock = FakeCache(), FakeRuntime(), FakeWatcher(), Clock()
        limits = PoolLimits(60, memory_bytes=1 << 40, patience_seconds=0)
        self.pool = Pool(self.cache, self.runtime, self.watcher, limits=limits, clock=self.clock)


def only(*versions: ServableVersion) -> Callable[[ModelName, VersionNumber], ServableVersion | None]:
    """Return a table in which a model has these versions and no others."""
    return lambda model, number: {v.version: v for v in versions}.get(number)


@pytest.fixture
def world() -> World:
    """Return a new world."""
    return World()


async def test_the_first_lease_loads_and_the_next_ones_do_not(world: World) -> None:
    """A version is loaded once, however often it is used."""
    for _ in range(3):
        (await world.pool.lease(CHURN, V1, 1)).release()
    assert world.runtime.loads[V1.digest] == 1
    assert world.pool.status(V1).state is State.READY
    assert world.watcher.events == [("loaded", "churn", "1")]


async def test_many_who_want_a_cold_version_share_one_load(world: World) -> None:
    """Five hundred requests to one cold version cause one load."""
    world.runtime.gates[V1.digest] = asyncio.Event()
    waiting = [asyncio.create_task(world.pool.lease(CHURN, V1, 5)) for _ in range(500)]
    await settle()
    world.runtime.gates[V1.digest].set()
    leases = await asyncio.gather(*waiting)
    assert world.runtime.loads[V1.digest] == 1
    assert world.pool.status(V1).leases == 500
    for lease in leases:
        lease.release()


async def test_a_lease_in_the_background_loads_nothing(world: World) -> None:
    """It is given of what is loaded alone, and wakes nothing that drains."""
    assert world.pool.lease_at_hand(V1) is None
    (await world.pool.lease(CHURN, V1, 5)).release()
    lease = world.pool.lease_at_hand(V1)
    assert lease is not None
    world.pool.unload(V1)
    assert world.pool.lease_at_hand(V1) is None
    assert world.pool.state(V1) is State.DRAINING
    lease.release()
    await settle()
    assert (world.pool.state(V1), world.runtime.loads[V1.digest]) == (State.COLD, 1)


async def test_a_lease_in_the_background_finds_nothing_where_a_process_died(world: World) -> None:
    """The death is noticed, and nobody is loaded in its place."""
    (await world.pool.lease(CHURN, V1, 5)).release()
    world.runtime.newest(V1).alive = False
    assert world.pool.lease_at_hand(V1) is None
    assert world.runtime.loads[V1.digest] == 1


async def test_versions_do_not_wait_for_one_another(world: World) -> None:
    """A version that loads slowly does not hold up another."""
    world.runtime.gates[V1.digest] = asyncio.Event()
    slow = asyncio.create_task(world.pool.lease(CHURN, V1, 5))
    await settle()
    (await world.pool.lease(CHURN, V2, 1)).release()
    assert not slow.done()
    world.runtime.gates[V1.digest].set()
    (await slow).release()


async def test_artifacts_that_cannot_be_had_hold_up_nobody_else(world: World) -> None:
    """However many versions wait for their files, another one loads at once."""
    stuck = [servable(str(n)) for n in range(1, 8)]
    world.cache.gates = {v.digest: asyncio.Event() for v in stuck}
    waiting = [asyncio.create_task(world.pool.lease(CHURN, v, 5)) for v in stuck]
    await settle()
    (await world.pool.lease(CHURN, servable("9"), 1)).release()
    assert not any(task.done() for task in waiting)
    for gate in world.cache.gates.values():
        gate.set()
    for lease in await asyncio.gather(*waiting):
        lease.release()


async def test_who_cannot_wait_long_enough_is_told_to_come_again(world: World) -> None:
    """A waiter gives up in its own time; the load goes on and serves the next one."""
    world.runtime.gates[V1.digest] = asyncio.Event()
    with pytest.raises(Unavailable) as refused:
        await world.pool.lease(CHURN, V1, 0)
    assert (refused.value.code, refused.value.retry_after) == ("loading", 1)
    world.runtime.gates[V1.digest].set()
    (await world.pool.lease(CHURN, V1, 5)).release()
    assert world.runtime.loads[V1.digest] == 1


async def test_a_broken_version_is_left_alone_for_a_while(world: World) -> None:
    """After a failed load the same error comes again without another try, until the back-off is over; it doubles."""
    world.runtime.errors[V1.digest] = ModelFault("model_error", "ValueError: no")
    tries = []
    for wait in (0.0, 0.5, 0.6, 1.0, 1.1, 3.9, 0.2):
        world.clock.now += wait
        with pytest.raises(ModelFault, match="ValueError: no"):
            await world.pool.lease(CHURN, V1, 5)
        tries.append(world.runtime.loads[V1.digest])
    assert tries == [1, 1, 2, 2, 3, 3, 4]
    assert world.pool.status(V1).state is State.FAILED
    assert "ValueError: no" in world.pool.status(V1).reason


async def test_a_version_that_can_be_loaded_after_all_forgets_its_failures(world: World) -> None:
    """Success ends the back-off and the reason."""
    world.cache.errors[V1.digest] = Unavailable("artifact_unavailable", "S3 does not answer")
    with pytest.raises(Unavailable):
        await world.pool.lease(CHURN, V1, 5)
    world.cache.errors.clear()
    world.clock.now += 1
    (await world.pool.lease(CHURN, V1, 5)).release()
    assert world.pool.status(V1).reason == ""


async def test_a_failed_load_gives_the_artifact_back(world: World) -> None:
    """Nothing stays on disk for a version that could not be loaded."""
    world.runtime.errors[V1.digest] = ModelFault("model_error", "no")
    with pytest.raises(ModelFault):
        await world.pool.lease(CHURN, V1, 5)
    assert world.cache.held[V1.digest] == 0


async def test_an_adapters_own_exception_becomes_internal(world: World) -> None:
    """Whatever a runtime raises, every waiter gets an answer."""
    world.runtime.errors[V1.digest] = RuntimeError("boom")
    with pytest.raises(Internal) as refused:
        await world.pool.lease(CHURN, V1, 5)
    assert "boom" not in refused.value.message


async def test_an_error_that_is_repeated_is_a_new_object_each_time(world: World) -> None:
    """Raising one exception over and over would grow its traceback without bound."""
    world.runtime.errors[V1.digest] = ModelFault("model_error", "no")
    seen: list[HeadgateError] = []
    for _ in range(3):
        with pytest.raises(ModelFault) as refused:
            await world.pool.lease(CHURN, V1, 5)
        seen.append(refused.value)
    assert len({id(error) for error in seen}) == 3


async def test_a_version_whose_process_died_is_loaded_anew(world: World) -> None:
    """A dead copy is dropped at once, without a request, and its artifact given back; the next lease loads."""
    (await world.pool.lease(CHURN, V1, 5)).release()
    world.runtime.newest(V1).die()
    assert world.pool.status(V1).state is State.COLD
    await settle()
    assert world.cache.held[V1.digest] == 0
    (await world.pool.lease(CHURN, V1, 5)).release()
    await settle()
    assert world.runtime.loads[V1.digest] == 2
    assert world.cache.held[V1.digest] == 1
    assert ("died", "churn", "1") in world.watcher.events


async def test_a_version_that_dies_under_a_lease_keeps_its_files_until_it_is_back(world: World) -> None:
    """The artifact of a dead copy is given back with the last lease on it."""
    lease = await world.pool.lease(CHURN, V1, 5)
    world.runtime.newest(V1).die()
    await settle()
    assert world.cache.held[V1.digest] == 1
    lease.release()
    await settle()
    assert world.cache.held[V1.digest] == 0
    assert world.pool.status(V1).state is State.COLD


async def test_a_dead_version_that_nobody_wants_is_forgotten(world: World) -> None:
    """A copy that dies while it drains leaves nothing behind."""
    lease = await world.pool.lease(CHURN, V1, 5)
    world.pool.retain(only())
    world.runtime.newest(V1).die()
    lease.release()
    await settle()
    assert list(world.pool.slots()) == []
    assert not +world.cache.held


async def test_a_failure_that_promised_no_retry_still_does_not(world: World) -> None:
    """What cannot succeed invites nobody to try again; what may, says when."""
    world.runtime.errors = {
        V1.digest: Unavailable("environment_unavailable", "no such library", retry_after=None),
        V2.digest: Unavailable("artifact_unavailable", "S3 does not answer"),
    }
    told = []
    for version in (V1, V1, V2, V2):
        with pytest.raises(Unavailable) as refused:
            await world.pool.lease(CHURN, version, 5)
        told.append(refused.value.retry_after)
    assert told == [None, None, 1, 1]


async def test_unloading_waits_for_the_last_lease(world: World) -> None:
    """A version under a lease drains; it ends when the lease is back."""
    lease = await world.pool.lease(CHURN, V1, 5)
    assert world.pool.unload(V1) is State.DRAINING
    await settle()
    assert not world.runtime.newest(V1).closed
    lease.release()
    await settle()
    assert world.runtime.newest(V1).closed
    assert world.cache.held[V1.digest] == 0
    assert world.pool.status(V1).state is State.COLD


async def test_a_draining_version_that_is_wanted_again_stays(world: World) -> None:
    """A lease on a draining version makes it ready; nothing is loaded twice."""
    first = await world.pool.lease(CHURN, V1, 5)
    world.pool.unload(V1)
    second = await world.pool.lease(CHURN, V1, 5)
    first.release()
    second.release()
    await settle()
    assert world.pool.status(V1).state is State.READY
    assert world.runtime.loads[V1.digest] == 1


async def test_a_version_that_is_ending_is_loaded_again_after_it_ended(world: World) -> None:
    """A lease that comes while the process ends waits for the end, then loads."""
    (await world.pool.lease(CHURN, V1, 5)).release()
    world.pool.unload(V1)
    (await world.pool.lease(CHURN, V1, 5)).release()
    assert world.runtime.loads[V1.digest] == 2
    assert [copy.closed for copy in world.runtime.loaded] == [True, False]


async def test_a_version_that_is_loading_cannot_be_unloaded(world: World) -> None:
    """Unloading during a load is a conflict that says so."""
    world.runtime.gates[V1.digest] = asyncio.Event()
    waiting = asyncio.create_task(world.pool.lease(CHURN, V1, 5))
    await settle()
    with pytest.raises(Conflict, match="being loaded"):
        world.pool.unload(V1)
    world.runtime.gates[V1.digest].set()
    (await waiting).release()


async def test_what_no_snapshot_names_goes(world: World) -> None:
    """Versions outside the wanted set are drained and forgotten; the others stay."""
    for version in (V1, V2):
        (await world.pool.lease(CHURN, version, 5)).release()
    world.pool.retain(only(V2))
    await settle()
    assert [copy.closed for copy in world.runtime.loaded] == [True, False]
    assert [slot.servable for slot in world.pool.slots()] == [V2]
    assert ("unloaded", "unwanted") in world.watcher.events


async def test_a_load_nobody_wants_any_more_still_serves_who_waits_and_then_goes(world: World) -> None:
    """A version that leaves the snapshot while it loads answers those who wait, then ends."""
    world.runtime.gates[V1.digest] = asyncio.Event()
    waiting = asyncio.create_task(world.pool.lease(CHURN, V1, 5))
    await settle()
    world.pool.retain(only())
    world.runtime.gates[V1.digest].set()
    lease = await waiting
    await settle()
    assert not world.runtime.newest(V1).closed
    lease.release()
    await settle()
    assert world.runtime.newest(V1).closed
    assert list(world.pool.slots()) == []


async def test_a_waiter_who_leaves_as_the_load_ends_leaves_nothing_loaded(world: World) -> None:
    """A version that nobody wants goes, although its last waiter left in the very moment that it became ready."""
    world.runtime.gates[V1.digest] = asyncio.Event()
    waiting = asyncio.create_task(world.pool.lease(CHURN, V1, 5))
    await settle()
    world.pool.retain(only())
    world.watcher.version_loaded = lambda *_: waiting.cancel()  # type: ignore[assignment,method-assign]  # the moment
    world.runtime.gates[V1.digest].set()
    await asyncio.gather(waiting, return_exceptions=True)
    await settle()
    assert waiting.cancelled()
    assert world.runtime.newest(V1).closed
    assert list(world.pool.slots()) == []


async def test_who_asks_for_what_has_just_gone_is_answered_once(world: World) -> None:
    """A request that chose by the table before the last is served, and nothing stays loaded for it."""
    world.pool.retain(only(V2))
    lease = await world.pool.lease(CHURN, V1, 5)
    lease.release()
    await settle()
    assert list(world.pool.slots()) == []


async def test_equal_bytes_under_two_names_are_loaded_once(world: World) -> None:
    """Identity is the digest, never name and number."""
    (await world.pool.lease(CHURN, servable("1", "same"), 5)).release()
    (await world.pool.lease(ModelName("other"), servable("7", "same"), 5)).release()
    assert len(world.runtime.loaded) == 1


async def test_a_name_and_number_with_other_bytes_is_another_version(world: World) -> None:
    """A model that was deleted and made again does not answer with the old one's version."""
    (await world.pool.lease(CHURN, servable("1", "old"), 5)).release()
    lease = await world.pool.lease(CHURN, servable("1", "new"), 5)
    assert lease.loaded is world.runtime.loaded[1]
    lease.release()


async def test_closing_ends_everything_and_refuses_the_rest(world: World) -> None:
    """After close nothing runs, nothing is held, and a lease is refused."""
    (await world.pool.lease(CHURN, V1, 5)).release()
    world.runtime.gates[V2.digest] = asyncio.Event()
    waiting = asyncio.create_task(world.pool.lease(CHURN, V2, 5))
    await settle()
    await world.pool.close()
    with pytest.raises(Unavailable, match="shutting down"):
        await waiting
    with pytest.raises(Unavailable, match="shutting down"):
        await world.pool.lease(CHURN, V1, 5)
    assert all(copy.closed for copy in world.runtime.loaded)
    assert not +world.cache.held


async def test_releasing_twice_is_releasing_once(world: World) -> None:
    """A lease can be given back only once."""
    first = await world.pool.lease(CHURN, V1, 5)
    second = await world.pool.lease(CHURN, V1, 5)
    first.release()
    first.release()
    assert world.pool.status(V1).leases == 1
    second.release()
