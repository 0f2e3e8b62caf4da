"""The loaded versions of this node: who loads, who waits, who may use, who must go.

    lease ── ready ──────────────────────────────► Lease
      │
      ├── cold ── one load a version ── artifact ── runtime ──► ready
      │             (everybody else waits for the same one)
      └── failed ── the same error again, until its back-off is over

Versions do not wait for one another: nothing is held across a load. What a plan names no more is drained: it ends when
its last lease is back. Not here: which version a request gets (``routing``), how one is loaded and how many at once
(``runtimes``), how much memory all may take (eviction, with the runtime work).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, Protocol

from registry import log
from registry.errors import Conflict, HeadgateError, Internal, Refused, Unavailable
from registry.records import Digest, ModelName, ServableVersion, VersionNumber
from serving.pool.slot import Identity, Lease, Named, Residence, Slot, Status
from serving.pool.state import State, backoff_seconds
from serving.ports import ArtifactLease, Runtime

MAX_WAITING = 1024
CLOSE_SECONDS = 20.0
_GRACE_SECONDS = 5.0

Servables = Callable[[ModelName, VersionNumber], ServableVersion | None]
"""Tells which bytes and libraries a model's version has now; None where it may not serve."""


class Artifacts(Protocol):
    """Where the files of a version are had: the cache on disk."""

    async def hold(self, digest: Digest, seconds: float) -> ArtifactLease:
        """Return the model directory, downloaded if need be; raise Unavailable as ``SealedSource`` does."""
        ...


class Watcher(Protocol):
    """Who wants to know what the pool did: metrics."""

    def version_loaded(self, model: str, version: str, seconds: float) -> None:
        """Take note that a version was loaded."""
        ...

    def version_unloaded(self, reason: str) -> None:
        """Take note that one is gone: ``unwanted``, ``operator`` or ``died``."""
        ...

    def version_died(self, model: str, version: str) -> None:
        """Take note that a version's process ended by itself."""
        ...


