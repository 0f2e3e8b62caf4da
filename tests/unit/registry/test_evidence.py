"""Evidence against a canary: e-values that are e-values, and verdicts that say what they rest on."""

from __future__ import annotations

import itertools
import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.traffic.evidence import (
    Losses,
    Period,
    Verdict,
    error_evidence,
    invalid_evidence,
    latency_evidence,
    quality_evidence,
    tolerated,
)
from registry.traffic.mixtures import AT_ONCE, WORSE, log_fortune, scatter
from registry.windows import ArmCounts, latency_bin, latency_edge

GOOD = Period(ArmCounts(120, 1), ArmCounts(1080, 6))
BAD = Period(ArmCounts(120, 12), ArmCounts(1080, 6))
OUTAGE = Period(ArmCounts(120, 120), ArmCounts(1080, 1080))

up_to_a_billion = st.integers(0, 10**9) | st.integers(0, 20)


@st.composite
def arms(draw: st.DrawFn) -> ArmCounts:
    """Draw what an arm did: anything from nothing to a billion requests."""
    requests = draw(up_to_a_billion)
    errors = draw(st.integers(0, requests))
    times = draw(st.dictionaries(st.integers(0, 167), up_to_a_billion, max_size=4))
    return ArmCounts(requests, errors, draw(st.integers(0, requests - errors)), times)


periods = st.lists(st.builds(Period, arms(), arms()), max_size=6)


def errors(told: list[Period], *, tolerance: float = 1.25, maximum: float | None = None) -> Verdict:
    """Return the verdict on errors at 5 %."""
    return error_evidence(told, tolerance=tolerance, alpha=0.05, maximum=maximum)


def took(*seconds: float, times: int = 1) -> ArmCounts:
    """Return an arm whose successes took so long."""
    counts: dict[int, int] = {}
    for second in seconds:
        counts[latency_bin(second)] = counts.get(latency_bin(second), 0) + times
    return ArmCounts(len(seconds) * times, latency=counts)


def fortune(wins: list[float], trials: list[float], chance: list[float]) -> float:
    """Return the logarithm of the fortune after some periods."""
    return float(log_fortune(np.array(wins), np.array(trials), np.array(chance)))


@given(
    st.integers(1, 4),
    st.integers(1, 6),
    st.floats(0, 1),
    st.sampled_from([0.8, 1.0, 1.25, 2.0]),
)
def test_nobody_gains_from_a_canary_that_is_no_worse(ours: int, others: int, rate: float, tolerance: float) -> None:
    """The mean of the e-value is at most 1, exactly, at the largest error rate tolerated, over all that may happen."""
    canary_rate = min(1.0, tolerance * rate)
    share = np.array([ours / (ours + others)])
    mean = 0.0
    for mine, theirs in itertools.product(range(ours + 1), range(others + 1)):
        chance = _binomial(mine, ours, canary_rate) * _binomial(theirs, others, rate)
        gained = fortune([mine], [mine + theirs], list(tolerated(share, tolerance)))
        mean += chance * math.exp(gained)
    assert mean <= 1 + 1e-9


@given(st.integers(1, 8), st.floats(0.01, 0.9))
def test_nobody_gains_from_a_canary_below_its_maximum(requests: int, maximum: float) -> None:
    """The same of the test against an absolute maximum."""
    values = [math.exp(fortune([bad], [requests], [maximum])) for bad in range(requests + 1)]
    mean = sum(_binomial(bad, requests, maximum) * value for bad, value in enumerate(values))
    assert mean <= 1 + 1e-9


@given(periods, st.sampled_from([1.0, 1.25, 3.0]), st.none() | st.floats(0.001, 0.999))
def test_verdicts_are_finite(told: list[Period], tolerance: float, maximum: float | None) -> None:
    """Whatever was counted, from nothing to a billion, each verdict is a finite number and fits into JSON."""
    for verdict in (
        errors(told, tolerance=tolerance, maximum=maximum),
        invalid_evidence(told, tolerance=tolerance, alpha=0.01, maximum=maximum),
        latency_evidence(told, tolerance=tolerance, alpha=0.01, objective_seconds=maximum),
    ):
        assert math.isfinite(verdict.evidence)
        assert verdict.scatter >= 1
        json.dumps(verdict.to_json(), allow_nan=False)


@given(st.lists(st.tuples(st.integers(1, 50), st.integers(0, 50), st.floats(0.01, 0.99)), min_size=1, max_size=6))
def test_a_failure_of_stable_never_speaks_against_the_canary(told: list[tuple[int, int, float]]) -> None:
    """A bad request that was stable's in place of the canary's never raises the e-value."""
    wins, losses, chance = (list(column) for column in zip(*told, strict=True))
    trials = [float(win + loss) for win, loss in zip(wins, losses, strict=True)]
    before = fortune([float(win) for win in wins], trials, chance)
    for place in range(len(wins)):
        fewer = [float(win - (number == place)) for number, win in enumerate(wins)]
        assert fortune(fewer, trials, chance) <= before + 1e-9


