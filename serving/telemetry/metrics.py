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

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, generate_latest

from registry.edge.problems import STATUS
from serving.pool.slot import Slot
from serving.pool.state import State
from serving.ports import Batching, BatchWatch
from serving.routing.table import Table
from serving.telemetry.catalogue import (
    CACHED,
    CAPTURED,
    CATALOGUE,
    COUNTS_LOST,
    LOAD_SECONDS,
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
    UNLOADS,
    VERSIONS,
    Metric,
)
from serving.telemetry.finished import Finished
from serving.telemetry.shadowed import ShadowTallies, ShadowTally
from serving.telemetry.tally import Tallies, Tally

__all__ = ["CATALOGUE", "CONTENT_TYPE", "MAX_GROUPS", "OTHER", "Metrics", "Readings"]

OTHER = "other"
MAX_GROUPS = 1000
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class _Batches:
    """Counts the batches of one version."""

    __slots__ = ("_counts",)

    def __init__(self, counts: dict[int, int]) -> None:
        self._counts = counts

    def batch(self, rows: int, requests: int) -> None:
        """Count one."""
        self._counts[rows] = self._counts.get(rows, 0) + 1

    def refused(self, reason: str) -> None:
        """Do nothing: a refused request is counted when it has its answer."""


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
    """All metrics of one node, in a registry of their own. For one thread: the event loop's."""

    def __init__(self) -> None:
        # One `_created` series beside each counter and histogram would double the page, and nobody reads them.
        disable_created_metrics()  # type: ignore[no-untyped-call]  # the library gives it no types
        registry = self._registry = CollectorRegistry()
        self._tallies = Tallies()
        registry.register(self._tallies)
        self._shadowed = ShadowTallies()
        registry.register(self._shadowed)
        self._queued = _gauge(QUEUE_ROWS, registry)
        self._refused = _counter(REFUSED, registry)
        self._loads = _histogram(LOAD_SECONDS, registry)
        self._unloads = _counter(UNLOADS, registry)
        self._restarts = _counter(RESTARTS, registry)
        self._readers_lost = _counter(READERS_LOST, registry)
        self._states = _gauge(VERSIONS, registry)
        self._memory = _gauge(MEMORY, registry)
        self._budget = _gauge(MEMORY_BUDGET, registry)
        self._revisions = _gauge(PLAN_REVISION, registry)
        self._plans_waiting = _gauge(PLANS_WAITING, registry)
        self._age = _gauge(SNAPSHOT_AGE, registry)
        self._report_age = _gauge(REPORT_AGE, registry)
        self._counts_lost = _counter(COUNTS_LOST, registry)
        self._captured = _counter(CAPTURED, registry)
        self._cached = _gauge(CACHED, registry)
        self._known: dict[tuple[str, str], Tally] = {}
        self._labelled: set[tuple[str, str]] = set()
        self._table = Table()

    def observe(self, done: Finished) -> None:
        """Count one finished request."""
        tally = self._known.get((done.model, done.version)) or self._begin(done.model, done.version)
        if not done.code:
            tally.count(done.arm or OTHER, done.protocol, "2xx")
            tally.time(done)
            return
        status = STATUS[done.code]
        tally.count(done.arm or OTHER, done.protocol, f"{status // 100}xx")
        if status in (429, 503) or (status == 504 and done.reason):  # 504: its time was over before its turn
            self._refused.labels(tally.labels[0], done.reason or done.code).inc()

    def version_loaded(self, model: str, version: str, seconds: float) -> None:
        """Take note that a version was loaded."""
        self._loads.labels(*self._labels(model, version)).observe(seconds)

    def version_unloaded(self, reason: str) -> None:
        """Take note that a version is gone."""
        self._unloads.labels(reason).inc()

    def version_died(self, model: str, version: str, reason: str = "died") -> None:
        """Take note that a version's process ended by itself: ``died``, or ``loading`` where it was being loaded."""
        self._restarts.labels(*self._labels(model, version), reason).inc()

    def batches(self, model: str, version: str) -> BatchWatch:
        """Return what counts the batches of a version; cheap enough for each of them."""
        tally = self._tallies.of(self._labels(model, version))
        if tally.batches is None:
            tally.batches = {}
        return _Batches(tally.batches)

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
        per_version = (self._loads, self._restarts)
        for model, version in [pair for pair in self._labelled if not self._exists(*pair)]:
            self._labelled.discard((model, version))
            self._tallies.drop((model, version))
            self._shadowed.drop((model, version))
            for metric in per_version:
                metric.remove_by_labels({"model": model, "version": version})
            if model not in self._table.models:
                self._refused.remove_by_labels({"model": model})
        self._known.clear()  # names may have come to mean others

    def page(self) -> bytes:
        """Return everything in Prometheus' text format. May run beside the event loop."""
        return generate_latest(self._registry)

    def read(self, now: Readings) -> None:
        """Take over what is only looked at when somebody asks. On the event loop, before ``page``."""
        self._tallies.settle()
        states: Counts[State] = Counts()
        self._memory.clear()
        self._queued.clear()
        for slot in now.slots:
            states[slot.state] += 1
            self._read_slot(slot)
        versions = sum(len(m.versions) for m in now.table.models.values())
        states[State.COLD] += max(0, versions - sum(states.values()))
        for state in State:
            self._states.labels(state).set(states[state])
        self._revisions.clear()
        for routed in islice(now.table.models.values(), MAX_GROUPS):
            self._revisions.labels(routed.name).set(routed.revision)
        self._budget.set(now.memory_budget_bytes)
        self._plans_waiting.set(now.plans_waiting)
        self._age.set(float("nan") if now.snapshot_age is None else now.snapshot_age)
        self._report_age.set(float("nan") if now.report_age is None else now.report_age)
        self._cached.set(now.cached_bytes)

    def _read_slot(self, slot: Slot) -> None:
        if slot.residence is None:
            return
        loaded = slot.residence.loaded
        queued = loaded.lane.queued_rows if isinstance(loaded, Batching) else None
        for model, version in islice(slot.names, MAX_GROUPS):
            if self._table.servable(model, version) is not None:
                self._memory.labels(model, version).set(slot.memory_bytes)
                if queued is not None:
                    self._queued.labels(model, version).set(queued)

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


def _counter(metric: Metric, registry: CollectorRegistry) -> Counter:
    return Counter(metric.name, metric.sentence, metric.labels, registry=registry)


def _gauge(metric: Metric, registry: CollectorRegistry) -> Gauge:
    return Gauge(metric.name, metric.sentence, metric.labels, registry=registry)


def _histogram(metric: Metric, registry: CollectorRegistry) -> Histogram:
    return Histogram(metric.name, metric.sentence, metric.labels, registry=registry, buckets=metric.buckets)
