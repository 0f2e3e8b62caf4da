"""The registry's metrics, under the names of the HTTP contract. Counted where things happen, shown on ``/metrics``.

What grows with what people make (rollouts, nodes, whatever is shown of each version) is capped, and its series go with
it. Families with a series for each version belong into ``shown``: thousands of lines are written fast there. Not here:
which metrics there are (``catalogue.py``).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence

from registry.catalogue import (
    ADMISSION_SECONDS,
    ADMISSIONS,
    DRIFT,
    HTTP_REQUESTS,
    HTTP_SECONDS,
    LABEL_COVERAGE,
    LEADS,
    NODE_REPORTED,
    NODES,
    QUALITY,
    REGISTERED,
    ROLLOUT_EVIDENCE,
    ROLLOUT_SHARE,
    ROLLOUTS,
    SNAPSHOT_REVISION,
    TURN_DONE,
    TURNS,
)
from registry.edge.collected import Collected
from registry.edge.exposition import MAX_GROUPS, OTHER, Family, written
from registry.environment import platform_version
from registry.monitoring.quality import VersionQuality
from registry.plans import WHOLE
from registry.records import VersionState
from registry.traffic.arrival import SeenNode
from registry.traffic.judgement import Judgement
from registry.traffic.rollout import ENDED, Rollout

_VERDICTS = (VersionState.READY, VersionState.REJECTED)


class RegistryMetrics:
    """All metrics of the registry process. From any thread; ``now`` tells the wall clock in seconds.

    Attributes:
        collected: Where a family of a few series is made.
        shown: Families with a series for each version or model; whoever has one appends it.
    """

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self._now = now
        made = self._made = Collected(platform_version())
        self.collected = made.registry
        self._requests = made.counter(HTTP_REQUESTS)
        self._seconds = made.histogram(HTTP_SECONDS)
        self._admissions = made.counter(ADMISSIONS, *((verdict.value,) for verdict in _VERDICTS))
        self._admission_seconds = made.histogram(ADMISSION_SECONDS)
        self._registered = made.gauge(REGISTERED)
        self._rollouts = made.counter(ROLLOUTS)
        self._nodes = made.gauge(NODES)
        self._snapshot = made.gauge(SNAPSHOT_REVISION)
        self._turns = made.counter(TURNS)
        self._turn_done = made.gauge(TURN_DONE)
        self._leads = made.gauge(LEADS)
        self._share = Family(ROLLOUT_SHARE)
        self._evidence = Family(ROLLOUT_EVIDENCE)
        self._reported = Family(NODE_REPORTED, MAX_GROUPS, overflow=min)
        self._drift = {metric.name: Family(metric) for metric in DRIFT}
        self._quality, self._coverage = Family(QUALITY), Family(LABEL_COVERAGE)
        self.shown: list[Family] = [
            *(self._share, self._evidence, self._reported),
            *self._drift.values(),
            *(self._quality, self._coverage),
        ]
        self._counted: set[str] = set()
        self._shown: dict[str, tuple[str, str, set[str]]] = {}

    def page(self) -> bytes:
        """Return everything in Prometheus' text format."""
        return written([self._made.text(), *(family.text() for family in self.shown)])

    def requested(self, route: str, method: str, code: str, seconds: float) -> None:
        """Count one request: its route's template, its method and its status class."""
        self._requests.labels(route, method, code).inc()
        self._seconds.labels(route, method).observe(seconds)

    def traced(self, outcome: str, requests: int) -> None:
        """Count requests by what became of their spans."""
        self._made.traced(outcome, requests)

    def admitted(self, verdict: VersionState, seconds: float) -> None:
        """Count one admission, and how long it took."""
        self._admissions.labels(verdict.value).inc()
        self._admission_seconds.labels(verdict.value).observe(seconds)

    def versions_are(self, counts: Mapping[VersionState, int]) -> None:
        """Show how many versions there are, by state."""
        for state in VersionState:
            self._registered.labels(state.value).set(counts.get(state, 0))

    def snapshot_is(self, revision: int) -> None:
        """Show the snapshot's revision."""
        self._snapshot.set(revision)

    def turned(self, task: str, outcome: str) -> None:
        """Count a turn of one of our own tasks: ``done``, ``unavailable`` or ``failed``."""
        self._turns.labels(task, outcome).inc()
        if outcome == "done":
            self._turn_done.labels(task).set(self._now())

    def leads(self, lease: str, *, holds: bool) -> None:
        """Show whether this process holds a lease."""
        self._leads.labels(lease).set(holds)

    def rollout_seen(self, rollout: Rollout, judgement: Judgement) -> None:
        """Show a rollout's share and evidence."""
        if rollout.id not in self._shown and len(self._shown) >= MAX_GROUPS:
            return
        model, version = rollout.model, rollout.version
        self._share.set((model, version), rollout.share / WHOLE)
        shown = self._shown.setdefault(rollout.id, (model, version, set()))[2]
        for metric, numbers in judgement.evidence.items():
            if numbers.get("evidence") is not None:
                self._evidence.set((model, version, metric), numbers["evidence"])
                shown.add(metric)

    def rollouts_are(self, going_on: Mapping[str, Rollout]) -> None:
        """Show no others any more than these, by id."""
        for name in self._shown.keys() - going_on.keys():
            del self._shown[name]
        # What the next rollout of the same version has shown already is its own.
        pairs = {shown[:2] for shown in self._shown.values()}
        kept = {(model, version, metric) for model, version, metrics in self._shown.values() for metric in metrics}
        self._share.drop(lambda labels: labels not in pairs)
        self._evidence.drop(lambda labels: labels not in kept)

    def rollout_ended(self, rollout: Rollout) -> None:
        """Count a rollout that has ended."""
        capped = rollout.model not in self._counted and len(self._counted) >= MAX_GROUPS
        model = OTHER if capped else str(rollout.model)
        for state in ENDED:
            self._rollouts.labels(model, state.value).inc(rollout.state is state)
        self._counted.add(model)

    def models_are(self, names: Collection[str]) -> None:
        """Show no more what was counted of other models than these: they are gone."""
        for model in self._counted - {*names, OTHER}:
            self._counted.discard(model)
            for state in ENDED:
                self._rollouts.remove(model, state.value)

    def drift_is(self, found: Mapping[str, Mapping[tuple[str, ...], float]]) -> None:
        """Show these series of the newest verdicts, by metric and labels, and no others any more."""
        for name, family in self._drift.items():
            family.replace(found[name])

    def quality_seen(self, model: str, version: str, quality: VersionQuality, training: Mapping[str, float]) -> None:
        """Show a version's live quality, and what its training run said."""
        found = {(arm.arm, name): value for arm in quality.arms for name, value in arm.figures.metrics.items()}
        found |= {("training", name): value for name, value in training.items()}
        self._quality.drop(lambda labels: labels[:2] == (model, version) and labels[2:] not in found)
        for series, value in found.items():
            self._quality.set((model, version, *series), value)
        self._coverage.set((model, version), quality.coverage_ratio or 0.0)

    def qualities_are(self, versions: Collection[tuple[str, str]]) -> None:
        """Show the live quality of no others any more than these, by model and version."""
        for family in (self._quality, self._coverage):
            family.drop(lambda labels: labels[:2] not in versions)

    def nodes_are(self, nodes: Sequence[SeenNode]) -> None:
        """Show how many nodes there are, and when each was heard of."""
        self._nodes.set(sum(not node.lost for node in nodes))
        heard: dict[tuple[str, ...], float] = {}
        for node in nodes:
            name = (str(node.state.node),)
            heard[name] = max(heard.get(name, 0.0), node.state.seen_ms / 1000)
        self._reported.replace(heard)