@given(periods, st.data())
def test_empty_periods_change_nothing(told: list[Period], data: st.DataObject) -> None:
    """Periods without requests, or with one arm alone, leave every verdict as it is."""
    told = [period for period in told if period.canary.requests and period.stable.requests]
    more = list(told)
    alone = Period(stable=ArmCounts(50, 3, 0, {90: 40}))
    more.insert(data.draw(st.integers(0, len(more))), data.draw(st.sampled_from([Period(), alone])))
    assert errors(more).log_e == pytest.approx(errors(told).log_e, rel=1e-9, abs=1e-9)
    one, other = (latency_evidence(each, tolerance=1.25, alpha=0.05).log_e for each in (more, told))
    assert one == pytest.approx(other, rel=1e-9, abs=1e-9)


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 80)), min_size=2, max_size=6), st.data())
def test_order_and_cuts_cost_only_what_waits(told: list[tuple[int, int]], data: st.DataObject) -> None:
    """The stake that plays from the first is blind to the order of periods and to how they are cut.

    So no order takes more than the part that waits, and one period of all says that much at least.
    """
    chance = 0.12
    total = np.array([sum(mine for mine, _ in told), sum(mine + theirs for mine, theirs in told)], dtype=float)
    gains = total[0] * np.log(WORSE[0]) - total[1] * np.log1p(chance * (WORSE[0] - 1))
    whole = float(np.logaddexp.reduce(gains + np.log(WORSE[1]))) + math.log(AT_ONCE)
    for order in (told, data.draw(st.permutations(told)), [(int(total[0]), int(total[1] - total[0]))]):
        trials = [float(mine + theirs) for mine, theirs in order]
        value = fortune([float(mine) for mine, _ in order], trials, [chance] * len(order))
        assert value >= whole - 1e-9 or total[1] == 0


def test_a_worse_canary_fails_with_its_numbers() -> None:
    """Ten per cent of errors beside half a per cent fail within two minutes, and the verdict says what it saw."""
    verdict = errors([BAD, BAD])
    assert verdict.fails
    assert verdict.evidence > 1
    shown = verdict.to_json()
    assert shown["canary"] == {"requests": 240, "bad": 24, "ratio": 0.1}
    assert shown["stable"] == {"requests": 2160, "bad": 12, "ratio": pytest.approx(12 / 2160)}
    assert shown["rule"] == "tolerance"


def test_good_hours_speak_for_a_canary() -> None:
    """A canary as good as stable gathers evidence in its favour."""
    assert errors([GOOD] * 60).log_e < -1


def test_a_canary_without_errors_is_no_worse() -> None:
    """No bad request of the canary is no evidence against it, whatever stable does."""
    assert errors([Period(ArmCounts(120), ArmCounts(1080, 9))] * 5).log_e < 0
    assert errors([Period(ArmCounts(120), ArmCounts(1080))] * 5).log_e == 0


def test_without_stable_requests_nothing_is_known() -> None:
    """Errors of a canary with nobody beside it prove nothing against the tolerance; a maximum judges them."""
    alone = [Period(canary=ArmCounts(100, 60))]
    assert errors(alone).log_e == 0
    assert errors(alone, maximum=0.02).fails
    assert errors(alone, maximum=0.02).rule == "maximum"


def test_an_outage_of_both_arms_fails_nobody() -> None:
    """When every request fails on both arms, the canary is not to blame."""
    assert errors([OUTAGE] * 10).log_e < 0


@pytest.mark.parametrize("before", [[OUTAGE] * 5, [GOOD] * 240], ids=["after an outage", "after four good hours"])
def test_a_canary_that_turns_bad_late_is_found(before: list[Period]) -> None:
    """What was before cannot hide a canary whose every request fails: it is found within two minutes."""
    dead = Period(ArmCounts(120, 120), ArmCounts(1080, 6))
    assert any(errors([*before, *[dead] * minutes]).fails for minutes in (1, 2))
    assert any(errors([*before, *[BAD] * minutes]).fails for minutes in range(1, 10))


def test_a_maximum_holds_whatever_stable_does() -> None:
    """An absolute maximum fails a canary that is as bad as stable, and spares one below it."""
    both = Period(ArmCounts(120, 8), ArmCounts(1080, 72))
    assert not errors([both] * 10).fails
    assert errors([both] * 10, maximum=0.02).fails
    assert not errors([both] * 10, maximum=0.08).fails


def test_a_node_without_a_canary_says_nothing() -> None:
    """By node, a bad node with a canary and a good one without are no evidence; thrown together they would be."""
    slow = Period(ArmCounts(100, 10), ArmCounts(100, 10))
    fast = Period(ArmCounts(), ArmCounts(900, 0))
    together = Period(slow.canary, slow.stable.plus(fast.stable))
    assert not errors([slow, fast] * 10).fails
    assert errors([together] * 10).fails


