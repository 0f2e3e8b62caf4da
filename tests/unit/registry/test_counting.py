"""Rows counted by a baseline's features: each in its cell, whatever the values, and the same in blocks as at once."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from hypothesis import given
from hypothesis import strategies as st

from registry.baselines import CategoryCounts, Feature, Kind, NumberCounts, counts_from_json, fits
from registry.columns import Measure
from registry.counting import count_numbers, count_words

FINITE = st.floats(-1e300, 1e300)
VALUES = st.lists(st.one_of(FINITE, st.just(math.nan), st.just(math.inf), st.just(-math.inf)), max_size=60)


def _number(edges: tuple[float, ...], center: float = 0.0) -> Feature:
    return Feature("age", "input", "age", Measure.VALUE, Kind.NUMBER, edges=edges, center=center)


def _word(*categories: str, others: tuple[str, ...] = (), open_ended: bool = False) -> Feature:
    kind, measure = Kind.CATEGORY, Measure.VALUE
    return Feature("city", "input", "city", measure, kind, categories=categories, others=others, open_ended=open_ended)


def _plain(feature: Feature, values: npt.NDArray[np.float64]) -> tuple[list[int], list[float]]:
    """Count one value after the other."""
    cells, sums = [0] * (len(feature.edges) + 1), [0.0] * (len(feature.edges) + 1)
    for value in values.tolist():
        if not math.isnan(value):
            cell = sum(edge < value for edge in feature.edges)
            cells[cell] += 1
            sums[cell] += value - feature.center if math.isfinite(value) else 0.0
    return cells, sums


def test_a_value_is_in_the_cell_whose_upper_edge_it_does_not_exceed() -> None:
    """Cells are open below and closed above; out of range is what is beyond the outer edges."""
    counts = count_numbers(_number((0.0, 1.0, 2.0), 1.0), np.array([0.0, -1.0, 1.0, 1.5, 2.0, 2.5, math.nan]))

    assert counts.cells.tolist() == [2, 1, 2, 1]
    assert counts.sums.tolist() == [-3.0, 0.0, 1.5, 1.5]
    assert (counts.missing, counts.below, counts.above, counts.rows) == (1, 1, 1, 7)


def test_infinities_are_counted_and_not_summed() -> None:
    """An infinite value is a row of the end cell, and leaves its sum finite."""
    counts = count_numbers(_number((0.0, 1.0)), np.array([math.inf, -math.inf, 5.0, 1e308, 1e308]))

    assert counts.cells.tolist() == [1, 0, 4]
    assert counts.sums.tolist() == [0.0, 0.0, 2e250 + 5.0]
    assert (counts.below, counts.above) == (1, 4)


@given(st.lists(FINITE, unique=True, max_size=12).map(sorted), VALUES, st.floats(-1e6, 1e6))
def test_a_block_counts_as_its_values_one_by_one(edges: list[float], values: list[float], center: float) -> None:
    """Cells are those that a loop over the values finds, and the wire takes them."""
    feature, block = _number(tuple(edges), center), np.array(values, np.float64)

    counts = count_numbers(feature, block)

    assert counts.cells.tolist() == _plain(feature, block)[0]
    assert counts.rows == len(values)
    assert fits(counts, feature)
    assert isinstance(counts_from_json(counts.to_json()), NumberCounts)


@given(st.lists(st.floats(-100, 100), min_size=2, max_size=60), st.integers(0, 60))
def test_blocks_add_up_to_the_whole(values: list[float], cut: int) -> None:
    """Two parts of a block, counted and added, are the block."""
    feature, block = _number((-50.0, 0.0, 1.0, 50.0), 3.0), np.array(values)

    whole = count_numbers(feature, block)
    parts = count_numbers(feature, block[:cut]).plus(count_numbers(feature, block[cut:]))

    assert parts.cells.tolist() == whole.cells.tolist() == _plain(feature, block)[0]
    np.testing.assert_allclose(parts.sums, whole.sums, atol=1e-9)
    np.testing.assert_allclose(parts.sums, _plain(feature, block)[1], atol=1e-9)
    assert (parts.below, parts.above) == (whole.below, whole.above)


def test_a_word_is_a_category_another_one_new_or_missing() -> None:
    """Words that the baseline did not have are new, those beyond its categories are others."""
    counts = count_words(_word("Rome", "Oslo", others=("Bonn",)), ["Oslo", "Bonn", "Lima", None, "Oslo", "Rome"])

    assert counts.categories.tolist() == [1, 2]
    assert (counts.others, counts.new, counts.missing, counts.rows) == (1, 1, 1, 6)


def test_no_word_is_new_where_the_baseline_had_too_many_to_list() -> None:
    """An open-ended feature counts what it does not know among the others."""
    counts = count_words(_word("Rome", open_ended=True), ["Rome", "Lima"])

    assert (counts.others, counts.new) == (1, 0)
    assert isinstance(counts, CategoryCounts)
