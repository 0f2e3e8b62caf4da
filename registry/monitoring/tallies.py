"""What is kept of an open window: what nodes counted of a version's rows, added up. Pure.

Counts of one baseline are added cell by cell, so any order gives the same. What came from a node is still a stranger's:
counts of another shape than those that are kept, more features than there may be, and numbers that no longer fit are
left out, so that nothing that was taken can make the next addition fail. Not here: reading reports strictly
(``traffic/features.py``), where tallies are kept (``adapters``), and what they mean (``drift.py``).
"""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from registry.baselines import MOST_COUNT, MOST_FEATURES, CategoryCounts, FeatureCounts, NumberCounts
from registry.columns import Measure
from registry.monitoring.samples import merged, of_one_thing, values_each
from registry.observed import FeatureWindow, Sample

_LARGEST = sys.float_info.max


@dataclass(frozen=True, slots=True)
class Tally:
    """Rows, and of each feature by its name the counts; or samples, where the version has no baseline."""

    rows: int = 0
    counts: Mapping[str, FeatureCounts] = field(default_factory=dict)
    samples: Mapping[str, Sample] = field(default_factory=dict)

    def plus(self, window: FeatureWindow) -> Tally:
        """Return this with a node's window added; unchanged where that would be more rows than can be counted."""
        if self.rows + window.rows > MOST_COUNT:
            return self
        counts = dict(self.counts)
        for name, added in window.counts.items():
            _add(counts, name, added)
        samples = dict(self.samples)
        each = values_each(len(samples.keys() | window.samples.keys()))
        for name, sample in window.samples.items():
            kept = samples.get(name)
            if kept is None and len(samples) < MOST_FEATURES:
                samples[name] = sample
            elif kept is not None and of_one_thing(kept, sample) and kept.rows + sample.rows <= MOST_COUNT:
                samples[name] = merged(kept, sample, each)
        return Tally(self.rows + window.rows, counts, samples)

    def to_text(self) -> str:
        """Return it as it is kept: numbers in base64, because decimal ones of a thousand columns take a second."""
        return json.dumps(
            {
                "rows": self.rows,
                "counts": {name: _packed(counts) for name, counts in self.counts.items()},
                "samples": {name: _packed_sample(sample) for name, sample in self.samples.items()},
            },
            separators=(",", ":"),
        )

    @classmethod
    def from_text(cls, text: str) -> Tally:
        """Read what ``to_text`` wrote."""
        raw = json.loads(text)
        return cls(
            raw["rows"],
            {name: _unpacked(counts) for name, counts in raw["counts"].items()},
            {name: _unpacked_sample(sample) for name, sample in raw["samples"].items()},
        )


def _add(counts: dict[str, FeatureCounts], name: str, added: FeatureCounts) -> None:
    kept = counts.get(name)
    if kept is None:
        if len(counts) < MOST_FEATURES:
            counts[name] = added
        return
    try:
        with np.errstate(over="ignore"):
            total = kept.plus(added)
    except ValueError:
        return
    if total.rows > MOST_COUNT:
        return
    if isinstance(total, NumberCounts):
        # Sums of the largest doubles run over; nobody can compare infinities.
        total = replace(total, sums=np.clip(total.sums, -_LARGEST, _LARGEST))
    counts[name] = total


def _packed(counts: FeatureCounts) -> dict[str, Any]:
    said = counts.to_json()
    if isinstance(counts, NumberCounts):
        said |= {"cells": _text(counts.cells, "<i8"), "sums": _text(counts.sums, "<f8")}
    return said


def _unpacked(raw: Mapping[str, Any]) -> FeatureCounts:
    if "cells" in raw:
        numbers = (raw[name] for name in ("missing", "below", "above"))
        return NumberCounts(_array(raw["cells"], "<i8"), _array(raw["sums"], "<f8"), *numbers)
    return CategoryCounts(np.array(raw["categories"], np.int64), raw["others"], raw["new"], raw["missing"])


def _packed_sample(sample: Sample) -> dict[str, Any]:
    values, weights = np.array(sample.values, np.float64), np.array(sample.weights, np.int64)
    return sample.to_json() | {"values": _text(values, "<f8"), "weights": _text(weights, "<i8")}


def _unpacked_sample(raw: Mapping[str, Any]) -> Sample:
    values, weights = _array(raw["values"], "<f8").tolist(), _array(raw["weights"], "<i8").tolist()
    known = {**raw, "values": tuple(values), "weights": tuple(weights), "measure": Measure(raw["measure"])}
    return Sample(**known)


def _text(array: npt.NDArray[Any], dtype: str) -> str:
    return base64.b64encode(np.ascontiguousarray(array, dtype).tobytes()).decode()


def _array(text: str, dtype: str) -> npt.NDArray[Any]:
    # A copy in this machine's order of bytes, which can be written to.
    return np.frombuffer(base64.b64decode(text), dtype).astype(dtype[1:])
