"""Whether a canary is worse than stable: verdicts that stay right however often one looks.

Each function weighs what both arms did, period by period, and answers how strong the evidence against the canary is:
an e-process, whose chance of ever reaching ``1 / alpha`` is at most ``alpha`` while the canary is no worse than
tolerated. So a rollout may look every few seconds for a day and stop at the first verdict that ``fails``. The
mathematics, what it assumes and what was measured: docs/evidence.md.

Not here: what a verdict leads to (``rollout.py``), how predictions are compared (``predictions.py``), the mixtures
themselves (``mixtures.py``).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from registry.traffic.mixtures import Floats, log_mean, weigh
from registry.traffic.slowness import (
    MARGIN_SECONDS,
    SLOWEST,
    above,
    edge_of,
    edges_of_slowest,
    slower,
    with_margin,
)
from registry.windows import LATENCY_BINS, ArmCounts, latency_edge

RULES = ("tolerance", "maximum")


@dataclass(frozen=True, slots=True)
class Period:
    """What both arms did in the same stretch of time; the canary's share may differ from period to period.

    Any partition of the requests will do where, within a part, both arms had the same kind of traffic: a period of one
    node is better than one of all nodes, because a node whose canary was ejected then says nothing, where in a sum it
    would lend its own speed and errors to stable alone. Periods come in the order of time; empty ones change nothing.
    """

    canary: ArmCounts = field(default_factory=ArmCounts)
    stable: ArmCounts = field(default_factory=ArmCounts)


@dataclass(frozen=True, slots=True)
class Tally:
    """What one arm did in all periods that were weighed: ``bad`` of ``requests``."""

    requests: float
    bad: float

    @property
    def ratio(self) -> float | None:
        """Return the share of bad ones; None without requests."""
        return self.bad / self.requests if self.requests else None

    def to_json(self) -> dict[str, float | None]:
        """Return it JSON-ready."""
        return {"requests": self.requests, "bad": self.bad, "ratio": self.ratio}


@dataclass(frozen=True, slots=True)
class Verdict:
    """How strong the evidence is that the canary is worse than tolerated, with the numbers behind it.

    Attributes:
        log_e: Natural logarithm of the e-value; below 0 where the evidence is for the canary.
        limit: ``log(1 / alpha)``: what ``log_e`` must reach.
        canary: What the canary did; ``stable``: what stable did at the same time.
        tolerance: How many times stable's share of bad requests the canary may have.
        maximum: The largest share of bad requests that the canary may have whatever stable does, where one was given.
        rule: Which of both says most against the canary: ``tolerance`` or ``maximum``.
        threshold_seconds: Of latency: above how many seconds a request of stable counted as bad in the last period.
        margin_seconds: By how much more one of the canary had to take; 0 for what is no latency, and for an objective.
        scatter: How many bad requests came in one clump, as far as is sure; ``log_e`` is divided by it already.
    """

    log_e: float
    limit: float
    canary: Tally
    stable: Tally
    tolerance: float
    maximum: float | None = None
    rule: str = "tolerance"
    threshold_seconds: float | None = None
    margin_seconds: float = 0.0
    scatter: float = 1.0

    @property
    def evidence(self) -> float:
        """Return ``log_e / limit``: 1 and more says that the canary is worse, wrongly in at most ``alpha`` of cases."""
        return self.log_e / self.limit

    @property
    def fails(self) -> bool:
        """Return whether the canary is worse."""
        return self.log_e >= self.limit

    def to_json(self) -> dict[str, Any]:
        """Return the verdict with its numbers, JSON-ready."""
        return {
            "evidence": self.evidence,
            "canary": self.canary.to_json(),
            "stable": self.stable.to_json(),
            "threshold": self.threshold_seconds,
            "margin": self.margin_seconds,
            "tolerance": self.tolerance,
            "maximum": self.maximum,
            "rule": self.rule,
            "scatter": self.scatter,
        }


@dataclass(frozen=True, slots=True)
class Losses:
    """How wrong both arms were in one period, once labels came (``losses.py``): sums of losses, each from 0 to 1.

    Attributes:
        canary_count: Labelled predictions of the canary; ``stable_count``: of stable.
        canary_sum: The sum of their losses; ``stable_sum``: of stable's.
    """

    canary_count: int
    canary_sum: float
    stable_count: int
    stable_sum: float


@dataclass(frozen=True, slots=True)
class _Counts:
    """Requests and bad ones of both arms, each an array with an element for a period."""

    canary: Floats
    canary_bad: Floats
    stable: Floats
    stable_bad: Floats

    @classmethod
    def of(cls, rows: Iterable[tuple[float, float, float, float]]) -> _Counts:
        table = np.array(list(rows), dtype=np.float64).reshape(-1, 4)
        return cls(table[:, 0], np.minimum(table[:, 1], table[:, 0]), table[:, 2], np.minimum(table[:, 3], table[:, 2]))

    @property
    def tallies(self) -> tuple[Tally, Tally]:
        return (
            Tally(float(self.canary.sum()), float(self.canary_bad.sum())),
            Tally(float(self.stable.sum()), float(self.stable_bad.sum())),
        )


def error_evidence(
    periods: Sequence[Period], *, tolerance: float, alpha: float, maximum: float | None = None
) -> Verdict:
    """Weigh whether the canary errs on more than ``tolerance`` times the share of requests that stable errs on.

    Args:
        periods: What both arms did.
        tolerance: The ratio of error rates up to which the canary is not worse; above 0, usually from 1 to 2.
        alpha: The chance of failing a canary that is no worse; above 0 and below 1. Several metrics share the
            rollout's own: give each its part.
        maximum: The share of errors (0 to 1) above which the canary fails whatever stable does
            (``thresholdRange.max``); with one, ``alpha`` holds for a canary that keeps to both.
    """
    rows = ((p.canary.requests, p.canary.errors, p.stable.requests, p.stable.errors) for p in periods)
    return _verdict(_Counts.of(rows), tolerance, alpha, maximum)


def invalid_evidence(
    periods: Sequence[Period], *, tolerance: float, alpha: float, maximum: float | None = None
) -> Verdict:
    """Weigh whether more of the canary's successes are invalid (NaN, infinite, wrong shape) than tolerated.

    The same test as ``error_evidence``, on the successes of both arms.
    """
    rows = ((_successes(p.canary), p.canary.invalid, _successes(p.stable), p.stable.invalid) for p in periods)
    return _verdict(_Counts.of(rows), tolerance, alpha, maximum)


def quality_evidence(periods: Sequence[Losses], *, tolerance: float, alpha: float) -> Verdict:
    """Weigh whether the canary's mean loss is more than ``tolerance`` times stable's.

    Losses are independent and from 0 to 1: 1 for a wrong label, an error divided by the largest one that counts. The
    test of 0s and 1s holds for them, because ``m**x <= 1 + x (m - 1)`` for x from 0 to 1.
    """
    rows = ((p.canary_count, p.canary_sum, p.stable_count, p.stable_sum) for p in periods)
    return _verdict(_Counts.of(rows), tolerance, alpha, None)


def latency_evidence(
    periods: Sequence[Period], *, tolerance: float, alpha: float, objective_seconds: float | None = None
) -> Verdict:
    """Weigh whether more than ``tolerance`` times as many of the canary's successes are slow as of stable's.

    Slow is judged at several thresholds at once (those which about the slowest quarter, tenth, twentieth and hundredth
    of both arms' requests of a period exceed, and the objective where there is one); their e-values are averaged, and
    the numbers are those of the threshold that says most. But for the objective, all is done as if each request of the
    canary had taken ``MARGIN_SECONDS`` less. To find the thresholds in the period itself loses nothing and is no
    cheating: docs/evidence.md.

    Args:
        periods: What both arms did.
        tolerance: The ratio of shares of slow requests up to which the canary is not worse.
        alpha: The chance of failing a canary that is no worse.
        objective_seconds: The time that callers were promised.
    """
    _check(tolerance, alpha)
    canary, stable = slower(with_margin(p.canary for p in periods)), slower(p.stable for p in periods)
    edges = [edges_of_slowest(canary + stable, share) for share in SLOWEST]
    slots = [_Counts(canary[:, 0], above(canary, edge), stable[:, 0], above(stable, edge)) for edge in edges]
    if objective_seconds is not None:
        promised = np.full(len(periods), edge_of(objective_seconds))
        late = above(slower(p.canary for p in periods), promised)
        edges.append(promised)
        slots.append(_Counts(canary[:, 0], late, stable[:, 0], above(stable, promised)))
    logs, scatters = zip(*(_against_stable(counts, tolerance) for counts in slots), strict=True)
    worst = int(np.argmax(logs))
    used = edges[worst][edges[worst] < LATENCY_BINS]
    return Verdict(
        float(log_mean(logs)),
        math.log(1 / alpha),
        *slots[worst].tallies,
        tolerance,
        threshold_seconds=latency_edge(int(used[-1])) if used.size else None,
        margin_seconds=MARGIN_SECONDS if worst < len(SLOWEST) else 0.0,
        scatter=float(scatters[worst]),
    )


def _verdict(counts: _Counts, tolerance: float, alpha: float, maximum: float | None) -> Verdict:
    _check(tolerance, alpha, maximum)
    weighed = [_against_stable(counts, tolerance)]
    if maximum is not None:
        weighed.append(_against_maximum(counts, maximum))
    logs, scatters = zip(*weighed, strict=True)
    worst = int(np.argmax(logs))
    return Verdict(
        float(log_mean(logs)),
        math.log(1 / alpha),
        *counts.tallies,
        tolerance,
        maximum,
        RULES[worst],
        scatter=float(scatters[worst]),
    )


def tolerated(share: Floats, tolerance: float) -> Floats:
    """Return the canary's largest share of bad requests, given its share of all: rho tau / (rho tau + 1 - rho)."""
    return share * tolerance / (1 + share * (tolerance - 1))


def _against_stable(counts: _Counts, tolerance: float) -> tuple[Floats, Floats]:
    """Bet on the canary among bad requests, at the odds of one that is ``tolerance`` times as bad as stable."""
    share = counts.canary / np.maximum(counts.canary + counts.stable, 1)
    return weigh(counts.canary_bad, counts.canary_bad + counts.stable_bad, share, chance=tolerated(share, tolerance))


def _against_maximum(counts: _Counts, maximum: float) -> tuple[Floats, Floats]:
    """Bet on bad requests among the canary's, at the odds of one that is as bad as it may be."""
    chance = np.full_like(counts.canary, maximum)
    return weigh(counts.canary_bad, counts.canary, chance, chance=chance)


def _successes(arm: ArmCounts) -> int:
    return max(0, arm.requests - arm.errors)


def _check(tolerance: float, alpha: float, maximum: float | None = None) -> None:
    if not 0 < tolerance < math.inf:
        raise ValueError("a tolerance is a ratio above 0, such as 1.25")
    if not 0 < alpha < 1:
        raise ValueError("alpha is a probability above 0 and below 1, such as 0.05")
    if maximum is not None and not 0 < maximum < 1:
        raise ValueError("a maximum is a share above 0 and below 1, such as 0.02")
