"""What the registry does by itself, and how often: everything that its background is told to repeat.

Here: which duty belongs to whom. Not here: the duties themselves (``controller.py``, ``monitor.py``, ``baselining.py``,
``monitoring/``), the threads (``background.py``), and what they are made of (``bootstrap.py``).
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from registry.background import Background
from registry.baselining import BaselineOperations
from registry.controller import Controller
from registry.drift_view import DriftView
from registry.monitor import Desk, Monitor
from registry.monitoring.closing import Closing
from registry.monitoring.prediction_ports import Predictions
from registry.monitoring.quality import DAY_MS
from registry.monitoring.quality_watch import QualityWatch, Training
from registry.operations import Operations
from registry.ports import Ledger
from registry.rollouts import RolloutOperations
from registry.telemetry import RegistryMetrics
from registry.traffic.arrival import seen_nodes

LOOK_SECONDS = 0.5
MONITOR_SECONDS = 2.0
BASELINES_SECONDS = 2.0
BASELINES_LEASE_SECONDS = 30.0
VIEW_SECONDS = 5.0
NODES_SECONDS = 5.0
VERSIONS_SECONDS = 10.0
QUALITY_SECONDS = 10.0
PREDICTIONS_SWEEP_SECONDS = 30.0
SWEEP_SECONDS = 600.0
WINDOWS_KEPT_MS = 7 * DAY_MS
NODES_KEPT_MS = DAY_MS


class Parts(Protocol):
    """A bucket whose unfinished uploads can be taken away."""

    def sweep_multipart(self, older_than_seconds: float) -> int:
        """Take away unfinished parts; return how many."""
        ...


@dataclass(frozen=True, slots=True)
class Kept:
    """How long what nobody changes any more is kept: uploads in seconds, verdicts and predictions in days, and of each
    model at most so many predictions."""

    upload_seconds: float
    verdict_days: float
    prediction_days: float
    predictions: int


class Duties:
    """Hands duties to a background; ``clock`` tells the time in milliseconds."""

    def __init__(self, background: Background, metrics: RegistryMetrics, clock: Callable[[], int], kept: Kept) -> None:
        self._every = background.every
        self._metrics = metrics
        self._clock = clock
        self._kept = kept

    def count(self, ledger: Ledger) -> None:
        """Have nodes and versions counted."""
        metrics = self._metrics

        def count() -> None:
            metrics.nodes_are(seen_nodes(ledger.reports.nodes(), self._clock()))
            metrics.snapshot_is(ledger.snapshots.revision())

        self._every("nodes", NODES_SECONDS, count)
        self._every("versions", VERSIONS_SECONDS, lambda: metrics.versions_are(ledger.versions.counts()))
        self._every("gone-models", SWEEP_SECONDS, lambda: metrics.models_are(ledger.models.names()))

    def deliver(self, rollouts: RolloutOperations, ledger: Ledger) -> Controller:
        """Have rollouts moved; return who moves them."""
        controller = Controller(
            rollouts, ledger.rollouts, ledger.leases, gauges=self._metrics, clock=self._clock, holder=_name()
        )
        self._every("rollouts", LOOK_SECONDS, controller.turn)
        return controller

    def watch_rows(self, desk: Desk, rule: Closing) -> Monitor:
        """Have windows of live rows judged and shown; return who judges them."""
        monitor = Monitor(desk, rule, gauges=self._metrics, clock=self._clock, holder=_name())
        kept_ms = int(self._kept.verdict_days * DAY_MS)
        self._every("monitor", MONITOR_SECONDS, monitor.turn)
        self._every("drift-view", VIEW_SECONDS, DriftView(desk.windows, self._metrics).refresh)
        self._every("sweep-rows", SWEEP_SECONDS, lambda: desk.windows.sweep(self._clock() - kept_ms))
        return monitor

    def watch_quality(self, predictions: Predictions, training: Training) -> int:
        """Have live quality shown, and predictions that are too old or too many forgotten; return for how many
        milliseconds they are kept."""
        kept_ms = int(self._kept.prediction_days * DAY_MS)
        watch = QualityWatch(predictions, self._metrics, kept_ms, training)

        def sweep() -> None:
            predictions.sweep(self._kept.predictions, self._clock() - kept_ms)

        self._every("quality", QUALITY_SECONDS, lambda: watch.look(self._clock()))
        self._every("sweep-predictions", PREDICTIONS_SWEEP_SECONDS, sweep)
        return kept_ms

    def look_for_baselines(self, ledger: Ledger, baselines: BaselineOperations) -> None:
        """Have one registry of all look for what training runs logged; two at once would only do it twice."""
        holder = _name()

        def look() -> None:
            if baselines.due() and ledger.leases.hold("baselines", holder, BASELINES_LEASE_SECONDS):
                baselines.look()

        self._every("baselines", BASELINES_SECONDS, look)

    def sweep(self, operations: Operations, parts: Parts) -> None:
        """Have what nobody needs any more taken away."""
        seconds, reports = self._kept.upload_seconds, operations.ledger.reports

        def sweep_windows() -> None:
            reports.sweep(self._clock() - WINDOWS_KEPT_MS, self._clock() - NODES_KEPT_MS)

        self._every(
            "sweep-uploads", SWEEP_SECONDS, lambda: operations.sweep_uploads(self._clock() - int(seconds * 1000))
        )
        self._every("sweep-parts", SWEEP_SECONDS, lambda: parts.sweep_multipart(seconds))
        self._every("sweep-windows", SWEEP_SECONDS, sweep_windows)


def _name() -> str:
    return secrets.token_hex(16)
