"""Critical values and p-values: the same numbers as scipy's, and the order that they must have."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.stats import chi2_contingency, false_discovery_control, ncx2

from registry.monitoring.calibration import adjusted, critical_psi, same_shares_p

SOME_COUNTS = st.lists(st.integers(0, 5000), min_size=2, max_size=12)


@pytest.mark.parametrize("bins", [2, 10, 53])
@pytest.mark.parametrize("rows", [200, 1000, 100_000, 10**9])
@pytest.mark.parametrize("delta", [0.0, 0.1, 0.2])
def test_critical_values_are_quantiles_of_the_noncentral_chi_square(bins: int, rows: int, delta: float) -> None:
    """The rule's formula, by scipy's distribution, from a window of 200 rows to one of a milliard."""
    scale = 1 / rows + 1 / 10_000
    assert critical_psi(delta, bins, rows, 10_000) == pytest.approx(scale * ncx2.ppf(0.99, bins - 1, delta / scale))


@given(st.integers(200, 10**6), st.integers(200, 10**6), st.integers(2, 60))
def test_more_rows_need_less_distance(rows: int, baseline_rows: int, bins: int) -> None:
    """The critical value lies above delta, falls with the rows of either side and rises with the bins."""
    value = critical_psi(0.1, bins, rows, baseline_rows)
    assert value > 0.1
    assert critical_psi(0.1, bins, 2 * rows, baseline_rows) < value
    assert critical_psi(0.1, bins, rows, 2 * baseline_rows) < value
    assert critical_psi(0.1, bins + 1, rows, baseline_rows) > value
    assert critical_psi(0.2, bins, rows, baseline_rows) > value


def test_one_bin_is_taken_for_two() -> None:
    """A column whose every row is in one bin has a critical value all the same."""
    assert critical_psi(0.1, 1, 200, 200) == critical_psi(0.1, 2, 200, 200)


@given(SOME_COUNTS, SOME_COUNTS)
def test_the_p_value_is_that_of_the_chi_square_test(ours: list[int], theirs: list[int]) -> None:
    """As scipy's test of the table of both, without the bins that are empty in both."""
    bins = min(len(ours), len(theirs))
    table = np.array([ours[:bins], theirs[:bins]])
    assume(table.sum(axis=1).all())
    filled = table[:, table.sum(axis=0) > 0]
    oracle = float(chi2_contingency(filled, correction=False).pvalue) if filled.shape[1] > 1 else 1.0
    assert same_shares_p(table[0], table[1]) == pytest.approx(oracle, rel=1e-9, abs=1e-300)


def test_a_test_of_nothing_is_refused() -> None:
    """Without rows on one side there is nothing to compare."""
    with pytest.raises(ValueError, match="rows"):
        same_shares_p(np.array([0, 0]), np.array([1, 2]))


@given(st.lists(st.floats(0, 1), max_size=30))
def test_p_values_are_adjusted_as_benjamini_and_hochberg_say(given_values: list[float]) -> None:
    """As scipy's false_discovery_control, in the order given."""
    oracle = false_discovery_control(given_values) if given_values else []
    assert adjusted(given_values) == pytest.approx(list(oracle))
