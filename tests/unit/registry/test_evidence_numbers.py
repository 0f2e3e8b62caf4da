"""What evidence promises in numbers, held by simulation with fixed seeds: false rollbacks, and minutes to detect.

``make bench-evidence`` simulates the same at length, beside other tests; docs/evidence.md has the figures.
"""

from __future__ import annotations

import numpy as np
import pytest

from tests.support.canaries import (
    Arms,
    Traffic,
    bursts,
    by_tolerance,
    independent,
    latencies,
    minutes_at,
    share_stopped,
    sticky_users,
    stopped,
    stopped_by_latency,
    uncalmed,
)

USUAL = Traffic(per_minute=1200, share=0.1, minutes=60, rollouts=2000)


@pytest.fixture
def rng() -> np.random.Generator:
    """The same chance in every run."""
    return np.random.default_rng(2026)


@pytest.mark.parametrize("tolerance", [1.0, 1.25])
def test_equal_versions_are_seldom_rolled_back(tolerance: float, rng: np.random.Generator) -> None:
    """With no real change, 60 looks stop at most 2.5 % of rollouts for errors."""
    same = independent(USUAL, rng, canary=0.005, stable=0.005)
    assert share_stopped(stopped(same, by_tolerance(tolerance))) <= 0.025


def test_the_guarantee_holds_where_it_is_tightest(rng: np.random.Generator) -> None:
    """A canary exactly as bad as tolerated is stopped in at most 5 % of rollouts."""
    at_the_edge = independent(USUAL, rng, canary=0.00625, stable=0.005)
    assert share_stopped(stopped(at_the_edge, by_tolerance(1.25))) <= 0.05


def test_a_canary_with_two_per_cent_errors_is_found(rng: np.random.Generator) -> None:
    """0.5 to 2 % errors are found in 4 minutes at the median and in 12 in 95 % of rollouts, with tolerance 1.25."""
    after = stopped(independent(USUAL, rng, canary=0.02, stable=0.005), by_tolerance(1.25))
    assert minutes_at(after, 0.5) <= 4
    assert minutes_at(after, 0.95) <= 12


@pytest.mark.parametrize("tolerance", [1.0, 1.25])
def test_equal_times_are_seldom_rolled_back(tolerance: float, rng: np.random.Generator) -> None:
    """With no real change, 60 looks stop at most 2.5 % of rollouts for latency."""
    same = latencies(Traffic(rollouts=500), rng, sigma=0.5, factor=1.0)
    assert share_stopped(stopped_by_latency(*same, tolerance)) <= 0.025


@pytest.mark.parametrize("sigma", [0.25, 0.5])
def test_a_slower_canary_is_found(sigma: float, rng: np.random.Generator) -> None:
    """Log-normal times that are 1.25 times as long are found in 3 minutes at the median, with tolerance 1.25."""
    slow = latencies(Traffic(minutes=15, rollouts=500), rng, sigma=sigma, factor=1.25)
    after = stopped_by_latency(*slow, 1.25)
    assert minutes_at(after, 0.5) <= 3
    assert minutes_at(after, 0.95) <= 8


def test_wide_times_need_no_tolerance_to_be_found(rng: np.random.Generator) -> None:
    """With sigma 1, 1.25 times as long is 1.3 to 1.8 times as many slow ones: found in 6 minutes with tolerance 1."""
    slow = latencies(Traffic(minutes=15, rollouts=300), rng, sigma=1.0, factor=1.25)
    assert minutes_at(stopped_by_latency(*slow, 1.0), 0.5) <= 6


@pytest.mark.parametrize(
    ("per_minute", "share", "rate"), [(2, 0.5, 0.4), (10, 0.1, 0.05), (10, 0.5, 0.9), (1200, 0.01, 0.005)]
)
def test_little_traffic_keeps_the_guarantee(
    per_minute: float, share: float, rate: float, rng: np.random.Generator
) -> None:
    """With a handful of requests a minute, where the canary's realised share is anything, false rollbacks stay rare."""
    same = independent(Traffic(per_minute, share, 60, 1500), rng, canary=rate, stable=rate)
    assert share_stopped(stopped(same, by_tolerance(1.0))) <= 0.04


def test_shares_that_grow_keep_the_guarantee(rng: np.random.Generator) -> None:
    """Steps of 1, 10 and 50 % beside rates that change by the step make no difference between equal versions."""
    steps: list[Arms] = [
        independent(Traffic(1200, share, 20, 1500), rng, canary=rate, stable=rate)
        for share, rate in ((0.01, 0.002), (0.1, 0.05), (0.5, 0.01))
    ]
    grown = steps[0].then(steps[1]).then(steps[2])
    assert share_stopped(stopped(grown, by_tolerance(1.0))) <= 0.03


def test_bursts_of_failures_are_mostly_forgiven(rng: np.random.Generator) -> None:
    """Callers who fail five times in a row are no independent trials: regard for scatter spares most rollouts.

    Not all: in the first minutes nobody can know how large a clump is.
    """
    clumped = bursts(Traffic(rollouts=600), rng, rate=0.005, size=5)
    assert share_stopped(stopped(clumped, uncalmed(1.25))) > 0.4
    assert share_stopped(stopped(clumped, by_tolerance(1.25))) < 0.2


def test_many_sticky_callers_are_as_good_as_requests(rng: np.random.Generator) -> None:
    """Where errors belong to 300 callers who keep to their arm, false rollbacks stay below 5 % with tolerance 1.25."""
    clustered = sticky_users(Traffic(rollouts=800), rng, rate=0.005, users=300)
    assert share_stopped(stopped(clustered, by_tolerance(1.25))) <= 0.05
