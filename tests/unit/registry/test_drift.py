"""A window beside its baseline: what is judged, what is said of it, and what is never made up."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from registry.baselines import Baseline, CategoryCounts, NumberCounts, Origin
from registry.monitoring.drift import MEASURES, FeatureVerdict, Level, WindowVerdict, judge
from tests.support.drifting import Columns, baseline_of, counts_of, feature_of, mixed, verdict_of

RNG = np.random.default_rng(5)
TRAINED: Columns = {
    "age": RNG.normal(40, 10, 10_000),
    "pay": RNG.lognormal(0, 1, 10_000),
    "plan": np.array(["basic", "pro", "team"])[RNG.choice(3, 10_000, p=[0.6, 0.3, 0.1])],
}
BASELINE = baseline_of(TRAINED)


def live(rows: int = 1000, **columns: object) -> Columns:
    """Return rows like those of training, with some columns replaced."""
    rng = np.random.default_rng(6)
    chosen = rng.choice(10_000, rows, replace=False)
    same = {name: column[chosen] for name, column in TRAINED.items()}
    return {**same, **{name: np.asarray(column) for name, column in columns.items()}}


def by_name(verdict: WindowVerdict) -> dict[str, FeatureVerdict]:
    """Return the features of a verdict by their names."""
    return {feature.name: feature for feature in verdict.features}


def test_the_same_rows_are_ok_and_all_distances_are_nothing() -> None:
    """A window that is the training data itself moves nothing at all."""
    verdict = verdict_of(BASELINE, TRAINED)
    assert verdict.verdict is Level.OK
    for feature in verdict.features:
        assert (feature.psi, feature.js, feature.moved) == (0.0, 0.0, ())
        assert feature.ks in (0.0, None)
        assert feature.wasserstein in (0.0, None)
        assert feature.p_adjusted == 1.0


def test_a_shifted_feature_is_found_and_ranked_first() -> None:
    """One feature moves by one sigma: it is drift, stands first, says which bins; the others are ok."""
    verdict = verdict_of(BASELINE, live(age=live()["age"] + 10))
    first, *rest = verdict.features
    assert verdict.verdict is Level.DRIFT is first.verdict
    assert first.name == "age"
    assert first.strength > 1 > max(feature.strength for feature in rest)
    assert first.wasserstein == pytest.approx(1.0, abs=0.1)
    assert first.moved[0].bin.startswith("above")
    assert first.moved[0].window_ratio > 0.3 > first.moved[0].baseline_ratio
    assert all(feature.verdict is Level.OK for feature in rest)


def test_drift_grows_with_the_shift() -> None:
    """The further a feature moves, the larger every distance; ok becomes warn, and warn drift."""
    verdicts = [by_name(verdict_of(BASELINE, live(age=live()["age"] + shift)))["age"] for shift in (0, 2, 5, 8, 15)]
    for name in ("psi", "js", "ks", "wasserstein"):
        sizes = [getattr(verdict, name) for verdict in verdicts]
        assert sizes == sorted(sizes)
    assert [verdict.verdict for verdict in verdicts] == [Level.OK, Level.OK, Level.WARN, Level.DRIFT, Level.DRIFT]


def test_under_two_hundred_rows_nothing_is_judged() -> None:
    """A short window shows what was measured and says that it is too little, however far the rows are."""
    verdict = verdict_of(BASELINE, live(199, age=np.full(199, 1e6)))
    assert verdict.verdict is Level.INSUFFICIENT
    assert {feature.verdict for feature in verdict.features} == {Level.INSUFFICIENT}
    assert by_name(verdict)["age"].ks == pytest.approx(1.0)
    assert verdict_of(BASELINE, live(200, age=np.full(200, 1e6))).verdict is Level.DRIFT


@pytest.mark.parametrize("rows", [0, 5000])
def test_features_that_nobody_counted_are_not_judged(rows: int) -> None:
    """Without counts there is no verdict, no number, and no division by nothing."""
    verdict = judge(BASELINE, {}, rows)
    assert verdict.verdict is Level.INSUFFICIENT
    assert {getattr(feature, name) for feature in verdict.features for name in MEASURES[:8]} == {None}


def test_an_input_that_callers_leave_out_is_missing() -> None:
    """A column that other columns' rows come without has these as missing ones: that is drift, and not silence."""
    columns = live()
    some = {name: column for name, column in columns.items() if name != "plan"}
    plan = by_name(verdict_of(BASELINE, some))["plan"]
    assert plan.verdict is Level.DRIFT
    assert (plan.rows, plan.missing_ratio) == (1000, 1.0)
    assert plan.moved[0].bin == "(missing)"


def test_an_output_that_is_not_there_is_not_missing() -> None:
    """Outputs are counted of successes alone: none of them says nothing about drift."""
    outputs = replace(BASELINE, features=tuple(replace(one, side="output") for one in BASELINE.features))
    plan = by_name(verdict_of(outputs, {name: column for name, column in live().items() if name != "plan"}))["plan"]
    assert plan.verdict is Level.INSUFFICIENT


