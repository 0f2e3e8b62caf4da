"""How far apart two distributions are, read off counts of the same bins or grid. Pure.

PSI and Jensen-Shannon are of the coarse bins and exact. Kolmogorov-Smirnov and Wasserstein are read off the grid's
cells, with their rows and sums: off by no more than what can happen inside single cells (docs/drift.md has the bounds,
and how close they are). All are 0 of a thing and itself.

Not here: how large is large (``calibration.py``), what the bins are (``bins.py``).
"""

from __future__ import annotations

import math

import numpy as np

from registry.baselines import Counts64, Feature, NumberCounts, Sums64

RAISED = 0.5
"""What each bin's count is raised by (Jeffreys' prior), so that an empty bin on one side is no infinite distance."""


def psi_terms(baseline: Counts64, window: Counts64) -> Sums64:
    """Return what each bin adds to the population stability index; it is their sum, and each is 0 or more.

    ``(q - p) ln(q / p)`` of the smoothed shares, along the last axis. A bin that is empty in both is none, and adds
    nothing: raised, it would seem to shrink or grow with the number of rows.
    """
    empty = baseline + window == 0
    first, second = np.where(empty, 0.0, baseline + RAISED), np.where(empty, 0.0, window + RAISED)
    p, q = first / first.sum(axis=-1, keepdims=True), second / second.sum(axis=-1, keepdims=True)
    terms: Sums64 = (q - p) * np.log(np.where(empty, 1.0, q) / np.where(empty, 1.0, p))
    return terms


def js_distance(baseline: Counts64, window: Counts64) -> float:
    """Return the Jensen-Shannon distance of the shares as they are, base 2: 0 if equal, 1 if nothing is shared.

    Both have rows. The square root of the divergence, as ``scipy.spatial.distance.jensenshannon(p, q, base=2)`` is.
    """
    p, q = baseline / baseline.sum(), window / window.sum()
    middle = (p + q) / 2
    divergence = sum(float((side[side > 0] * np.log2(side[side > 0] / middle[side > 0])).sum()) for side in (p, q))
    return math.sqrt(min(max(divergence / 2, 0.0), 1.0))


def ks_distance(baseline: NumberCounts, window: NumberCounts) -> float | None:
    """Return the largest difference of the two distribution functions at the grid's edges; None without values.

    At most the true Kolmogorov-Smirnov distance, and less by at most the largest share that both have of one cell
    which is wider than one value.
    """
    differences = _differences(baseline, window)
    if differences is None:
        return None
    outside = window.below / window.cells.sum() - baseline.below / baseline.cells.sum()
    return float(np.abs(np.append(differences, outside)).max())


def wasserstein_distance(feature: Feature, baseline: NumberCounts, window: NumberCounts) -> float | None:
    """Return by how much a value was moved on average, in the feature's unit; None without values.

    The integral of the difference of the distribution functions over a cell follows from its rows and their sum:

        ∫ F = u F(u) - l F(l) - (sum of the cell's values) / n

    So the sum of their amounts is the first Wasserstein distance, but for cells in which the functions cross, where
    both sides of the crossing would cancel. There either side's rows are taken to be at their mean. That is exact where
    they are one value, and elsewhere off by no more than the two sides could cancel. Rows that are infinite have no
    sum: they make it smaller than it is. None also where the numbers are too large to be added.
    """
    differences = _differences(baseline, window)
    if differences is None:
        return None
    with np.errstate(over="ignore", invalid="ignore"):
        edges = np.asarray(feature.edges) - feature.center
        means = baseline.sums / baseline.cells.sum() - window.sums / window.cells.sum()
        areas = np.abs(np.diff(edges * differences, prepend=0.0, append=0.0) - means)
        crossed = np.flatnonzero(differences[:-1] * differences[1:] < 0)
        if len(crossed):
            areas[crossed + 1] = _crossed(edges, differences, (baseline, window), crossed)
        total = float(areas.sum())
    return total if math.isfinite(total) else None


def _crossed(edges: Sums64, differences: Sums64, counts: tuple[NumberCounts, NumberCounts], at: Counts64) -> Sums64:
    """Return the areas between two distribution functions from ``edges[at]`` to the next, each side at its mean."""
    low, high = edges[at], edges[at + 1]
    jumps, places = [], []
    for side in counts:
        cells = side.cells[at + 1]
        jumps.append(cells / side.cells.sum())
        places.append(np.clip(np.where(cells > 0, side.sums[at + 1] / np.maximum(cells, 1), low), low, high))
    between = differences[at] + np.where(places[0] < places[1], jumps[0], -jumps[1])
    first, last = np.minimum(*places), np.maximum(*places)
    area: Sums64 = (
        np.abs(differences[at]) * (first - low)
        + np.abs(between) * (last - first)
        + np.abs(differences[at + 1]) * (high - last)
    )
    return area


def deviation(feature: Feature, counts: NumberCounts) -> float | None:
    """Return the standard deviation of the counted values, as far as the cells show it; None without values.

    The deviation of the cells' means, and within a cell that of values spread as evenly as its mean allows: of a
    uniform, or of an exponential where the mean lies at an end. Too small where a single cell holds a long tail. Of
    counts that lie between the grid's edges, as a baseline's own do.
    """
    rows = float(counts.cells.sum())
    if not rows or not feature.edges:
        return None
    with np.errstate(over="ignore", invalid="ignore"):
        edges = np.asarray(feature.edges) - feature.center
        filled = np.maximum(counts.cells, 1)
        low, high = np.append(edges[0], edges), np.append(edges, edges[-1])
        means = np.clip(counts.sums / filled, low, high)
        nearer = np.minimum(means - low, high - means)
        within = np.minimum(nearer**2, (high - low) ** 2 / 12)
        mean = float((counts.cells * means).sum()) / rows
        variance = float((counts.cells * ((means - mean) ** 2 + within)).sum()) / rows
    return math.sqrt(variance) if math.isfinite(variance) else None


def _differences(baseline: NumberCounts, window: NumberCounts) -> Sums64 | None:
    """Return the baseline's distribution function less the window's at each edge; None where either has no value."""
    ours, theirs = int(baseline.cells.sum()), int(window.cells.sum())
    if not ours or not theirs or len(baseline.cells) < 2:
        return None
    return np.cumsum(baseline.cells)[:-1] / ours - np.cumsum(window.cells)[:-1] / theirs
