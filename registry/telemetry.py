"""The registry's metrics, under the names of the HTTP contract. Counted where things happen, shown on ``/metrics``."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter

from registry.records import VersionState


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

    def admitted(self, verdict: VersionState) -> None:
        """Count one admission."""
        self._admissions.labels(verdict.value).inc()
