"""Grids: cells that hold equal shares of a baseline, and values that repeat have cells of their own."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.baselines import MOST_EDGES, Feature
from registry.columns import Measure
from registry.counting import count_numbers
from registry.monitoring.grids import QUANTILES, Watched, category_feature, grid, is_text, numeric_feature

AGE = Watched("age", "input", "age", Measure.VALUE)
FINITE = st.floats(allow_nan=False, allow_infinity=False, width=64)


def made(values: list[float]) -> Feature:
    """Return the feature of these values, each of weight 1."""
    array = np.array(values, np.float64)
    return numeric_feature(AGE, array, np.ones(len(array)), float(array.min()), float(array.max()))


def test_edges_are_numpys_quantiles() -> None:
    """Of values that differ, the quantiles that numpy finds by the same rule are edges, and bins lie at the tenths."""
    values = np.random.default_rng(5).normal(size=20_000)
    feature = made(values.tolist())
    wanted = np.quantile(values, np.arange(1, QUANTILES) / QUANTILES, method="inverted_cdf")
    assert set(wanted) <= set(feature.edges)
    shares = [(values <= feature.edges[at]).mean() for at in feature.bins]
    assert shares == pytest.approx(np.arange(1, 10) / 10, abs=1 / QUANTILES)


def test_a_value_that_repeats_has_a_cell_of_its_own() -> None:
    """Zero in a column that is mostly zero: what lies just beside it is counted elsewhere."""
    values = [-1.0, *[0.0] * 80, *np.linspace(0.5, 3, 19).tolist()]
    counts = count_numbers(made(values), np.array([-1e-300, 0.0, 1e-300]))
    assert sorted(counts.cells.tolist())[-3:] == [1, 1, 1]


@given(st.lists(st.one_of(FINITE, st.sampled_from([0.0, 1.0, -0.0, 5e-324])), min_size=1, max_size=400))
def test_any_values_make_a_grid(values: list[float]) -> None:
    """Edges ascend from the smallest value to the largest, are few, and survive the document; bins are some of them."""
    feature = made(values)
    assert feature.edges[0] == min(values) and feature.edges[-1] == max(values)
    assert np.all(np.diff(feature.edges) > 0) and len(feature.edges) <= MOST_EDGES
    assert Feature.from_json(feature.to_json()) == feature
    counts = count_numbers(feature, np.array(values))
    assert counts.below == counts.above == 0 and counts.rows == len(values)
    assert math.isfinite(feature.center)


@given(st.lists(st.integers(-30, 30), min_size=1, max_size=2000))
def test_every_bin_holds_rows(values: list[int]) -> None:
    """No coarse bin of a baseline is empty."""
    feature = made([float(value) for value in values])
    cells = count_numbers(feature, np.array(values, np.float64)).cells
    starts = [0, *(at + 1 for at in feature.bins)]
    assert np.add.reduceat(cells, starts).min() > 0


def test_weights_count_as_rows() -> None:
    """A value of weight w stands for w rows; the order does not matter."""
    values = [3.0, 1.0, 2.0]
    assert grid(values, [1, 2, 1], 1.0, 3.0) == grid([1.0, 1.0, 2.0, 3.0], [1, 1, 1, 1], 1.0, 3.0)


def test_nothing_makes_no_grid() -> None:
    """Without values there are no edges; a column of one value has one edge and no bins."""
    assert grid([], [], 0.0, 0.0) == ((), ())
    assert grid([7.0, 7.0], [1, 1], 7.0, 7.0) == ((7.0,), ())
    with pytest.raises(ValueError, match="weight"):
        grid([1.0], [1, 2], 1.0, 1.0)


def test_many_repeated_values_stay_below_the_limit() -> None:
    """As many repeated values as there can be, with ends of their own, fit a document."""
    values = [-1.0, *np.repeat(np.arange(float(QUANTILES - 1)), 200).tolist(), 1000.0]
    assert len(made(values).edges) <= MOST_EDGES


def test_categories_go_by_how_often_they_are() -> None:
    """The fifty most frequent by name, then others; the alphabet decides between equals."""
    few = category_feature(AGE, {"b": 2, "a": 2, "c": 9, "gone": 0})
    assert (few.categories, few.others, few.open_ended) == (("c", "a", "b"), (), False)
    many = category_feature(AGE, {f"w{at:04}": 5000 - at for at in range(1051)})
    assert (len(many.categories), len(many.others), many.open_ended) == (50, 1000, True)
    assert category_feature(AGE, {"a": 1}, more=1).open_ended


@pytest.mark.parametrize(
    ("words", "more", "text"),
    [
        ({"a": 1, "b": 1}, 0, False),
        ({str(at): 1 for at in range(199)}, 0, False),
        ({str(at): 1 for at in range(200)}, 0, True),
        ({**{str(at): 1 for at in range(200)}, "often": 10_000}, 0, False),
        ({str(at): 9 for at in range(300)}, 0, True),
        ({str(at): 10 for at in range(300)}, 0, False),
        ({}, 10_000, True),
        ({"often": 6000}, 4000, False),
    ],
)
def test_text_is_what_hardly_repeats(words: dict[str, int], more: int, text: bool) -> None:
    """Many different words of which the frequent ones cover less than half are text, where few come ten times."""
    assert is_text(words, more) is text
