"""The pool under any order of events, as a state machine: loads are single, leases protect, the budget holds."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from registry.errors import Conflict, ModelFault, Unavailable
from registry.records import Digest, ModelName
from serving.pool.crashes import MOST_CRASHES
from serving.pool.eviction import Claim
from serving.pool.limits import PoolLimits
from serving.pool.pool import Pool
from serving.pool.slot import Identity, Lease
from serving.pool.state import State
from serving.ports import LoadFault
from tests.support.serving_fakes import Clock, FakeCache, FakeLoaded, FakeRuntime, FakeWatcher, servable, settle

T = TypeVar("T")
MODEL = ModelName("m")
VERSIONS = [servable(str(n)) for n in range(1, 6)]
BUDGET = 100 << 20  # three estimates of 32 MiB and a little
WHICH_ALL = set(range(len(VERSIONS)))
WHICH = st.sampled_from(range(len(VERSIONS)))
COST = st.sampled_from((10 << 20, 30 << 20, 60 << 20, 150 << 20))


class PoolMachine(RuleBasedStateMachine):
    """Plays steps against a pool. The fakes themselves assert: no two loads at once, no call on a closed copy."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.cache, self.runtime, self.clock = FakeCache(), FakeRuntime(), Clock()
        limits = PoolLimits(60, BUDGET, patience_seconds=0)
        self.pool = Pool(self.cache, self.runtime, FakeWatcher(), limits=limits, clock=self.clock)
        self.asking: list[asyncio.Task[Lease]] = []
        self.leases: list[Lease] = []
        self.sent_away: set[Digest] = set()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run something on the pool's loop."""
        return self.loop.run_until_complete(work)

    def within(self, act: Callable[[], T]) -> T:
        """Do something on the loop: most of the pool begins tasks."""

        async def work() -> T:
            return act()

        return self.run(work())

    async def _ask(self, n: int) -> None:
        loads = self.runtime.loads[VERSIONS[n].digest]
        state = self.pool.state(VERSIONS[n])
        self.asking.append(asyncio.create_task(self.pool.lease(MODEL, VERSIONS[n], 5)))
        await settle()
        if state is State.QUARANTINED:
            assert self.runtime.loads[VERSIONS[n].digest] == loads, "a quarantined version was loaded by itself"

    @rule(n=WHICH)
    def ask(self, n: int) -> None:
        """Somebody wants to use a version."""
        self.run(self._ask(n))

    @rule(n=WHICH)
    def ask_a_little_later(self, n: int) -> None:
        """Somebody wants to use a version after its shortest back-off."""
        self.clock.now += 1
        self.run(self._ask(n))

    @precondition(lambda self: self.leases)
    @rule(n=st.integers(0, 50))
    def release(self, n: int) -> None:
        """Somebody has finished."""
        self.within(self.leases.pop(n % len(self.leases)).release)

    @rule(n=WHICH, claim=st.sampled_from((Claim.SWAP, Claim.AHEAD)))
    def load_ahead(self, n: int, claim: Claim) -> None:
        """A plan wants a version before anybody asks for it."""

        async def ahead() -> None:
            task = asyncio.create_task(self.pool.load(MODEL, VERSIONS[n], claim))
            task.add_done_callback(lambda t: t.cancelled() or t.exception())
            await settle()

        self.run(ahead())

    @rule(n=WHICH)
    def loads_hang(self, n: int) -> None:
        """From now on loads of a version take for ever."""
        self.runtime.gates.setdefault(VERSIONS[n].digest, asyncio.Event())

    @rule(n=WHICH)
    def loads_go_on(self, n: int) -> None:
        """They do not any more."""
        self.within(self.runtime.gates.pop(VERSIONS[n].digest, asyncio.Event()).set)

    @rule(n=WHICH, died=st.booleans())
    def breaks(self, n: int, died: bool) -> None:
        """From now on a version cannot be loaded."""
        fault = ModelFault("model_error", "broken")
        self.runtime.errors[VERSIONS[n].digest] = LoadFault.of(fault, died=died, last_output="Segmentation fault")

    @rule(n=WHICH)
    def crashes_in_a_loop(self, n: int) -> None:
        """A version dies as often as it is loaded, until it is left alone; then somebody asks for it."""
        self.breaks(n, died=True)
        for _ in range(MOST_CRASHES):
            self.clock.now += 40
            self.run(self._ask(n))
        self.run(self._ask(n))

    @rule(n=WHICH)
    def is_mended(self, n: int) -> None:
        """It can again."""
        self.runtime.errors.pop(VERSIONS[n].digest, None)

    @rule(n=WHICH, cost=COST)
    def costs(self, n: int, cost: int) -> None:
        """From its next load on a version takes so much memory."""
        self.runtime.memory[VERSIONS[n].digest] = cost

    @precondition(lambda self: self.living())
    @rule(n=st.integers(0, 50))
    def dies(self, n: int) -> None:
        """A process crashes."""
        living = self.living()
        self.within(living[n % len(living)].die)

    @precondition(lambda self: self.living())
    @rule(n=st.integers(0, 50), cost=COST)
    def grows(self, n: int, cost: int) -> None:
        """A process takes another amount of memory, and that is noticed."""
        living = self.living()
        living[n % len(living)].memory_bytes = cost
        self.run(self.pool.measure(100))

    @rule(n=WHICH)
    def unload(self, n: int) -> None:
        """An operator unloads a version."""

        self.sent_away.add(VERSIONS[n].digest)
        try:
            self.within(lambda: self.pool.unload(VERSIONS[n]))
        except Conflict:
            assert self.pool.state(VERSIONS[n]) is State.LOADING

    @rule(n=WHICH)
    def forgive(self, n: int) -> None:
        """An operator lets a version out of quarantine."""
        self.pool.forgive(VERSIONS[n])

    @rule(known=st.sets(WHICH))
    def retain(self, known: set[int]) -> None:
        """The registry names these versions and no others."""
        self.sent_away |= {VERSIONS[n].digest for n in WHICH_ALL - known}
        there = {VERSIONS[n].version: VERSIONS[n] for n in known}
        self.within(lambda: self.pool.retain(lambda model, number: there.get(number)))

    @rule(kept=st.sets(WHICH))
    def keep(self, kept: set[int]) -> None:
        """These are named by warm plans."""
        self.pool.keep(frozenset(Identity.of(VERSIONS[n]) for n in kept))

    @rule(seconds=st.sampled_from((1, 10, 100, 700)))
    def time_passes(self, seconds: int) -> None:
        """Nothing happens for a while."""
        self.clock.now += seconds

    def living(self) -> list[FakeLoaded]:
        """Return the copies whose process lives."""
        return [copy for copy in self.runtime.loaded if copy.alive]

    @invariant()
    def nothing_is_broken(self) -> None:
        """What must hold at every moment."""
        self.run(settle())
        for task in [t for t in self.asking if t.done()]:
            self.asking.remove(task)
            if (error := task.exception()) is None:
                self.leases.append(task.result())
                self.sent_away -= {task.result().loaded.version.digest}  # type: ignore[attr-defined]  # the fake's
            else:
                assert isinstance(error, ModelFault | Unavailable)
        for lease in self.leases:
            assert isinstance(lease.loaded, FakeLoaded)
            assert not lease.loaded.closed, "a version ended under a lease"
            if self.pool.state(lease.loaded.version) is State.DRAINING:
                assert lease.loaded.version.digest in self.sent_away, "a version in use was evicted"
        current = Counter(copy.version.digest for copy in self.living())
        assert all(count == 1 for count in current.values()), "one version is loaded twice"

    @invariant()
    def the_budget_is_kept(self) -> None:
        """What is loaded fits, but for what is in use and turned out larger than anybody knew."""
        self.run(self.pool.measure(100))  # as happens every second
        self.run(settle())
        living = self.living()
        idle = [copy for copy in living if not any(lease.loaded is copy for lease in self.leases)]
        used = sum(copy.memory_bytes for copy in living)
        if used > BUDGET:
            assert len(living) == 1 or not idle, "over budget, and somebody idle stays"

    def teardown(self) -> None:
        """Give everything back; afterwards nothing may be left."""

        async def end() -> None:
            for gate in self.runtime.gates.values():
                gate.set()
            await settle()
            for lease in self.leases:
                lease.release()
            self.leases.clear()
            await settle()
            self.pool.retain(lambda model, number: None)
            await settle()
            for task in self.asking:
                if not task.cancelled() and task.exception() is None:
                    task.result().release()
            await settle()
            assert list(self.pool.slots()) == [], "something is kept of a version that nobody wants"
            assert not +self.cache.held, "an artifact is still held"
            assert all(copy.closed for copy in self.runtime.loaded)
            await self.pool.close()

        self.run(end())
        self.loop.close()


TestPool = PoolMachine.TestCase
TestPool.settings = settings(max_examples=120, stateful_step_count=40, deadline=None)