def test_invalid_answers_are_counted_among_successes() -> None:
    """A canary that answers NaN fails by its invalid answers, not by its errors."""
    nan = Period(ArmCounts(120, 0, 40), ArmCounts(1080, 2, 1))
    assert invalid_evidence([nan], tolerance=1.25, alpha=0.05).fails
    assert not errors([nan]).fails
    assert invalid_evidence([nan], tolerance=1.25, alpha=0.05).stable.requests == 1078


def test_a_slower_canary_fails_with_the_threshold() -> None:
    """A canary of twice the time fails, with the seconds above which its requests were counted."""
    quick = np.geomspace(0.01, 0.04, 50)
    told = [Period(took(*(2 * quick), times=3), took(*quick, times=20))] * 3
    verdict = latency_evidence(told, tolerance=1.25, alpha=0.05)
    assert verdict.fails
    assert verdict.threshold_seconds is not None
    assert 0.02 < verdict.threshold_seconds < 0.08
    assert verdict.canary.ratio is not None
    assert verdict.stable.ratio is not None
    assert verdict.canary.ratio > 2 * verdict.stable.ratio


@pytest.mark.parametrize("share", [10, 50, 75])
def test_a_canary_whose_times_are_all_alike_and_slow_fails(share: int) -> None:
    """However large its share, and although a few of stable's requests are slow as well."""
    canary, stable = took(0.06, times=share), took(0.015, times=96 - share).plus(took(0.08, times=4))
    assert latency_evidence([Period(canary, stable)] * 3, tolerance=1.25, alpha=0.05 / 3).fails


@pytest.mark.parametrize("slower", [0.0, 0.0005, 0.0009])
def test_what_is_slower_by_less_than_the_margin_is_no_worse(slower: float) -> None:
    """A canary whose every request takes half a millisecond more than stable's never has evidence against it."""
    times = np.geomspace(0.003, 0.006, 30)
    told = [Period(took(*(times + slower), times=10), took(*times, times=90))] * 20
    verdict = latency_evidence(told, tolerance=1.0, alpha=0.05)
    assert verdict.log_e <= 0
    assert verdict.margin_seconds == 0.002


def test_an_objective_is_a_threshold_of_its_own() -> None:
    """The promised time is judged too: at the first edge of a bin that is not below it."""
    told = [Period(took(0.01, 0.3, times=50), took(*[0.01] * 30, 0.3, times=33))] * 2
    with_objective = latency_evidence(told, tolerance=1.25, alpha=0.05, objective_seconds=0.2)
    assert with_objective.fails
    assert latency_edge(latency_bin(0.3)) < 0.3
    assert latency_evidence(told, tolerance=1.25, alpha=0.05, objective_seconds=1000.0).log_e < with_objective.log_e


def test_losses_of_nought_and_one_are_errors() -> None:
    """Quality of labels that are right or wrong is judged as errors are, and fractions of a loss between them."""
    as_losses = [Losses(120, 12.0, 1080, 6.0)] * 2
    assert quality_evidence(as_losses, tolerance=1.25, alpha=0.05).log_e == pytest.approx(errors([BAD, BAD]).log_e)
    assert not quality_evidence([Losses(120, 24.5, 1080, 216.25)] * 9, tolerance=1.1, alpha=0.05).fails
    assert quality_evidence([Losses(120, 48.5, 1080, 216.25)] * 9, tolerance=1.1, alpha=0.05).fails


def test_failures_in_clumps_are_weighed_by_clumps() -> None:
    """Where bad requests come twenty at a time of one arm, the evidence is divided by about twenty."""
    rng = np.random.default_rng(5)
    share = np.full(200, 0.1)
    callers = rng.poisson(2.0, 200)
    mine, all_of_them = (20 * count.astype(np.float64) for count in (rng.binomial(callers, 0.1), callers))
    assert 12 < float(scatter(mine, all_of_them, share)) < 28
    alone = rng.poisson(20.0, 200)
    assert float(scatter(rng.binomial(alone, 0.1).astype(float), alone.astype(float), share)) < 1.1


@pytest.mark.parametrize(
    ("tolerance", "alpha", "maximum"), [(0, 0.05, None), (1.25, 0, None), (1.25, 1, None), (1, 0.05, 0)]
)
def test_what_is_no_knob_is_refused(tolerance: float, alpha: float, maximum: float | None) -> None:
    """A tolerance, alpha or maximum out of its range is an error that says what would be right."""
    with pytest.raises(ValueError, match="such as"):
        error_evidence([GOOD], tolerance=tolerance, alpha=alpha, maximum=maximum)


def _binomial(successes: int, trials: int, chance: float) -> float:
    return math.comb(trials, successes) * chance**successes * (1 - chance) ** (trials - successes)
