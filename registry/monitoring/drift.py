"""Whether live rows still look like the training data: one window judged beside its baseline. Pure.

A feature has moved by more than ``delta`` when its PSI is above the critical value that its true PSI would exceed by
chance in one window of a hundred if it were ``delta`` (``calibration.py``): 0.1 warns, 0.2 is drift. So a window of few
rows needs a larger PSI than one of many. Of a window the worst feature speaks. What that is worth, by simulation:
docs/drift.md.

Not here: the distances (``distances.py``), what the bins are (``bins.py``), when a window is full (``closing.py``).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

import numpy as np

from registry.baselines import (
    INPUT,
    Baseline,
    CategoryCounts,
    Counts64,
    Feature,
    FeatureCounts,
    Kind,
    NumberCounts,
    Sums64,
)
from registry.monitoring.bins import bin_counts, bin_labels
from registry.monitoring.calibration import adjusted, critical_psi, same_shares_p
from registry.monitoring.distances import deviation, js_distance, ks_distance, psi_terms, wasserstein_distance
from registry.windows import count_from

WARN_DELTA = 0.1
DRIFT_DELTA = 0.2
FEWEST_ROWS = 200
MOST_MOVED = 5
MOVED_ERRORS = 3.0
"""A bin moved when its share changed by more standard errors than this."""


class Level(StrEnum):
    """What a window or a feature of it is found to be; ``severity`` orders them."""

    INSUFFICIENT = "insufficient data"
    OK = "ok"
    WARN = "warn"
    DRIFT = "drift"

    @property
    def severity(self) -> int:
        """Return the place in the order: a window is as bad as its worst feature."""
        return list(Level).index(self)


@dataclass(frozen=True, slots=True)
class MovedBin:
    """One coarse bin whose share of rows changed by more than chance explains, in words that people read."""

    bin: str
    baseline_ratio: float
    window_ratio: float

    def to_json(self) -> dict[str, Any]:
        """Return the wire form, JSON-ready."""
        return {"bin": self.bin, "baseline_ratio": self.baseline_ratio, "window_ratio": self.window_ratio}

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> MovedBin:
        """Read the wire form; raise KeyError, TypeError or ValueError where it is damaged."""
        return cls(str(raw["bin"]), _number(raw["baseline_ratio"]), _number(raw["window_ratio"]))


@dataclass(frozen=True, slots=True)
class FeatureVerdict:
    """How far one feature of a window is from the baseline, by several distances, and whether that is drift.

    What could not be measured is None: all of it without rows, what is of numbers for a category and the reverse.

    Attributes:
        rows: Rows of the window that this feature was judged by, those without a value too.
        psi: Population stability index over the coarse bins, each count raised by a half.
        psi_warn: The critical value for a true PSI of 0.1 (``WARN_DELTA``); ``psi_drift``: of 0.2.
        js: Jensen-Shannon distance over the same bins, base 2: from 0 to 1.
        ks: Kolmogorov-Smirnov distance, from 0 to 1; of numbers.
        wasserstein: Wasserstein distance in standard deviations of the baseline; None too where that deviation is 0.
        p_value: Of the chi-square test that both have the same shares of the bins; ``p_adjusted``: made larger for the
            number of features (Benjamini-Hochberg). Both for reading: the verdict is the PSI's.
        missing_ratio: Share of the window's rows without a value; ``missing_ratio_baseline``: of the baseline's.
        out_of_range_ratio: Share of the values outside what the baseline had; of numbers.
        new_ratio: Share of the values that the baseline had never; of categories.
        moved: The bins that moved, at most ``MOST_MOVED``, those first that add most to the PSI.
    """

    name: str
    kind: Kind
    verdict: Level
    rows: int
    psi: float | None = None
    psi_warn: float | None = None
    psi_drift: float | None = None
    js: float | None = None
    ks: float | None = None
    wasserstein: float | None = None
    p_value: float | None = None
    p_adjusted: float | None = None
    missing_ratio: float | None = None
    missing_ratio_baseline: float | None = None
    out_of_range_ratio: float | None = None
    new_ratio: float | None = None
    moved: tuple[MovedBin, ...] = ()

    @property
    def strength(self) -> float:
        """Return PSI ÷ critical value, by which features are ranked: above 1 is drift; 0 where nothing was measured."""
        return self.psi / self.psi_drift if self.psi is not None and self.psi_drift else 0.0

    def to_json(self) -> dict[str, Any]:
        """Return the wire form, JSON-ready."""
        return {
            "name": self.name,
            "kind": self.kind.value,
            "verdict": self.verdict.value,
            "rows": self.rows,
            **{name: getattr(self, name) for name in MEASURES},
            "moved": [one.to_json() for one in self.moved],
        }

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> FeatureVerdict:
        """Read the wire form; raise KeyError, TypeError or ValueError where it is damaged."""
        return cls(
            name=str(raw["name"]),
            kind=Kind(raw["kind"]),
            verdict=Level(raw["verdict"]),
            rows=count_from(raw["rows"]),
            moved=tuple(MovedBin.from_json(one) for one in raw["moved"]),
            **{name: None if raw[name] is None else _number(raw[name]) for name in MEASURES},
        )


MEASURES = (
    "psi", "psi_warn", "psi_drift", "js", "ks", "wasserstein", "p_value", "p_adjusted",
    "missing_ratio", "missing_ratio_baseline", "out_of_range_ratio", "new_ratio",
)  # fmt: skip
"""The numbers of a feature's verdict, as attributes and in JSON alike; each is a finite number or None."""


