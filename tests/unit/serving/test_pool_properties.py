"""The pool under any order of events: one load at a time a version, no end under a lease, nothing left over."""

from __future__ import annotations

import asyncio
from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from registry.errors import Conflict, ModelFault, Unavailable
from registry.records import ModelName
from serving.pool.pool import Pool
from serving.pool.slot import Lease
from serving.pool.state import State
from tests.support.serving_fakes import Clock, FakeCache, FakeRuntime, FakeWatcher, servable, settle

VERSIONS = [servable(str(n)) for n in range(1, 5)]
STEPS = st.lists(
    st.tuples(
        st.sampled_from(("ask", "ask", "release", "open", "shut", "break", "mend", "die", "unload", "retain", "later")),
        st.integers(0, 3),
    ),
    max_size=60,
)


class Story:
    """Plays steps against a pool. The fakes themselves assert: no two loads at once, no call on a closed copy."""

    def __init__(self) -> None:
        self.cache, self.runtime, self.clock = FakeCache(), FakeRuntime(), Clock()
        self.pool = Pool(self.cache, self.runtime, FakeWatcher(), load_seconds=60, clock=self.clock)
        self.asking: list[asyncio.Task[Lease]] = []
        self.leases: list[Lease] = []

    async def play(self, step: str, n: int) -> None:
        """Do one thing, then check."""
        version = VERSIONS[n]
        match step:
            case "ask":
                self.asking.append(asyncio.create_task(self.pool.lease(ModelName("m"), version, 5)))
            case "release" if self.leases:
                self.leases.pop(n % len(self.leases)).release()
            case "open":
                self.runtime.gates.pop(version.digest, asyncio.Event()).set()
            case "shut":
                self.runtime.gates.setdefault(version.digest, asyncio.Event())
            case "break":
                self.runtime.errors[version.digest] = ModelFault("model_error", "broken")
            case "mend":
                self.runtime.errors.pop(version.digest, None)
            case "die" if self.runtime.loaded:
                self.runtime.loaded[n % len(self.runtime.loaded)].die()
            case "unload":
                try:
                    self.pool.unload(version)
                except Conflict:
                    assert self.pool.status(version).state is State.LOADING
            case "retain":
                self.pool.retain(lambda model, number: {v.version: v for v in VERSIONS[:n]}.get(number))
            case "later":
                self.clock.now += 2**n
        await settle()
        self._check(step)

    def _check(self, step: str) -> None:
        for task in [t for t in self.asking if t.done()]:
            self.asking.remove(task)
            error = task.exception()
            if error is None:
                self.leases.append(task.result())
                assert step == "die" or task.result().loaded.alive, "a dead copy was lent"
            else:
                assert isinstance(error, ModelFault | Unavailable)
        for lease in self.leases:
            assert not lease.loaded.closed, "a version ended under a lease"  # type: ignore[attr-defined]  # the fake's
        current = Counter(copy.version.digest for copy in self.runtime.loaded if copy.alive)
        assert all(count == 1 for count in current.values()), "one version is loaded twice"

    async def end(self) -> None:
        """Give everything back; afterwards nothing may be left."""
        for gate in self.runtime.gates.values():
            gate.set()
        await settle()
        self._check("end")
        for lease in self.leases:
            lease.release()
        await settle()
        self.pool.retain(lambda model, number: None)
        await settle()
        assert list(self.pool.slots()) == []
        assert not +self.cache.held, "an artifact is still held"
        assert all(copy.closed for copy in self.runtime.loaded)
        await self.pool.close()


@settings(max_examples=150, deadline=None)
@given(STEPS)
def test_no_order_of_events_breaks_the_pool(steps: list[tuple[str, int]]) -> None:
    """Loads are single, leases protect, and everything comes back."""

    async def story() -> None:
        told = Story()
        for step, n in steps:
            await told.play(step, n)
        await told.end()

    asyncio.run(story())
