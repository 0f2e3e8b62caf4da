"""How samples of rows are added up while a version has no baseline: bounded, whatever comes. Pure.

A sample's values stand for rows by their weights. When there are too many of them they become fewer: equal ones one,
then neighbours of about the same weight together one, the one in their middle. Each time that moves ranks by at most
half a group's share. Not here: making a baseline of them (``provisional.py``), counting by a baseline (``tallies.py``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from registry.observed import MOST_WORDS, Sample

MOST_VALUES = 256_000
"""Values of all features of one version that are kept; with few features no more of each than ``MOST_OF_ONE``."""
MOST_OF_ONE = 4_000
FEWEST_OF_ONE = 256

Values = npt.NDArray[np.float64]
Weights = npt.NDArray[np.int64]


def values_each(features: int) -> int:
    """Return how many values of each of so many features are kept."""
    return max(FEWEST_OF_ONE, min(MOST_OF_ONE, MOST_VALUES // max(features, 1)))


def of_one_thing(one: Sample, other: Sample) -> bool:
    """Tell whether two samples are of the same part of a row."""
    return (one.side, one.source, one.measure, one.channel) == (other.side, other.source, other.measure, other.channel)


def merged(one: Sample, other: Sample, most: int) -> Sample:
    """Return both as one, with at most twice ``most`` values; raise ValueError where they are not of one thing."""
    if not of_one_thing(one, other):
        raise ValueError("these are samples of two features")
    values, weights = compacted((*one.values, *other.values), (*one.weights, *other.weights), most)
    words, beyond = _most_frequent(one.words, other.words)
    smallest, largest = _range(one, other)
    return replace(
        one,
        rows=one.rows + other.rows,
        missing=one.missing + other.missing,
        values=tuple(values.tolist()),
        weights=tuple(weights.tolist()),
        smallest=smallest,
        largest=largest,
        words=words,
        more=one.more + other.more + beyond,
    )


def _range(one: Sample, other: Sample) -> tuple[float, float]:
    known = [sample for sample in (one, other) if sample.values]
    if not known:
        return 0.0, 0.0
    return min(sample.smallest for sample in known), max(sample.largest for sample in known)


def _most_frequent(one: Mapping[str, int], other: Mapping[str, int]) -> tuple[dict[str, int], int]:
    """Return the most frequent words of both, and the rows of those left out; equally frequent go by the alphabet."""
    counts = dict(one)
    for word, count in other.items():
        counts[word] = counts.get(word, 0) + count
    if len(counts) <= MOST_WORDS:
        return counts, 0
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return dict(ranked[:MOST_WORDS]), sum(count for _, count in ranked[MOST_WORDS:])


def compacted(values: npt.ArrayLike, weights: npt.ArrayLike, most: int) -> tuple[Values, Weights]:
    """Return ascending values with the weights of all: as they are up to twice ``most`` different ones, else ``most``.

    All weight stays; a value that stands for more than a group's share of it stays itself.
    """
    at, place = np.unique(np.asarray(values, np.float64), return_inverse=True)
    weight = np.zeros(len(at), np.int64)
    np.add.at(weight, place.reshape(-1), np.asarray(weights, np.int64))
    if len(at) <= 2 * most:
        return at, weight
    upto = np.cumsum(weight, dtype=np.float64)
    middle = upto - weight / 2
    group = np.minimum((middle * (most / upto[-1])).astype(np.int64), most - 1)
    first = np.flatnonzero(np.diff(group, prepend=-1))
    grouped = np.add.reduceat(weight, first)
    half = np.concatenate([[0.0], upto])[first] + grouped / 2
    chosen = np.minimum(np.searchsorted(upto, half), len(at) - 1)
    return at[chosen], grouped
