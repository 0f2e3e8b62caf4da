"""Quantiles read off bins, against those of the values that were counted."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.traffic.quantiles import latency_quantile, value_quantiles
from registry.windows import latency_bin, value_bins

times = st.lists(st.floats(1.001e-4, 150), min_size=1, max_size=50)


@given(times, st.sampled_from([0.5, 0.9, 0.99, 1.0]))
def test_times_are_as_good_as_their_bins(seconds: list[float], share: float) -> None:
    """A quantile is at most a bin (9 %) from the value that it stands for."""
    bins: dict[int, int] = {}
    for one in seconds:
        bins[latency_bin(one)] = bins.get(latency_bin(one), 0) + 1
    true = sorted(seconds)[max(0, int(np.ceil(share * len(seconds))) - 1)]
    assert latency_quantile(bins, share) == pytest.approx(true, rel=0.1)


@given(
    st.lists(st.floats(-1e6, 1e6, allow_subnormal=False).filter(lambda x: x == 0 or abs(x) > 1e-6), min_size=1),
    st.sampled_from([0.5, 0.9, 0.99, 1.0]),
)
def test_numbers_are_as_good_as_their_bins(values: list[float], share: float) -> None:
    """A quantile is at most a bin (6.25 %) from the value that it stands for, on its own side of zero."""
    true = sorted(values)[max(0, int(np.ceil(share * len(values))) - 1)]
    found = value_quantiles(value_bins(np.array(values)), {"q": share})["q"]
    assert found == pytest.approx(true, rel=0.0701)


def test_nothing_has_no_quantiles() -> None:
    """None, and not zero; what is no number is no part of them."""
    assert latency_quantile({}, 0.5) is None
    none = {"nan": 3, "inf": 1, "c:yes": 2, "other": 1, "n:abc": 4, "n:99999999": 1}
    assert value_quantiles(none, {"p50": 0.5}) == {"p50": None}
    assert latency_quantile({0: 3}, 0.99) == pytest.approx(1e-4, rel=0.02)
    assert latency_quantile({167: 1}, 1.0) == pytest.approx(176, rel=0.1)


def test_quantiles_of_the_largest_doubles_are_finite() -> None:
    """The bin above the last one has an edge as well."""
    largest = np.finfo(np.float64).max
    assert value_quantiles(value_bins(np.array([largest])), {"max": 1.0}) == {"max": largest}
