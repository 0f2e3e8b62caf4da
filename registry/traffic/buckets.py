"""How a report's windows are kept: those that a plan accounts for, added up by bucket, in one order. Pure.

Not here: where they are kept (``adapters``), and what they are evidence of (``judgement.py``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from registry.plans import Plan
from registry.records import ModelName
from registry.reports import NodeReport
from registry.traffic.ports import BUCKET_MS, ArmPart
from registry.windows import ArmWindow, ShadowWindow

LATE_MS = 24 * 3_600_000
"""A window that began earlier is counted as if it had begun then: a node's clock may be anything."""


def accounted(report: NodeReport, plans: Mapping[tuple[ModelName, int], Plan]) -> NodeReport:
    """Return the report without windows that its model's plan of that revision does not name."""
    return replace(
        report,
        arms=tuple(w for w in report.arms if _names_arm(plans.get((w.model, w.revision)), w)),
        shadows=tuple(w for w in report.shadows if _names_shadow(plans.get((w.model, w.revision)), w)),
    )


def _names_arm(plan: Plan | None, window: ArmWindow) -> bool:
    if plan is None:
        return False
    if window.arm == "canary":
        return plan.canary is not None and plan.canary.version == window.version
    return window.arm == "stable" and plan.stable == window.version


def _names_shadow(plan: Plan | None, window: ShadowWindow) -> bool:
    return plan is not None and any(shadow.version == window.version for shadow in plan.shadows)


def arm_buckets(report: NodeReport, now_ms: int) -> Iterator[ArmPart]:
    """Yield the windows of arms, one for each bucket, in the order of their keys."""
    found: dict[tuple[ModelName, int, str, int], ArmWindow] = {}
    for window in report.arms:
        start_ms = _bucket(window.start_ms, now_ms)
        key = (window.model, window.revision, window.arm, start_ms)
        earlier = found.get(key)
        counts = window.counts if earlier is None else earlier.counts.plus(window.counts)
        found[key] = replace(window, start_ms=start_ms, counts=counts)
    for key in sorted(found):
        yield ArmPart(report.node, found[key])


def shadow_buckets(report: NodeReport, now_ms: int) -> Iterator[ShadowWindow]:
    """Yield the windows of shadows, one for each bucket, in the order of their keys."""
    found: dict[tuple[ModelName, int, int, int], ShadowWindow] = {}
    for window in report.shadows:
        start_ms = _bucket(window.start_ms, now_ms)
        key = (window.model, int(window.version), window.revision, start_ms)
        earlier = found.get(key)
        counts = window.counts if earlier is None else earlier.counts.plus(window.counts)
        found[key] = replace(window, start_ms=start_ms, counts=counts)
    for key in sorted(found):
        yield found[key]


def _bucket(start_ms: int, now_ms: int) -> int:
    within = min(max(start_ms, now_ms - LATE_MS), now_ms)
    return within - within % BUCKET_MS
