"""What nodes saw of a version's rows: features counted beside its baseline, and predictions that labels may join.

Windows of one baseline are added up in any order. A version without a baseline is watched too: its nodes send what a
provisional one can be made of (``Sample``). Values only. Not here: baselines (``baselines.py``), how a canary did
(``windows.py``).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from registry.baselines import MOST_FEATURES, FeatureCounts, counts_from_json
from registry.columns import LARGEST_WHOLE, WORD_LETTERS, Measure
from registry.records import Digest, ModelName, VersionNumber, parse_digest, parse_model_name, parse_version
from registry.windows import count_from

MOST_SAMPLED = 2000
"""Values of one feature in one window of a version that has no baseline; with many features fewer."""
MOST_WORDS = 1000
MOST_ROW_VALUES = 64
"""Numbers that one predicted row may have and be kept for labels: the probabilities of so many classes."""
MOST_ANSWERED = 1000
"""Rows of one request that may be kept for labels."""
REQUEST_ID = re.compile(r"[\x21-\x7e]{1,128}")
ANSWERING = frozenset({"stable", "canary", "rule", "alias", "pinned", "fallback"})
_HALF = re.compile("[\ud800-\udfff]")
_LARGEST = 2**53
Scalar = str | int | float | bool | None
PredictedRow = Scalar | tuple[float, ...]
"""One row's prediction: a value, or the probabilities of its classes."""


@dataclass(frozen=True, slots=True)
class Sample:
    """Values of one feature of a version that has no baseline yet.

    Attributes:
        side: ``input`` or ``output``; ``source``, ``measure`` and ``channel`` as in ``baselines.Feature``.
        rows: Rows, those without a value too; ``missing``: those.
        values: Numbers that stand for all (a KLL sketch's), finite and ascending; ``weights``: for how many rows each.
        smallest: Of all finite numbers, and ``largest``; both 0 where there was none.
        words: Words with how often; ``more``: rows with words beyond ``MOST_WORDS`` different ones.
    """

    side: str
    source: str
    measure: Measure
    channel: int | None
    rows: int
    missing: int
    values: tuple[float, ...] = ()
    weights: tuple[int, ...] = ()
    smallest: float = 0.0
    largest: float = 0.0
    words: Mapping[str, int] = field(default_factory=dict)
    more: int = 0

    def to_json(self) -> dict[str, Any]:
        """Return the wire form, JSON-ready."""
        return {
            "side": self.side,
            "source": self.source,
            "measure": self.measure.value,
            "channel": self.channel,
            "rows": self.rows,
            "missing": self.missing,
            "values": list(self.values),
            "weights": list(self.weights),
            "smallest": self.smallest,
            "largest": self.largest,
            "words": dict(self.words),
            "more": self.more,
        }

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Sample:
        """Read the wire form; raise KeyError, TypeError, ValueError or AttributeError where it is damaged."""
        sample = cls(
            str(raw["side"]),
            str(raw["source"]),
            Measure(raw["measure"]),
            None if raw["channel"] is None else count_from(raw["channel"]),
            count_from(raw["rows"]),
            count_from(raw["missing"]),
            tuple(_finite(value) for value in raw["values"]),
            tuple(count_from(weight) for weight in raw["weights"]),
            _finite(raw["smallest"]),
            _finite(raw["largest"]),
            {str(word): count_from(count) for word, count in raw["words"].items()},
            count_from(raw["more"]),
        )
        said = sum(sample.weights) + sum(sample.words.values()) + sample.more
        if len(sample.values) != len(sample.weights) or said + sample.missing > sample.rows:
            raise ValueError("each value stands for some of the rows")
        if len(sample.values) > MOST_SAMPLED or len(sample.words) > MOST_WORDS:
            raise ValueError("too many values")
        if any(len(word) > WORD_LETTERS for word in sample.words):
            raise ValueError("a word is too long")
        return sample


