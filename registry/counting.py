"""Counts rows by a baseline's features, a block at a time. Pure.

A block is sorted, and then the edges are looked up in it, not each value among the edges: some 130 searches instead of
one a value, and sums that are made of neighbours. 10,000 values take 40 µs, a tenth of the other way round. Registry
and nodes share this, so that a baseline's own rows and live ones are counted alike. Not here: what is taken of a row
(``columns.py``), windows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

import numpy as np

from registry.baselines import CategoryCounts, Feature, NumberCounts, Sums64
from registry.columns import Numbers

MOST_SUMMED = 1e250
"""What a number adds to a sum at most, so that the sum of as many rows as can be counted is finite."""


class NumberCounter:
    """Counts by the grid of one feature, which is made ready once. Safe for any thread."""

    __slots__ = ("_center", "_edges")

    def __init__(self, feature: Feature) -> None:
        self._edges: Sums64 = np.array(feature.edges, np.float64)
        self._center = feature.center

    def count(self, values: Numbers) -> NumberCounts:
        """Return the counts of a 1-D array; NaN is a missing value."""
        return self.count_sorted(np.sort(values))

    def count_sorted(self, ordered: Numbers) -> NumberCounts:
        """Return the counts of values in ascending order, NaN last, as ``np.sort`` leaves them."""
        edges, rows = self._edges, len(ordered)
        known = int(ordered.searchsorted(np.nan)) if rows and np.isnan(ordered[-1]) else rows
        ordered = ordered[:known]
        ends = ordered.searchsorted(edges, "right")
        starts = np.empty(len(edges) + 1, np.int64)
        starts[0], starts[1:] = 0, ends
        cells = np.empty_like(starts)
        cells[:-1] = ends
        cells[-1] = known
        cells -= starts
        sums = np.zeros(len(cells))
        if known:
            full = cells.nonzero()[0]
            sums[full] = np.add.reduceat(self._summed(ordered), starts[full])
        if not len(edges):
            return NumberCounts(cells, sums, rows - known)
        below = int(ordered.searchsorted(edges[0]))
        return NumberCounts(cells, sums, rows - known, below, known - int(ends[-1]))

    def _summed(self, ordered: Numbers) -> Numbers:
        summed = ordered - self._center
        if summed[0] < -MOST_SUMMED or summed[-1] > MOST_SUMMED:
            summed[np.isinf(ordered)] = 0.0
            np.clip(summed, -MOST_SUMMED, MOST_SUMMED, out=summed)
        return summed


def count_numbers(feature: Feature, values: Numbers) -> NumberCounts:
    """Count a 1-D float64 array by a feature of numbers; NaN is a missing value.

    Who counts many blocks by one feature keeps a ``NumberCounter``.
    """
    return NumberCounter(feature).count(values)


class WordCounter:
    """Counts by the categories of one feature, which are made ready once. Safe for any thread."""

    __slots__ = ("_known", "_open_ended", "_places")

    def __init__(self, feature: Feature) -> None:
        self._places = {word: place for place, word in enumerate(feature.categories)}
        self._known = frozenset(feature.others)
        self._open_ended = feature.open_ended

    def count(self, tally: Mapping[str | None, int]) -> CategoryCounts:
        """Return the counts of words, each with how often there was it; None is a missing one."""
        cells = np.zeros(len(self._places), np.int64)
        others = new = missing = 0
        for word, rows in tally.items():
            if word is None:
                missing += rows
            elif (place := self._places.get(word)) is not None:
                cells[place] += rows
            elif self._open_ended or word in self._known:
                others += rows
            else:
                new += rows
        return CategoryCounts(cells, others, new, missing)


def count_words(feature: Feature, words: Iterable[str | None]) -> CategoryCounts:
    """Count words by a feature of categories; None is a missing one.

    Who counts many blocks by one feature keeps a ``WordCounter``.
    """
    return WordCounter(feature).count(Counter(words))
