"""Baselines made of the first live rows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from registry.baselines import INPUT, Baseline, CategoryCounts, Kind, NumberCounts, Origin
from registry.columns import Measure
from registry.monitoring.drift import Level, judge
from registry.monitoring.provisional import baseline_of
from registry.monitoring.tallies import Tally
from registry.observed import FeatureWindow, Sample
from tests.support.ledgers import CHURN, number
from tests.support.rows import NOW, counted, normal, sample, window, word_sample


def seen(**samples: Sample) -> Tally:
    """Return a window of these samples."""
    rows = max(one.rows for one in samples.values())
    named = {name.replace("_", "."): one for name, one in samples.items()}
    return Tally().plus(FeatureWindow(CHURN, number(1), NOW, rows, None, {}, named))


def texts(rows: int) -> list[str]:
    """Return so many texts, each another."""
    return [f"comment {n}" for n in range(rows)]


def test_it_is_marked_and_read_like_any_other() -> None:
    """Inputs before outputs, counts of all rows, the same bytes each time."""
    tally = Tally()
    for seed in range(10):
        tally = tally.plus(window(None, 1_000, seed))
    made = baseline_of(tally)
    assert (made.origin, made.rows) == (Origin.PROVISIONAL, 10_000)
    assert [one.name for one in made.features] == ["age", "plan", "prediction"]
    assert [counts.rows for counts in made.counts] == [10_000] * 3
    document = made.to_bytes()
    assert Baseline.from_bytes(document).to_bytes() == document == baseline_of(tally).to_bytes()


def test_rows_like_the_first_are_no_drift_and_others_are() -> None:
    """What was sampled is as good to compare with as a table: the shifted column is found, and no other."""
    tally = Tally()
    for seed in range(10):
        tally = tally.plus(window(None, 1_000, seed))
    made = baseline_of(tally)
    same = judge(made, counted(made.features, 2_000, 99), 2_000)
    assert same.verdict is Level.OK
    moved = judge(made, counted(made.features, 2_000, 98, shift=1.0), 2_000)
    assert {one.name: one.verdict for one in moved.features} == {
        "age": Level.DRIFT,
        "plan": Level.OK,
        "prediction": Level.OK,
    }


def test_cells_hold_what_the_values_stand_for() -> None:
    """Weights are rows, sums are around the center, and what was missing stays missing."""
    some = replace(sample(np.array([1.0, 2.0, 2.0, 10.0]), missing=3), weights=(1, 2, 3, 4), rows=13)
    made = baseline_of(seen(age=some))
    (feature,), (counts,) = made.features, made.counts
    assert isinstance(counts, NumberCounts)
    assert (int(counts.cells.sum()), counts.missing, counts.below, counts.above) == (10, 3, 0, 0)
    assert counts.sums.sum() + 10 * feature.center == 1 + 5 * 2 + 4 * 10


def test_text_is_watched_by_its_length() -> None:
    """Of a column of words and its lengths one is kept: the length where hardly a word comes twice."""
    said = texts(500)
    lengths = sample(np.array([float(len(one)) for one in said]), "comment", Measure.LENGTH)
    made = baseline_of(seen(comment=word_sample(said, "comment"), comment_length=lengths))
    assert [(one.name, one.kind) for one in made.features] == [("comment.length", Kind.NUMBER)]
    few = ["a", "bb"] * 250
    lengths = sample(np.array([float(len(one)) for one in few]), "comment", Measure.LENGTH)
    made = baseline_of(seen(comment=word_sample(few, "comment"), comment_length=lengths))
    assert [(one.name, one.kind) for one in made.features] == [("comment", Kind.CATEGORY)]


def test_lengths_without_words_are_watched() -> None:
    """Of bytes and lists only the length is there."""
    lengths = sample(np.array([3.0, 5.0]), "image", Measure.LENGTH)
    assert [one.name for one in baseline_of(seen(image_length=lengths)).features] == ["image.length"]


def test_words_beyond_those_known_are_others() -> None:
    """A word that was not kept is none of the categories, and none can be called new."""
    made = baseline_of(seen(plan=replace(word_sample(["a", "a", "b", None]), more=2, rows=6)))
    (feature,), (counts,) = made.features, made.counts
    assert feature.open_ended and isinstance(counts, CategoryCounts)
    assert (counts.categories.tolist(), counts.others, counts.new, counts.missing) == ([2, 1], 2, 0, 1)


def test_a_column_of_nothing_is_still_watched() -> None:
    """Rows without a value make a feature without cells; the values that come one day are seen."""
    made = baseline_of(seen(age=sample(normal(0), missing=50)))
    assert made.features[0].edges == () and made.counts[0].rows == 50
    assert made.features[0].side == INPUT
    assert Baseline.from_bytes(made.to_bytes()).rows == 50