@dataclass(frozen=True, slots=True)
class FeatureWindow:
    """What one node saw of one version's rows from ``start_ms`` on (wall clock).

    Attributes:
        baseline: Whose features ``counts`` are of; None where the version had none, and ``samples`` are there instead.
        rows: Rows that were asked about.
        counts: By the feature's name; a feature that no request had is left out.
        samples: By the feature's name.
    """

    model: ModelName
    version: VersionNumber
    start_ms: int
    rows: int
    baseline: Digest | None = None
    counts: Mapping[str, FeatureCounts] = field(default_factory=dict)
    samples: Mapping[str, Sample] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return the wire form, JSON-ready."""
        return {
            "model": self.model,
            "version": self.version,
            "start_ms": self.start_ms,
            "rows": self.rows,
            "baseline": self.baseline,
            "counts": {name: counts.to_json() for name, counts in self.counts.items()},
            "samples": {name: sample.to_json() for name, sample in self.samples.items()},
        }

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> FeatureWindow:
        """Read the wire form; raise KeyError, TypeError, ValueError, AttributeError or HeadgateError where it is
        damaged."""
        if len(raw["counts"]) + len(raw["samples"]) > MOST_FEATURES:
            raise ValueError("too many features")
        return cls(
            parse_model_name(raw["model"]),
            parse_version(raw["version"]),
            count_from(raw["start_ms"]),
            count_from(raw["rows"]),
            None if raw["baseline"] is None else parse_digest(raw["baseline"]),
            {str(name): counts_from_json(counts) for name, counts in raw["counts"].items()},
            {str(name): Sample.from_json(sample) for name, sample in raw["samples"].items()},
        )


@dataclass(frozen=True, slots=True)
class Answered:
    """One answered request, kept so that labels can join it: what was predicted for each of its rows.

    ``revision`` is the plan's that chose the arm; ``at_ms`` is wall clock.
    """

    model: ModelName
    version: VersionNumber
    arm: str
    revision: int
    request_id: str
    at_ms: int
    rows: tuple[PredictedRow, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the wire form, JSON-ready."""
        return {
            "model": self.model,
            "version": self.version,
            "arm": self.arm,
            "revision": self.revision,
            "request_id": self.request_id,
            "at_ms": self.at_ms,
            "rows": [list(row) if isinstance(row, tuple) else row for row in self.rows],
        }

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Answered:
        """Read the wire form; raise KeyError, TypeError, ValueError or HeadgateError where it is damaged."""
        answered = cls(
            parse_model_name(raw["model"]),
            parse_version(raw["version"]),
            str(raw["arm"]),
            count_from(raw["revision"]),
            str(raw["request_id"]),
            count_from(raw["at_ms"]),
            tuple(_row(row) for row in raw["rows"]),
        )
        if answered.arm not in ANSWERING or not REQUEST_ID.fullmatch(answered.request_id):
            raise ValueError("no arm, or no request has this name")
        if max(answered.revision, answered.at_ms) > _LARGEST or not 0 < len(answered.rows) <= MOST_ANSWERED:
            raise ValueError("a number is out of range")
        return answered


def _row(raw: object) -> PredictedRow:
    if isinstance(raw, list):
        if not 0 < len(raw) <= MOST_ROW_VALUES:
            raise ValueError("a row has too many numbers")
        return tuple(_finite(value) for value in raw)
    if isinstance(raw, str) and (len(raw) > WORD_LETTERS or not is_text(raw)):
        raise ValueError("a word is too long, or none")
    if isinstance(raw, int) and not -LARGEST_WHOLE <= raw < LARGEST_WHOLE:
        raise ValueError("a number is out of range")
    if raw is None or isinstance(raw, (str, bool, int)):
        return raw
    return _finite(raw)


def _finite(raw: object) -> float:
    if isinstance(raw, bool) or not isinstance(raw, (int, float)):
        raise ValueError("a number must be finite")
    try:
        number = float(raw)
    except OverflowError as error:  # JSON's whole numbers have no end
        raise ValueError("a number must be finite") from error
    if not math.isfinite(number):
        raise ValueError("a number must be finite")
    return number


def is_text(said: str) -> bool:
    """Tell whether a text can be written down: half a pair of surrogates, which JSON may escape, cannot."""
    return said.isascii() or not _HALF.search(said)
