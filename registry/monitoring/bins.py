"""The coarse bins of a feature, which PSI, JS and people look at: how many rows each has, and what it is called. Pure.

A feature of numbers has the bins between some edges of its grid, and ``(missing)``. What lies below the baseline's
smallest value is in the first bin, unless that bin is this one value (a column that is mostly 0, or constant): then it
is a bin of its own, because nobody would see it otherwise. So with the largest value. A category has its words,
``(other)`` for the baseline's further words, ``(new)`` and ``(missing)``.

Not here: choosing the edges (``grids.py``), distances (``distances.py``).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from registry.baselines import CategoryCounts, Counts64, Feature, FeatureCounts, Kind, NumberCounts, fits

MISSING, OTHER, NEW = "(missing)", "(other)", "(new)"
FEWEST_DIGITS, MOST_DIGITS = 4, 17


def bin_counts(feature: Feature, counts: FeatureCounts) -> Counts64:
    """Return the rows of each coarse bin; raise ValueError where the counts are not of this feature's grid."""
    if not fits(counts, feature):
        raise ValueError(f"the counts of {feature.name!r} are not of its baseline's bins")
    if isinstance(counts, CategoryCounts):
        return np.append(counts.categories, [counts.others, counts.new, counts.missing])
    starts = np.array([0, *(position + 1 for position in feature.bins)])
    rows = np.add.reduceat(counts.cells, starts)
    below, above = _lone_ends(feature)
    if below:
        rows = np.append(counts.below, rows)
        rows[1] -= counts.below
    if above:
        rows[-1] -= counts.above
        rows = np.append(rows, counts.above)
    return np.append(rows, counts.missing)


def bin_labels(feature: Feature) -> tuple[str, ...]:
    """Return what the bins of ``bin_counts`` are called: ``up to 3``, ``3 to 7.5``, ``above 7.5``, ``(missing)``.

    A bin has its upper edge and not its lower one.
    """
    if feature.kind is Kind.CATEGORY:
        return (*(word or "(empty)" for word in feature.categories), OTHER, NEW, MISSING)
    if not feature.edges:
        return "any", MISSING
    below, above = _lone_ends(feature)
    bounds = [feature.edges[position] for position in feature.bins]
    if below and not feature.bins:
        bounds = [math.nextafter(feature.edges[0], -math.inf), feature.edges[-1]]
    elif below:
        bounds = [math.nextafter(feature.edges[0], -math.inf), *bounds]
    if above and feature.bins:
        bounds = [*bounds, feature.edges[-1]]
    names = _names(bounds)
    between = [
        high if _adjacent(low_edge, high_edge) else f"{low} to {high}"
        for low_edge, high_edge, low, high in zip(bounds, bounds[1:], names, names[1:], strict=False)
    ]
    first = f"below {names[0]}" if below else f"up to {names[0]}"
    return first, *between, f"above {names[-1]}", MISSING


def _lone_ends(feature: Feature) -> tuple[bool, bool]:
    """Tell whether the first bin is the smallest value alone, and the last the largest alone."""
    if not feature.edges or not feature.bins:
        return bool(feature.edges), bool(feature.edges)
    last = feature.bins[-1]
    is_largest = last < len(feature.edges) - 1 and _adjacent(feature.edges[last], feature.edges[-1])
    return feature.bins[0] == 0, is_largest


def _adjacent(low: float, high: float) -> bool:
    return math.nextafter(low, math.inf) >= high


def _names(bounds: Sequence[float]) -> list[str]:
    """Return the bounds in as few digits as tell apart those that numbers lie between."""
    pairs = [pair for pair in zip(bounds, bounds[1:], strict=False) if not _adjacent(*pair)]
    for digits in range(FEWEST_DIGITS, MOST_DIGITS):
        if all(f"{low:.{digits}g}" != f"{high:.{digits}g}" for low, high in pairs):
            return [f"{bound:.{digits}g}" for bound in bounds]
    return [repr(bound) for bound in bounds]
