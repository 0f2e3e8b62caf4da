"""``make bench-evidence``: how often rollouts are stopped wrongly, and how soon rightly, by simulation at length.

The tests hold the promises at a moderate number of rollouts; this prints the whole picture: the frontier between false
rollbacks and time to detect beside other tests, other traffic and shares, other latencies, failures in clumps, outages,
predictions. All seeds are fixed. What the figures mean: docs/evidence.md.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping

import numpy as np

from registry.traffic.evidence import Period
from registry.traffic.predictions import prediction_shift
from registry.windows import ArmCounts, value_bins
from tests.support.canaries import (
    Arms,
    Floats,
    Judge,
    Traffic,
    bursts,
    by_tolerance,
    independent,
    latencies,
    minutes_at,
    share_stopped,
    shorter,
    sticky_users,
    stopped,
    stopped_by_latency,
    uncalmed,
)
from tests.support.labelled_rollouts import classes, numbers, stopped_after
from tests.support.other_tests import beta_mixture, five_bad_minutes, z_test

USUAL = Traffic()


def main() -> None:
    """Print every table."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.evidence", description=__doc__)
    parser.add_argument("tables", nargs="*", choices=[[], *TABLES], help="which; all without any")
    parser.add_argument("--rollouts", type=int, default=4000, help="simulated for each figure")
    parser.add_argument("--seed", type=int, default=7)
    arguments = parser.parse_args()
    for name in arguments.tables or TABLES:
        title, table = TABLES[name]
        began = time.monotonic()
        print(f"\n{title}")
        table(shorter(USUAL, arguments.rollouts), np.random.default_rng(arguments.seed))
        print(f"  ({time.monotonic() - began:.0f} s)", flush=True)


def frontier(traffic: Traffic, rng: np.random.Generator) -> None:
    """Print false rollbacks and times to detect of several tests, at several alphas."""
    same = independent(traffic, rng, canary=0.005, stable=0.005)
    edge = independent(traffic, rng, canary=0.00625, stable=0.005)
    twice = independent(traffic, rng, canary=0.01, stable=0.005)
    worse = independent(traffic, rng, canary=0.02, stable=0.005)
    print(f"  {'':40} no change true 1.25 | 0.5 to 1 %: found, median, 95th | to 2 %; mean minutes")
    for name, judge, alphas in (
        ("z-test of 5 % a minute", z_test, (0.05,)),
        ("under 99 % in a minute, five times", five_bad_minutes, (0.05,)),
        ("beta mixture, tolerance 1", beta_mixture(1.0), (0.1, 0.05, 0.025, 0.01)),
        ("beta mixture, tolerance 1.25", beta_mixture(1.25), (0.1, 0.05, 0.025, 0.01)),
        ("ours, tolerance 1", by_tolerance(1.0), (0.1, 0.05, 0.025, 0.01)),
        ("ours, tolerance 1.25", by_tolerance(1.25), (0.2, 0.1, 0.05, 0.025, 0.0167, 0.01)),
    ):
        for alpha in alphas:
            label = name if judge in (z_test, five_bad_minutes) else f"{name}, alpha {alpha:g}"
            false = [share_stopped(stopped(arms, judge, alpha)) for arms in (same, edge)]
            two, four = stopped(twice, judge, alpha), stopped(worse, judge, alpha)
            mean = np.minimum(four, 61).mean()
            print(
                f"  {label:42} {false[0]:6.2%}   {false[1]:6.2%} | {_found(two)} | {_found(four)} {mean:6.2f}",
                flush=True,
            )


def shares(traffic: Traffic, rng: np.random.Generator) -> None:
    """Print the same of ours at other shares and rates of requests."""
    print(f"  {'requests/min, share':22} no change | 0.5 to 2 %: found, median, 95th | 2 to 50 %: found, median, 95th")
    for per_minute in (10, 100, 1200, 12000):
        for share in (0.01, 0.05, 0.1, 0.5):
            here = Traffic(per_minute, share, 60, traffic.rollouts)
            none, slight, heavy = (
                stopped(independent(here, rng, canary=canary, stable=stable), by_tolerance(1.25))
                for canary, stable in ((0.005, 0.005), (0.02, 0.005), (0.5, 0.02))
            )
            label = f"{per_minute:8,} {share:8.0%}"
            print(f"  {label}    {share_stopped(none):8.2%} | {_found(slight)} | {_found(heavy)}", flush=True)


