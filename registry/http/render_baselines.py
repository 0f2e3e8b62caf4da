"""Baselines as the JSON of the contract. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from registry.baselines import Baseline, Feature, FeatureCounts, NumberCounts
from registry.http.render import baseline_in_short
from registry.monitoring.bins import bin_counts, bin_labels
from registry.monitoring.ports import BaselineRecord

QUANTILES = (1, 10, 25, 50, 75, 90, 99)


def baseline_json(record: BaselineRecord, baseline: Baseline, quality: Mapping[str, float]) -> dict[str, Any]:
    """Return a baseline with its features, and the quality that the training run says."""
    return {
        "model": record.model,
        "version": record.version,
        **(baseline_in_short(record) or {}),
        "features": [_feature(f, c) for f, c in zip(baseline.features, baseline.counts, strict=True)],
        "quality": dict(sorted(quality.items())),
    }


def _feature(feature: Feature, counts: FeatureCounts) -> dict[str, Any]:
    rows = max(counts.rows, 1)
    known = isinstance(counts, NumberCounts) and len(feature.edges) > 0
    bins = zip(bin_labels(feature), bin_counts(feature, counts).tolist(), strict=True)
    return {
        "name": feature.name,
        "kind": feature.kind.value,
        "side": feature.side,
        "missing_ratio": counts.missing / rows,
        "min": feature.edges[0] if known else None,
        "max": feature.edges[-1] if known else None,
        "quantiles": _quantiles(feature, counts) if isinstance(counts, NumberCounts) and known else None,
        "bins": [{"label": label, "ratio": count / rows} for label, count in bins],
    }


def _quantiles(feature: Feature, counts: NumberCounts) -> dict[str, float]:
    """Return quantiles read off the grid: between two edges, on the straight line."""
    edges = np.array(feature.edges)
    upto = np.cumsum(counts.cells[:-1]) / max(int(counts.cells.sum()), 1)
    values = np.interp([share / 100 for share in QUANTILES], upto, edges)
    return {f"p{share}": float(value) for share, value in zip(QUANTILES, values, strict=True)}
