"""Baselines to count by, and finished requests to count: what tests of monitoring on nodes draw situations with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import orjson

from registry.baselines import INPUT, OUTPUT, PREDICTION, Baseline, Feature, Kind, Origin
from registry.columns import Measure, feature_name
from registry.observed import FeatureWindow
from registry.records import Digest
from registry.snapshots import ServableVersion
from serving.exchange import Array, ArrayOutput, Input, Output, Table
from serving.telemetry.counted import Plan
from serving.telemetry.finished import Finished
from tests.support.serving_fakes import digest_of, servable

BASELINE = digest_of("a baseline")


def number(
    source: str,
    *edges: float,
    side: str = INPUT,
    measure: Measure = Measure.VALUE,
    channel: int | None = None,
    name: str | None = None,
) -> Feature:
    """Return a feature of numbers."""
    called = name if name is not None else feature_name(source or "input", measure, channel)
    return Feature(called, side, source, measure, Kind.NUMBER, channel, edges)


def prediction(*edges: float, name: str = PREDICTION, channel: int | None = None) -> Feature:
    """Return the prediction as a feature of numbers."""
    return number("", *edges, side=OUTPUT, channel=channel, name=name)


def category(source: str, *words: str, side: str = INPUT, name: str | None = None) -> Feature:
    """Return a feature of words."""
    return Feature(name or source, side, source, Measure.VALUE, Kind.CATEGORY, categories=words)


def baseline(*features: Feature) -> Baseline:
    """Return a baseline of features that had no rows."""
    return Baseline(Origin.GIVEN, 0, features, tuple(feature.empty() for feature in features))


class Shelf:
    """Baselines by digest: what is not on it yet is not here yet."""

    def __init__(self, *features: Feature) -> None:
        self.plans: dict[Digest, Plan] = {BASELINE: Plan(baseline(*features))} if features else {}
        self.asked: list[Digest] = []

    def get(self, digest: Digest) -> Plan | None:
        """Return one."""
        self.asked.append(digest)
        return self.plans.get(digest)


def known(baseline: Digest | None = BASELINE) -> ServableVersion:
    """Return a version with a baseline, or without."""
    return replace(servable("1"), baseline=baseline)


def finished(data: Input, answer: Output | Array, rows: int = 1, **more: Any) -> Finished:
    """Return a success of version 1 of ``m``."""
    output = ArrayOutput(answer) if isinstance(answer, np.ndarray) else answer
    given = {"model": "m", "version": "1", "arm": "stable", "rows": rows, "size": 100, "request_id": "r"}
    return Finished(**{**given, "inputs": data, "output": output, **more})


def row(columns: Mapping[str, float], answer: float = 0.0, **more: Any) -> Finished:
    """Return a success of one row of numbers, as the JSON of most callers is read."""
    block = np.array([list(columns.values())]).T
    return finished(
        Table(NAMES.setdefault(tuple(columns), tuple(columns)), tuple(block), True, block), np.array([answer]), **more
    )


NAMES: dict[tuple[str, ...], tuple[str, ...]] = {}
"""Names as protocols have them: one tuple for all requests of a version."""


def travelled(windows: Sequence[FeatureWindow]) -> tuple[FeatureWindow, ...]:
    """Return windows as the registry reads them."""
    return tuple(FeatureWindow.from_json(orjson.loads(orjson.dumps(window.to_json()))) for window in windows)
