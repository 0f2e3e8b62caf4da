"""Baselines, counts and windows of features: they travel whole, and add up."""

from __future__ import annotations

import json

import numpy as np
import pytest

from registry.baselines import Baseline, CategoryCounts, Feature, Kind, NumberCounts, Origin, counts_from_json, fits
from registry.columns import Measure
from registry.observed import Answered, FeatureWindow, Sample
from registry.records import Digest, ModelName, VersionNumber
from registry.reports import NodeReport

AGE = Feature("age", "input", "age", Measure.VALUE, Kind.NUMBER, edges=(1.0, 2.5, 9.0), bins=(1,), center=2.5)
PLAN = Feature("plan", "input", "plan", Measure.VALUE, Kind.CATEGORY, categories=("basic", "pro"), others=("odd",))
AGES = NumberCounts(np.array([1, 2, 3, 4]), np.array([-1.5, -0.25, 0.1, 40.0]), missing=5, below=1, above=4)
PLANS = CategoryCounts(np.array([7, 2]), others=1, new=2, missing=3)


def test_a_baseline_is_read_as_it_was_written() -> None:
    """The same bytes come back, whatever way they went."""
    baseline = Baseline(Origin.GIVEN, 15, (AGE, PLAN), (AGES, PLANS))
    again = Baseline.from_bytes(baseline.to_bytes())
    assert again.to_bytes() == baseline.to_bytes()
    assert again.features == (AGE, PLAN)
    assert again.counts[0].rows == again.counts[1].rows == 15


def test_counts_of_other_grids_are_told_apart() -> None:
    """Counts fit only the feature whose cells they have, and only those add up."""
    assert fits(AGES, AGE)
    assert not fits(AGES, PLAN)
    assert not fits(NumberCounts(np.zeros(3, np.int64), np.zeros(3)), AGE)
    with pytest.raises(ValueError, match="two"):
        AGES.plus(PLANS)
    assert AGES.plus(AGE.empty()).to_json() == AGES.to_json()


@pytest.mark.parametrize(
    "damage",
    [{"cells": [1, -1, 0, 0]}, {"sums": [0.0]}, {"sums": [float("inf")] * 4}, {"below": 99}, {"cells": [1.5, 0, 0, 0]}],
)
def test_damaged_counts_are_refused(damage: dict[str, object]) -> None:
    """What no node counts is refused: fractions, less than nothing, sums without cells."""
    with pytest.raises(ValueError, match=r"counts|sum|rows"):
        counts_from_json({**AGES.to_json(), **damage})


def test_a_report_carries_windows_and_answers() -> None:
    """A report is read as it was written, in JSON, with windows of features and answers for labels."""
    model, version = ModelName("churn"), VersionNumber("3")
    sample = Sample("input", "age", Measure.VALUE, None, 3, 1, (1.0, 2.0), (1, 1), 1.0, 2.0)
    windows = (
        FeatureWindow(model, version, 10_000, 15, Digest("sha256:" + "a" * 64), {"age": AGES, "plan": PLANS}),
        FeatureWindow(model, version, 10_000, 3, None, {}, {"age": sample}),
    )
    answers = (Answered(model, version, "canary", 4, "r-1", 10_500, (1, "yes", (0.25, 0.75), None)),)
    report = NodeReport("n", "0" * 32, 1, 2, features=windows, answers=answers)
    again = NodeReport.from_json(json.loads(json.dumps(report.to_json())))
    assert again.to_json() == report.to_json()
    assert again.answers == answers


def test_a_report_of_the_release_before_is_read() -> None:
    """Reports without windows of features are whole."""
    old = NodeReport("n", "0" * 32, 1, 2).to_json()
    del old["features"], old["answers"]
    assert NodeReport.from_json(old).features == ()


def test_counts_of_more_cells_than_a_grid_has_are_refused() -> None:
    """Before any of them is looked at."""
    with pytest.raises(ValueError, match="too many cells"):
        counts_from_json({"cells": ["x"] * 257, "sums": [], "missing": 0, "below": 0, "above": 0})
