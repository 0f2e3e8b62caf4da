"""What tests of live rows begin with: a baseline of two columns, windows of rows as nodes count them, and samples."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from registry.baselines import INPUT, OUTPUT, Baseline, Feature, FeatureCounts, Kind, Origin
from registry.columns import Measure, Numbers
from registry.counting import count_numbers, count_words
from registry.monitoring.grids import Watched, category_feature, numeric_feature
from registry.observed import FeatureWindow, Sample
from registry.records import Digest, ModelName
from tests.support.ledgers import CHURN, number

DAY_MS = 24 * 3_600_000
NOW = 10 * DAY_MS
WORDS = ("basic", "pro", "free")


def normal(rows: int, seed: int = 0, shift: float = 0.0) -> Numbers:
    """Return so many numbers around ``shift``."""
    return np.random.default_rng(seed).normal(shift, 1.0, rows)


def words(rows: int, seed: int = 0) -> list[str | None]:
    """Return so many words, half of them the first."""
    return [str(one) for one in np.random.default_rng(seed).choice(WORDS, rows, p=(0.5, 0.3, 0.2))]


def features(rows: int = 5_000, more: int = 0) -> tuple[Feature, ...]:
    """Return ``age``, ``plan`` and the prediction, and ``more`` columns of numbers."""
    values = normal(rows, 1)
    numeric = [
        Watched("age", INPUT, "age", Measure.VALUE),
        *(Watched(f"x{n}", INPUT, f"x{n}", Measure.VALUE) for n in range(more)),
        Watched("prediction", OUTPUT, "", Measure.VALUE),
    ]
    made = [numeric_feature(one, values, np.ones(rows), values.min(), values.max()) for one in numeric]
    plan = category_feature(Watched("plan", INPUT, "plan", Measure.VALUE), {"basic": 2500, "pro": 1500, "free": 1000})
    return (made[0], plan, *made[1:])


FEATURES = features()


def counted(watched: Sequence[Feature], rows: int, seed: int = 0, *, shift: float = 0.0) -> dict[str, FeatureCounts]:
    """Count so many rows as a node does; ``age`` is shifted, everything else is not."""
    return {
        one.name: count_words(one, words(rows, seed))
        if one.kind is Kind.CATEGORY
        else count_numbers(one, normal(rows, seed + 1, shift if one.name == "age" else 0.0))
        for one in watched
    }


def baseline(rows: int = 5_000, watched: Sequence[Feature] = FEATURES, origin: Origin = Origin.GIVEN) -> Baseline:
    """Return a baseline of so many rows."""
    counts = counted(watched, rows)
    return Baseline(origin, rows, tuple(watched), tuple(counts[one.name] for one in watched))


def window(
    digest: Digest | None,
    rows: int,
    seed: int = 0,
    *,
    shift: float = 0.0,
    version: int = 1,
    start_ms: int = NOW,
    model: ModelName = CHURN,
) -> FeatureWindow:
    """Return what a node counted of so many rows by the baseline with this digest; samples where there is none."""
    if digest is None:
        return FeatureWindow(model, number(version), start_ms, rows, None, {}, samples(rows, seed, shift=shift))
    counts = counted(FEATURES, rows, seed, shift=shift)
    return FeatureWindow(model, number(version), start_ms, rows, digest, counts)


def sample(values: Numbers, source: str = "age", measure: Measure = Measure.VALUE, missing: int = 0) -> Sample:
    """Return a sample of numbers that has them all."""
    ordered = np.sort(values)
    ends = (float(ordered[0]), float(ordered[-1])) if len(ordered) else (0.0, 0.0)
    return Sample(
        INPUT,
        source,
        measure,
        None,
        len(values) + missing,
        missing,
        tuple(ordered.tolist()),
        (1,) * len(values),
        *ends,
    )


def word_sample(said: Sequence[str | None], source: str = "plan") -> Sample:
    """Return a sample of words that has them all."""
    there = [one for one in said if one is not None]
    tally = {one: there.count(one) for one in sorted(set(there))}
    return Sample(INPUT, source, Measure.VALUE, None, len(said), len(said) - len(there), words=tally)


def samples(rows: int, seed: int = 0, *, shift: float = 0.0) -> dict[str, Sample]:
    """Return what a node keeps of so many rows while there is no baseline."""
    return {
        "age": sample(normal(rows, seed + 1, shift)),
        "plan": word_sample(words(rows, seed)),
        "prediction": sample(normal(rows, seed + 1), ""),
    }
