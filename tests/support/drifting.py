"""Simulated rows: baselines and windows of drawn columns, counted and judged by the product's own code.

A column of floats is a feature of numbers (NaN is a missing one), one of texts a feature of categories. A *source*
draws the columns of so many rows: the same source twice is no drift.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from registry.baselines import INPUT, Baseline, Feature, FeatureCounts, Kind, NumberCounts, Origin
from registry.columns import Measure
from registry.counting import count_numbers, count_words
from registry.monitoring.drift import Level, WindowVerdict, judge
from registry.monitoring.grids import Watched, category_feature, numeric_feature

Column = npt.NDArray[Any]
Columns = Mapping[str, Column]
Source = Callable[[int, np.random.Generator], Columns]


def feature_of(name: str, column: Column, side: str = INPUT) -> Feature:
    """Return the feature that a baseline of this column has."""
    watched = Watched(name, side, name, Measure.VALUE)
    if column.dtype.kind == "U":
        return category_feature(watched, Counter(column.tolist()))
    known = column[np.isfinite(column)]
    if not len(known):
        return numeric_feature(watched, [], [], 0.0, 0.0)
    return numeric_feature(watched, known, np.ones(len(known)), float(known.min()), float(known.max()))


def counts_of(feature: Feature, column: Column) -> FeatureCounts:
    """Return a column counted by a feature."""
    if feature.kind is Kind.CATEGORY:
        return count_words(feature, column.tolist())
    return count_numbers(feature, column)


def numbers(values: npt.ArrayLike, live: npt.ArrayLike) -> tuple[Feature, NumberCounts, NumberCounts]:
    """Return the feature that values make, and how they and live ones are counted by it."""
    column = np.asarray(values, np.float64)
    feature = feature_of("x", column)
    return feature, count_numbers(feature, column), count_numbers(feature, np.asarray(live, np.float64))


def baseline_of(columns: Columns, origin: Origin = Origin.GIVEN) -> Baseline:
    """Return the baseline of some columns of one length."""
    features = tuple(feature_of(name, column) for name, column in columns.items())
    counts = tuple(counts_of(feature, columns[feature.name]) for feature in features)
    return Baseline(origin, len(next(iter(columns.values()))), features, counts)


def verdict_of(baseline: Baseline, columns: Columns) -> WindowVerdict:
    """Return how a window of these columns is judged."""
    counts = {one.name: counts_of(one, columns[one.name]) for one in baseline.features if one.name in columns}
    return judge(baseline, counts, len(next(iter(columns.values()))))


Numbers = npt.NDArray[np.float64]
FAMILIES: Mapping[str, Callable[[int, np.random.Generator], Numbers]] = {
    "normal": lambda rows, rng: rng.normal(size=rows),
    "uniform": lambda rows, rng: rng.random(rows),
    "exponential": lambda rows, rng: rng.exponential(size=rows),
    "log-normal": lambda rows, rng: rng.lognormal(0, 2, rows),
    "student 3": lambda rows, rng: rng.standard_t(3, rows),
    "cauchy": lambda rows, rng: rng.standard_cauchy(rows),
    "pareto 1": lambda rows, rng: rng.pareto(1.0, rows),
    "two humps": lambda rows, rng: rng.normal(0, 0.01, rows) + 10 * rng.integers(0, 2, rows),
    "classes": lambda rows, rng: rng.integers(0, 7, rows).astype(np.float64),
    "counts": lambda rows, rng: rng.poisson(40, rows).astype(np.float64),
    "rounded": lambda rows, rng: np.round(rng.normal(size=rows), 1),
    "mostly zero": lambda rows, rng: np.where(rng.random(rows) < 0.8, 0.0, rng.exponential(size=rows)),
    "constant": lambda rows, rng: np.full(rows, 3.0),
}
"""Columns of numbers of one sort each."""
CHANGES: Mapping[str, Callable[[Numbers, float], Numbers]] = {
    "none": lambda rows, sigma: rows,
    "shifted a little": lambda rows, sigma: rows + 0.1 * sigma,
    "shifted": lambda rows, sigma: rows + 0.5 * sigma,
    "far away": lambda rows, sigma: rows + 100 * sigma + 1,
    "stretched": lambda rows, sigma: 1.5 * rows,
    "rounded": lambda rows, sigma: np.round(rows / (sigma or 1) * 2) / 2 * (sigma or 1),
    "one value": lambda rows, sigma: np.full(len(rows), np.median(rows) + 0.01 * sigma),
    "half one value": lambda rows, sigma: np.where(np.arange(len(rows)) % 2, rows, np.quantile(rows, 0.7)),
}
"""What may happen to such a column, whose standard deviation was sigma."""


@dataclass(frozen=True, slots=True)
class Alarms:
    """How many of the judged windows, and of the features in them, were called so bad or worse."""

    windows: int
    features: int
    window_warn: int
    window_drift: int
    feature_warn: int
    feature_drift: int
    small_adjusted: int

    @property
    def by_window(self) -> float:
        """Share of windows with an alarm of any level."""
        return self.window_warn / self.windows

    @property
    def by_feature(self) -> float:
        """Share of features, over all windows, with an alarm of any level."""
        return self.feature_warn / self.features

    @property
    def drifts_by_window(self) -> float:
        """Share of windows that are called drift."""
        return self.window_drift / self.windows


def alarms(judged: list[WindowVerdict]) -> Alarms:
    """Count the alarms of windows."""
    levels = [verdict.verdict.severity for verdict in judged]
    features = [feature for verdict in judged for feature in verdict.features]
    by_feature = [feature.verdict.severity for feature in features]
    warn, drift = Level.WARN.severity, Level.DRIFT.severity
    return Alarms(
        len(levels),
        len(by_feature),
        sum(level >= warn for level in levels),
        sum(level >= drift for level in levels),
        sum(level >= warn for level in by_feature),
        sum(level >= drift for level in by_feature),
        sum(any((one.p_adjusted or 0.0) <= 0.05 for one in verdict.features) for verdict in judged),
    )


def simulated(
    trained: Source, live: Source, sizes: Sequence[int], baseline_rows: int, seeds: range
) -> dict[int, list[WindowVerdict]]:
    """Judge, for each seed, a baseline's window of each size; by size."""
    judged: dict[int, list[WindowVerdict]] = {size: [] for size in sizes}
    for seed in seeds:
        rng = np.random.default_rng(seed)
        baseline = baseline_of(trained(baseline_rows, rng))
        for size in sizes:
            judged[size].append(verdict_of(baseline, live(size, rng)))
    return judged


