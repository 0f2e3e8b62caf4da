"""What nodes have seen, as counts that add up: how each arm of a plan did, and how a shadow compared.

Counts of one node, or of many, or of one node before and after a restart are merged by adding, in any order. A node
sends them in numbered reports (``reports.py``), so that nothing is counted twice. Values only. Not here: what the
counts mean (``traffic/evidence.py``).

Bins. Times are counted into ``latency_bin``s, eight to a doubling: an edge is 9 % above the one before. Predictions and
differences are counted into ``value_bin``s: numbers by sign, power of two and its sixteenth (3 to 6 % wide), everything
that is no number by its own words. Both are the same for all nodes, models and versions, and for ever, so any two
counts can be compared.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from registry.records import ModelName, VersionNumber

Bins = Mapping[str, int]
SHORTEST_SECONDS = 1e-4
LATENCY_BINS = 168
"""The last bin begins at 192 seconds."""
_PER_DOUBLING = 8
_SIXTEENTHS = 16
_EXPONENTS = 1100
"""More than any double's power of two, so that bins of small numbers come before those of large ones."""
MOST_BINS = 256
OTHER = "other"
"""Where values are counted when a count has ``MOST_BINS`` different ones already."""
MOST_EXAMPLES = 10
MOST_OUTPUTS = 64
"""Outputs of one shadow that are counted one by one; whether an answer differs is counted for all."""
MOST_OUTCOMES = 32
WORD_LETTERS = 64
STABLE = "stable"
CANARY = "canary"
"""The arms of a plan."""
_MOST_NUMBER = 2 * _EXPONENTS * _SIXTEENTHS
_NUMBER_BIN = re.compile(r"n:(0|-?[1-9][0-9]{0,4})")
_NO_NUMBERS = frozenset({"nan", "inf", "-inf", OTHER})


def window_start(at_ms: int, length_ms: int) -> int:
    """Return when the window began that holds a moment: windows begin at whole multiples of their length."""
    return at_ms - at_ms % length_ms


def latency_bin(seconds: float) -> int:
    """Return which bin a time is counted into: 0 for up to ``SHORTEST_SECONDS``."""
    if seconds <= SHORTEST_SECONDS:
        return 0
    return min(LATENCY_BINS - 1, int(_PER_DOUBLING * math.log2(seconds / SHORTEST_SECONDS)) + 1)


def latency_edge(number: int) -> float:
    """Return the seconds above which a time is in bin ``number`` or a later one; 0 for bin 0."""
    return 0.0 if number <= 0 else SHORTEST_SECONDS * float(2 ** ((number - 1) / _PER_DOUBLING))


def value_bins(values: npt.NDArray[Any]) -> dict[str, int]:
    """Count the elements of an array: numbers as ``n:<bin>`` (``value_edge`` gives its edge), integers up to 1,000 and
    everything else as ``c:<words>``, missing ones as ``nan``.

    At most ``MOST_BINS`` different ones; the rest is counted as ``other``.
    """
    flat = values.reshape(-1)
    if flat.dtype.kind in "iu":
        small = np.abs(flat.astype(np.float64)) <= 1000
        counts = _counted(f"c:{value}" for value in flat[small].tolist())
        return merged_bins(counts, _number_bins(flat[~small].astype(np.float64)))
    if flat.dtype.kind == "f":
        return merged_bins({}, _number_bins(flat.astype(np.float64)))
    return merged_bins({}, _counted(_word(value) for value in flat.tolist()))


def bin_number(name: str) -> int | None:
    """Return the number of ``n:<bin>``; None for any other name, and where no double is counted so."""
    found = _NUMBER_BIN.fullmatch(name)
    number = 0 if found is None else int(found[1])
    return None if found is None or abs(number) > _MOST_NUMBER else number


def is_bin(name: str) -> bool:
    """Tell whether ``value_bins`` could have given this name."""
    if name.startswith("c:"):
        return len(name) <= len("c:") + WORD_LETTERS
    return name in _NO_NUMBERS or bin_number(name) is not None


def value_edge(name: str) -> float | None:
    """Return the number nearest to zero that is counted into ``n:<bin>``; None for any other name.

    Beyond the largest double it is that one.
    """
    number = bin_number(name)
    return None if number is None else number_edge(number)


def number_edge(number: int) -> float:
    """Return the same for a bin's number."""
    if number == 0:
        return 0.0
    exponent, part = divmod(abs(number) - 1, _SIXTEENTHS)
    try:
        size = math.ldexp(0.5 + part / (2 * _SIXTEENTHS), exponent - _EXPONENTS)
    except OverflowError:
        size = sys.float_info.max
    return math.copysign(size, number)


def merged_bins(one: Bins, other: Bins) -> dict[str, int]:
    """Return both counts as one, with at most ``MOST_BINS`` names and ``other``."""
    return _merged(one, other, MOST_BINS)