def latency(traffic: Traffic, rng: np.random.Generator) -> None:
    """Print false rollbacks and times to detect of latency, for narrow and wide distributions."""
    few = shorter(traffic, max(traffic.rollouts // 8, 100))
    print(f"  {'sigma, tolerance':22} no change | 1.25 times as long: found, median, 95th | twice as long")
    for sigma in (0.1, 0.25, 0.5, 1.0):
        draws = [latencies(few, rng, sigma=sigma, factor=factor) for factor in (1.0, 1.25, 2.0)]
        for tolerance in (1.0, 1.25):
            after = [stopped_by_latency(*draw, tolerance) for draw in draws]
            print(
                f"  {sigma:8} {tolerance:8}    {share_stopped(after[0]):8.2%} | {_found(after[1])} | {_found(after[2])}"
            )


def clumps(traffic: Traffic, rng: np.random.Generator) -> None:
    """Print false rollbacks where a caller, not a request, is what fails; with and without regard to scatter."""
    print(f"  {'':44} tolerance 1: ours (without calming) | tolerance 1.25: ours (without)")
    cases = {f"bursts of {size} requests": bursts(traffic, rng, rate=0.005, size=size) for size in (1, 2, 5, 20)}
    for users in (1200, 300, 60, 20):
        cases[f"{users} callers that always fail, all the hour"] = sticky_users(traffic, rng, rate=0.005, users=users)
    for name, arms in cases.items():
        row = [share_stopped(stopped(arms, judge(tau))) for tau in (1.0, 1.25) for judge in (by_tolerance, uncalmed)]
        print(f"  {name:44} {row[0]:10.1%} ({row[1]:6.1%})            | {row[2]:10.1%} ({row[3]:6.1%})", flush=True)


def late(traffic: Traffic, rng: np.random.Generator) -> None:
    """Print how soon a canary is found that turns bad after good minutes, or after an outage of both arms."""
    worse = independent(traffic, rng, canary=0.02, stable=0.005)
    dead = independent(traffic, rng, canary=1.0, stable=0.005)
    good = independent(shorter(traffic, traffic.rollouts, 30), rng, canary=0.005, stable=0.005)
    outage = independent(shorter(traffic, traffic.rollouts, 5), rng, canary=1.0, stable=1.0)
    for before, first in (("at once", None), ("after 30 good minutes", good), ("after 5 minutes of outage", outage)):
        for name, then in (("0.5 to 2 %", worse), ("0.5 to 100 %", dead)):
            judges = (by_tolerance(1.25), beta_mixture(1.25))
            row = [_found(_since(first, then, judge)) for judge in judges]
            print(f"  {name:13} {before:28} ours {row[0]} | beta mixture {row[1]}", flush=True)


def _since(first: Arms | None, then: Arms, judge: Judge) -> Floats:
    """Return how long after the first part rollouts were stopped; whoever was stopped in it is left out."""
    if first is None:
        return stopped(then, judge)
    after = stopped(first.then(then), judge) - first.canary.shape[1]
    return np.asarray(after[after > 0])


def predictions(traffic: Traffic, rng: np.random.Generator) -> None:
    """Print how often and how soon a shift of predictions is found."""
    rollouts = max(traffic.rollouts // 80, 20)
    for shift in (0.0, 0.25, 0.5, 1.0):
        after = np.array([_shifted_after(rng, shift) for _ in range(rollouts)])
        print(f"  {shift:5} sigma, 120 requests/min: {_found(after)}", flush=True)


def _shifted_after(rng: np.random.Generator, shift: float) -> float:
    periods: list[Period] = []
    for look in range(1, 61):
        arms = [ArmCounts(n, predictions=value_bins(rng.normal(at, 1, n))) for n, at in ((12, shift), (108, 0.0))]
        periods.append(Period(*arms))
        if prediction_shift(periods, alpha=0.05).shifted:
            return float(look)
    return float("inf")


def labels(traffic: Traffic, rng: np.random.Generator) -> None:
    """Print after how many labels, a tenth of them the canary's, a worse canary is found by them."""
    rollouts = max(traffic.rollouts // 20, 20)
    print(f"  {'10,000 labels at most, a tenth the canary':44} stopped, median, 95th")
    for rate in (0.1, 0.125, 0.15, 0.2, 0.3):
        after = [stopped_after(classes(rng, 10_000, canary=rate, stable=0.1)) for _ in range(rollouts)]
        print(f"  wrong classes, 10 % of stable's, {rate:6.1%}       {_found(np.array(after))}", flush=True)
    for times in (1.0, 1.25, 1.5, 2.0, 3.0):
        after = [stopped_after(numbers(rng, 10_000, times=times)) for _ in range(rollouts)]
        print(f"  errors, normal, {times:4} times as large             {_found(np.array(after))}", flush=True)


def _found(after: Floats) -> str:
    return f"{share_stopped(after):6.1%} {minutes_at(after, 0.5):4.0f} {minutes_at(after, 0.95):4.0f}"


TABLES: Mapping[str, tuple[str, Callable[[Traffic, np.random.Generator], None]]] = {
    "frontier": ("1,200 requests a minute, a tenth for the canary, a look a minute for an hour", frontier),
    "shares": ("Other traffic and shares, tolerance 1.25, alpha 0.05", shares),
    "latency": ("Latency, log-normal, alpha 0.05", latency),
    "clumps": ("Two equal versions whose failures come in clumps, 0.5 %, alpha 0.05", clumps),
    "late": ("Trouble that begins late, tolerance 1.25, alpha 0.05 (minutes since it began)", late),
    "labels": ("Labels, tolerance 1.25, alpha 0.05", labels),
    "predictions": ("Predictions, normal, the canary's moved by so many sigma, alpha 0.05", predictions),
}

if __name__ == "__main__":
    main()
