"""Loading ahead: plans that wait for their version, and warm plans."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from registry.errors import ModelFault, Unavailable
from registry.plans import Plan, Shadow
from registry.records import ModelName, VersionNumber
from registry.snapshots import ModelSnapshot, ServableVersion, SnapshotPage
from serving.pool.limits import PoolLimits
from serving.pool.pool import Pool
from serving.pool.state import State
from serving.pool.warming import START_SECONDS, Warming
from serving.ports import LoadFault
from serving.routing.choose import Ask, choose
from serving.routing.table import Routes
from tests.support.serving_fakes import Clock, FakeCache, FakeRuntime, FakeWatcher, servable, settle, snapshot

pytestmark = pytest.mark.anyio
M = ModelName("m")
MIB = 1 << 20
V = {n: servable(n, f"m {n}") for n in ("1", "2", "3")}
BROKEN = ModelFault("model_error", "ValueError: no")


class World:
    """Tables, a pool and the warming between them, as a node wires them."""

    def __init__(self, budget: int = 1 << 40) -> None:
        self.cache, self.runtime, self.clock = FakeCache(), FakeRuntime(), Clock()
        limits = PoolLimits(60, budget, patience_seconds=0)
        self.pool = Pool(self.cache, self.runtime, FakeWatcher(), limits=limits, clock=self.clock)
        self.routes = Routes()
        self.warming = Warming(self.routes, self.pool, changed=self._retain, load_seconds=60, clock=self.clock)
        self.revision = 0

    def _retain(self) -> None:
        self.pool.retain(self.routes.learnt.servable, self.routes.table.servable)

    async def learn(self, stable: str | None, name: str = "m", **more: Any) -> None:
        """Hear of a plan from the registry, as the next revision."""
        self.learn_model(snapshot(name, more.pop("versions", V), stable, revision=self.revision + 1, **more))

    def learn_model(self, model: ModelSnapshot) -> None:
        """Hear of a model, likewise."""
        self.revision += 1
        self.routes.swap(self.routes.learnt.merged(SnapshotPage(self.revision, full=False, models=(model,))))
        self.warming.learn(self.routes.learnt)
        self._retain()

    async def tend(self, later: float = 0.0) -> None:
        """Let some time go by and everything that is due be done."""
        self.clock.now += later
        for _ in range(3):
            self.warming.tend()
            await settle()

    async def ask(self, **named: Any) -> str:
        """Ask the model as a request does; return which version answered, and by which revision."""
        decision = choose(self.routes.table, Ask(M, **named))
        (await self.pool.lease(M, decision.chosen.servable, 5)).release()
        return f"{decision.version} by {decision.revision}"

    def state(self, version: ServableVersion) -> State:
        """Return where a version stands."""
        return self.pool.state(version)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """Give a world in which version 1 is planned and loaded."""
    world = World()
    await world.learn("1")
    await world.ask()
    yield world
    await world.pool.close()


async def test_a_plan_takes_traffic_once_its_version_is_loaded(world: World) -> None:
    """While 2 loads, 1 answers under the old revision; a request that names 2 waits for it; then 2 answers."""
    world.runtime.gates[V["2"].digest] = gate = asyncio.Event()
    await world.learn("2")
    await world.tend()
    assert await world.ask() == "1 by 1"
    assert world.warming.waiting == 1
    assert world.warming.why_waiting("m") == "version 2 is being loaded"
    gate.set()
    await world.tend()
    assert await world.ask() == "2 by 2"
    assert (world.warming.waiting, world.warming.why_waiting("m")) == (0, "")
    assert world.runtime.loads[V["2"].digest] == 1


async def test_a_version_that_cannot_be_loaded_leaves_the_old_one_answering(world: World) -> None:
    """It is tried again with back-off, its reason is told, and the plan follows as soon as it loads."""
    world.runtime.errors[V["2"].digest] = BROKEN
    await world.learn("2")
    tries = []
    for later in (0, 0.5, 0.6, 1, 1.1):
        await world.tend(later)
        tries.append(world.runtime.loads[V["2"].digest])
        assert await world.ask() == "1 by 1"
    assert tries == [1, 1, 2, 2, 3]
    assert "version 2 cannot be loaded here: model_error: ValueError: no" in world.warming.why_waiting("m")
    world.runtime.errors.clear()
    await world.tend(60)
    assert await world.ask() == "2 by 2"


async def test_the_registrys_word_wins_where_the_old_version_is_retired(world: World) -> None:
    """A version that may serve no more does not go on answering, loaded or not."""
    world.runtime.errors[V["2"].digest] = BROKEN
    await world.learn("2")
    await world.tend()
    await world.learn("2", versions={"2": V["2"]}, others={"1": "retired"})
    assert world.warming.waiting == 0
    with pytest.raises(ModelFault):
        await world.ask()


async def test_a_cold_model_is_swapped_at_once() -> None:
    """A node on which nobody has asked for the model waits for nothing, and loads nothing ahead."""
    world = World()
    await world.learn("1")
    await world.learn("2")
    await world.tend()
    assert not world.runtime.loads
    assert await world.ask() == "2 by 2"
    await world.pool.close()


async def test_the_old_version_may_crash_meanwhile(world: World) -> None:
    """Once a plan waits, a death of the version before does not let the broken one in."""
    world.runtime.errors[V["2"].digest] = BROKEN
    await world.learn("2")
    await world.tend()
    world.runtime.newest(V["1"]).die()
    await world.tend(2)
    assert await world.ask() == "1 by 1"


async def test_going_back_ends_the_wait(world: World) -> None:
    """A roll-back while the new version still loads leaves everything as it was, under its own revision."""
    world.runtime.errors[V["2"].digest] = BROKEN
    await world.learn("2")
    await world.tend()
    await world.learn("1")
    assert world.warming.waiting == 0
    assert await world.ask() == "1 by 3"


async def test_a_quarantined_version_is_let_out_by_a_new_plan(world: World) -> None:
    """A plan that names it anew gives it another chance; any other news does not."""
    world.runtime.errors[V["2"].digest] = LoadFault.of(BROKEN, died=True, last_output="")
    await world.learn("2")
    for _ in range(10):
        await world.tend(40)
    assert world.state(V["2"]) is State.QUARANTINED
    loads = world.runtime.loads[V["2"].digest]
    await world.learn("1", name="another")
    await world.tend(40)
    assert world.runtime.loads[V["2"].digest] == loads
    await world.learn("2")
    world.runtime.errors.clear()
    await world.tend(40)
    assert await world.ask() == "2 by 4"


async def test_a_moved_alias_waits_likewise(world: World) -> None:
    """The alias names its old version here until the new one is loaded."""
    await world.learn("1", aliases={"champion": "1"})
    world.runtime.gates[V["3"].digest] = gate = asyncio.Event()
    await world.learn("1", aliases={"champion": "3"})
    await world.tend()
    assert (await world.ask(alias="champion"))[0] == "1"
    gate.set()
    await world.tend()
    assert (await world.ask(alias="champion"))[0] == "3"


async def test_more_instances_are_loaded_before_the_old_copy_goes(world: World) -> None:
    """A change of instances loads anew; the copy before answers meanwhile, and ends after it."""
    more = {**V, "1": replace(V["1"], instances=3)}
    world.runtime.gates[V["1"].digest] = gate = asyncio.Event()
    await world.learn("1", versions=more)
    await world.tend()
    assert await world.ask() == "1 by 1"
    gate.set()
    await world.tend()
    assert await world.ask() == "1 by 2"
    await settle()
    assert [(copy.version.instances, copy.closed) for copy in world.runtime.loaded] == [(1, True), (3, False)]


async def test_a_warm_plan_loads_ahead_and_after_a_death() -> None:
    """Nobody has to ask: the version is there, and there again after a crash."""
    world = World()
    await world.learn("1", warm=True)
    await world.tend()
    assert world.state(V["1"]) is State.READY
    world.runtime.newest(V["1"]).die()
    await world.tend()
    assert world.state(V["1"]) is State.READY
    assert world.runtime.loads[V["1"].digest] == 2
    await world.learn("1", warm=False)
    world.pool.unload(V["1"])
    await world.tend(60)
    assert world.state(V["1"]) is State.COLD
    await world.pool.close()


async def test_a_node_that_starts_waits_for_its_warm_plans() -> None:
    """Until each was loaded or tried once, and no longer than half a minute."""
    world = World()
    assert world.warming.starting == 0
    world.runtime.gates = {V["1"].digest: asyncio.Event(), V["2"].digest: asyncio.Event()}
    await world.learn("1", warm=True)
    await world.learn("2", name="n", warm=True)
    assert world.warming.starting == 2
    await world.tend()
    world.runtime.gates[V["1"].digest].set()
    await world.tend()
    assert world.warming.starting == 1
    world.clock.now += START_SECONDS + 1
    assert world.warming.starting == 0
    await world.pool.close()


async def test_shadows_are_loaded_one_at_a_time_and_nobody_waits_for_them() -> None:
    """A node is ready without them, and their loads leave turns for others."""
    world = World()
    shadows = {n: replace(servable(n, f"shadow {n}"), background=True) for n in ("2", "3")}
    world.runtime.gates = {shadow.digest: asyncio.Event() for shadow in shadows.values()}
    model = snapshot("m", {"1": V["1"], **shadows}, "1")
    plan = Plan(VersionNumber("1"), shadows=tuple(Shadow(VersionNumber(n)) for n in shadows))
    world.learn_model(replace(model, plan=plan))
    await world.tend()
    assert world.warming.starting == 0
    assert sum(world.runtime.loads.values()) == 1
    for gate in world.runtime.gates.values():
        gate.set()
    for _ in range(3):
        await world.tend()
    assert all(world.state(shadow) is State.READY for shadow in shadows.values())
    assert world.state(V["1"]) is State.COLD
    await world.pool.close()


async def test_only_a_few_are_loaded_ahead_at_once() -> None:
    """Loads that nobody waits for leave room for those that somebody does."""
    world = World()
    world.runtime.gates = {servable("1", f"model {n}").digest: asyncio.Event() for n in range(6)}
    for n in range(6):
        await world.learn("1", name=f"m{n}", versions={"1": servable("1", f"model {n}")}, warm=True)
    await world.tend()
    assert sum(world.runtime.loads.values()) == 2
    for gate in world.runtime.gates.values():
        gate.set()
    for _ in range(6):
        await world.tend()
    assert sum(world.runtime.loads.values()) == 6
    await world.pool.close()


async def test_want_of_room_does_not_hold_a_plan_back_for_ever() -> None:
    """Where there is room for one of the two only, the old one answers for a load's time, then the newest plan wins."""
    world = World(budget=50 * MIB)
    world.runtime.memory = {v.digest: 40 * MIB for v in V.values()}
    await world.learn("1")
    await world.ask()
    await world.learn("2")
    await world.tend()
    assert await world.ask() == "1 by 1"
    assert "no_capacity" in world.warming.why_waiting("m")
    await world.tend(61)
    assert await world.ask() == "2 by 2"
    await world.pool.close()


async def test_others_make_room_for_a_plan_that_waits() -> None:
    """An idle version of another model goes, the one that answers stays."""
    world = World(budget=100 * MIB)
    world.runtime.memory = {v.digest: 40 * MIB for v in V.values()}
    await world.learn("1")
    await world.ask()
    (await world.pool.lease(M, V["3"], 5)).release()
    await world.learn("2")
    await world.tend()
    assert await world.ask() == "2 by 2"
    assert (world.state(V["1"]), world.state(V["3"])) == (State.READY, State.COLD)
    await world.pool.close()


async def test_the_task_tends_by_itself_and_ends_with_its_loads(world: World) -> None:
    """Run as a node runs it, a change is followed without anybody's help; cancelled, it leaves no load behind."""
    task = asyncio.create_task(world.warming.run())
    await settle()
    await world.learn("2")
    await settle()
    assert await world.ask() == "2 by 2"
    world.runtime.gates[V["3"].digest] = asyncio.Event()
    await world.learn("3")
    await settle()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert world.pool.state(V["3"]) is State.LOADING  # the pool's own, which it ends itself
    with pytest.raises(Unavailable):
        await world.pool.lease(M, V["3"], 0)