def _merged(one: Bins, other: Bins, most: int) -> dict[str, int]:
    merged = dict(one)
    for name, count in other.items():
        kept = name if name in merged or len(merged) < most else OTHER
        merged[kept] = merged.get(kept, 0) + count
    return merged


def _number_bins(flat: npt.NDArray[np.float64]) -> dict[str, int]:
    if not flat.size:
        return {}
    finite = np.isfinite(flat)
    fraction, exponent = np.frexp(flat[finite])
    number = (exponent.astype(np.int64) + _EXPONENTS) * _SIXTEENTHS + 1
    number += ((np.abs(fraction) - 0.5) * (2 * _SIXTEENTHS)).astype(np.int64)
    number = np.where(fraction == 0, 0, np.copysign(number, fraction).astype(np.int64))
    found, counts = np.unique(number, return_counts=True)
    bins = {f"n:{name}": int(count) for name, count in zip(found.tolist(), counts.tolist(), strict=True)}
    others = {"nan": np.isnan(flat), "inf": np.isposinf(flat), "-inf": np.isneginf(flat)}
    return bins | {name: int(which.sum()) for name, which in others.items() if which.any()}


def _counted(words: Iterable[str]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for word in words:
        counts[word] = counts.get(word, 0) + 1
    return counts


def _word(value: object) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "nan"
    return f"c:{str(value)[:WORD_LETTERS]}"


def count_from(raw: object) -> int:
    """Return a whole number of a JSON document, from 0 on; raise ValueError where it is anything else."""
    if not isinstance(raw, int) or isinstance(raw, bool) or raw < 0:
        raise ValueError("a count is a whole number from 0 on")
    return raw


@dataclass(frozen=True, slots=True)
class ArmCounts:
    """How one version did on one arm of one plan.

    Attributes:
        requests: Answers that it gave or owed: successes, its own errors, and requests that another version had to
            answer because its process died under them. Not callers' faults, not refusals for want of room.
        errors: Those of them that were its own errors (it raised, died, took too long, answered what cannot be sent).
        invalid: Successes whose values are none: NaN or infinite, or not as many rows as were asked about.
        latency: Successes by ``latency_bin``, without a process's first few.
        predictions: Predicted values (of the first output) by ``value_bins``.
    """

    requests: int = 0
    errors: int = 0
    invalid: int = 0
    latency: Mapping[int, int] = field(default_factory=dict)
    predictions: Bins = field(default_factory=dict)

    def plus(self, other: ArmCounts) -> ArmCounts:
        """Return both as one."""
        return ArmCounts(
            self.requests + other.requests,
            self.errors + other.errors,
            self.invalid + other.invalid,
            _added(self.latency, other.latency),
            merged_bins(self.predictions, other.predictions),
        )

    def to_json(self) -> dict[str, Any]:
        """Return the wire form, JSON-ready."""
        return {
            "requests": self.requests,
            "errors": self.errors,
            "invalid": self.invalid,
            "latency": {str(number): count for number, count in self.latency.items()},
            "predictions": dict(self.predictions),
        }

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> ArmCounts:
        """Read the wire form; raise KeyError, TypeError, ValueError or AttributeError where it is damaged."""
        return cls(
            count_from(raw["requests"]),
            count_from(raw["errors"]),
            count_from(raw["invalid"]),
            _latency_from(raw["latency"]),
            _bins_from(raw["predictions"]),
        )


@dataclass(frozen=True, slots=True)
class Difference:
    """How one output of a shadow differed from the primary's.

    Attributes:
        compared: Values that were compared.
        differed: Those that were not equal (numbers: by more than one in a million).
        absolute: |shadow - primary| of numbers, by ``value_bins``.
        relative: The same divided by |primary|, where that is not 0.
        pairs: ``[primary, shadow]`` as words, with how often: agreement by class, for what is no real number.
    """

    compared: int = 0
    differed: int = 0
    absolute: Bins = field(default_factory=dict)
    relative: Bins = field(default_factory=dict)
    pairs: Mapping[tuple[str, str], int] = field(default_factory=dict)

    def plus(self, other: Difference) -> Difference:
        """Return both as one."""
        pairs = dict(self.pairs)
        for pair, count in other.pairs.items():
            kept = pair if pair in pairs or len(pairs) < MOST_BINS else (OTHER, OTHER)
            pairs[kept] = pairs.get(kept, 0) + count
        return Difference(
            self.compared + other.compared,
            self.differed + other.differed,
            merged_bins(self.absolute, other.absolute),
            merged_bins(self.relative, other.relative),
            pairs,
        )

    def to_json(self) -> dict[str, Any]:
        """Return the wire form, JSON-ready."""
        return {
            "compared": self.compared,
            "differed": self.differed,
            "absolute": dict(self.absolute),
            "relative": dict(self.relative),
            "pairs": [[*pair, count] for pair, count in self.pairs.items()],
        }

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Difference:
        """Read the wire form; raise KeyError, TypeError, ValueError or AttributeError where it is damaged."""
        return cls(
            count_from(raw["compared"]),
            count_from(raw["differed"]),
            _bins_from(raw["absolute"]),
            _bins_from(raw["relative"]),
            _pairs_from(raw["pairs"]),
        )


@dataclass(frozen=True, slots=True)
class ShadowCounts:
    """How a shadow did beside whoever answered.

    Attributes:
        outcomes: How many copies were ``compared``, ``incomparable``, ``error``, ``timeout``, ``not_loaded`` or
            ``dropped``.
        requests: Answers of the primary that the shadow answered too, or failed to.
        differing: Of the compared ones, how many had any difference.
        primary: Times of the primary on those, by ``latency_bin``; ``shadow``: the shadow's own.
        outputs: Output name (``""`` where it has none) to how it differed.
        examples: Up to ``MOST_EXAMPLES`` that differ, as JSON objects; empty unless inputs may be stored.
    """

    outcomes: Mapping[str, int] = field(default_factory=dict)
    requests: int = 0
    differing: int = 0
    primary: Mapping[int, int] = field(default_factory=dict)
    shadow: Mapping[int, int] = field(default_factory=dict)
    outputs: Mapping[str, Difference] = field(default_factory=dict)
    examples: tuple[Mapping[str, Any], ...] = ()

    def plus(self, other: ShadowCounts) -> ShadowCounts:
        """Return both as one, with at most ``MOST_OUTPUTS`` outputs."""
        outputs = dict(self.outputs)
        for name, difference in other.outputs.items():
            if name in outputs:
                outputs[name] = outputs[name].plus(difference)
            elif len(outputs) < MOST_OUTPUTS:
                outputs[name] = difference
        return ShadowCounts(
            _merged(self.outcomes, other.outcomes, MOST_OUTCOMES),
            self.requests + other.requests,
            self.differing + other.differing,
            _added(self.primary, other.primary),
            _added(self.shadow, other.shadow),
            outputs,
            (*self.examples, *other.examples)[-MOST_EXAMPLES:],
        )

    def to_json(self) -> dict[str, Any]:
        """Return the wire form, JSON-ready."""
        return {
            "outcomes": dict(self.outcomes),
            "requests": self.requests,
            "differing": self.differing,
            "primary": {str(number): count for number, count in self.primary.items()},
            "shadow": {str(number): count for number, count in self.shadow.items()},
            "outputs": {name: difference.to_json() for name, difference in self.outputs.items()},
            "examples": [dict(example) for example in self.examples],
        }

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> ShadowCounts:
        """Read the wire form; raise KeyError, TypeError, ValueError or AttributeError where it is damaged."""
        return cls(
            {str(name): count_from(count) for name, count in raw["outcomes"].items()},
            count_from(raw["requests"]),
            count_from(raw["differing"]),
            _latency_from(raw["primary"]),
            _latency_from(raw["shadow"]),
            {str(name): Difference.from_json(one) for name, one in raw["outputs"].items()},
            tuple(dict(example) for example in raw["examples"][:MOST_EXAMPLES]),
        )


@dataclass(frozen=True, slots=True)
class ArmWindow:
    """Counts of one arm (``stable`` or ``canary``) of one revision of a plan, from ``start_ms`` on (wall clock)."""

    model: ModelName
    revision: int
    arm: str
    version: VersionNumber
    start_ms: int
    counts: ArmCounts


@dataclass(frozen=True, slots=True)
class ShadowWindow:
    """Counts of one shadow under one revision of a plan, from ``start_ms`` on (wall clock)."""

    model: ModelName
    revision: int
    version: VersionNumber
    start_ms: int
    counts: ShadowCounts


def _added(one: Mapping[Any, int], other: Mapping[Any, int]) -> dict[Any, int]:
    added = dict(one)
    for key, count in other.items():
        added[key] = added.get(key, 0) + count
    return added


def _latency_from(raw: Mapping[str, Any]) -> dict[int, int]:
    counts = {int(number): count_from(count) for number, count in raw.items()}
    if len(counts) != len(raw) or any(not 0 <= number < LATENCY_BINS for number in counts):
        raise ValueError("there is no such bin")
    return counts


def _bins_from(raw: Mapping[str, Any]) -> dict[str, int]:
    """Read counts as they are kept; ``is_bin`` tells what a report may name."""
    if len(raw) > MOST_BINS + 1:
        raise ValueError("too many bins")
    return {str(name): count_from(count) for name, count in raw.items()}


def _pairs_from(raw: list[Any]) -> dict[tuple[str, str], int]:
    if len(raw) > MOST_BINS + 1:
        raise ValueError("too many pairs")
    pairs = {(str(one), str(other)): count_from(count) for one, other, count in raw}
    if len(pairs) != len(raw):
        raise ValueError("a pair is there twice")
    return pairs
