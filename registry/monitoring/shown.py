"""What the gauges show of the newest verdicts: bounded, however many features and versions there are. Pure.

Of each version the prediction and the features that moved most have series of their own; the rest are one, called
``other``, which is as bad as the worst of them. Not here: who asks for it (``registry/drift_view.py``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from registry.baselines import PREDICTION
from registry.monitoring.drift import Level
from registry.monitoring.window_ports import JudgedWindow
from registry.records import ModelName, VersionNumber

OTHER = "other"
MOST_OF_ONE = 100
"""Features of one version with series of their own."""
MOST_FEATURES = 5_000
"""Features of all versions; each version has its share of them, and one in any case."""
Labels = tuple[str, ...]
GAUGES = {
    "headgate_drift_psi": "psi",
    "headgate_drift_psi_critical": "psi_critical",
    "headgate_drift_js": "js",
    "headgate_drift_ks": "ks",
    "headgate_drift_wasserstein": "wasserstein",
    "headgate_drift_detected": "drifted",
    "headgate_drift_warned": "warned",
    "headgate_missing_ratio": "missing",
}
"""The gauges of a feature, and where their values stand."""
ROWS = "headgate_window_rows"


@dataclass(frozen=True, slots=True)
class ShownFeature:
    """One feature's numbers; None is not shown."""

    name: str
    psi: float | None
    psi_critical: float | None
    js: float | None
    ks: float | None
    wasserstein: float | None
    missing: float | None
    drifted: float
    warned: float


@dataclass(frozen=True, slots=True)
class ShownVersion:
    """The newest verdict of a version: the rows of its window, the prediction and the features that moved most, and
    the worst of the rest."""

    number: int
    rows: int
    features: tuple[ShownFeature, ...] = ()
    rest: ShownFeature | None = None

    def within(self, most: int) -> ShownVersion:
        """Return it with at most so many features."""
        first, more = self.features[:most], self.features[most:]
        return replace(self, features=first, rest=_worst((*more, self.rest) if self.rest else more))


def shown(window: JudgedWindow) -> ShownVersion:
    """Return what is kept of a verdict for the gauges."""
    if window.verdict["verdict"] == Level.INSUFFICIENT.value:
        return ShownVersion(window.key.number, window.span.rows)
    features = [_feature(raw) for raw in window.verdict["features"]]
    # The prediction is what people look for first; behind it those that moved most, as the verdict ranks them. What
    # bears the name of the rest is part of it.
    features.sort(key=lambda feature: (feature.name != PREDICTION, feature.name == OTHER))
    own = sum(feature.name != OTHER for feature in features)
    whole = ShownVersion(window.key.number, window.span.rows, tuple(features))
    return whole.within(min(MOST_OF_ONE, own))


def _feature(raw: Mapping[str, Any]) -> ShownFeature:
    verdict = raw["verdict"]
    return ShownFeature(
        raw["name"],
        raw["psi"],
        raw["psi_drift"],
        raw["js"],
        raw["ks"],
        raw["wasserstein"],
        raw["missing_ratio"],
        float(verdict == Level.DRIFT.value),
        float(verdict in (Level.WARN.value, Level.DRIFT.value)),
    )


def _worst(rest: Sequence[ShownFeature]) -> ShownFeature | None:
    """Return several features as one: PSI and its critical value of the one that moved most, else the largest."""
    if not rest:
        return None
    most = max(rest, key=lambda feature: (feature.psi or 0.0) / (feature.psi_critical or 1.0))
    return ShownFeature(
        OTHER,
        most.psi,
        most.psi_critical,
        _largest(feature.js for feature in rest),
        _largest(feature.ks for feature in rest),
        _largest(feature.wasserstein for feature in rest),
        _largest(feature.missing for feature in rest),
        max(feature.drifted for feature in rest),
        max(feature.warned for feature in rest),
    )


def _largest(values: Iterable[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)


def series(versions: Mapping[tuple[ModelName, VersionNumber], ShownVersion]) -> dict[str, dict[Labels, float]]:
    """Return all series by the metric's name; labels are model and version, and for all but the rows the feature."""
    found: dict[str, dict[Labels, float]] = {name: {} for name in (*GAUGES, ROWS)}
    share = min(MOST_OF_ONE, max(1, MOST_FEATURES // max(len(versions), 1)))
    for (model, number), version in sorted(versions.items()):
        found[ROWS][model, number] = version.rows
        bounded = version.within(share)
        features = bounded.features if bounded.rest is None else (*bounded.features, bounded.rest)
        for feature in features:
            for name, attribute in GAUGES.items():
                value = getattr(feature, attribute)
                if value is not None:
                    found[name][model, number, feature.name] = value
    return found
