"""What the drift rule promises in numbers, by simulation with fixed seeds: false alarms, and shifts that are found.

``make bench-drift`` simulates the same at length and more besides; docs/drift.md has the figures.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import brentq

from registry.baselines import Baseline, CategoryCounts, Origin, Sums64
from registry.columns import Measure
from registry.monitoring.drift import WARN_DELTA, Level, judge
from registry.monitoring.grids import Watched, category_feature
from tests.support.drifting import alarms, batches, mixed, normals, replaced, shifted, simulated, words

SIZES = (200, 1000, 5000)
TILT = np.arange(10) - 4.5
THREE = {"a": 0.7, "b": 0.25, "c": 0.05}


def test_without_drift_windows_are_hardly_ever_called() -> None:
    """Twenty columns of all sorts, windows of 200 to 5,000 rows: at most 1.5 % of features, 5 % of windows."""
    for judged in simulated(mixed, mixed, SIZES, 5000, range(4)).values():
        found = alarms(judged)
        assert found.by_feature <= 0.015
        assert found.by_window <= 0.05


def test_fixed_thresholds_would_cry_wolf() -> None:
    """The same kind of window of 200 rows has a PSI above 0.1, or a JS above 0.1, in a part of its features."""
    judged = simulated(normals(), normals(), (200,), 5000, range(4))[200]
    features = [feature for verdict in judged for feature in verdict.features]
    assert sum((feature.js or 0) > 0.1 for feature in features) > 0.1 * len(features)
    assert {feature.verdict for feature in features} == {Level.OK}


def test_half_a_sigma_is_found_in_the_first_full_window() -> None:
    """A window of 1,000 rows, one feature shifted by half a sigma: at least a warning in 99 %."""
    judged = simulated(normals(1), normals(1, shift=0.5), (1000,), 10_000, range(100))[1000]
    assert alarms(judged).by_window >= 0.99


def test_three_quarters_of_a_sigma_are_drift() -> None:
    """A larger shift is called drift, not only a warning."""
    judged = simulated(normals(1), normals(1, shift=0.75), (1000,), 10_000, range(30))[1000]
    assert alarms(judged).drifts_by_window == 1.0


def test_no_other_feature_is_called() -> None:
    """Of twenty features the one that moved is called, first, and no other."""
    for verdict in simulated(normals(), normals(shift=0.75), (1000,), 10_000, range(2))[1000]:
        assert [feature.name for feature in verdict.features if feature.verdict is not Level.OK] == ["x0"]
        assert verdict.features[0].name == "x0"


@pytest.mark.parametrize("rows", [200, 1000, 5000])
def test_a_feature_at_the_edge_is_seldom_called(rows: int) -> None:
    """Ten words whose true PSI is exactly what the rule allows: called in about 1 % of windows, 12 of 600 at most."""
    rng = np.random.default_rng(rows)
    p = np.full(10, 0.1)
    q = p + brentq(lambda by: _psi(p, p + by * TILT) - WARN_DELTA, 0, 0.02) * TILT
    word = category_feature(Watched("w", "input", "w", Measure.VALUE), dict.fromkeys("abcdefghij", 1))
    called = 0
    for _ in range(600):
        baseline = Baseline(Origin.GIVEN, 10_000, (word,), (CategoryCounts(rng.multinomial(10_000, p)),))
        called += judge(baseline, {"w": CategoryCounts(rng.multinomial(rows, q))}, rows).verdict is not Level.OK
    assert called <= 12


def _psi(p: Sums64, q: Sums64) -> float:
    return float(((q - p) * np.log(q / p)).sum())


def test_other_changes_are_found() -> None:
    """New words, gaps, a constant that changes, zeros that become something else: found in every window of 1,000."""
    gaps = replaced(
        normals(1), lambda columns: {"x0": np.where(np.arange(len(columns["x0"])) % 12, columns["x0"], np.nan)}
    )
    below = replaced(
        mixed, lambda columns: {**columns, "mostly zero": np.where(columns["mostly zero"] == 0, -1.0, 1.0)}
    )
    for trained, live in (
        (words(THREE), words({**THREE, "a": 0.62, "new": 0.08})),
        (normals(1), gaps),
        (mixed, below),
        (mixed, shifted(mixed, "constant", 0.001)),
    ):
        assert alarms(simulated(trained, live, (1000,), 10_000, range(2))[1000]).drifts_by_window == 1.0


def test_rows_that_come_in_batches_are_a_known_weakness() -> None:
    """Batches of ten equal rows make a window of 1,000 rows one of a hundred: warned of without drift; 5,000 do."""
    judged = simulated(normals(), batches(normals(), 10), (1000, 5000), 10_000, range(2))
    assert alarms(judged[1000]).by_window > 0
    assert alarms(judged[5000]).by_window == 0
