"""The loaded versions of this node: who loads, who waits, who may use, who must go.

    lease ── ready ──────────────────────────────► Lease
      │
      ├── cold ── one load a version ── artifact ── room ── runtime ──► ready
      │             (everybody else waits for the same one)
      ├── failed ─────── the same error again, until its back-off is over
      └── quarantined ── the same error again, until an operator or a new plan lets it out

Versions wait for one another only for memory: no lock is held across a load. What a plan names no more is drained: it
ends when its last lease is back; so is the least recently used version where another needs its room. Not here: which
version a request gets (``routing``), the steps of one load (``loading``), how many at once (``runtimes``), who must go
(``eviction``), how much memory all may take (``room``), what failures mean (``setbacks``), what is loaded ahead
(``warming``).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Coroutine, Iterable
from typing import Any

from registry import log
from registry.errors import Conflict, HeadgateError, Refused, Unavailable
from registry.records import ModelName
from registry.snapshots import ServableVersion
from serving.pool.eviction import Claim
from serving.pool.limits import PoolLimits
from serving.pool.loading import Loader, end
from serving.pool.ports import Artifacts, Servables, Watcher
from serving.pool.room import Room
from serving.pool.roster import Roster
from serving.pool.setbacks import again, forgive, keep_output, note_death, note_failed_load, refusal
from serving.pool.slot import Identity, Lease, Residence, Slot, Status
from serving.pool.state import State
from serving.ports import Batching, LoadFault, Replacing, Runtime

MAX_WAITING = 1024
CLOSE_SECONDS = 20.0

Task = asyncio.Task[HeadgateError | None]
"""What is waited for: it returns why there is nothing to lease, or None."""


class Pool:
    """All versions that are, were or may soon be loaded here. For one event loop; ``clock`` is monotonic seconds."""

    def __init__(
        self,
        cache: Artifacts,
        runtime: Runtime,
        watcher: Watcher,
        *,
        limits: PoolLimits,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._watcher = watcher
        self._load_seconds = limits.load_seconds
        self._clock = clock
        self._room = Room(limits.memory_bytes, self._evict, clock, limits.patience_seconds)
        self._loader = Loader(cache, runtime, self._room, seconds=limits.load_seconds, clock=clock)
        self._slots = Roster()
        self._tasks: set[Task] = set()
        self._listeners: list[Callable[[], None]] = []
        self._closed = False

    async def lease(self, model: ModelName, servable: ServableVersion, seconds: float) -> Lease:
        """Return permission to use a version, loading it first if need be.

        Raises Unavailable ``loading`` where ``seconds`` were not enough (the load goes on), ``no_capacity``,
        ``model_quarantined``, ``shutting_down``, or whatever the last load failed with while its back-off lasts;
        Refused ``overloaded`` where too many wait.
        """
        deadline: float | None = None
        while True:
            # Anew each time: while one waits, a version may leave the pool and come back as another slot.
            slot = self._slot(model, servable)
            lease = self._lend(slot)
            if lease is not None:
                return lease
            now = self._clock()
            deadline = now + seconds if deadline is None else deadline
            await self._wait(slot, self._bring(slot, now, Claim.REQUEST), deadline - now)

    def lease_at_hand(self, servable: ServableVersion) -> Lease | None:
        """Return permission to use a version in the background: None where it is not loaded, or others need room."""
        slot = self._slots.find(servable)
        if slot is None or slot.state is not State.READY or self._room.crowded or self._closed:
            return None
        return self._lend(slot)

    async def load(self, model: ModelName, servable: ServableVersion, claim: Claim) -> None:
        """Have a version loaded without using it; raise as ``lease`` does. ``claim`` says who may go for it."""
        deadline = self._clock() + self._load_seconds
        while True:
            slot = self._slot(model, servable)
            if self._usable(slot) is not None:
                return
            now = self._clock()
            await self._wait(slot, self._bring(slot, now, claim), deadline - now)

    def status(self, servable: ServableVersion) -> Status:
        """Return where a version stands here; one that was never asked for is cold."""
        slot = self._slots.find(servable)
        return Status(State.COLD) if slot is None else slot.status(self._clock())

    def state(self, servable: ServableVersion) -> State:
        """Return where a version stands here."""
        slot = self._slots.find(servable)
        return State.COLD if slot is None else slot.state

    def find(self, servable: ServableVersion) -> Slot | None:
        """Return what the pool keeps of a version; read, do not touch."""
        return self._slots.find(servable)

    def slots(self) -> Iterable[Slot]:
        """Return what the pool keeps, for metrics; read, do not touch."""
        return self._slots

    @property
    def memory_budget_bytes(self) -> int:
        """How much memory all versions may take."""
        return self._room.budget

    def when_changed(self, tell: Callable[[], None]) -> None:
        """Have ``tell`` called too whenever a version has moved from one state to another; it must be quick."""
        self._listeners.append(tell)

    def retain(self, *servables: Servables) -> None:
        """Drain every version that none of its names stands for in any of these; one that is wanted again stays."""
        self._slots.retain(servables)
        for slot in self._slots:
            if slot.wanted or slot.state is State.LOADING:
                continue
            if slot.state is State.READY:
                self._drain(slot, "unwanted")
            elif slot.state is not State.DRAINING:
                self._slots.forget(slot)

    def keep(self, identities: Collection[Identity]) -> None:
        """Evict these last, and no others."""
        self._slots.keep(identities)

    def forgive(self, servable: ServableVersion) -> None:
        """Forget what went wrong with a version, at an operator's word or a new plan's: it may be tried at once."""
        slot = self._slots.find(servable)
        if slot is not None:
            forgive(slot)

    def unload(self, servable: ServableVersion) -> State:
        """Drain a version at an operator's word; return where it stands then. The next request loads it again.

        Raises Conflict ``not_ready`` while it is being loaded.
        """
        slot = self._slots.find(servable)
        if slot is None:
            return State.COLD
        if slot.state is State.LOADING:
            raise Conflict("not_ready", f"version {servable.version} is being loaded; unload it when it is ready")
        forgive(slot)
        slot.put_away = True
        self._drain(slot, "operator")
        return slot.state

    async def measure(self, most: int) -> None:
        """Measure anew the versions that were measured longest ago, ``most`` of them; evict where that is too much."""
        await self._room.measure(most)

    async def close(self) -> None:
        """Unload everything. Leases should be back by now; those that are not are counted in the log."""
        self._closed = True
        held = sum(slot.residence.leases for slot in self._slots if slot.residence is not None)
        if held:
            log.event("leases_not_returned", logging.WARNING, leases=held)
        for slot in self._slots:
            if slot.loading is not None:
                slot.loading.cancel()
            if slot.residence is not None:
                self._close_soon(slot.residence)
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                while self._tasks:
                    await asyncio.wait(self._tasks)
        except TimeoutError:
            log.event("versions_not_unloaded", logging.WARNING, tasks=len(self._tasks))
        self._slots.clear()

    def _slot(self, model: ModelName, servable: ServableVersion) -> Slot:
        if self._closed:
            raise Unavailable("shutting_down", "this node is shutting down; send the request again", retry_after=1)
        return self._slots.take(model, servable)

    def _usable(self, slot: Slot) -> Residence | None:
        """Return the copy that can be used, which drains no more; one that is found dead is dropped."""
        residence, state = slot.residence, slot.lifecycle.state
        if residence is None or residence.leaving or state is State.LOADING:
            return None
        if not residence.loaded.alive:
            self._drop_dead(slot, residence)
            return None
        if state is State.DRAINING:
            slot.lifecycle.move(State.READY)
            slot.put_away = False
        return residence

    def _lend(self, slot: Slot) -> Lease | None:
        residence = self._usable(slot)
        if residence is None:
            return None
        residence.leases += 1
        residence.lent += 1
        slot.last_used = self._clock()
        return Lease(residence, self._take_back)

    def _take_back(self, residence: Residence) -> None:
        residence.leases -= 1
        if residence.leases or residence.leaving:
            return
        slot = residence.slot
        if slot is not None and slot.residence is residence:
            if slot.state is State.DRAINING:
                self._end(slot, residence)
            elif not slot.wanted:
                self._drain(slot, "unwanted")
        else:
            self._close_soon(residence)
        if self._room.crowded:
            self._room.settle()

    def _bring(self, slot: Slot, now: float, claim: Claim) -> Task:
        """Return what to wait for: the copy that is ending, or the one load under way, begun here if there is none."""
        if slot.closing is not None:
            return slot.closing
        if slot.loading is not None:
            if claim < slot.claim:
                slot.claim = claim
                self._room.settle()
            return slot.loading
        refused = refusal(slot, now)
        if refused is not None:
            raise refused
        slot.lifecycle.move(State.LOADING)
        slot.claim, slot.put_away = claim, False
        slot.loading = self._spawn(self._load(slot))
        self._tell()
        return slot.loading

    async def _wait(self, slot: Slot, task: Task, seconds: float) -> None:
        if slot.waiting >= MAX_WAITING:
            raise Refused(
                "overloaded",
                f"{MAX_WAITING} requests wait for this version to load already",
                {"reason": "waiting_for_load"},
                retry_after=1,
            )
        slot.waiting += 1
        done: set[Task] = set()
        try:
            done, _ = await asyncio.wait({task}, timeout=max(0.0, seconds))
        finally:
            slot.waiting -= 1
            if not done and slot.state is State.READY:
                # It was kept for whoever waits, and the last of them has left in the moment that it became ready.
                self._let_go_if_unwanted(slot)
        if self._closed:
            raise Unavailable("shutting_down", "this node is shutting down; send the request again", retry_after=1)
        if not done:
            message = f"version {slot.servable.version} is still being loaded; send the request again"
            raise Unavailable("loading", message, {"state": str(slot.state)}, retry_after=1)
        refused = None if task.cancelled() else task.result()
        if refused is not None:
            raise again(refused, max(1.0, slot.retry_at - self._clock()))

    async def _load(self, slot: Slot) -> HeadgateError | None:
        begun = self._clock()
        try:
            residence = slot.residence = await self._loader.load(slot)
        except asyncio.CancelledError:
            slot.lifecycle.move(State.COLD)
            raise
        except HeadgateError as error:
            return self._fail(slot, error)
        else:
            self._room.enter(slot, residence)
            slot.lifecycle.move(State.READY)
            slot.failure, slot.failures = None, 0
            residence.loaded.when_dead(lambda: self._notice_death(slot, residence))
            model, version = slot.name
            if isinstance(residence.loaded, Batching):
                residence.loaded.lane.watch = self._watcher.batches(model, version)
            if isinstance(residence.loaded, Replacing):
                residence.loaded.when_one_died(lambda: self._watcher.version_died(model, version, "instance"))
            seconds = self._clock() - begun
            self._watcher.version_loaded(model, version, seconds)
            log.event("version_loaded", model=model, version=version, seconds=round(seconds, 3))
            return None
        finally:
            slot.loading = None
            self._room.give_back(slot)
            self._let_go_if_unwanted(slot)
            self._tell()

    def _fail(self, slot: Slot, error: HeadgateError) -> HeadgateError:
        note_failed_load(slot, error, self._clock())
        model, version = slot.name
        self._watcher.load_failed(model, version, error.code)
        if isinstance(error, LoadFault) and error.died:
            self._watcher.version_died(model, version, "loading")
        log.event(
            "version_failed",
            logging.WARNING,
            model=model,
            version=version,
            code=error.code,
            state=str(slot.state),
            times=slot.failures,
        )
        return slot.failure or error

    def _let_go_if_unwanted(self, slot: Slot) -> None:
        if slot.wanted or self._closed:
            return
        if slot.state is State.READY:
            # Those who waited for it may still have it; it then goes when their last lease is back.
            if not slot.waiting:
                self._drain(slot, "unwanted")
        else:
            self._slots.forget(slot)

    def _notice_death(self, slot: Slot, residence: Residence) -> None:
        if slot.residence is residence and not residence.leaving:
            self._drop_dead(slot, residence)
            self._let_go_if_unwanted(slot)

    def _drop_dead(self, slot: Slot, residence: Residence) -> None:
        note_death(slot, residence, self._clock())
        self._room.leave(residence)
        model, version = slot.name
        self._watcher.version_died(model, version)
        self._watcher.version_unloaded("died")
        log.event("version_died", logging.WARNING, model=model, version=version, state=str(slot.state))
        if not residence.leases:
            self._close_soon(residence)
        self._tell()

    def _evict(self, slot: Slot) -> None:
        self._drain(slot, "evicted")

    def _drain(self, slot: Slot, reason: str) -> None:
        residence = slot.residence
        if slot.state is not State.READY or residence is None:
            return
        slot.lifecycle.move(State.DRAINING)
        self._watcher.version_unloaded(reason)
        if not residence.leases:
            self._end(slot, residence)
        self._tell()

    def _end(self, slot: Slot, residence: Residence) -> None:
        residence.leaving = True
        slot.closing = self._spawn(self._finish(slot, residence))

    async def _finish(self, slot: Slot, residence: Residence) -> None:
        try:
            await self._close_residence(residence)
        finally:
            slot.residence, slot.closing = None, None
            slot.lifecycle.move(State.COLD)
            model, version = slot.name
            log.event("version_unloaded", model=model, version=version)
            if not slot.wanted:
                self._slots.forget(slot)
            self._tell()

    def _close_soon(self, residence: Residence) -> None:
        if not residence.leaving:
            residence.leaving = True
            self._spawn(self._close_residence(residence))

    async def _close_residence(self, residence: Residence) -> None:
        await end(residence)
        self._room.leave(residence)
        slot = residence.slot
        if slot is not None and slot.residence in (None, residence):
            keep_output(slot, residence)  # its last words may have come while it ended

    def _tell(self) -> None:
        for tell in self._listeners:
            tell()

    def _spawn(self, work: Coroutine[Any, Any, HeadgateError | None]) -> Task:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task
