"""Distances read off counts: the same as scipy's on the rows themselves, exactly or within what a cell can hide."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon
from scipy.stats import entropy, ks_2samp
from scipy.stats import wasserstein_distance as exact_wasserstein

from registry.baselines import Feature, NumberCounts
from registry.monitoring.bins import bin_counts
from registry.monitoring.distances import deviation, js_distance, ks_distance, psi_terms, wasserstein_distance
from tests.support.drifting import CHANGES, FAMILIES, numbers

Numbers = npt.NDArray[np.float64]
SOME_COUNTS = st.lists(st.integers(0, 10**6), min_size=2, max_size=12)
ROW = st.one_of(st.floats(-1e6, 1e6), st.integers(-3, 3).map(float))
ROWS = st.lists(ROW, min_size=2, max_size=60).map(lambda rows: np.array(rows, np.float64))


def hidden(feature: Feature, ours: NumberCounts, theirs: NumberCounts) -> tuple[float, float]:
    """Return how far off the distances may be: what two distribution functions can do unseen inside cells.

    Of Kolmogorov-Smirnov the largest share that both have of a cell; of Wasserstein twice what can cancel: in each cell
    the smaller of the largest areas that can lie on either side, given rows and sums.
    """
    n, m = ours.cells.sum(), theirs.cells.sum()
    f, g = ours.cells[1:-1] / n, theirs.cells[1:-1] / m
    edges = np.array(feature.edges) - feature.center
    low, high = edges[:-1], edges[1:]
    before = (np.cumsum(ours.cells) / n - np.cumsum(theirs.cells) / m)[:-2]
    after = before + f - g
    f_area, g_area = (np.clip(high * s - t, 0, None) for s, t in ((f, ours.sums[1:-1] / n), (g, theirs.sums[1:-1] / m)))
    wide = high - low
    above = np.minimum(np.clip(before, 0, None) * wide + f_area, np.clip(after, 0, None) * wide + g * wide - g_area)
    below = np.minimum(np.clip(-before, 0, None) * wide + g_area, np.clip(-after, 0, None) * wide + f * wide - f_area)
    return float(np.minimum(f, g).max(initial=0.0)), float(2 * np.minimum(above, below).clip(0).sum())


@given(SOME_COUNTS, SOME_COUNTS)
def test_psi_is_the_two_relative_entropies(ours: list[int], theirs: list[int]) -> None:
    """Of counts raised by a half, as scipy's entropy has it; every bin adds 0 or more."""
    bins = min(len(ours), len(theirs))
    first, second = np.array(ours[:bins]), np.array(theirs[:bins])
    filled = first + second > 0
    assume(filled.any())
    p, q = first[filled] + 0.5, second[filled] + 0.5
    terms = psi_terms(first, second)
    assert (terms >= 0).all()
    assert terms.sum() == pytest.approx(entropy(p, q) + entropy(q, p), rel=1e-9, abs=1e-12)


@given(SOME_COUNTS, SOME_COUNTS)
def test_js_is_scipys(ours: list[int], theirs: list[int]) -> None:
    """The Jensen-Shannon distance of the counts as they are, base 2."""
    bins = min(len(ours), len(theirs))
    first, second = np.array(ours[:bins]), np.array(theirs[:bins])
    assume(first.any() and second.any())
    oracle = float(jensenshannon(first, second, base=2))
    assert js_distance(first, second) ** 2 == pytest.approx(0.0 if np.isnan(oracle) else oracle**2, abs=1e-12)


@given(st.lists(st.integers(0, 100), min_size=2, max_size=12), st.integers(1, 9))
def test_nothing_is_far_from_itself(counts: list[int], times: int) -> None:
    """PSI and JS of the same counts are 0; JS of the same shares too, and of nothing shared 1."""
    rows = np.array(counts)
    assume(rows.any())
    assert psi_terms(rows, rows).sum() == 0
    assert js_distance(rows, rows * times) == pytest.approx(0, abs=1e-7)
    assert js_distance(np.append(rows, 0 * rows), np.append(0 * rows, rows)) == pytest.approx(1)