class Pool:
    """All versions that are, were or may soon be loaded here. For one event loop."""

    def __init__(
        self,
        cache: Artifacts,
        runtime: Runtime,
        watcher: Watcher,
        *,
        load_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._cache = cache
        self._runtime = runtime
        self._watcher = watcher
        self._load_seconds = load_seconds
        self._clock = clock
        self._slots: dict[Identity, Slot] = {}
        self._servables: Servables | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    async def lease(self, model: ModelName, servable: ServableVersion, seconds: float) -> Lease:
        """Return permission to use a version, loading it first if need be.

        Raises Unavailable ``loading`` where ``seconds`` were not enough (the load goes on), ``shutting_down``, or
        whatever the last load failed with while its back-off lasts; Refused ``overloaded`` where too many wait.
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
            await self._wait(slot, self._bring(slot, now), deadline - now)

    def status(self, servable: ServableVersion) -> Status:
        """Return where a version stands here; one that was never asked for is cold."""
        slot = self._slots.get(Identity.of(servable))
        if slot is None:
            return Status(State.COLD)
        return Status(
            state=slot.state,
            reason=f"{slot.failure.code}: {slot.failure.message}" if slot.failure is not None else "",
            memory_bytes=slot.memory_bytes,
            leases=slot.residence.leases if slot.residence is not None else 0,
            idle_seconds=None if slot.last_used is None else max(0.0, self._clock() - slot.last_used),
        )

    def slots(self) -> Iterable[Slot]:
        """Return what the pool keeps, for metrics; read, do not touch."""
        return self._slots.values()

    def retain(self, servables: Servables) -> None:
        """Drain every version that none of its names stands for any more; one that is wanted again stays."""
        self._servables = servables
        for identity, slot in list(self._slots.items()):
            slot.wanted = any(self._stands_for(name, identity) for name in slot.names)
            if slot.wanted or slot.state is State.LOADING:
                continue
            if slot.state is State.READY:
                self._drain(slot, "unwanted")
            elif slot.state is not State.DRAINING:
                del self._slots[identity]

    def unload(self, servable: ServableVersion) -> State:
        """Drain a version at an operator's word; return where it stands then. The next request loads it again.

        Raises Conflict ``not_ready`` while it is being loaded.
        """
        slot = self._slots.get(Identity.of(servable))
        if slot is None:
            return State.COLD
        if slot.state is State.LOADING:
            raise Conflict("not_ready", f"version {servable.version} is being loaded; unload it when it is ready")
        if slot.state is State.READY:
            self._drain(slot, "operator")
        elif slot.state is State.FAILED:
            slot.lifecycle.move(State.COLD)
            slot.failure, slot.failures = None, 0
        return slot.state

    async def close(self) -> None:
        """Unload everything. Leases should be back by now; those that are not are counted in the log."""
        self._closed = True
        held = sum(slot.residence.leases for slot in self._slots.values() if slot.residence is not None)
        if held:
            log.event("leases_not_returned", logging.WARNING, leases=held)
        for slot in self._slots.values():
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
        identity = Identity.of(servable)
        slot = self._slots.get(identity)
        if slot is None:
            # Who chose by the table before the last may ask for what nobody names any more: once, and then it goes.
            slot = self._slots[identity] = Slot(servable, wanted=self._stands_for((model, servable.version), identity))
        slot.names.add((model, servable.version))
        return slot

    def _stands_for(self, name: Named, identity: Identity) -> bool:
        if self._servables is None:
            return True
        servable = self._servables(*name)
        return servable is not None and Identity.of(servable) == identity

    def _lend(self, slot: Slot) -> Lease | None:
        residence = slot.residence
        if residence is None or residence.leaving:
            return None
        if not residence.loaded.alive:
            self._drop_dead(slot, residence)
            return None
        if slot.state is State.DRAINING:
            slot.lifecycle.move(State.READY)
        residence.leases += 1
        slot.last_used = self._clock()
        return Lease(residence, self._take_back)

    def _take_back(self, residence: Residence) -> None:
        residence.leases -= 1
        if residence.leases:
            return
        slot = self._slots.get(Identity.of(residence.servable))
        if slot is not None and slot.residence is residence:
            if slot.state is State.DRAINING:
                self._end(slot, residence)
            elif not slot.wanted:
                self._drain(slot, "unwanted")
        elif not residence.leaving:
            self._close_soon(residence)

    def _bring(self, slot: Slot, now: float) -> asyncio.Task[None]:
        """Return what to wait for: the copy that is ending, or the one load under way, begun here if there is none."""
        if slot.closing is not None:
            return slot.closing
        if slot.loading is not None:
            return slot.loading
        if slot.state is State.FAILED and slot.failure is not None and now < slot.retry_at:
            raise _again(slot.failure, slot.retry_at - now)
        slot.lifecycle.move(State.LOADING)
        slot.loading = self._spawn(self._load(slot))
        return slot.loading

    async def _wait(self, slot: Slot, task: asyncio.Task[None], seconds: float) -> None:
        if slot.waiting >= MAX_WAITING:
            raise Refused("overloaded", f"{MAX_WAITING} requests wait for this version to load already", retry_after=1)
        slot.waiting += 1
        done: set[asyncio.Task[None]] = set()
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
        if slot.state is State.FAILED and slot.failure is not None:
            raise _again(slot.failure, slot.retry_at - self._clock())

    async def _load(self, slot: Slot) -> None:
        begun = self._clock()
        try:
            residence = slot.residence = await self._load_one(slot.servable, begun)
        except asyncio.CancelledError:
            slot.lifecycle.move(State.COLD)
            raise
        except HeadgateError as error:
            self._fail(slot, error)
        except TimeoutError:
            self._fail(slot, Unavailable("loading", f"loading took longer than {self._load_seconds:g} seconds"))
        except Exception as error:  # noqa: BLE001  # the edge of a task: whatever an adapter raised, waiters get an answer
            log.failure("load_raised", error, version=slot.servable.version)
            self._fail(slot, Internal("internal", "loading failed for a fault of the platform; its log has the place"))
        else:
            slot.lifecycle.move(State.READY)
            slot.failure, slot.failures = None, 0
            residence.loaded.when_dead(lambda: self._notice_death(slot, residence))
            model, version = slot.name
            seconds = self._clock() - begun
            self._watcher.version_loaded(model, version, seconds)
            log.event("version_loaded", model=model, version=version, seconds=round(seconds, 3))
        finally:
            slot.loading = None
            self._let_go_if_unwanted(slot)

    async def _load_one(self, servable: ServableVersion, begun: float) -> Residence:
        artifact = await self._cache.hold(servable.digest, self._load_seconds)
        try:
            left = max(0.1, self._load_seconds - (self._clock() - begun))
            async with asyncio.timeout(left + _GRACE_SECONDS):
                loaded = await self._runtime.load(servable, artifact.directory, left)
        except BaseException:
            artifact.release()
            raise
        return Residence(servable, loaded, artifact)

    def _fail(self, slot: Slot, error: HeadgateError) -> None:
        slot.lifecycle.move(State.FAILED)
        slot.failures += 1
        slot.failure = _again(error, 1.0)
        slot.retry_at = self._clock() + backoff_seconds(slot.failures)
        model, version = slot.name
        log.event("version_failed", logging.WARNING, model=model, version=version, code=error.code, times=slot.failures)

    def _let_go_if_unwanted(self, slot: Slot) -> None:
        if slot.wanted or self._closed:
            return
        if slot.state is State.READY:
            # Those who waited for it may still have it; it then goes when their last lease is back.
            if not slot.waiting:
                self._drain(slot, "unwanted")
        elif self._slots.get(Identity.of(slot.servable)) is slot:
            del self._slots[Identity.of(slot.servable)]

    def _notice_death(self, slot: Slot, residence: Residence) -> None:
        if slot.residence is residence and not residence.leaving:
            self._drop_dead(slot, residence)
            self._let_go_if_unwanted(slot)

    def _drop_dead(self, slot: Slot, residence: Residence) -> None:
        slot.lifecycle.move(State.COLD)
        slot.residence = None
        model, version = slot.name
        self._watcher.version_died(model, version)
        self._watcher.version_unloaded("died")
        log.event("version_died", logging.WARNING, model=model, version=version)
        if not residence.leases:
            self._close_soon(residence)

    def _drain(self, slot: Slot, reason: str) -> None:
        residence = slot.residence
        if slot.state is not State.READY or residence is None:
            return
        slot.lifecycle.move(State.DRAINING)
        self._watcher.version_unloaded(reason)
        if not residence.leases:
            self._end(slot, residence)

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
            identity = Identity.of(slot.servable)
            if not slot.wanted and self._slots.get(identity) is slot:
                del self._slots[identity]

    def _close_soon(self, residence: Residence) -> None:
        if not residence.leaving:
            residence.leaving = True
            self._spawn(self._close_residence(residence))

    async def _close_residence(self, residence: Residence) -> None:
        try:
            await residence.loaded.close()
        except Exception as error:  # noqa: BLE001  # the edge of a task: a version that cannot end must not keep its files
            log.failure("unload_raised", error)
        finally:
            residence.artifact.release()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _again(error: HeadgateError, seconds: float) -> HeadgateError:
    """Return the error anew: raising one object over and over would grow its traceback for ever.

    One that promised nothing of a retry still does not, though a retry is let through after the back-off.
    """
    retry_after = None if error.retry_after is None else max(1.0, seconds)
    return type(error)(error.code, error.message, error.details, retry_after=retry_after)
