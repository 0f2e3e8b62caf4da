"""The numbers this node shows on ``/metrics``, under the names of the HTTP contract.

Labels are models and versions that exist, up to a cap; anything else counts as ``other``. Children are kept, because
looking one up by its labels costs more than counting. What can be read when somebody asks (states, memory, age) is read
then, not kept up to date. Not here: windows for drift.
"""

from __future__ import annotations

from collections import Counter as Counts
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

from registry.edge.collected import Collected
from registry.edge.exposition import MAX_GROUPS, OTHER, Family, written
from registry.edge.problems import STATUS
from registry.environment import platform_version
from serving.pool.slot import Slot
from serving.pool.state import State
from serving.ports import Batching, BatchWatch
from serving.routing.table import Table
from serving.telemetry.catalogue import (
    CACHED,
    CAPTURED,
    COUNTS_LOST,
    LOAD_FAILURES,
    MEMORY,
    MEMORY_BUDGET,
    PLAN_REVISION,
    PLANS_WAITING,
    QUEUE_ROWS,
    READERS_LOST,
    REFUSED,
    REPORT_AGE,
    RESTARTS,
    SNAPSHOT_AGE,
    SNAPSHOT_REVISION,
    UNLOADS,
    VERSIONS,
)
from serving.telemetry.finished import Finished
from serving.telemetry.shadowed import ShadowTallies, ShadowTally
from serving.telemetry.tally import Batches, Tallies, Tally

_UNLOADS = ("unwanted", "operator", "evicted", "died")
_LOST = ("full", "refused", "busy", "fault", "no_baseline", "large", "sampled", "predictions")


@dataclass(frozen=True, slots=True)
class Readings:
    """What is read from the node when somebody asks."""

    table: Table
    slots: Iterable[Slot]
    snapshot_age: float | None
    cached_bytes: int
    memory_budget_bytes: int = 0
    plans_waiting: int = 0
    report_age: float | None = None


