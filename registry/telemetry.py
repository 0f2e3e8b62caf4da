"""The registry's metrics, under the names of the HTTP contract. Counted where things happen, shown on ``/metrics``."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge

from registry.monitoring.quality import VersionQuality
from registry.plans import WHOLE
from registry.records import VersionState
from registry.traffic.judgement import Judgement
from registry.traffic.rollout import ENDED, Rollout


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
        self._quality = Gauge(
            "headgate_quality",
            "Live quality by the labels that came: accuracy, precision, recall, f1, log_loss, auc, calibration_error; "
            "or mae, rmse, r2. Shown by the registry that leads.",
            ("model", "version", "arm", "metric"),
            registry=self.collected,
        )
        self._coverage = Gauge(
            "headgate_label_coverage_ratio",
            "Share of a version's kept predictions that have a label; of versions that have any.",
            ("model", "version"),
            registry=self.collected,
        )
        self._qualities: dict[tuple[str, str], set[tuple[str, str]]] = {}
        self._counted: set[str] = set()
        self._shown: dict[str, tuple[str, str, set[str]]] = {}

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

    def quality_seen(self, model: str, version: str, quality: VersionQuality) -> None:
        """Show a version's live quality."""
        found = {(arm.arm, name): value for arm in quality.arms for name, value in arm.figures.metrics.items()}
        before = self._qualities.get((model, version), set())
        for arm, name in before - found.keys():
            self._quality.remove(model, version, arm, name)
        for (arm, name), value in found.items():
            self._quality.labels(model, version, arm, name).set(value)
        self._coverage.labels(model, version).set(quality.coverage_ratio or 0.0)
        self._qualities[model, version] = set(found)

    def qualities_are(self, versions: Collection[tuple[str, str]]) -> None:
        """Show the live quality of no others any more than these, by model and version."""
        for model, version in self._qualities.keys() - set(versions):
            for arm, name in self._qualities.pop((model, version)):
                self._quality.remove(model, version, arm, name)
            self._coverage.remove(model, version)

    def nodes_are(self, count: int) -> None:
        """Show how many nodes there are."""
        self._nodes.set(count)
