"""The numbers this node shows on ``/metrics``, under the names of the HTTP contract.

Labels are models and versions that exist, up to a cap; anything else counts as ``other``. Children are kept, because
looking one up by its labels costs more than counting. What can be read when somebody asks (states, memory, age) is read
then, not kept up to date. Not here: windows for drift.
"""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, generate_latest

from registry.edge.problems import STATUS
from serving.pool.slot import Slot
from serving.pool.state import State
from serving.routing.table import Table
from serving.telemetry.catalogue import (
    CACHED,
    CATALOGUE,
    LOAD_SECONDS,
    MEMORY,
    PLAN_REVISION,
    READERS_LOST,
    REFUSED,
    REQUEST_SECONDS,
    REQUESTS,
    RESTARTS,
    SNAPSHOT_AGE,
    STAGE_SECONDS,
    UNLOADS,
    VERSIONS,
    Metric,
)
from serving.telemetry.finished import Finished

__all__ = ["CATALOGUE", "CONTENT_TYPE", "MAX_GROUPS", "OTHER", "Metrics", "Readings"]

OTHER = "other"
MAX_GROUPS = 1000
STAGES = ("decode", "queue", "predict", "encode")
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class _Group:
    """The children of one model and version."""

    __slots__ = ("counts", "labels", "requests", "stages")

    def __init__(self, labels: tuple[str, str], requests: Histogram, stages: tuple[Histogram, ...]) -> None:
        self.labels = labels
        self.requests = requests
        self.stages = stages
        self.counts: dict[tuple[str, str, int], Counter] = {}


@dataclass(frozen=True, slots=True)
class Readings:
    """What is read from the node when somebody asks."""

    table: Table
    slots: Iterable[Slot]
    snapshot_age: float | None
    cached_bytes: int


class Metrics:
    """All metrics of one node, in a registry of their own. For one thread: the event loop's."""

    def __init__(self) -> None:
        # One `_created` series beside each counter and histogram would double the page, and nobody reads them.
        disable_created_metrics()  # type: ignore[no-untyped-call]  # the library gives it no types
        registry = self._registry = CollectorRegistry()
        self._requests = _counter(REQUESTS, registry)
        self._seconds = _histogram(REQUEST_SECONDS, registry)
        self._stages = _histogram(STAGE_SECONDS, registry)
        self._refused = _counter(REFUSED, registry)
        self._loads = _histogram(LOAD_SECONDS, registry)
        self._unloads = _counter(UNLOADS, registry)
        self._restarts = _counter(RESTARTS, registry)
        self._readers_lost = _counter(READERS_LOST, registry)
        self._states = _gauge(VERSIONS, registry)
        self._memory = _gauge(MEMORY, registry)
        self._revisions = _gauge(PLAN_REVISION, registry)
        self._age = _gauge(SNAPSHOT_AGE, registry)
        self._cached = _gauge(CACHED, registry)
        self._groups: dict[tuple[str, str], _Group] = {}
        self._labelled: set[tuple[str, str]] = set()
        self._table = Table()

    def observe(self, done: Finished) -> None:
        """Count one finished request."""
        group = self._group(done.model, done.version)
        key = (done.arm, done.protocol, STATUS[done.code] // 100 if done.code else 2)
        count = group.counts.get(key)
        if count is None:
            count = self._requests.labels(*group.labels, done.arm or OTHER, done.protocol, f"{key[2]}xx")
            group.counts[key] = count
        count.inc()
        if not done.code:
            group.requests.observe(done.seconds)
            decode, queue, predict, encode = group.stages
            decode.observe(done.decode)
            queue.observe(done.queue)
            predict.observe(done.predict)
            encode.observe(done.encode)
        elif STATUS[done.code] in (429, 503):
            self._refused.labels(group.labels[0], done.code).inc()

    def version_loaded(self, model: str, version: str, seconds: float) -> None:
        """Take note that a version was loaded."""
        self._loads.labels(*self._labels(model, version)).observe(seconds)

    def version_unloaded(self, reason: str) -> None:
        """Take note that a version is gone."""
        self._unloads.labels(reason).inc()

    def version_died(self, model: str, version: str) -> None:
        """Take note that a version's process ended by itself."""
        self._restarts.labels(*self._labels(model, version), "died").inc()

    def table_reader_lost(self, reason: str) -> None:
        """Take note that a body has cost a table reader its life."""
        self._readers_lost.labels(reason).inc()

    def retain(self, table: Table) -> None:
        """Learn which models and versions exist; remove the series of those that do no more."""
        self._table = table
        per_version = (self._requests, self._seconds, self._stages, self._loads, self._restarts)
        for model, version in [pair for pair in self._labelled if not self._exists(*pair)]:
            self._labelled.discard((model, version))
            self._groups.pop((model, version), None)
            for metric in per_version:
                metric.remove_by_labels({"model": model, "version": version})
            if model not in self._table.models:
                self._refused.remove_by_labels({"model": model})

    def page(self) -> bytes:
        """Return everything in Prometheus' text format. May run beside the event loop."""
        return generate_latest(self._registry)

    def read(self, now: Readings) -> None:
        """Take over what is only looked at when somebody asks. On the event loop, before ``page``."""
        states: Tally[State] = Tally()
        self._memory.clear()
        for slot in now.slots:
            states[slot.state] += 1
            if slot.memory_bytes:
                for model, version in islice(slot.names, MAX_GROUPS):
                    if self._table.servable(model, version) is not None:
                        self._memory.labels(model, version).set(slot.memory_bytes)
        versions = sum(len(m.versions) for m in now.table.models.values())
        states[State.COLD] += max(0, versions - sum(states.values()))
        for state in State:
            self._states.labels(state).set(states[state])
        self._revisions.clear()
        for routed in islice(now.table.models.values(), MAX_GROUPS):
            self._revisions.labels(routed.name).set(routed.revision)
        self._age.set(float("nan") if now.snapshot_age is None else now.snapshot_age)
        self._cached.set(now.cached_bytes)

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

    def _group(self, model: str, version: str) -> _Group:
        group = self._groups.get((model, version))
        if group is None:
            labels = self._labels(model, version)
            group = self._groups.get(labels)
            if group is None:
                stages = tuple(self._stages.labels(*labels, stage) for stage in STAGES)
                group = self._groups[labels] = _Group(labels, self._seconds.labels(*labels), stages)
        return group


def _counter(metric: Metric, registry: CollectorRegistry) -> Counter:
    return Counter(metric.name, metric.sentence, metric.labels, registry=registry)


def _gauge(metric: Metric, registry: CollectorRegistry) -> Gauge:
    return Gauge(metric.name, metric.sentence, metric.labels, registry=registry)


def _histogram(metric: Metric, registry: CollectorRegistry) -> Histogram:
    return Histogram(metric.name, metric.sentence, metric.labels, registry=registry, buckets=metric.buckets)
