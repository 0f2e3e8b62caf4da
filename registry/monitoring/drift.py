"""Whether live rows still look like the training data: one window judged beside its baseline. Pure.

A feature has moved by more than ``delta`` when its PSI is above the critical value that its true PSI would exceed by
chance in one window of a hundred if it were ``delta`` (``calibration.py``): 0.1 warns, 0.2 is drift. So a window of few
rows needs a larger PSI than one of many. Of a window the worst feature speaks. What that is worth, by simulation:
docs/drift.md.

Not here: the distances (``distances.py``), what the bins are (``bins.py``), when a window is full (the monitor's loop).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from registry.baselines import Baseline, FeatureCounts, Kind
from registry.windows import count_from

WARN_DELTA = 0.1
DRIFT_DELTA = 0.2
FEWEST_ROWS = 200
MOST_MOVED = 5


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

    Args:
        baseline: What the rows are compared with.
        counts: What was counted, by the feature's name; the baseline's features alone are looked at.
        rows: Rows that were asked about.

    Raises ValueError where counts are not of the baseline's own grid or categories.
    """
    raise NotImplementedError


def _number(raw: object) -> float:
    if isinstance(raw, bool) or not isinstance(raw, (int, float)) or not math.isfinite(raw):
        raise ValueError("a number must be finite")
    return float(raw)