@given(ROWS, ROWS)
def test_numbers_are_within_what_cells_hide(values: Numbers, live: Numbers) -> None:
    """Whatever the rows: KS is at most scipy's, and both distances differ by no more than their bounds."""
    feature, ours, theirs = numbers(values, live)
    ks, moved = ks_distance(ours, theirs), wasserstein_distance(feature, ours, theirs)
    assert ks is not None
    assert moved is not None
    ks_bound, moved_bound = hidden(feature, ours, theirs)
    rounding = 1e-9 * max(np.abs(values).max(), np.abs(live).max(), 1.0)
    assert -1e-12 <= ks_2samp(values, live, method="asymp").statistic - ks <= ks_bound + 1e-12
    assert abs(exact_wasserstein(values, live) - moved) <= moved_bound + rounding


@given(ROWS)
def test_rows_are_at_no_distance_from_themselves(values: Numbers) -> None:
    """KS and Wasserstein of the same rows are 0."""
    feature, ours, again = numbers(values, values)
    assert ks_distance(ours, again) == 0
    assert wasserstein_distance(feature, ours, again) == 0


@settings(max_examples=50, deadline=None)
@given(
    st.sampled_from(list(FAMILIES)),
    st.sampled_from(list(CHANGES)),
    st.integers(0, 2**32 - 1),
    st.sampled_from([(2000, 300), (10_000, 1000)]),
)
def test_distances_are_within_a_hundredth(family: str, change: str, seed: int, sizes: tuple[int, int]) -> None:
    """For heavy tails, ties and gaps, shifted or not: KS within 0.01, Wasserstein within 0.01 sigma of scipy's."""
    rng = np.random.default_rng(seed)
    values, live = (FAMILIES[family](rows, rng) for rows in sizes)
    sigma = float(values.std())
    live = CHANGES[change](live, sigma)
    feature, ours, theirs = numbers(values, live)
    ks, moved = ks_distance(ours, theirs), wasserstein_distance(feature, ours, theirs)
    assert ks == pytest.approx(ks_2samp(values, live, method="asymp").statistic, abs=0.01)
    assert moved == pytest.approx(exact_wasserstein(values, live), abs=0.01 * sigma, rel=1e-9)
    assert deviation(feature, ours) == pytest.approx(sigma, rel=0.01)


@given(ROWS, st.lists(ROWS, min_size=1, max_size=5), st.randoms())
def test_the_order_of_merging_changes_nothing(values: Numbers, blocks: list[Numbers], order: object) -> None:
    """Blocks counted apart and added up in any order are the same distances as all rows at once."""
    feature, ours, whole = numbers(values, np.concatenate(blocks))
    order.shuffle(blocks)  # type: ignore[attr-defined]
    merged = feature.empty()
    for block in blocks:
        merged = merged.plus(numbers(values, block)[2])
    assert isinstance(merged, NumberCounts)
    assert ks_distance(ours, merged) == ks_distance(ours, whole)
    assert bin_counts(feature, merged).tolist() == bin_counts(feature, whole).tolist()
    scale = max(np.abs(values).max(), *(np.abs(block).max() for block in blocks), 1.0)
    assert wasserstein_distance(feature, ours, merged) == pytest.approx(
        wasserstein_distance(feature, ours, whole), rel=1e-9, abs=1e-9 * scale
    )


@pytest.mark.parametrize(("values", "live"), [([np.nan] * 3, [1.0]), ([1.0, 2.0], [np.nan]), ([1.0], [])])
def test_without_values_there_is_no_distance(values: list[float], live: list[float]) -> None:
    """Where either side has only missing values, no distance is made up."""
    feature, ours, theirs = numbers(values, live)
    assert ks_distance(ours, theirs) is None
    assert wasserstein_distance(feature, ours, theirs) is None


def test_numbers_too_large_to_add_have_no_wasserstein() -> None:
    """Values at the ends of what a float can hold give no infinity."""
    feature, ours, theirs = numbers([-1.7e308, 0.0, 1.7e308], [1.7e308] * 3)
    assert wasserstein_distance(feature, ours, theirs) is None
    assert ks_distance(ours, theirs) == pytest.approx(2 / 3)
