"""Loading ahead: what a plan will need here before it takes traffic, and what warm plans name.

    a plan or alias moves to a version that is not loaded here, from one that is
        └─► the one before goes on answering (``routing/hold.py``) ── loaded, its example replayed ──► the newest plan
    a plan is warm, or names a canary, rules or shadows
        └─► the versions it names (all, or all but stable) are loaded, kept (evicted last), and loaded again after a
            death; meanwhile stable answers for them

What cannot be loaded is tried again with back-off, while the version before goes on answering for as long as the
registry lets it serve. Only want of room has an end: after ``load_seconds`` the registry's word wins, and the next
request loads the version. Not here: how loading works (``pool.py``) and the decision itself (``hold.py``).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from registry import log
from registry.errors import HeadgateError
from registry.records import ModelName, VersionNumber
from registry.reports import HeldPlan
from registry.snapshots import ServableVersion
from serving.pool.eviction import Claim
from serving.pool.pool import Pool
from serving.pool.slot import Identity
from serving.pool.state import State, backoff_seconds
from serving.routing.hold import decide
from serving.routing.table import Hold, RoutedModel, Routes, Table

PARALLEL = {Claim.SWAP: 8, Claim.AHEAD: 2, Claim.BACKGROUND: 1}
"""How many are loaded at once: loads ahead must leave room for those that somebody waits for."""
START_SECONDS = 30.0
"""How long a node that starts waits with ``/readyz`` for the versions of warm plans."""


@dataclass(slots=True, eq=False)
class _Target:
    """A version to load ahead, and how that went."""

    model: ModelName
    servable: ServableVersion
    claim: Claim
    tries: int = 0
    retry_at: float = 0.0
    error: HeadgateError | None = None
    task: asyncio.Task[None] | None = None


@dataclass(slots=True, eq=False)
class _Held:
    """A model whose newest plan waits, since when (monotonic)."""

    hold: Hold
    since: float


class Warming:
    """Decides which plans wait, and loads what they wait for. For one event loop.

    Args:
        routes: The tables; only this changes what is in force.
        pool: Loads.
        changed: Called after what is in force has changed; must not block.
        load_seconds: How long a plan waits at most where there is no room.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        routes: Routes,
        pool: Pool,
        *,
        changed: Callable[[], None],
        load_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._routes = routes
        self._pool = pool
        self._changed = changed
        self._load_seconds = load_seconds
        self._clock = clock
        self._in_force = self._learnt = Table()
        self._held: dict[str, _Held] = {}
        self._insisted: dict[str, RoutedModel] = {}
        self._ahead: dict[str, RoutedModel] = {}
        self._targets: dict[Identity, _Target] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._kept: frozenset[Identity] = frozenset()
        self._started: float | None = None
        self._wake = asyncio.Event()
        pool.when_changed(self._wake.set)

    def learn(self, newest: Table) -> None:
        """Decide for a table that has just been swapped in, before any request sees it."""
        for name, model in newest.models.items():
            known = self._learnt.models.get(name)
            if known is not None and known.revision != model.revision:
                self._forgive(model)
        plans = ((name, model, model.plan) for name, model in newest.models.items())
        self._ahead = {n: m for n, m, plan in plans if plan is not None and (plan.warm or plan.tries)}
        self._insisted = {n: m for n, m in self._insisted.items() if newest.models.get(n) is m}
        if newest.known and self._started is None:
            self._started = self._clock()
        self._learnt, before = newest, self._in_force.models
        self._decide([n for n, m in newest.models.items() if n in before and before[n] is not m])
        self._plan_loads()
        self._wake.set()

    async def run(self) -> None:
        """Load ahead for ever."""
        try:
            while True:
                self._wake.clear()
                self.tend()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._wake.wait(), self._pause())
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def tend(self) -> None:
        """Let plans go whose versions are loaded by now, and begin the loads that are due."""
        if self._held and self._decide(list(self._held)):
            self._changed()
        self._plan_loads()
        running = [t.claim for t in self._targets.values() if t.task is not None]
        now = self._clock()
        for target in sorted(self._targets.values(), key=lambda t: t.claim):
            if self._is_loaded(target.servable):
                target.tries, target.retry_at, target.error = 0, 0.0, None
            elif (
                target.task is None and now >= target.retry_at and running.count(target.claim) < PARALLEL[target.claim]
            ):
                running.append(target.claim)
                target.task = asyncio.get_running_loop().create_task(self._load(target))
                self._tasks.add(target.task)
                target.task.add_done_callback(self._tasks.discard)

    def why_waiting(self, model: str) -> str:
        """Return why the newest plan of a model is not in force here; empty where it is."""
        held = self._held.get(model)
        if held is None:
            return ""
        reasons = [f"version {number} cannot be read by this node" for number in held.hold.unreadable]
        for routed in held.hold.awaits:
            target = self._targets.get(Identity.of(routed.servable))
            error = None if target is None else target.error
            number = routed.servable.version
            told = f"version {number} is being loaded" if error is None else ""
            reasons.append(told or f"version {number} cannot be loaded here: {_words(error)}")
        return "; ".join(reasons)

    @property
    def held(self) -> tuple[HeldPlan, ...]:
        """The models that go on with the plan before, and what each waits for."""
        return tuple(
            HeldPlan(
                ModelName(name),
                held.hold.revision,
                (*(routed.servable.version for routed in held.hold.awaits), *held.hold.unreadable),
            )
            for name, held in self._held.items()
        )

    @property
    def waiting(self) -> int:
        """How many models go on with the plan before."""
        return len(self._held)

    @property
    def starting(self) -> int:
        """How many versions that are loaded ahead, other than shadows, a node that has just started has not tried yet;
        0 after a while."""
        if self._started is None or self._clock() - self._started > START_SECONDS:
            return 0
        held = {Identity.of(routed.servable) for held in self._held.values() for routed in held.hold.awaits}
        ahead = (t for identity, t in self._targets.items() if identity not in held and not t.tries)
        return sum(t.claim is not Claim.BACKGROUND and not self._is_loaded(t.servable) for t in ahead)

    # ---- deciding ---------------------------------------------------------------------------------------------------

    def _decide(self, names: list[str]) -> bool:
        """Decide anew for ``names``, and put in force what follows; tell whether that changed anything."""
        learnt, before = self._routes.learnt, self._in_force
        held = {n: h for n, h in self._held.items() if n in learnt.models}
        for name in names:
            model = learnt.models.get(name)
            hold = None if model is None else self._hold(before.models[name], model, name in held)
            if hold is None:
                held.pop(name, None)
            else:
                since = held[name].since if name in held else self._clock()
                held[name] = _Held(hold, since)
        for name in held.keys() - self._held.keys():
            log.event("plan_waits", model=name, revision=learnt.models[name].revision)
        for name in self._held.keys() - held.keys():
            if name in learnt.models:
                log.event("plan_in_force", model=name, revision=learnt.models[name].revision)
        same = held.keys() == self._held.keys() and all(h.hold == self._held[n].hold for n, h in held.items())
        self._held = held
        if not same or self._in_force is not self._routes.table:
            self._routes.hold({n: h.hold for n, h in held.items()})
            self._in_force = self._routes.table
        return not same

    def _hold(self, before: RoutedModel, newest: RoutedModel, was_held: bool) -> Hold | None:
        if newest.name in self._insisted:
            return None
        # Once it waits, a version that ends meanwhile (it died, it was evicted) is loaded again by its next request.
        hold = decide(before, newest, self._may_stay if was_held else self._is_loaded, self._is_loaded)
        held = self._held.get(newest.name)
        if hold is None or held is None or self._clock() - held.since <= self._load_seconds:
            return hold
        targets = (self._targets.get(Identity.of(routed.servable)) for routed in hold.awaits)
        if any(t is not None and t.error is not None and t.error.code == "no_capacity" for t in targets):
            # Perhaps there is room for one of the two only: waiting any longer would hold the plan back for ever.
            log.event("plan_in_force_cold", logging.WARNING, model=newest.name, revision=newest.revision)
            self._insisted[newest.name] = newest
            return None
        return hold

    def _is_loaded(self, servable: ServableVersion) -> bool:
        return self._pool.state(servable) is State.READY

    def _may_stay(self, servable: ServableVersion) -> bool:
        return self._pool.state(servable) is not State.QUARANTINED

    def _forgive(self, model: RoutedModel) -> None:
        for servable in _planned(model):
            if self._pool.state(servable) is State.QUARANTINED:
                self._pool.forgive(servable)

    # ---- loading ----------------------------------------------------------------------------------------------------

    def _plan_loads(self) -> None:
        """Work out what is to be loaded ahead, and what is to be evicted last."""
        wanted: dict[Identity, tuple[ModelName, ServableVersion, Claim]] = {}
        kept: set[Identity] = set()
        for name, held in self._held.items():
            kept |= {Identity.of(servable) for servable in _planned(self._in_force.models[name])}
            for routed in held.hold.awaits:
                wanted[Identity.of(routed.servable)] = (ModelName(name), routed.servable, Claim.SWAP)
        for name, model in self._ahead.items():
            for servable, claim in _loaded_ahead(model):
                wanted.setdefault(Identity.of(servable), (ModelName(name), servable, claim))
        for identity in self._targets.keys() - wanted.keys():
            del self._targets[identity]  # a load under way goes on, and serves whoever asks
        for identity, (name, servable, claim) in wanted.items():
            target = self._targets.setdefault(identity, _Target(ModelName(name), servable, claim))
            target.claim = claim
        everything = frozenset(kept | wanted.keys())
        if everything != self._kept:
            self._kept = everything
            self._pool.keep(everything)

    async def _load(self, target: _Target) -> None:
        try:
            await self._pool.load(target.model, target.servable, target.claim)
        except HeadgateError as error:
            target.tries += 1
            target.retry_at = self._clock() + backoff_seconds(target.tries)
            if target.error is None or target.error.code != error.code:
                version = target.servable.version
                log.event("not_loaded_ahead", logging.WARNING, model=target.model, version=version, code=error.code)
            target.error = error
        finally:
            target.task = None
            self._wake.set()

    def _pause(self) -> float | None:
        now = self._clock()
        due = [t.retry_at - now for t in self._targets.values() if t.task is None and t.retry_at > now]
        return max(0.01, min(due)) if due else None


def _planned(model: RoutedModel) -> Iterator[ServableVersion]:
    numbers: frozenset[VersionNumber] = frozenset() if model.plan is None else model.plan.versions
    for number in numbers:
        routed = model.versions.get(number)
        if routed is not None:
            yield routed.servable


def _loaded_ahead(model: RoutedModel) -> Iterator[tuple[ServableVersion, Claim]]:
    plan = model.plan
    if plan is None:
        return
    for servable in _planned(model):
        if servable.version in plan.answering and servable.version != plan.stable:
            yield servable, Claim.SWAP
        elif servable.version != plan.stable or plan.warm:
            yield servable, Claim.BACKGROUND if servable.background else Claim.AHEAD


def _words(error: HeadgateError | None) -> str:
    return "" if error is None else f"{error.code}: {error.message}"
