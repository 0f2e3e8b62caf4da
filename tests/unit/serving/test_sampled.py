"""Rows of a version without a baseline: one sample a feature, and no two features in one."""

from __future__ import annotations

import numpy as np

from registry.columns import Measure
from serving.telemetry.sampled import Sampled


def test_an_input_called_prediction_is_told_apart() -> None:
    """Its values are no predictions."""
    sampled = Sampled()
    sampled.add(2, [{"prediction": np.array([1.0, 2.0])}], [{"prediction": np.array([100.0, 200.0])}])
    samples = sampled.samples()
    assert samples["input.prediction"].values == (1.0, 2.0)
    assert samples["prediction"].values == (100.0, 200.0)


def test_a_column_goes_before_what_is_measured_of_another() -> None:
    """In whatever order the two come: under one name there are the rows of one."""
    texts, numbers = np.array(["one", "three"], object), np.array([0.5, 0.25])
    for columns in ({"a": texts, "a.length": numbers}, {"a.length": numbers, "a": texts}):
        sampled = Sampled()
        sampled.add(2, [columns], [])
        sample = sampled.samples()["a.length"]
        assert (sample.source, sample.measure, sample.rows) == ("a.length", Measure.VALUE, 2)
        assert sample.values == (0.25, 0.5)
