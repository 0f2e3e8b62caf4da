"""Whether a canary is worse than stable: verdicts that stay right however often one looks.

Each function weighs what both arms did, period by period, and answers how strong the evidence against the canary is:
an e-process, whose chance of ever reaching ``1 / alpha`` is at most ``alpha`` while the canary is no worse than
tolerated. So a rollout may look every few seconds for a day and stop at the first verdict that ``fails``. The
mathematics, what it assumes and what was measured: docs/evidence.md.

Not here: what a verdict leads to (``rollout.py``), how predictions are compared (``predictions.py``), the mixtures
themselves (``mixtures.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from registry.windows import ArmCounts


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
        threshold_seconds: Of latency: above how many seconds a request was counted as bad, latest.
    """

    log_e: float
    limit: float
    canary: Tally
    stable: Tally
    tolerance: float
    maximum: float | None = None
    rule: str = "tolerance"
    threshold_seconds: float | None = None

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
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Losses:
    """How wrong both arms were in one period, once labels came: sums of losses, each from 0 to 1.

    Attributes:
        canary_count: Labelled predictions of the canary; ``stable_count``: of stable.
        canary_sum: The sum of their losses; ``stable_sum``: of stable's.
    """

    canary_count: int
    canary_sum: float
    stable_count: int
    stable_sum: float


def error_evidence(
    periods: Sequence[Period], *, tolerance: float, alpha: float, maximum: float | None = None
) -> Verdict:
    """Weigh whether the canary errs on more than ``tolerance`` times the share of requests that stable errs on.

    Args:
        periods: What both arms did.
        tolerance: The ratio of error rates up to which the canary is not worse; above 0, usually from 1 to 2.
        alpha: The chance of failing a canary that is no worse; above 0 and below 1. Several metrics share the
            rollout's own: give each its part.
        maximum: The share of errors (0 to 1) above which the canary fails whatever stable does (``thresholdRange.max``).
    """
    raise NotImplementedError


def invalid_evidence(
    periods: Sequence[Period], *, tolerance: float, alpha: float, maximum: float | None = None
) -> Verdict:
    """Weigh whether more of the canary's successes are invalid (NaN, infinite, wrong shape) than tolerated.

    The same test as ``error_evidence``, on the successes of both arms.
    """
    raise NotImplementedError


def latency_evidence(
    periods: Sequence[Period], *, tolerance: float, alpha: float, objective_seconds: float | None = None
) -> Verdict:
    """Weigh whether more than ``tolerance`` times as many of the canary's successes are slow as of stable's.

    Slow is judged at several thresholds at once (about the slowest quarter, tenth, twentieth and hundredth of all
    requests of the period, and the objective where there is one). The numbers are those of the threshold that says most.

    Args:
        periods: What both arms did.
        tolerance: The ratio of shares of slow requests up to which the canary is not worse.
        alpha: The chance of failing a canary that is no worse.
        objective_seconds: The time that callers were promised.
    """
    raise NotImplementedError


def quality_evidence(periods: Sequence[Losses], *, tolerance: float, alpha: float) -> Verdict:
    """Weigh whether the canary's mean loss is more than ``tolerance`` times stable's."""
    raise NotImplementedError


Weigh = Callable[[Sequence[Period]], Verdict]
