"""Simulated labels of rollouts: how wrong both arms were, and after how many labels one would have been stopped."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from registry.labels import LabelledRow
from registry.traffic.evidence import quality_evidence
from registry.traffic.losses import losses_of
from tests.support.labels import labelled

APART_MS = 1_500
"""Forty labels a minute."""


def classes(rng: np.random.Generator, count: int, *, canary: float, stable: float) -> list[LabelledRow]:
    """Return rows of which a tenth are the canary's, wrong at these rates."""
    arms = np.where(rng.random(count) < 0.1, "canary", "stable").tolist()
    wrong = (rng.random(count) < np.where(np.array(arms) == "canary", canary, stable)).tolist()
    return [
        labelled(1, int(not bad), arm=arm, came_ms=n * APART_MS, at_ms=n)
        for n, (arm, bad) in enumerate(zip(arms, wrong, strict=True))
    ]


def numbers(rng: np.random.Generator, count: int, *, times: float) -> list[LabelledRow]:
    """Return rows of which a tenth are the canary's, whose errors (normal) are ``times`` as large."""
    arms = np.where(rng.random(count) < 0.1, "canary", "stable").tolist()
    errors = rng.normal(0, 5, count) * np.where(np.array(arms) == "canary", times, 1.0)
    truths = rng.normal(100, 20, count)
    return [
        labelled(truth + error, truth, arm=arm, came_ms=n * APART_MS, at_ms=n)
        for n, (arm, truth, error) in enumerate(zip(arms, truths.tolist(), errors.tolist(), strict=True))
    ]


def stopped_after(
    rows: Sequence[LabelledRow], *, tolerance: float = 1.25, alpha: float = 0.05, every: int = 6
) -> float:
    """Return how many labels were weighed when a look, every few minutes, stopped the rollout; infinity for never."""
    found = losses_of(rows)
    for look in range(every, len(found) + 1, every):
        if quality_evidence(found[:look], tolerance=tolerance, alpha=alpha).fails:
            return float(sum(period.canary_count + period.stable_count for period in found[:look]))
    return float("inf")