def test_missing_values_are_drift() -> None:
    """A tenth of the values that were all there is seen, with its ratio, beside distances of the values alone."""
    gaps = np.where(np.arange(1000) % 10 == 0, np.nan, live()["age"])
    age = by_name(verdict_of(BASELINE, live(age=gaps)))["age"]
    assert age.verdict is Level.DRIFT
    assert (age.missing_ratio, age.missing_ratio_baseline) == (0.1, 0.0)
    assert age.ks is not None
    assert age.ks < 0.05


def test_all_values_missing_is_drift_without_distances() -> None:
    """Where no value is left, missing says all, and what needs values is unknown."""
    age = by_name(verdict_of(BASELINE, live(age=np.full(1000, np.nan))))["age"]
    assert (age.verdict, age.missing_ratio) == (Level.DRIFT, 1.0)
    assert (age.ks, age.wasserstein, age.out_of_range_ratio) == (None, None, None)


def test_new_categories_are_drift() -> None:
    """Words that training never had are a bin of their own."""
    plans = np.where(np.arange(1000) % 20 == 0, "gold", live()["plan"])
    plan = by_name(verdict_of(BASELINE, live(plan=plans)))["plan"]
    assert plan.verdict is Level.DRIFT
    assert plan.new_ratio == 0.05
    assert plan.moved[0].bin == "(new)"
    assert plan.out_of_range_ratio is None


def test_what_is_out_of_range_is_counted() -> None:
    """The share of values beyond what training had is said, infinities too."""
    ages = live()["age"].copy()
    ages[:30], ages[30:50] = np.inf, -1e9
    assert by_name(verdict_of(BASELINE, live(age=ages)))["age"].out_of_range_ratio == pytest.approx(0.05, abs=0.002)


def test_a_constant_has_no_sigma_to_divide_by() -> None:
    """A column of one value that takes another is drift; how many sigma that is nobody knows."""
    constant = baseline_of({"x": np.full(1000, 7.0)})
    same, moved = (verdict_of(constant, {"x": np.full(500, value)}).features[0] for value in (7.0, 7.1))
    assert (same.verdict, same.psi, same.wasserstein) == (Level.OK, 0.0, None)
    assert (moved.verdict, moved.ks, moved.wasserstein) == (Level.DRIFT, 1.0, None)
    assert {one.bin for one in moved.moved} == {"7", "above 7"}


def test_verdicts_travel_whole() -> None:
    """A verdict is read as it was written, through JSON that has no NaN, whatever the columns."""
    rng = np.random.default_rng(8)
    trained = mixed(3000, rng)
    for verdict in (
        verdict_of(baseline_of(trained), {**mixed(400, rng), "normal": np.full(400, np.inf)}),
        verdict_of(baseline_of(trained), {name: column[:0] for name, column in trained.items()}),
    ):
        said = json.dumps(verdict.to_json(), allow_nan=False)
        assert WindowVerdict.from_json(json.loads(said)) == verdict


@pytest.mark.parametrize(
    "damage", [{"verdict": "fine"}, {"psi": "1"}, {"psi": math.nan}, {"rows": -1}, {"moved": [{"bin": "a"}]}]
)
def test_damaged_verdicts_are_refused(damage: dict[str, object]) -> None:
    """What was never written is not read."""
    feature = verdict_of(BASELINE, live()).features[0].to_json()
    with pytest.raises((ValueError, KeyError)):
        FeatureVerdict.from_json({**feature, **damage})


def test_counts_of_another_baseline_are_refused() -> None:
    """Counts whose cells are not this baseline's cannot be judged by it."""
    with pytest.raises(ValueError, match="'age'"):
        judge(BASELINE, {"age": NumberCounts(np.ones(3, np.int64), np.zeros(3))}, 1000)


def test_nodes_add_up_in_any_order() -> None:
    """What three nodes counted, merged in any order, is judged as one node's rows."""
    columns = live(900)
    parts = [{name: column[start::3] for name, column in columns.items()} for start in range(3)]
    verdicts = []
    for order in ((0, 1, 2), (2, 0, 1), (1, 2, 0)):
        counts = {feature.name: feature.empty() for feature in BASELINE.features}
        for part in (parts[place] for place in order):
            for feature in BASELINE.features:
                counts[feature.name] = counts[feature.name].plus(counts_of(feature, part[feature.name]))
        verdicts.append(judge(BASELINE, counts, 900))
    whole = verdict_of(BASELINE, columns)
    for verdict in verdicts:
        for one, other in zip(verdict.features, whole.features, strict=True):
            assert replace(one, wasserstein=None) == replace(other, wasserstein=None)
            assert (one.wasserstein or 0.0) == pytest.approx(other.wasserstein or 0.0)


def test_an_empty_baseline_judges_nothing() -> None:
    """A baseline without rows, or without features, has no verdict and no error."""
    feature = feature_of("x", np.zeros(0))
    empty = Baseline(Origin.GIVEN, 0, (feature,), (feature.empty(),))
    assert judge(empty, {"x": counts_of(feature, np.ones(500))}, 500).features[0].verdict is Level.INSUFFICIENT
    assert judge(Baseline(Origin.GIVEN, 0, (), ()), {"y": CategoryCounts(np.zeros(0, np.int64))}, 9).features == ()
