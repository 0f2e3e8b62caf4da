"""How a shadow compared with whoever answered, and whether it would have made a good canary. Pure.

Errors are weighed by the test of a rollout: the shadow stands for the canary, the primary for stable. A copy is made
only of what the primary answered, so the primary has no errors here. Answers that a caller of the primary could not
read, and values that are none, count against a shadow where they are more than a few. Its times are weighed and shown,
and never condemn it: its process comes after everybody else's, so on a busy machine they are the machine's, not its
own. Not here: how copies are made and compared (``serving``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from registry.plans import PlanRevision
from registry.records import VersionNumber
from registry.traffic.evidence import Period, Verdict, error_evidence, latency_evidence
from registry.traffic.quantiles import latency_quantile, value_quantiles
from registry.traffic.spec import DEFAULT_ALPHA, DEFAULT_REQUESTS, DEFAULT_TOLERANCE
from registry.traffic.words import both_arms
from registry.windows import ArmCounts, Difference, ShadowCounts, ShadowWindow

FAULTS = ("error", "timeout")
NO_NUMBERS = ("nan", "inf", "-inf")
MOST_USELESS = 0.1
"""The share of a shadow's answers that may have other outputs or shapes than the primary's, and of its values that may
be NaN or infinite where the primary's are numbers."""
FEW_USELESS = 10
"""So many say nothing yet."""
SHARES = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "max": 1.0}


def present_run(windows: Sequence[ShadowWindow], journal: Sequence[PlanRevision]) -> list[ShadowWindow]:
    """Return the newest windows in a row in which the version shadowed the same stable version.

    Args:
        windows: Of one version, oldest revision first.
        journal: The model's plans, newest first.
    """
    if not windows:
        return []
    plans = {line.revision: line.plan for line in journal}
    newest, version = windows[-1].revision, windows[-1].version
    last = plans.get(newest)
    first = newest
    for line in journal:
        if line.revision > newest:
            continue
        plan = line.plan
        if plan is None or last is None or plan.stable != last.stable:
            break
        if all(shadow.version != version for shadow in plan.shadows):
            break
        first = line.revision
    return [window for window in windows if window.revision >= first]


def total(windows: Sequence[ShadowWindow]) -> ShadowCounts:
    """Return the sum."""
    counts = ShadowCounts()
    for window in windows:
        counts = counts.plus(window.counts)
    return counts


def comparison_json(version: VersionNumber, windows: Sequence[ShadowWindow]) -> dict[str, Any]:
    """Return the contract's form of what was compared, without model and time; times are seconds."""
    counts = total(windows)
    return {
        "version": version,
        "requests": counts.requests,
        "outcomes": dict(sorted(counts.outcomes.items())),
        "differing": counts.differing,
        "outputs": {name: _output_json(difference) for name, difference in counts.outputs.items()},
        "latency": {"primary": _times(counts.primary), "shadow": _times(counts.shadow)},
        "examples": [dict(example) for example in counts.examples],
        "verdict": verdict_json(windows),
    }


def verdict_json(windows: Sequence[ShadowWindow]) -> dict[str, Any]:
    """Return whether the shadow would have been a good canary, as far as it can be seen: null until enough was
    compared."""
    periods = [_period(window.counts) for window in windows]
    requests = sum(period.canary.requests for period in periods)
    if not requests:
        return {"good_canary": None, "reason": _why_nothing(total(windows)), "evidence": {}}
    alpha = DEFAULT_ALPHA / 2
    verdicts = {
        "error-rate": error_evidence(periods, tolerance=DEFAULT_TOLERANCE, alpha=alpha),
        "latency": latency_evidence(periods, tolerance=DEFAULT_TOLERANCE, alpha=alpha),
    }
    good, reason = _opinion(verdicts, total(windows))
    return {
        "good_canary": good,
        "reason": reason,
        "evidence": {name: verdict.to_json() for name, verdict in verdicts.items()},
    }


def _opinion(verdicts: Mapping[str, Verdict], counts: ShadowCounts) -> tuple[bool | None, str]:
    errors, slow, requests = verdicts["error-rate"], verdicts["latency"], counts.requests
    if errors.fails:
        failed = f"it failed on {errors.canary.bad:,.0f} of {requests:,} requests that were answered"
        return False, failed + _mostly_timeouts(counts)
    incomparable = counts.outcomes.get("incomparable", 0)
    answers = incomparable + counts.outcomes.get("compared", 0)
    if _are_many(incomparable, answers):
        return False, (
            f"{incomparable:,} of {answers:,} answers have other outputs or shapes: callers of the primary could not "
            "read them"
        )
    values = sum(difference.compared for difference in counts.outputs.values())
    none = sum(difference.absolute.get(name, 0) for difference in counts.outputs.values() for name in NO_NUMBERS)
    if _are_many(none, values):
        return False, f"{none:,} of {values:,} values are NaN or infinite where the other's are numbers"
    if requests < DEFAULT_REQUESTS:
        return None, f"too little traffic: {requests} of {DEFAULT_REQUESTS} requests"
    if slow.fails:
        return None, (
            f"{both_arms(slow, canary='the shadow', stable='the primary')}; but a shadow gets only the processor time "
            "that nobody else wants: a canary of a small share tells whether that is the machine or the version"
        )
    return True, f"nothing speaks against it after {requests:,} requests"


def _are_many(useless: int, of: int) -> bool:
    return useless >= FEW_USELESS and useless > MOST_USELESS * of


def _why_nothing(counts: ShadowCounts) -> str:
    missed = counts.outcomes.get("not_loaded", 0)
    if not missed:
        return "nothing was compared yet"
    return f"nothing was compared: it was not loaded when {missed:,} copies came; traffic/status shows where it stands"


def _mostly_timeouts(counts: ShadowCounts) -> str:
    """Return what to make of timeouts where most errors are: a shadow gets the processor time that nobody wants."""
    timeouts = counts.outcomes.get("timeout", 0)
    if timeouts <= counts.outcomes.get("error", 0):
        return ""
    return (
        f"; {timeouts:,} of them are timeouts, which say little on a busy machine: a shadow gets only the processor "
        "time that nobody else wants"
    )


def _period(counts: ShadowCounts) -> Period:
    failed = sum(counts.outcomes.get(name, 0) for name in FAULTS)
    return Period(
        canary=ArmCounts(requests=counts.requests, errors=min(failed, counts.requests), latency=counts.shadow),
        stable=ArmCounts(requests=counts.requests, latency=counts.primary),
    )


def _times(bins: Mapping[int, int]) -> dict[str, float | None]:
    return {"p50": latency_quantile(bins, 0.5), "p99": latency_quantile(bins, 0.99)}


def _output_json(difference: Difference) -> dict[str, Any]:
    agreeing = sum(count for (primary, shadow), count in difference.pairs.items() if primary == shadow)
    paired = sum(difference.pairs.values())
    most_first = sorted(difference.pairs.items(), key=lambda item: (-item[1], item[0]))
    return {
        "compared": difference.compared,
        "differed": difference.differed,
        "absolute": value_quantiles(difference.absolute, SHARES),
        "relative": value_quantiles(difference.relative, SHARES),
        "agreement": [
            {"primary": primary, "shadow": shadow, "count": count} for (primary, shadow), count in most_first
        ],
        "agreement_ratio": agreeing / paired if paired else None,
    }
