"""Losses of labelled predictions, and what the evidence makes of them."""

from __future__ import annotations

import numpy as np
import pytest

from registry.traffic.evidence import Losses
from registry.traffic.losses import CALIBRATION, MINUTE_MS, MOST_TOGETHER, losses_of
from tests.support.labelled_rollouts import classes, numbers, stopped_after
from tests.support.labels import labelled


def test_a_wrong_class_is_a_loss() -> None:
    """Of whichever arm it was; periods are minutes of coming, and revisions."""
    rows = [
        labelled(1, 1, arm="canary", came_ms=1),
        labelled(1, 0, arm="canary", came_ms=2),
        labelled(0, 1, came_ms=3),
        labelled(0, 0, came_ms=4, revision=2),
        labelled(0, 0, came_ms=MINUTE_MS),
    ]
    assert losses_of(rows) == [Losses(2, 1.0, 1, 1.0), Losses(0, 0, 1, 0), Losses(0, 0, 1, 0)]
    assert losses_of([]) == []


def test_labels_that_come_together_are_cut() -> None:
    """A nightly upload is many periods, so that the first of them can measure the others."""
    periods = losses_of([labelled(1, 1, at_ms=n) for n in range(2 * MOST_TOGETHER + 1)])
    assert [period.stable_count for period in periods] == [MOST_TOGETHER, MOST_TOGETHER, 1]


def test_errors_are_measured_by_those_before() -> None:
    """The first ones are not weighed; a larger error than the largest that counts is as bad as that."""
    before = [labelled(1.5 + n % 10, float(n % 10), came_ms=n) for n in range(CALIBRATION)]
    after = [labelled(error + 0.5, 0.5, arm="canary", came_ms=MINUTE_MS) for error in (0.75, 1.5, 30.0)]
    (period,) = losses_of(before + after)
    assert period.canary_count == 3
    assert period.canary_sum == pytest.approx(2.5)
    later = [labelled(0.5, 0.25, came_ms=2 * MINUTE_MS)]
    assert losses_of(before + after + later)[:1] == [period], "what comes later changes nothing that was weighed"


def test_perfect_predictions_of_before_measure_nothing() -> None:
    """Any error is then as bad as can be."""
    before = [labelled(n + 0.5, n + 0.5) for n in range(CALIBRATION)]
    after = [labelled(1.25, error + 1.25, arm="canary", came_ms=MINUTE_MS) for error in (0.0, 0.001)]
    assert losses_of(before + after) == [Losses(2, 1.0, 0, 0.0)]


def test_a_canary_that_is_as_good_is_let_through() -> None:
    """At any of many looks, in more than 95 of 100 rollouts."""
    rng = np.random.default_rng(1)
    stopped = [stopped_after(classes(rng, 2_400, canary=0.1, stable=0.1)) for _ in range(30)]
    stopped += [stopped_after(numbers(rng, 2_400, times=1.0)) for _ in range(10)]
    assert np.isfinite(stopped).sum() <= 2


def test_a_worse_canary_is_found() -> None:
    """Three times as many wrong classes in 2,400 labels; errors twice as large in 6,000."""
    rng = np.random.default_rng(2)
    for _ in range(2):
        assert stopped_after(classes(rng, 2_400, canary=0.3, stable=0.1)) <= 2_400
        assert stopped_after(numbers(rng, 6_000, times=2.0)) <= 6_000
