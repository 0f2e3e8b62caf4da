"""Coarse bins: what rows they hold, and what people call them."""

from __future__ import annotations

import numpy as np
import pytest

from registry.baselines import CategoryCounts, Feature, Kind, NumberCounts
from registry.columns import Measure
from registry.monitoring.bins import bin_counts, bin_labels
from tests.support.drifting import counts_of, feature_of, numbers

PLAN = Feature("plan", "input", "plan", Measure.VALUE, Kind.CATEGORY, categories=("basic", ""), others=("odd",))


def named(values: object, live: object) -> dict[str, int]:
    """Return the live rows of each bin that the values make, by what it is called."""
    feature, _, window = numbers(values, live)  # type: ignore[arg-type]
    return dict(zip(bin_labels(feature), bin_counts(feature, window).tolist(), strict=True))


def test_bins_of_numbers_lie_between_tenths() -> None:
    """A column without repeated values has ten bins of about equal size, named by as few digits as tell them apart."""
    values = np.arange(1, 10_001) / 10
    rows = named(values, values)
    assert len(rows) == 11
    assert list(rows)[:2] == ["up to 103.2", "103.2 to 198.5"]
    assert list(rows)[-2:] == ["above 896.9", "(missing)"]
    assert min(rows.values()) == 0 == rows["(missing)"]
    assert all(900 <= count <= 1100 for name, count in rows.items() if name != "(missing)")


def test_what_is_out_of_range_is_in_the_end_bins() -> None:
    """Rows far below and above count with the first and last tenth; those without a value by themselves."""
    rows = named(np.arange(100.0), [-1e9, -1, 1e9, np.inf, np.nan])
    assert list(rows.values()) == [2, *[0] * 8, 2, 1]


def test_a_constant_has_what_lies_beside_it_as_bins() -> None:
    """A column of one value has three bins, so that another value is seen."""
    assert named([5.0] * 30, [5, 5, 4.9, 6]) == {"below 5": 1, "5": 2, "above 5": 1, "(missing)": 0}


def test_a_value_that_fills_an_end_bin_stands_alone() -> None:
    """In a column that is mostly 0, what lies below 0 is no 0."""
    rows = named([*[0.0] * 90, *range(1, 11)], [0, 0, -1, 3])
    assert rows == {"below 0": 1, "0": 2, "above 0": 1, "(missing)": 0}


def test_classes_have_bins_of_their_own() -> None:
    """Of a column of 0 and 1, the values between and beyond are told apart from both."""
    rows = named([0.0, 1.0] * 50, [0, 1, 1, 0.5, 2, -1])
    assert rows == {"below 0": 1, "0": 1, "0 to 1": 1, "1": 2, "above 1": 1, "(missing)": 0}


def test_close_edges_are_told_apart() -> None:
    """Values that differ in their ninth digit have bins with different names."""
    values = 1e6 + np.arange(1000) / 1000
    assert len(set(bin_labels(numbers(values, values)[0]))) == 11


def test_every_row_is_in_one_bin() -> None:
    """The bins of any column add up to its rows, and there is a name for each."""
    rng = np.random.default_rng(3)
    for column in (
        rng.normal(size=500),
        rng.integers(0, 4, 500) * 1.0,
        np.full(9, np.nan),
        np.round(rng.normal(size=99)),
    ):
        feature = feature_of("x", column)
        for live in (column, rng.normal(size=77), np.array([np.nan, np.inf, -np.inf])):
            rows = bin_counts(feature, counts_of(feature, live))
            assert rows.sum() == len(live)
            assert len(rows) == len(bin_labels(feature))
            assert (rows >= 0).all()


def test_words_have_their_own_names() -> None:
    """Each category is a bin, and further, new and missing words are three more."""
    rows = bin_counts(PLAN, CategoryCounts(np.array([7, 1]), others=2, new=3, missing=4))
    assert dict(zip(bin_labels(PLAN), rows.tolist(), strict=True)) == {
        "basic": 7, "(empty)": 1, "(other)": 2, "(new)": 3, "(missing)": 4,
    }  # fmt: skip


def test_counts_of_another_grid_are_refused() -> None:
    """Counts that are not of the feature's cells have no bins."""
    with pytest.raises(ValueError, match="'plan'"):
        bin_counts(PLAN, NumberCounts(np.zeros(3, np.int64), np.zeros(3)))
