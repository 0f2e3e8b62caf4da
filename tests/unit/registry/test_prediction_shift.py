"""Whether two arms predict alike: what counts as a shift, what does not."""

from __future__ import annotations

import json
import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.traffic.evidence import Period
from registry.traffic.predictions import GROUPS, LEARNT_FROM, Shift, prediction_shift
from registry.windows import OTHER, ArmCounts, value_bins

bins = st.dictionaries(
    st.sampled_from(["c:yes", "c:no", "c:7", "n:0", "n:17650", "n:-17650", "nan", "inf", OTHER, "damaged", "n:abc"]),
    st.integers(0, 10**9) | st.integers(0, 9),
)


@pytest.fixture
def rng() -> np.random.Generator:
    """The same chance in every run."""
    return np.random.default_rng(11)


def predicted(values: npt.NDArray[np.generic], *, rows: int = 1) -> ArmCounts:
    """Return an arm that predicted so, with so many rows a request."""
    return ArmCounts(requests=max(1, len(values) // rows), predictions=value_bins(values))


def judged(periods: list[Period]) -> Shift:
    """Return the comparison at 5 %."""
    return prediction_shift(periods, alpha=0.05)


@given(
    st.lists(
        st.builds(Period, st.builds(ArmCounts, predictions=bins), st.builds(ArmCounts, predictions=bins)), max_size=5
    )
)
def test_comparisons_are_finite(periods: list[Period]) -> None:
    """Whatever was predicted, the comparison is finite, a distance is from 0 to 1, and all fits into JSON."""
    shift = judged(periods)
    assert math.isfinite(shift.log_e)
    assert 0 <= shift.distance <= 1 + 1e-9
    json.dumps(shift.to_json(), allow_nan=False)


def test_equal_distributions_are_not_shifted(rng: np.random.Generator) -> None:
    """Two arms that draw from the same distribution hold nothing, in a hundred rollouts of fifteen minutes each."""
    for _ in range(100):
        periods = [Period(predicted(rng.normal(size=12)), predicted(rng.normal(size=108))) for _ in range(15)]
        assert judged(periods).evidence < 1


@pytest.mark.parametrize("shift", [-1.0, 1.0])
def test_numbers_that_moved_are_shifted(shift: float, rng: np.random.Generator) -> None:
    """Predictions that moved by one sigma are found within ten minutes of 12 and 108 predictions."""
    periods = [Period(predicted(rng.normal(shift, 1, 12)), predicted(rng.normal(size=108))) for _ in range(10)]
    found = judged(periods)
    assert found.shifted
    assert found.distance > 0.25


def test_labels_that_changed_are_shifted() -> None:
    """A classifier that says no more often is found, and its groups are the labels."""
    ours, others = np.array(["no"] * 60 + ["yes"] * 40), np.array(["no"] * 300 + ["yes"] * 600)
    found = judged([Period(predicted(ours), predicted(others))])
    assert found.shifted
    assert found.distance == pytest.approx(0.6 - 1 / 3)
    assert {name for name, _, _ in found.groups} == {"no", "yes", OTHER}


def test_a_sure_difference_that_is_small_is_no_shift() -> None:
    """With a million predictions a difference of 9 % is sure, and too small to hold anything."""
    ours = ArmCounts(500_000, predictions={"c:no": 295_000, "c:yes": 205_000})
    others = ArmCounts(500_000, predictions={"c:no": 250_000, "c:yes": 250_000})
    found = judged([Period(ours, others)])
    assert found.evidence > 1
    assert not found.shifted


def test_many_rows_of_one_request_count_once(rng: np.random.Generator) -> None:
    """Rows of a request may all be alike: a thousand of them are no thousand witnesses."""
    alike = [np.repeat(rng.normal(size=n), 1000) for n in (3, 27)]
    assert judged([Period(*(predicted(values, rows=1000) for values in alike))]).evidence < 1
    assert judged([Period(*(predicted(values, rows=1) for values in alike))]).evidence > 1


def test_too_few_predictions_say_nothing() -> None:
    """Before the groups are known there is no evidence."""
    few = Period(ArmCounts(1, predictions={"c:no": 40}), ArmCounts(1, predictions={"c:yes": LEARNT_FROM - 41}))
    assert judged([few]).log_e == 0
    assert judged([]).log_e == 0


def test_a_distribution_that_changes_by_the_hour_is_no_shift(rng: np.random.Generator) -> None:
    """Where both arms change together while the share grows, nothing differs between arms."""
    night = Period(predicted(rng.normal(-2, 1, 20)), predicted(rng.normal(-2, 1, 980)))
    day = Period(predicted(rng.normal(2, 1, 500)), predicted(rng.normal(2, 1, 500)))
    found = judged([night, day])
    assert found.evidence < 1
    assert found.distance < 0.15


def test_what_one_arm_could_not_name_is_compared_as_other(rng: np.random.Generator) -> None:
    """An arm with more different values than are counted apart is not shifted by that alone."""
    wide = rng.lognormal(0, 6, 20_000)
    found = judged([Period(predicted(wide[:2000]), predicted(wide[2000:]))])
    assert not found.shifted


def test_groups_are_few(rng: np.random.Generator) -> None:
    """However many different values there are, there are at most so many groups and ``other``."""
    for values in (rng.normal(size=5000), rng.integers(0, 400, 5000), rng.integers(0, 9, 5000).astype(str)):
        assert len(judged([Period(predicted(values[:500]), predicted(values[500:]))]).groups) <= GROUPS + 1


def test_alpha_is_a_probability() -> None:
    """An alpha out of its range is an error that says what would be right."""
    with pytest.raises(ValueError, match="such as"):
        prediction_shift([], alpha=1.0)