def normals(features: int = 20, shift: float = 0.0) -> Source:
    """Draw independent normal columns; the first is shifted, in standard deviations."""

    def draw(rows: int, rng: np.random.Generator) -> Columns:
        columns = {f"x{n}": rng.normal(size=rows) for n in range(features)}
        return {**columns, "x0": columns["x0"] + shift}

    return draw


def mixed(rows: int, rng: np.random.Generator) -> Columns:
    """Draw twenty columns of all sorts: heavy tails, ties, constants, classes, few and many words, missing values."""
    fifty = np.array([f"w{n}" for n in range(60)])
    shares = 1 / np.arange(1, 61)
    few = np.array(["a", "b", "c"])
    gaps = np.where(rng.random(rows) < 0.1, np.nan, rng.normal(size=rows))
    return {
        "normal": rng.normal(size=rows),
        "uniform": rng.random(rows),
        "exponential": rng.exponential(size=rows),
        "log-normal": rng.lognormal(0, 2, rows),
        "cauchy": rng.standard_cauchy(rows),
        "pareto": rng.pareto(1.0, rows),
        "two humps": rng.normal(size=rows) + 20 * rng.integers(0, 2, rows),
        "mostly zero": np.where(rng.random(rows) < 0.9, 0.0, rng.exponential(size=rows)),
        "ninety-nine zeros": np.where(rng.random(rows) < 0.99, 0.0, 1.0),
        "flag": rng.integers(0, 2, rows).astype(np.float64),
        "class": rng.integers(0, 5, rows).astype(np.float64),
        "count": rng.poisson(3, rows).astype(np.float64),
        "large count": rng.poisson(400, rows).astype(np.float64),
        "rounded": np.round(rng.normal(size=rows), 1),
        "constant": np.full(rows, 7.0),
        "a tenth missing": gaps,
        "nearly always missing": np.where(rng.random(rows) < 0.99, np.nan, 1.0),
        "three words": few[rng.choice(3, rows, p=[0.7, 0.25, 0.05])],
        "sixty words": fifty[rng.choice(60, rows, p=shares / shares.sum())],
        "rare word": few[rng.choice(2, rows, p=[0.999, 0.001])],
    }


def shifted(source: Source, name: str, by: float) -> Source:
    """Draw as ``source`` does, with one column of numbers moved."""

    def draw(rows: int, rng: np.random.Generator) -> Columns:
        columns = source(rows, rng)
        return {**columns, name: columns[name] + by}

    return draw


def replaced(source: Source, change: Callable[[Columns], Columns]) -> Source:
    """Draw as ``source`` does, and change what was drawn."""
    return lambda rows, rng: change(source(rows, rng))


def words(shares: Mapping[str, float]) -> Source:
    """Draw one column of words."""
    names = np.array(list(shares))

    def draw(rows: int, rng: np.random.Generator) -> Columns:
        return {"word": names[rng.choice(len(names), rows, p=list(shares.values()))]}

    return draw


def batches(source: Source, size: int) -> Source:
    """Draw rows of ``source``, each ``size`` times over: callers who send batches of what is nearly one row."""

    def draw(rows: int, rng: np.random.Generator) -> Columns:
        return {name: np.repeat(column, size)[:rows] for name, column in source(-(-rows // size), rng).items()}

    return draw
