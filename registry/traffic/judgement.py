"""What the nodes' windows say of a rollout: its evidence, how much it has seen, and both in numbers and words. Pure.

Not here: the tests themselves (``evidence.py``, ``predictions.py``), and what follows (``rollout.decide``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from registry.traffic.actions import Findings
from registry.traffic.evidence import (
    Losses,
    Period,
    Verdict,
    error_evidence,
    invalid_evidence,
    latency_evidence,
    quality_evidence,
)
from registry.traffic.ports import ArmPart
from registry.traffic.predictions import Shift, prediction_shift
from registry.traffic.quantiles import latency_quantile
from registry.traffic.rollout import Rollout
from registry.traffic.spec import Metric
from registry.traffic.words import both_arms
from registry.windows import CANARY, STABLE, ArmCounts

NO_LABELS = {"evidence": None, "message": "no labels yet"}
_BAD = {"error-rate": "failed", "invalid": "were invalid (NaN, infinite, or not a row for each asked)"}


@dataclass(frozen=True, slots=True)
class Judgement:
    """What is known of a rollout at one moment.

    Attributes:
        findings: What speaks against the canary, in words.
        requests: How many requests the canary is known to have answered in the present step.
        evidence: Metric to its numbers (``Verdict.to_json``), ``predictions`` among them, JSON-ready.
        arms: ``stable`` and ``canary`` to their sums since the rollout began, JSON-ready.
    """

    findings: Findings
    requests: int
    evidence: Mapping[str, Any] = field(default_factory=dict)
    arms: Mapping[str, Any] = field(default_factory=dict)

    def numbers(self) -> dict[str, Any]:
        """Return what the journal keeps."""
        return {"requests": self.requests, "evidence": dict(self.evidence), "arms": dict(self.arms)}


def judged(rollout: Rollout, parts: Sequence[ArmPart], losses: Sequence[Losses] = ()) -> Judgement:
    """Weigh all that was counted since the rollout began.

    Args:
        rollout: As it is now.
        parts: What was counted under its revisions.
        losses: How wrong labels show both arms to have been under them.
    """
    periods = periods_of(parts)
    # A part for each metric that is named, also while no labels come: parts that grew and shrank with what is known
    # would add up to more than the whole.
    alpha = rollout.spec.alpha / len(rollout.spec.metrics)
    evidence: dict[str, Any] = {}
    against: list[str] = []
    for metric in rollout.spec.metrics:
        verdict = _weighed(metric, periods, losses, alpha)
        evidence[metric.name] = NO_LABELS if verdict is None else verdict.to_json()
        if verdict is not None and verdict.fails:
            against.append(_in_words(metric, verdict))
    shift = prediction_shift(periods, alpha=rollout.spec.alpha)
    evidence["predictions"] = shift.to_json()
    now = rollout.revisions[-1]
    return Judgement(
        Findings("; ".join(against), _shift_in_words(shift) if shift.shifted else ""),
        sum(p.window.counts.requests for p in parts if p.window.revision == now and p.window.arm == CANARY),
        evidence,
        {arm: arm_json(merged(parts, arm)) for arm in (STABLE, CANARY)},
    )


def periods_of(parts: Sequence[ArmPart]) -> list[Period]:
    """Pair both arms of each node in each bucket of each revision, in the order of time."""
    found: dict[tuple[int, str, int], dict[str, ArmCounts]] = {}
    for part in parts:
        window = part.window
        arms = found.setdefault((window.start_ms, part.node, window.revision), {})
        arms[window.arm] = arms.get(window.arm, ArmCounts()).plus(window.counts)
    nothing = ArmCounts()
    return [
        Period(canary=arms.get(CANARY, nothing), stable=arms.get(STABLE, nothing))
        for _, arms in sorted(found.items(), key=lambda pair: pair[0])
    ]


def merged(parts: Sequence[ArmPart], arm: str) -> ArmCounts:
    """Return the sum of one arm."""
    total = ArmCounts()
    for part in parts:
        if part.window.arm == arm:
            total = total.plus(part.window.counts)
    return total


def arm_json(counts: ArmCounts) -> dict[str, Any]:
    """Return the sums of an arm; times are seconds."""
    return {
        "requests": counts.requests,
        "errors": counts.errors,
        "invalid": counts.invalid,
        "p50": latency_quantile(counts.latency, 0.5),
        "p99": latency_quantile(counts.latency, 0.99),
    }


def _weighed(metric: Metric, periods: Sequence[Period], losses: Sequence[Losses], alpha: float) -> Verdict | None:
    tolerance, limit = metric.tolerance, metric.limit
    match metric.name:
        case "error-rate":
            return error_evidence(periods, tolerance=tolerance, alpha=alpha, maximum=limit)
        case "invalid":
            return invalid_evidence(periods, tolerance=tolerance, alpha=alpha, maximum=limit)
        case "latency":
            return latency_evidence(periods, tolerance=tolerance, alpha=alpha, objective_seconds=limit)
        case _:
            return quality_evidence(losses, tolerance=tolerance, alpha=alpha) if losses else None


def _in_words(metric: Metric, verdict: Verdict) -> str:
    if metric.name == "quality":
        return _losses_in_words(metric, verdict)
    allowed = f"{metric.tolerance:g} times stable's share is tolerated"
    if verdict.rule == "maximum" and verdict.maximum is not None:
        allowed = f"at most {verdict.maximum:.3%} are allowed"
    arms = both_arms(verdict, _BAD.get(metric.name, ""))
    return f"{metric.name}: {arms}; {allowed}; evidence {verdict.evidence:.2f} of 1"


def _losses_in_words(metric: Metric, verdict: Verdict) -> str:
    ours, theirs = verdict.canary, verdict.stable
    return (
        f"quality: the mean loss of {ours.requests:,.0f} labelled predictions of the canary is {ours.ratio or 0:.3f}, "
        f"of {theirs.requests:,.0f} of stable {theirs.ratio or 0:.3f}; {metric.tolerance:g} times stable's is "
        f"tolerated; evidence {verdict.evidence:.2f} of 1"
    )


def _shift_in_words(shift: Shift) -> str:
    return (
        f"predictions differ: {shift.distance:.0%} of the canary's {shift.canary:,} lie elsewhere than stable's "
        f"{shift.stable:,}"
    )
