"""What nodes report, and leases, in memory."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace

from registry.adapters.memory.ledger_feature_windows import MemoryFeatureWindows
from registry.adapters.memory.ledger_predictions import MemoryPredictions
from registry.adapters.memory.ledger_rollouts import MemoryRollouts
from registry.adapters.memory.ledger_state import LedgerState
from registry.plans import PlanRevision
from registry.records import ModelName, VersionNumber
from registry.reports import NodeReport
from registry.traffic.buckets import accounted, arm_buckets, shadow_buckets
from registry.traffic.ports import ArmPart, NodeState
from registry.windows import ArmWindow, ShadowWindow


class MemoryReports:
    """The ``Reports`` port."""

    def __init__(
        self,
        state: LedgerState,
        rollouts: MemoryRollouts,
        feature_windows: MemoryFeatureWindows,
        predictions: MemoryPredictions,
    ) -> None:
        self._state = state
        self._rollouts = rollouts
        self._feature_windows = feature_windows
        self._predictions = predictions
        self._nodes: dict[str, NodeState] = {}
        self._arms: dict[tuple[int, str, int, str, str], ArmPart] = {}
        self._shadows: dict[tuple[str, str, int, int], ShadowWindow] = {}

    def take(self, report: NodeReport) -> int:
        """See ``Reports.take``."""
        with self._state.lock:
            known = self._nodes.get(report.boot)
            if known is not None and report.sequence <= known.sequence:
                return known.sequence
            now_ms = self._state.clock()
            self._nodes[report.boot] = NodeState(
                report.node, report.boot, report.sequence, report.revision, report.held, report.versions, now_ms
            )
            lines = self._lines()
            report = accounted(report, lines)
            for part in arm_buckets(report, lines, now_ms):
                self._add_arm(part)
            for window in shadow_buckets(report, lines, now_ms):
                self._add_shadow(window)
            self._feature_windows.add(report.features, now_ms)
            self._predictions.add(report.answers)
            return report.sequence

    def nodes(self) -> Sequence[NodeState]:
        """See ``Reports.nodes``."""
        with self._state.lock:
            return sorted(self._nodes.values(), key=lambda n: (n.node, n.seen_ms, n.boot))

    def arms(self, model: ModelName, revisions: Collection[int]) -> Sequence[ArmPart]:
        """See ``Reports.arms``."""
        with self._state.lock:
            chosen = [p for p in self._arms.values() if p.window.model == model and p.window.revision in revisions]
            return sorted(chosen, key=lambda p: (p.window.start_ms, p.node, p.window.revision, p.window.arm))

    def shadows(self, model: ModelName, version: VersionNumber) -> Sequence[ShadowWindow]:
        """See ``Reports.shadows``."""
        with self._state.lock:
            found: dict[int, ShadowWindow] = {}
            for key in sorted(self._shadows):
                window = self._shadows[key]
                if (window.model, window.version) != (model, version):
                    continue
                earlier = found.get(window.revision)
                found[window.revision] = (
                    window if earlier is None else replace(earlier, counts=earlier.counts.plus(window.counts))
                )
            return list(found.values())

    def sweep(self, windows_before_ms: int, nodes_before_ms: int) -> None:
        """See ``Reports.sweep``."""
        with self._state.lock:
            used = {
                (m.name, m.journal[-1].revision) for m in self._state.models.values() if m.journal and not m.removed
            }
            used |= {(r.model, revision) for r in self._rollouts.active() for revision in r.revisions}
            self._nodes = {boot: node for boot, node in self._nodes.items() if node.seen_ms >= nodes_before_ms}

            def kept(window: ArmWindow | ShadowWindow) -> bool:
                return window.start_ms >= windows_before_ms or (window.model, window.revision) in used

            self._arms = {key: part for key, part in self._arms.items() if kept(part.window)}
            self._shadows = {key: window for key, window in self._shadows.items() if kept(window)}

    def _lines(self) -> dict[tuple[ModelName, int], PlanRevision]:
        present = (model for model in self._state.models.values() if not model.removed)
        return {(model.name, line.revision): line for model in present for line in model.journal}

    def _add_arm(self, part: ArmPart) -> None:
        window = part.window
        key = (window.start_ms, part.node, window.revision, window.arm, window.model)
        earlier = self._arms.get(key)
        if earlier is not None:
            part = replace(part, window=replace(window, counts=earlier.window.counts.plus(window.counts)))
        self._arms[key] = part

    def _add_shadow(self, window: ShadowWindow) -> None:
        key = (window.model, window.version, window.revision, window.start_ms)
        earlier = self._shadows.get(key)
        if earlier is not None:
            window = replace(window, counts=earlier.counts.plus(window.counts))
        self._shadows[key] = window


class MemoryLeases:
    """The ``Leases`` port."""

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._held: dict[str, tuple[str, int]] = {}

    def hold(self, name: str, holder: str, seconds: float) -> bool:
        """See ``Leases.hold``."""
        with self._lock:
            present, until_ms = self._held.get(name, (holder, 0))
            if present != holder and until_ms > self._clock():
                return False
            self._held[name] = (holder, self._clock() + int(seconds * 1000))
            return True

    def release(self, name: str, holder: str) -> None:
        """See ``Leases.release``."""
        with self._lock:
            if self._held.get(name, ("", 0))[0] == holder:
                del self._held[name]
