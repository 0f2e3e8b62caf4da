"""A baseline made of the first live rows, for a version that was registered without one. Pure.

Nodes could only sample those rows, so its counts are the samples' weights. A column of words that turns out to be text
is watched by its length alone, and one that does not by its words. Not here: how samples are added up (``samples.py``),
and when there are enough of them (``closing.py``).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from registry.baselines import INPUT, Baseline, CategoryCounts, Feature, FeatureCounts, NumberCounts, Origin
from registry.columns import Measure
from registry.counting import MOST_SUMMED
from registry.monitoring.grids import Watched, category_feature, is_text, numeric_feature
from registry.monitoring.tallies import Tally
from registry.observed import Sample


def baseline_of(tally: Tally) -> Baseline:
    """Return the baseline that a window of samples makes; the same window gives the same bytes."""
    # Inputs first, as in other baselines; within a side as they came.
    ordered = sorted(tally.samples.items(), key=lambda item: item[1].side != INPUT)
    made = [_counted(name, sample) for name, sample in ordered if _is_watched(name, sample, tally.samples)]
    return Baseline(Origin.PROVISIONAL, tally.rows, tuple(f for f, _ in made), tuple(c for _, c in made))


def _is_watched(name: str, sample: Sample, samples: Mapping[str, Sample]) -> bool:
    """Tell whether a sample becomes a feature: of a column's words and their lengths only one does."""
    if _is_wordy(sample):
        return not is_text(sample.words, sample.more)
    if sample.measure is not Measure.LENGTH:
        return True
    words = next((other for other in samples.values() if _same_source(other, sample) and _is_wordy(other)), None)
    return words is None or is_text(words.words, words.more)


def _same_source(one: Sample, other: Sample) -> bool:
    return (one.side, one.source, one.measure) == (other.side, other.source, Measure.VALUE)


def _is_wordy(sample: Sample) -> bool:
    """Tell whether most of a feature's rows are words."""
    return sum(sample.words.values()) + sample.more > sum(sample.weights)


def _counted(name: str, sample: Sample) -> tuple[Feature, FeatureCounts]:
    watched = Watched(name, sample.side, sample.source, sample.measure, sample.channel)
    if _is_wordy(sample):
        category = category_feature(watched, sample.words, sample.more)
        named = np.array([sample.words[word] for word in category.categories], np.int64)
        others = sum(sample.words.values()) - int(named.sum()) + sample.more
        return category, CategoryCounts(named, others, missing=sample.missing)
    feature = numeric_feature(watched, sample.values, sample.weights, sample.smallest, sample.largest)
    return feature, _cells(feature, sample)


def _cells(feature: Feature, sample: Sample) -> NumberCounts:
    """Count a sample's values into the grid, each for the rows that it stands for."""
    values, weights = np.array(sample.values, np.float64), np.array(sample.weights, np.int64)
    cell = np.searchsorted(np.array(feature.edges), values, side="left")
    cells = np.zeros(len(feature.edges) + 1, np.int64)
    np.add.at(cells, cell, weights)
    sums = np.zeros(len(cells))
    with np.errstate(over="ignore"):
        np.add.at(sums, cell, np.clip(values - feature.center, -MOST_SUMMED, MOST_SUMMED) * weights)
    return NumberCounts(cells, sums, sample.missing)
