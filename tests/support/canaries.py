"""Simulated rollouts: what both arms of thousands of them did, minute by minute, and when a test would have stopped.

Arrays have a row for each rollout and a column for each minute. The verdicts are the product's own mathematics
(``registry/traffic``), asked anew at every look as the controller asks.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from registry.traffic.evidence import tolerated
from registry.traffic.mixtures import log_fortune, log_mean, weigh
from registry.traffic.slowness import SLOWEST, above, edges_of_slowest
from registry.windows import LATENCY_BINS, latency_edge

Floats = npt.NDArray[np.float64]
NEVER = np.inf


@dataclass(frozen=True, slots=True)
class Traffic:
    """How many requests there are, how they are shared, how often one looks."""

    per_minute: float = 1200
    share: float = 0.1
    minutes: int = 60
    rollouts: int = 1000


@dataclass(frozen=True, slots=True)
class Arms:
    """Requests and bad ones of both arms, shape (rollouts, minutes)."""

    canary: Floats
    canary_bad: Floats
    stable: Floats
    stable_bad: Floats

    def until(self, look: int, rollouts: npt.NDArray[np.int64]) -> Arms:
        """Return the first minutes of some rollouts."""
        parts = (self.canary, self.canary_bad, self.stable, self.stable_bad)
        return Arms(*(part[rollouts, :look] for part in parts))

    def then(self, later: Arms) -> Arms:
        """Return rollouts that do first this and then that."""
        return Arms(
            np.concatenate([self.canary, later.canary], axis=1),
            np.concatenate([self.canary_bad, later.canary_bad], axis=1),
            np.concatenate([self.stable, later.stable], axis=1),
            np.concatenate([self.stable_bad, later.stable_bad], axis=1),
        )

    @property
    def share(self) -> Floats:
        """Return the canary's realised share."""
        return self.canary / np.maximum(self.canary + self.stable, 1)


Judge = Callable[[Arms], Floats]


def independent(traffic: Traffic, rng: np.random.Generator, *, canary: float, stable: float) -> Arms:
    """Return rollouts whose requests fail one by one, at the rates given."""
    ours, others = _requests(traffic, rng)
    return Arms(
        ours, _floats(rng.binomial(ours.astype(int), canary)), others, _floats(rng.binomial(others.astype(int), stable))
    )


def bursts(traffic: Traffic, rng: np.random.Generator, *, rate: float, size: int) -> Arms:
    """Return rollouts of two equal versions, on which now and then a caller fails ``size`` times in a minute."""
    shape = (traffic.rollouts, traffic.minutes)
    ours, others = _requests(traffic, rng)
    callers = rng.poisson(traffic.per_minute * rate / size, shape)
    mine = rng.binomial(callers, traffic.share)
    return Arms(
        ours + size * mine, _floats(size * mine), others + size * (callers - mine), _floats(size * (callers - mine))
    )


def sticky_users(traffic: Traffic, rng: np.random.Generator, *, rate: float, users: int) -> Arms:
    """Return rollouts of two equal versions, on which a few users always fail, each on the arm of its key for good."""
    shape = (traffic.rollouts, traffic.minutes)
    ours, others = _requests(traffic, rng)
    each = traffic.per_minute * rate / users
    mine = rng.binomial(users, traffic.share, (traffic.rollouts, 1))
    bad, good = rng.poisson(each * mine, shape), rng.poisson(each * (users - mine), shape)
    return Arms(ours + bad, _floats(bad), others + good, _floats(good))


def latencies(traffic: Traffic, rng: np.random.Generator, *, sigma: float, factor: float) -> tuple[Floats, Floats]:
    """Return how many requests of canary and stable lie in each latency bin or above it.

    Times are log-normal, with a median of 20 ms, the canary's ``factor`` times as long; shape (rollouts, minutes, bins
    + 1).
    """
    ours, others = _requests(traffic, rng)
    return _slower(ours, sigma, 0.02 * factor, rng), _slower(others, sigma, 0.02, rng)


def by_tolerance(tolerance: float) -> Judge:
    """Return the product's test of errors."""

    def judge(arms: Arms) -> Floats:
        chance = tolerated(arms.share, tolerance)
        return weigh(arms.canary_bad, arms.canary_bad + arms.stable_bad, arms.share, chance=chance)[0]

    return judge


def uncalmed(tolerance: float) -> Judge:
    """Return the same without regard to scatter."""

    def judge(arms: Arms) -> Floats:
        return log_fortune(arms.canary_bad, arms.canary_bad + arms.stable_bad, tolerated(arms.share, tolerance))

    return judge


def stopped(arms: Arms, judge: Judge, alpha: float = 0.05) -> Floats:
    """Return the minute after which each rollout was stopped; ``NEVER`` for those that were not."""
    after = np.full(len(arms.canary), NEVER)
    for look in range(1, arms.canary.shape[1] + 1):
        going = np.flatnonzero(after == NEVER)
        if not going.size:
            break
        after[going[judge(arms.until(look, going)) >= -np.log(alpha)]] = look
    return after


def stopped_by_latency(canary: Floats, stable: Floats, tolerance: float, alpha: float = 0.05) -> Floats:
    """Return the same for the product's test of latency."""
    slots = []
    for share in SLOWEST:
        edges = edges_of_slowest(canary + stable, share)
        slots.append(Arms(canary[..., 0], above(canary, edges), stable[..., 0], above(stable, edges)))
    judge = by_tolerance(tolerance)
    after = np.full(len(canary), NEVER)
    for look in range(1, canary.shape[1] + 1):
        going = np.flatnonzero(after == NEVER)
        if not going.size:
            break
        evidence = log_mean([judge(slot.until(look, going)) for slot in slots])
        after[going[evidence >= -np.log(alpha)]] = look
    return after


def share_stopped(after: Floats) -> float:
    """Return the share of rollouts that were stopped."""
    return float(np.mean(after < NEVER))


def minutes_at(after: Floats, quantile: float) -> float:
    """Return the minute by which this share of rollouts was stopped."""
    return float(np.quantile(after, quantile, method="inverted_cdf"))


def shorter(traffic: Traffic, rollouts: int, minutes: int = 60) -> Traffic:
    """Return the same traffic in fewer rollouts."""
    return replace(traffic, rollouts=rollouts, minutes=minutes)


def _requests(traffic: Traffic, rng: np.random.Generator) -> tuple[Floats, Floats]:
    requests = rng.poisson(traffic.per_minute, (traffic.rollouts, traffic.minutes))
    ours = rng.binomial(requests, traffic.share)
    return _floats(ours), _floats(requests - ours)


def _slower(requests: Floats, sigma: float, median: float, rng: np.random.Generator) -> Floats:
    """Draw reaching counts from the slowest bin down: each bin takes its binomial part of those who are left."""
    edges = np.array([latency_edge(number) for number in range(LATENCY_BINS)] + [np.inf])
    reach = np.array([_normal_tail(np.log(edge / median) / sigma) if edge > 0 else 1.0 for edge in edges])
    slower = np.zeros((*requests.shape, LATENCY_BINS + 1))
    slower[..., 0] = left = requests
    for number in range(1, LATENCY_BINS):
        stays = reach[number] / reach[number - 1] if reach[number - 1] > 0 else 0.0
        slower[..., number] = left = left if stays >= 1 else _floats(rng.binomial(left.astype(np.int64), stays))
        if stays == 0 or not left.any():
            break
    return slower


def _normal_tail(z: float) -> float:
    return math.erfc(z / math.sqrt(2)) / 2


def _floats(array: npt.NDArray[np.int64]) -> Floats:
    return array.astype(np.float64)