class Metrics:
    """All metrics of one node. For one thread: the event loop's.

    ``collected`` makes families of a few series; whoever has one with a series for each version appends it to ``shown``
    and drops what is gone in ``retain``.
    """

    def __init__(self) -> None:
        made = self.collected = Collected(platform_version())
        self._tallies = Tallies()
        self._shadowed = ShadowTallies()
        self._unloads = made.counter(UNLOADS, *((reason,) for reason in _UNLOADS))
        self._readers_lost = made.counter(READERS_LOST)
        self._states = made.gauge(VERSIONS)
        self._budget = made.gauge(MEMORY_BUDGET)
        self._plans_waiting = made.gauge(PLANS_WAITING)
        self._revision = made.gauge(SNAPSHOT_REVISION)
        self._age = made.gauge(SNAPSHOT_AGE)
        self._report_age = made.gauge(REPORT_AGE)
        self._counts_lost = made.counter(COUNTS_LOST, *((reason,) for reason in _LOST))
        self._captured = made.counter(CAPTURED)
        self._cached = made.gauge(CACHED)
        self._queued = Family(QUEUE_ROWS)
        self._refused = Family(REFUSED)
        self._restarts = Family(RESTARTS)
        self._load_failures = Family(LOAD_FAILURES)
        self._memory = Family(MEMORY)
        self._revisions = Family(PLAN_REVISION)
        self.shown: list[Family] = [
            *(self._queued, self._refused, self._restarts, self._load_failures, self._memory, self._revisions)
        ]
        self._known: dict[tuple[str, str], Tally] = {}
        self._labelled: set[tuple[str, str]] = set()
        self._table = Table()
        self._counted: tuple[Table, int] = (self._table, 0)

    def observe(self, done: Finished) -> None:
        """Count one finished request."""
        tally = self._known.get((done.model, done.version)) or self._begin(done.model, done.version)
        if not done.code:
            tally.count(done.arm or OTHER, done.protocol, "2xx")
            tally.time(done)
            return
        status = STATUS[done.code]
        tally.count(done.arm or OTHER, done.protocol, f"{status // 100}xx")
        tally.failed(done.seconds)
        if status in (429, 503) or (status == 504 and done.reason):  # 504: its time was over before its turn
            self._refused.add((tally.labels[0], done.reason or done.code))

    def version_loaded(self, model: str, version: str, seconds: float) -> None:
        """Take note that a version was loaded."""
        self._tallies.of(self._labels(model, version)).loaded(seconds)

    def load_failed(self, model: str, version: str, code: str) -> None:
        """Take note that a version could not be loaded."""
        self._load_failures.add((*self._labels(model, version), code))

    def version_unloaded(self, reason: str) -> None:
        """Take note that a version is gone."""
        self._unloads.labels(reason).inc()

    def version_died(self, model: str, version: str, reason: str = "died") -> None:
        """Take note that a version's process ended by itself: ``died``, ``loading`` where it was being loaded, or
        ``instance`` where others of the version are left."""
        self._restarts.add((*self._labels(model, version), reason))

    def batches(self, model: str, version: str) -> BatchWatch:
        """Return what counts the batches of a version; cheap enough for each of them."""
        tally = self._tallies.of(self._labels(model, version))
        if tally.batches is None:
            tally.batches = Batches()
        return tally.batches

    def tally(self, model: str, version: str) -> Tally | None:
        """Return what was counted of a version; None where nothing was. Read, do not touch."""
        return self._tallies.find((model, version))

    def counted(self) -> list[tuple[str, str]]:
        """Return the models and versions of which something was counted, as they are labelled."""
        return self._tallies.names()

    def table_reader_lost(self, reason: str) -> None:
        """Take note that a body has cost a table reader its life."""
        self._readers_lost.labels(reason).inc()

    def counts_lost(self, reason: str, requests: int) -> None:
        """Take note that the registry will never have the counts of some requests. From any thread."""
        self._counts_lost.labels(reason).inc(requests)

    def captured(self, outcome: str, requests: int) -> None:
        """Take note of what became of requests that were drawn for capture."""
        self._captured.labels(outcome).inc(requests)

    def shadow(self, model: str, version: str) -> ShadowTally:
        """Return what counts the copies for a version; ask anew for each."""
        return self._shadowed.of(self._labels(model, version))

    def retain(self, table: Table) -> None:
        """Learn which models and versions exist; remove the series of those that do no more."""
        self._table = table
        gone = {pair for pair in self._labelled if not self._exists(*pair)}
        for pair in gone:
            self._labelled.discard(pair)
            self._tallies.drop(pair)
            self._shadowed.drop(pair)
        if gone:
            for family in (self._restarts, self._load_failures):
                family.drop(lambda labels: labels[:2] in gone)
            self._refused.drop(lambda labels: labels[0] != OTHER and labels[0] not in table.models)
        self._known.clear()  # names may have come to mean others

    def page(self) -> bytes:
        """Return everything in Prometheus' text format. May run beside the event loop."""
        families = (family.text() for family in self.shown)
        return written([self._tallies.text(), *families, self._shadowed.text(), self.collected.text()])

    def read(self, now: Readings) -> None:
        """Take over what is only looked at when somebody asks. On the event loop, before ``page``."""
        self._tallies.settle()
        self._shadowed.settle()
        states: Counts[State] = Counts()
        memory: dict[tuple[str, ...], float] = {}
        queued: dict[tuple[str, ...], float] = {}
        for slot in now.slots:
            states[slot.state] += 1
            self._read_slot(slot, memory, queued)
        self._memory.replace(memory)
        self._queued.replace(queued)
        states[State.COLD] += max(0, self._versions(now.table) - sum(states.values()))
        for state in State:
            self._states.labels(state).set(states[state])
        routed = islice(now.table.models.values(), MAX_GROUPS)
        self._revisions.replace({(model.name,): model.revision for model in routed})
        self._budget.set(now.memory_budget_bytes)
        self._plans_waiting.set(now.plans_waiting)
        self._revision.set(now.table.revision)
        self._age.set(float("nan") if now.snapshot_age is None else now.snapshot_age)
        self._report_age.set(float("nan") if now.report_age is None else now.report_age)
        self._cached.set(now.cached_bytes)

    def _versions(self, table: Table) -> int:
        """Return how many versions there are; of 100,000 models that is counted once, and not at each scrape."""
        if self._counted[0] is not table:
            self._counted = table, sum(len(model.versions) for model in table.models.values())
        return self._counted[1]

    def _read_slot(
        self, slot: Slot, memory: dict[tuple[str, ...], float], queued: dict[tuple[str, ...], float]
    ) -> None:
        if slot.residence is None:
            return
        loaded = slot.residence.loaded
        rows = loaded.lane.queued_rows if isinstance(loaded, Batching) else None
        for model, version in slot.names:
            if len(memory) >= MAX_GROUPS:
                return
            if self._table.servable(model, version) is not None:
                memory[model, version] = slot.memory_bytes
                if rows is not None:
                    queued[model, version] = rows

    def _exists(self, model: str, version: str) -> bool:
        if version == OTHER:
            return model in self._table.models or model == OTHER
        return self._table.servable(model, version) is not None

    def _labels(self, model: str, version: str) -> tuple[str, str]:
        """Return what to call a version: itself, ``other`` of a model that exists, or ``other`` altogether."""
        pair = (model, version)
        if pair in self._labelled:
            return pair
        if self._table.servable(model, version) is None:
            pair = (model, OTHER) if model in self._table.models else (OTHER, OTHER)
        if pair not in self._labelled and len(self._labelled) >= MAX_GROUPS:
            return (OTHER, OTHER)
        self._labelled.add(pair)
        return pair

    def _begin(self, model: str, version: str) -> Tally:
        if len(self._known) >= 2 * MAX_GROUPS:
            self._known.clear()
        tally = self._known[(model, version)] = self._tallies.of(self._labels(model, version))
        return tally
