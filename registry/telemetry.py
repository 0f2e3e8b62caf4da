"""The registry's metrics, under the names of the HTTP contract. Counted where things happen, shown on ``/metrics``."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge

from registry.monitoring.shown import ROWS
from registry.plans import WHOLE
from registry.records import VersionState
from registry.traffic.judgement import Judgement
from registry.traffic.rollout import ENDED, Rollout

_NEWEST = "of the newest judged window"
DRIFT_SENTENCES = {
    "headgate_drift_psi": f"Population stability index of a feature, {_NEWEST} beside the baseline.",
    "headgate_drift_psi_critical": "The index above which it is drift, for as many rows as that window had.",
    "headgate_drift_js": f"Jensen-Shannon distance of a feature, {_NEWEST}: 0 to 1.",
    "headgate_drift_ks": f"Kolmogorov-Smirnov distance of a feature of numbers, {_NEWEST}: 0 to 1.",
    "headgate_drift_wasserstein": f"Wasserstein distance of a feature of numbers, {_NEWEST}, in the baseline's sigmas.",
    "headgate_drift_detected": f"1 where a feature {_NEWEST} has drifted, else 0.",
    "headgate_drift_warned": f"1 where a feature {_NEWEST} has moved enough to warn, or has drifted, else 0.",
    "headgate_missing_ratio": f"Share of rows without a value of a feature, {_NEWEST}.",
}
ROWS_SENTENCE = "Rows of the newest judged window."


class RegistryMetrics:
    """All metrics of the registry process, in a collector registry of their own."""

    def __init__(self) -> None:
        self.collected = CollectorRegistry()
        self._admissions = Counter(
            "headgate_admissions_total",
            "Admissions that ended, by verdict: ready or rejected.",
            ("verdict",),
            registry=self.collected,
        )
        for verdict in (VersionState.READY, VersionState.REJECTED):
            self._admissions.labels(verdict.value)

        self._share = Gauge(
            "headgate_rollout_share_ratio",
            "Share of the requests that a rollout gives its version now. Shown by the registry that leads.",
            ("model", "version"),
            registry=self.collected,
        )
        self._evidence = Gauge(
            "headgate_rollout_evidence",
            "Evidence against a rollout's version: the log of the e-value over its limit; 1 ends the rollout.",
            ("model", "version", "metric"),
            registry=self.collected,
        )
        self._rollouts = Counter(
            "headgate_rollouts_total",
            "Rollouts that ended, by outcome: succeeded, failed, aborted or expired.",
            ("model", "outcome"),
            registry=self.collected,
        )
        self._nodes = Gauge(
            "headgate_nodes", "Serving nodes that were heard of in the last minute.", registry=self.collected
        )
        self._drift = {
            name: Gauge(name, sentence, ("model", "version", "feature"), registry=self.collected)
            for name, sentence in DRIFT_SENTENCES.items()
        }
        self._drift[ROWS] = Gauge(ROWS, ROWS_SENTENCE, ("model", "version"), registry=self.collected)
        self._counted: set[str] = set()
        self._shown: dict[str, tuple[str, str, set[str]]] = {}
        self._drifting: dict[str, set[tuple[str, ...]]] = {name: set() for name in self._drift}

    def admitted(self, verdict: VersionState) -> None:
        """Count one admission."""
        self._admissions.labels(verdict.value).inc()

    def rollout_seen(self, rollout: Rollout, judgement: Judgement) -> None:
        """Show a rollout's share and evidence."""
        model, version = rollout.model, rollout.version
        self._share.labels(model, version).set(rollout.share / WHOLE)
        shown = self._shown.setdefault(rollout.id, (model, version, set()))[2]
        for metric, numbers in judgement.evidence.items():
            if numbers.get("evidence") is not None:
                self._evidence.labels(model, version, metric).set(numbers["evidence"])
                shown.add(metric)

    def rollouts_are(self, going_on: Mapping[str, Rollout]) -> None:
        """Show no others any more than these, by id."""
        kept = {(rollout.model, rollout.version) for rollout in going_on.values()}
        for name in self._shown.keys() - going_on.keys():
            model, version, metrics = self._shown.pop(name)
            if (model, version) not in kept:
                self._share.remove(model, version)
            # What the next rollout of the same version has shown already is its own.
            for _, _, others in (shown for shown in self._shown.values() if shown[:2] == (model, version)):
                metrics -= others
            for metric in metrics:
                self._evidence.remove(model, version, metric)

    def rollout_ended(self, rollout: Rollout) -> None:
        """Count a rollout that has ended."""
        for state in ENDED:
            self._rollouts.labels(rollout.model, state.value).inc(rollout.state is state)
        self._counted.add(rollout.model)

    def models_are(self, names: Collection[str]) -> None:
        """Show no more what was counted of other models than these: they are gone."""
        for model in list(self._counted):
            if model not in names:
                self._counted.discard(model)
                for state in ENDED:
                    self._rollouts.remove(model, state.value)

    def drift_is(self, found: Mapping[str, Mapping[tuple[str, ...], float]]) -> None:
        """Show these series of the newest verdicts, by metric and labels, and no others any more."""
        for name, gauge in self._drift.items():
            for labels in self._drifting[name] - found[name].keys():
                gauge.remove(*labels)
            for labels, value in found[name].items():
                gauge.labels(*labels).set(value)
            self._drifting[name] = set(found[name])

    def nodes_are(self, count: int) -> None:
        """Show how many nodes there are."""
        self._nodes.set(count)
