"""Reads a report's windows of features strictly, as ``reading.py`` does with the rest of it. Pure.

What gets in here is added to windows of all nodes, so nothing may be endless, and no count so large that a sum of many
could not be held. Not here: whether a version has the baseline that a window names (``adapters``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from registry.baselines import INPUT, MOST_CATEGORIES, MOST_EDGES, OUTPUT, FeatureCounts, NumberCounts
from registry.observed import FeatureWindow, Sample

MOST_WINDOWS = 2_000
"""Windows of features in one report."""
MOST_ROWS = 2**40
"""Rows that one window may speak of: some hundred thousand a second, for months."""
MOST_MOMENT = 2**53
MOST_CHANNEL = 2**20
MOST_VALUES = 512_000
"""Values of all samples of one window together."""
NAME_LETTERS = 1_024

Require = Callable[[bool, str], None]


def check_features(windows: Iterable[FeatureWindow], require: Require) -> None:
    """Check windows of features; ``require`` raises with its second argument where the first is false."""
    listed = list(windows)
    require(len(listed) <= MOST_WINDOWS, f"features: at most {MOST_WINDOWS} windows")
    for window in listed:
        require(window.rows <= MOST_ROWS, "features: more rows than there can be")
        require(0 <= window.start_ms <= MOST_MOMENT, "features: start_ms is out of range")
        require(
            not (window.counts if window.baseline is None else window.samples),
            "features: a window has counts where it has a baseline, and else samples",
        )
        names = (*window.counts, *window.samples)
        require(
            all(0 < len(name) <= NAME_LETTERS for name in names), f"features: a name has 1 to {NAME_LETTERS} letters"
        )
        for counts in window.counts.values():
            _check_counts(counts, require)
        for sample in window.samples.values():
            _check_sample(sample, require)
        values = sum(len(sample.values) for sample in window.samples.values())
        require(values <= MOST_VALUES, f"features: at most {MOST_VALUES} values of one window")


def _check_counts(counts: FeatureCounts, require: Require) -> None:
    require(counts.rows <= MOST_ROWS, "features: more rows than there can be")
    if isinstance(counts, NumberCounts):
        require(len(counts.cells) <= MOST_EDGES + 1, f"features: at most {MOST_EDGES + 1} cells")
    else:
        require(len(counts.categories) <= MOST_CATEGORIES, f"features: at most {MOST_CATEGORIES} categories")


def _check_sample(sample: Sample, require: Require) -> None:
    require(sample.side in (INPUT, OUTPUT), f"features: side must be {INPUT} or {OUTPUT}")
    require(len(sample.source) <= NAME_LETTERS, f"features: a source has at most {NAME_LETTERS} letters")
    require(sample.channel is None or sample.channel <= MOST_CHANNEL, "features: channel is out of range")
    require(sample.rows <= MOST_ROWS, "features: more rows than there can be")
    if sample.values:
        within = sample.smallest <= min(sample.values) and max(sample.values) <= sample.largest
        require(within, "features: values lie between the smallest and the largest")
