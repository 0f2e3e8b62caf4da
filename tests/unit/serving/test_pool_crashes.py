"""Crash loops: when a version is tried again, when it is not, and what it printed last."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.errors import HeadgateError, ModelFault, Unavailable
from registry.records import ModelName
from serving.pool.crashes import HEALTHY_SECONDS, MOST_CRASHES, WINDOW_SECONDS, Crashes
from serving.pool.limits import PoolLimits
from serving.pool.pool import Pool
from serving.pool.state import State
from serving.ports import LoadFault
from tests.support.serving_fakes import Clock, FakeCache, FakeLoaded, FakeRuntime, FakeWatcher, servable, settle

pytestmark = pytest.mark.anyio
CHURN, V1 = ModelName("churn"), servable("1")
CRASH = LoadFault.of(ModelFault("model_error", "it died while loading"), died=True, last_output="Segmentation fault")


class World:
    """A pool and what it stands on."""

    def __init__(self) -> None:
        self.cache, self.runtime, self.watcher, self.clock = FakeCache(), FakeRuntime(), FakeWatcher(), Clock()
        limits = PoolLimits(60, 1 << 40, patience_seconds=0)
        self.pool = Pool(self.cache, self.runtime, self.watcher, limits=limits, clock=self.clock)

    async def use(self) -> None:
        """Ask for the version once."""
        (await self.pool.lease(CHURN, V1, 5)).release()

    async def refused(self) -> HeadgateError:
        """Ask for the version, which is refused."""
        with pytest.raises(HeadgateError) as error:
            await self.pool.lease(CHURN, V1, 5)
        return error.value

    async def die(self, printed: str = "") -> None:
        """Let its process crash."""
        copy = self.runtime.newest(V1)
        copy.last_output = printed
        copy.die()
        await settle()

    async def quarantine(self) -> None:
        """Let it crash too often."""
        for _ in range(MOST_CRASHES):
            await self.use()
            await self.die("Segmentation fault")
            self.clock.now += 20


@pytest.fixture
def world() -> World:
    """Return a new world."""
    return World()


async def test_a_first_crash_costs_no_waiting(world: World) -> None:
    """The next request loads the version again, at once."""
    await world.use()
    await world.die()
    await world.use()
    assert world.runtime.loads[V1.digest] == 2


async def test_later_crashes_are_answered_from_memory_for_a_growing_while(world: World) -> None:
    """After the second and third death a request is refused until 1 and 2 seconds are over, and told so."""
    await world.use()
    for pause in (0, 1, 2):
        await world.die()
        if pause:
            assert world.pool.status(V1).state is State.FAILED
            world.clock.now += pause - 0.1
            error = await world.refused()
            assert (error.code, error.details["reason"], error.retry_after) == ("loading", "crashed", 1)
            world.clock.now += 0.2
        await world.use()


async def test_too_many_crashes_end_in_quarantine(world: World) -> None:
    """The fifth death within ten minutes is the last: nothing is loaded by itself any more, however long it waits."""
    await world.quarantine()
    assert world.pool.status(V1).state is State.QUARANTINED
    for later in (0, 10, 100_000):
        world.clock.now += later
        error = await world.refused()
        assert (type(error), error.code, error.retry_after) == (Unavailable, "model_quarantined", 60)
        assert "GET /models/churn/versions/1" in error.message
    assert world.runtime.loads[V1.digest] == MOST_CRASHES


async def test_predictions_that_run_too_long_are_no_crashes(world: World) -> None:
    """However often a process is ended for that, the next request loads the version, and at once."""
    await world.use()
    for _ in range(2 * MOST_CRASHES):
        world.runtime.newest(V1).overran = True
        await world.die()
        assert world.pool.status(V1).state is State.COLD
        await world.use()


async def test_loads_that_crash_count_too(world: World) -> None:
    """A process that dies while it loads is a crash; a model that raises is not."""
    world.runtime.errors[V1.digest] = LoadFault.of(ModelFault("model_error", "no"), died=False, last_output="")
    for _ in range(MOST_CRASHES + 1):
        await world.refused()
        world.clock.now += 40
    assert world.pool.status(V1).state is State.FAILED
    world.runtime.errors[V1.digest] = CRASH
    for _ in range(MOST_CRASHES):
        await world.refused()
        world.clock.now += 40
    assert world.pool.status(V1).state is State.QUARANTINED
    assert ("loading", "churn", "1") in world.watcher.events


async def test_a_version_that_was_well_for_long_starts_anew(world: World) -> None:
    """A death every six minutes never ends in quarantine, nor in waiting."""
    for _ in range(MOST_CRASHES * 3):
        await world.use()
        world.clock.now += HEALTHY_SECONDS + 60
        await world.die()
        assert world.pool.status(V1).state is State.COLD


@pytest.mark.parametrize("way", ["forgive", "unload"])
async def test_an_operator_lets_it_out(world: World, way: str) -> None:
    """Loading or unloading by hand ends quarantine, and crashes are counted from the first again."""
    await world.quarantine()
    getattr(world.pool, way)(V1)
    assert world.pool.status(V1).state is State.COLD
    await world.use()
    await world.die()
    await world.use()


async def test_other_bytes_are_another_version(world: World) -> None:
    """Quarantine is of the bytes: the same name and number with others loads."""
    await world.quarantine()
    mended = servable("1", "mended")
    world.pool.retain(lambda model, number: mended)
    (await world.pool.lease(CHURN, mended, 5)).release()
    assert [slot.servable for slot in world.pool.slots()] == [mended]


async def test_what_it_printed_last_is_kept(world: World) -> None:
    """After a death, also words that came while it ended; after a failed load; and no more than 4 KB."""
    await world.use()
    copy = world.runtime.newest(V1)
    copy.last_output = "warming up"
    assert world.pool.status(V1).last_output == "warming up"
    copy.die()
    copy.last_output = "x" * 10_000 + "Segmentation fault"
    await settle()
    kept = world.pool.status(V1).last_output
    assert (len(kept), kept[-18:]) == (4096, "Segmentation fault")
    world.runtime.errors[V1.digest] = LoadFault.of(ModelFault("model_error", "no"), died=False, last_output="no GPU")
    error = await world.refused()
    assert world.pool.status(V1).last_output == "no GPU"
    assert "no GPU" not in f"{error.message}{error.details}"


async def test_a_copy_that_dies_as_it_drains_counts(world: World) -> None:
    """A crash while its last lease is out is a crash, and leaves it cold."""
    lease = await world.pool.lease(CHURN, V1, 5)
    world.pool.unload(V1)
    assert isinstance(lease.loaded, FakeLoaded)
    lease.loaded.die()
    lease.release()
    await settle()
    status = world.pool.status(V1)
    assert (status.state, status.crashes) == (State.COLD, 1)


@given(st.lists(st.tuples(st.floats(0, 1000), st.floats(0, 1000)), max_size=30))
def test_only_recent_deaths_count(deaths: list[tuple[float, float]]) -> None:
    """Whatever the rhythm, what counts happened within ten minutes and since the version was well."""
    crashes, now = Crashes(), 0.0
    times: list[float] = []
    for wait, lived in deaths:
        now += wait
        times = ([] if lived >= HEALTHY_SECONDS else [t for t in times if t > now - WINDOW_SECONDS]) + [now]
        crashes.note(now, lived)
        assert crashes.count == len(times)
        assert crashes.too_many == (len(times) >= MOST_CRASHES)
        assert crashes.pause_seconds == (0 if len(times) == 1 else min(30, 2 ** (len(times) - 2)))
