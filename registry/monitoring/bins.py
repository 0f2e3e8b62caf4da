"""The coarse bins of a feature, which PSI, JS and people look at: how many rows each has, and what it is called. Pure.

A feature of numbers has the bins between some edges of its grid, and ``(missing)``. A bin may be one value of the
baseline's alone: a class, or the 0 of a column that is mostly 0. Then what lies between it and the bin before is a bin
too, and below the smallest value and above the largest; elsewhere what is out of range is in the end bins. A bin that
no row is in changes no distance. A category has its words, ``(other)`` for the baseline's further words, ``(new)`` and
``(missing)``.

Not here: choosing the edges (``grids.py``), distances (``distances.py``).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from registry.baselines import CategoryCounts, Counts64, Feature, FeatureCounts, Kind, fits

MISSING, OTHER, NEW = "(missing)", "(other)", "(new)"
FEWEST_DIGITS, MOST_DIGITS = 4, 17


def bin_counts(feature: Feature, counts: FeatureCounts) -> Counts64:
    """Return the rows of each coarse bin; raise ValueError where the counts are not of this feature's grid."""
    if not fits(counts, feature):
        raise ValueError(f"the counts of {feature.name!r} are not of its baseline's bins")
    if isinstance(counts, CategoryCounts):
        return np.append(counts.categories, [counts.others, counts.new, counts.missing])
    cuts = _cuts(feature)
    rows = np.add.reduceat(counts.cells, np.array([0, *(position + 1 for position in cuts)]))
    below, above = _lone_ends(feature, cuts)
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
    cuts = _cuts(feature)
    below, above = _lone_ends(feature, cuts)
    bounds = [feature.edges[position] for position in cuts]
    if below:
        bounds = [math.nextafter(feature.edges[0], -math.inf), *(bounds or [feature.edges[-1]])]
    if above and cuts:
        bounds = [*bounds, feature.edges[-1]]
    names = _names(bounds)
    between = [
        names[at] if _adjacent(bounds[at - 1], bounds[at]) else f"{names[at - 1]} to {names[at]}"
        for at in range(1, len(bounds))
    ]
    return f"below {names[0]}" if below else f"up to {names[0]}", *between, f"above {names[-1]}", MISSING


def _cuts(feature: Feature) -> list[int]:
    """Return the positions in the edges that bins lie between: the feature's, and those beside values that stand
    alone."""
    cuts: list[int] = []
    for before, position in pairwise((-1, *feature.bins, len(feature.edges) - 1)):
        alone = position - before == 2 and _adjacent(feature.edges[position - 1], feature.edges[position])
        cuts.extend([position - 1, position] if alone else [position])
    return cuts[:-1] if feature.bins else []


def _lone_ends(feature: Feature, cuts: Sequence[int]) -> tuple[bool, bool]:
    """Tell whether the first bin is the smallest value alone, and the last the largest; both if there is one bin."""
    if not cuts:
        return bool(feature.edges), bool(feature.edges)
    last = cuts[-1]
    return cuts[0] == 0, last == len(feature.edges) - 2 and _adjacent(feature.edges[last], feature.edges[-1])


def _adjacent(low: float, high: float) -> bool:
    return math.nextafter(low, math.inf) >= high


def _names(bounds: Sequence[float]) -> list[str]:
    """Return the bounds in as few digits as tell them apart; two sides of one value have its name."""
    said = [high if _adjacent(low, high) else low for low, high in zip(bounds, [*bounds[1:], math.inf], strict=True)]
    for digits in range(FEWEST_DIGITS, MOST_DIGITS):
        names = [f"{bound:.{digits}g}" for bound in said]
        if len(set(names)) == len(set(said)):
            return names
    return [repr(bound) for bound in said]
