"""How a report's windows are kept: those that a plan accounts for, added up by bucket, in one order. Pure.

Not here: where they are kept (``adapters``), and what they are evidence of (``judgement.py``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from registry.plans import Plan, PlanRevision
from registry.records import ModelName
from registry.reports import NodeReport
from registry.traffic.ports import BUCKET_MS, ArmPart
from registry.windows import CANARY, STABLE, ArmWindow, ShadowWindow

LATE_MS = 24 * 3_600_000
"""A window that began earlier is counted as if it had begun then: a node's clock may be anything."""
FINE_BUCKETS = 60
"""How old a plan is, in buckets, before they grow: with its age, so that a day is 200 of them and not 1,440."""

Lines = Mapping[tuple[ModelName, int], PlanRevision]


def accounted(report: NodeReport, lines: Lines) -> NodeReport:
    """Return the report without windows that its model's plan of that revision does not name."""
    return replace(
        report,
        arms=tuple(w for w in report.arms if _names_arm(_plan(lines, w), w)),
        shadows=tuple(w for w in report.shadows if _names_shadow(_plan(lines, w), w)),
    )


def _plan(lines: Lines, window: ArmWindow | ShadowWindow) -> Plan | None:
    line = lines.get((window.model, window.revision))
    return None if line is None else line.plan


def _names_arm(plan: Plan | None, window: ArmWindow) -> bool:
    if plan is None:
        return False
    if window.arm == CANARY:
        return plan.canary is not None and plan.canary.version == window.version
    return window.arm == STABLE and plan.stable == window.version


def _names_shadow(plan: Plan | None, window: ShadowWindow) -> bool:
    return plan is not None and any(shadow.version == window.version for shadow in plan.shadows)


def arm_buckets(report: NodeReport, lines: Lines, now_ms: int) -> Iterator[ArmPart]:
    """Yield the windows of arms of an accounted report, one for each bucket, in the order of their keys."""
    found: dict[tuple[ModelName, int, str, int], ArmWindow] = {}
    for window in report.arms:
        start_ms = bucket(window.start_ms, lines[window.model, window.revision].at_ms, now_ms)
        key = (window.model, window.revision, window.arm, start_ms)
        earlier = found.get(key)
        counts = window.counts if earlier is None else earlier.counts.plus(window.counts)
        found[key] = replace(window, start_ms=start_ms, counts=counts)
    for key in sorted(found):
        yield ArmPart(report.node, found[key])


def shadow_buckets(report: NodeReport, lines: Lines, now_ms: int) -> Iterator[ShadowWindow]:
    """Yield the windows of shadows of an accounted report, one for each bucket, in the order of their keys."""
    found: dict[tuple[ModelName, int, int, int], ShadowWindow] = {}
    for window in report.shadows:
        start_ms = bucket(window.start_ms, lines[window.model, window.revision].at_ms, now_ms)
        key = (window.model, int(window.version), window.revision, start_ms)
        earlier = found.get(key)
        counts = window.counts if earlier is None else earlier.counts.plus(window.counts)
        found[key] = replace(window, start_ms=start_ms, counts=counts)
    for key in sorted(found):
        yield found[key]


def bucket(start_ms: int, planned_ms: int, now_ms: int) -> int:
    """Return when the bucket of a window begins that began at ``start_ms`` under a plan made at ``planned_ms``."""
    within = min(max(start_ms, now_ms - LATE_MS), now_ms)
    length = BUCKET_MS
    while within - planned_ms >= FINE_BUCKETS * length:
        length *= 2
    return within - within % length
