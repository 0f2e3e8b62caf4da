"""Counts columns of rows by a baseline's features: what grows into one feature window. Pure.

Inputs are found by the column or tensor that a feature is taken of; what was predicted by the feature's name, because
the output that a training table calls ``label`` is the first one of an answer, whatever the model calls it. Of a
baseline only what counting needs is kept: 1,000 features take 2 MB, where the document read whole takes 30. Not here:
versions without a baseline (``sampled.py``), joining rows (``joined.py``).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from registry.baselines import INPUT, PREDICTION, Baseline, Feature, FeatureCounts, Kind, NumberCounts
from registry.columns import Measure, numbers, word
from registry.counting import NumberCounter, WordCounter
from serving.exchange import Array
from serving.telemetry.joined import Columns

UNNAMED = "input"
"""What an unnamed tensor is called where it needs a name."""


@dataclass(frozen=True, slots=True, eq=False)
class _Watched:
    """One feature, ready to be counted. ``place`` is its position in the baseline."""

    place: int
    measure: Measure
    channel: int | None
    counter: NumberCounter | WordCounter

    def count(self, array: Array) -> FeatureCounts | None:
        """Return the counts of a column; None where it has no such channel, or several where it should be one."""
        if not array.size:
            return None
        width = 1 if array.ndim < 2 else array.shape[-1]
        if self.channel is not None:
            if array.ndim < 2 or width <= self.channel:
                return None
        elif self.measure is Measure.VALUE and array.size > len(array):
            return None
        if isinstance(self.counter, WordCounter):
            return self.counter.count(tally_of(array if self.channel is None else array[..., self.channel]))
        return self.counter.count(numbers(array, self.measure, self.channel))


class Plan:
    """A baseline made ready for counting. Safe for any thread."""

    def __init__(self, baseline: Baseline) -> None:
        self.names = tuple(feature.name for feature in baseline.features)
        self.of_inputs = tuple(feature.side == INPUT for feature in baseline.features)
        self.inputs: defaultdict[str, list[_Watched]] = defaultdict(list)
        self.answers: defaultdict[str, list[_Watched]] = defaultdict(list)
        self.bytes = 2048
        for place, feature in enumerate(baseline.features):
            counter = WordCounter(feature) if feature.kind is Kind.CATEGORY else NumberCounter(feature)
            watched = _Watched(place, feature.measure, feature.channel, counter)
            if feature.side == INPUT:
                self.inputs[feature.source].append(watched)
            else:
                self.answers[_place_of(feature)].append(watched)
            words = len(feature.categories) + len(feature.others)
            self.bytes += 512 + 8 * len(feature.edges) + 128 * words


class Counted:
    """The counts of one window as they grow."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._counts: list[FeatureCounts | None] = [None] * len(plan.names)
        self.rows = 0

    def add(self, rows: int, inputs: Iterable[Columns], answers: Iterable[Columns]) -> None:
        """Count rows: their inputs, and what was predicted for them."""
        found = [
            (watched.place, counts)
            for features, blocks in ((self._plan.inputs, inputs), (self._plan.answers, answers))
            for columns in blocks
            for name, array in columns.items()
            for watched in _named(features, name)
            if (counts := watched.count(array)) is not None
        ]
        for place, counts in found:  # all or nothing: what cannot be counted raised before
            before = self._counts[place]
            self._counts[place] = counts if before is None else before.plus(counts)
        self.rows += rows

    def counts(self) -> dict[str, FeatureCounts]:
        """Return the counts by feature; one that no request had is left out."""
        each = zip(self._plan.names, self._plan.of_inputs, self._counts, strict=True)
        return {
            name: self._whole(counts) if is_input else counts for name, is_input, counts in each if counts is not None
        }

    def _whole(self, counts: FeatureCounts) -> FeatureCounts:
        """Count rows as missing whose request had no such column, where others had it."""
        without = self.rows - counts.rows
        return counts if without <= 0 else replace(counts, missing=counts.missing + without)

    @property
    def wire_bytes(self) -> int:
        """About how many bytes of JSON it will take."""
        return 256 + sum(_wire_bytes(name, counts) for name, counts in self.counts().items())


def tally_of(array: Array) -> dict[str | None, int]:
    """Return the words of an array, each with how often there is it."""
    values = array.reshape(-1).tolist()
    tally: dict[str | None, int] = {}
    if array.dtype.kind == "O" and not _WORDS.issuperset(map(type, values)):
        values = list(map(word, values))  # 1, 1.0 and True are equal to Python, and lists are nobody's keys
    for value, rows in Counter(values).items():
        said = word(value)
        tally[said] = tally.get(said, 0) + rows
    return tally


_WORDS = {str, type(None)}


def _named(features: Mapping[str, list[_Watched]], name: str) -> list[_Watched]:
    return features.get(name) or (features.get(UNNAMED, []) if not name else [])


def _place_of(feature: Feature) -> str:
    """Return which part of an answer a feature of the prediction is taken of: its name less measure and channel."""
    place = feature.name
    if feature.measure is not Measure.VALUE:
        place = place.removesuffix(f".{feature.measure.value}")
    if feature.channel is not None:
        place = place.removesuffix(f"[{feature.channel}]")
    return place or PREDICTION


def _wire_bytes(name: str, counts: FeatureCounts) -> int:
    if isinstance(counts, NumberCounts):
        return len(name) + 96 + 24 * len(counts.cells)
    return len(name) + 96 + 8 * len(counts.categories)