@dataclass(frozen=True, slots=True)
class WindowVerdict:
    """How one window of a version's rows compares with its baseline; the features that moved most come first."""

    verdict: Level
    rows: int
    features: tuple[FeatureVerdict, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the wire form, JSON-ready."""
        return {
            "verdict": self.verdict.value,
            "rows": self.rows,
            "features": [feature.to_json() for feature in self.features],
        }

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> WindowVerdict:
        """Read the wire form; raise KeyError, TypeError or ValueError where it is damaged."""
        features = tuple(FeatureVerdict.from_json(one) for one in raw["features"])
        return cls(Level(raw["verdict"]), count_from(raw["rows"]), features)


def judge(baseline: Baseline, counts: Mapping[str, FeatureCounts], rows: int) -> WindowVerdict:
    """Judge a window.

    An input feature that was in fewer rows than another input was left out by its callers: the rest is missing.

    Args:
        baseline: What the rows are compared with.
        counts: What was counted, by the feature's name; the baseline's features alone are looked at.
        rows: Rows that were asked about.

    Raises ValueError where counts are not of the baseline's own grid or categories.
    """
    pairs = list(zip(baseline.features, baseline.counts, strict=True))
    windows = {feature.name: counts.get(feature.name, feature.empty()) for feature in baseline.features}
    seen = max((windows[feature.name].rows for feature in baseline.features if feature.side == INPUT), default=0)
    judged = [
        _feature(feature, known, _whole(feature, windows[feature.name], seen), enough=rows >= FEWEST_ROWS)
        for feature, known in pairs
    ]
    features = sorted(_with_adjusted(judged), key=lambda one: (-one.strength, one.name))
    worst = max((one.verdict for one in features), key=lambda level: level.severity, default=Level.INSUFFICIENT)
    return WindowVerdict(worst, rows, tuple(features))


def _whole(feature: Feature, window: FeatureCounts, seen: int) -> FeatureCounts:
    """Return the counts of an input with the rows that did not have it as missing ones."""
    absent = seen - window.rows
    return replace(window, missing=window.missing + absent) if feature.side == INPUT and absent > 0 else window


def _feature(feature: Feature, known: FeatureCounts, window: FeatureCounts, *, enough: bool) -> FeatureVerdict:
    """Measure one feature; its p-value is not adjusted yet."""
    ours, theirs = bin_counts(feature, known), bin_counts(feature, window)
    rows, baseline_rows = int(theirs.sum()), int(ours.sum())
    plain = FeatureVerdict(feature.name, feature.kind, Level.INSUFFICIENT, rows)
    if baseline_rows:
        plain = replace(plain, missing_ratio_baseline=known.missing / baseline_rows)
    if not rows or not baseline_rows:
        return plain
    terms = psi_terms(ours, theirs)
    psi, filled = float(terms.sum()), int(((ours + theirs) > 0).sum())
    warn, drift = (critical_psi(delta, filled, rows, baseline_rows) for delta in (WARN_DELTA, DRIFT_DELTA))
    level = Level.DRIFT if psi > drift else Level.WARN if psi > warn else Level.OK
    measured = replace(
        plain,
        verdict=level if enough and rows >= FEWEST_ROWS else Level.INSUFFICIENT,
        psi=psi,
        psi_warn=warn,
        psi_drift=drift,
        js=js_distance(ours, theirs),
        p_value=same_shares_p(ours, theirs),
        missing_ratio=window.missing / rows,
        moved=_moved(feature, ours, theirs, terms),
    )
    return _with_values(measured, feature, known, window)


def _with_values(
    measured: FeatureVerdict, feature: Feature, known: FeatureCounts, window: FeatureCounts
) -> FeatureVerdict:
    """Add what is of the values alone, and of one kind of them."""
    values = window.rows - window.missing
    if isinstance(window, CategoryCounts):
        return replace(measured, new_ratio=_ratio(window.new, values))
    if not isinstance(known, NumberCounts):
        return measured
    distance, sigma = wasserstein_distance(feature, known, window), deviation(feature, known)
    return replace(
        measured,
        ks=ks_distance(known, window),
        wasserstein=_ratio(distance, sigma),
        out_of_range_ratio=_ratio(window.below + window.above, values),
    )


def _ratio(part: float | None, whole: float | None) -> float | None:
    if part is None or not whole:
        return None
    ratio = part / whole
    return ratio if math.isfinite(ratio) else None


def _moved(feature: Feature, ours: Counts64, theirs: Counts64, terms: Sums64) -> tuple[MovedBin, ...]:
    """Return the bins whose share changed by more than ``MOVED_ERRORS`` standard errors, largest terms first."""
    baseline, window = ours / ours.sum(), theirs / theirs.sum()
    pooled = (ours + theirs) / (ours.sum() + theirs.sum())
    errors = np.sqrt(pooled * (1 - pooled) * (1 / ours.sum() + 1 / theirs.sum()))
    candidates = np.flatnonzero(np.abs(window - baseline) > MOVED_ERRORS * errors)
    largest = candidates[np.argsort(-terms[candidates], kind="stable")][:MOST_MOVED]
    if not len(largest):
        return ()
    labels = bin_labels(feature)
    return tuple(MovedBin(labels[at], float(baseline[at]), float(window[at])) for at in largest)


def _with_adjusted(features: Sequence[FeatureVerdict]) -> list[FeatureVerdict]:
    raised = iter(adjusted([one.p_value for one in features if one.p_value is not None]))
    return [one if one.p_value is None else replace(one, p_adjusted=next(raised)) for one in features]


def _number(raw: object) -> float:
    if isinstance(raw, bool) or not isinstance(raw, (int, float)) or not math.isfinite(raw):
        raise ValueError("a number must be finite")
    return float(raw)
