"""A baseline made of a table, in two readings: the first finds the cells, the second counts the rows into them.

So the counts are exact, however the cells were found, and memory does not grow with the table. Pure but for the table,
which somebody else reads (``Rows``). Not here: which columns are taken (``wanted.py``), and where the table comes from.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Protocol

import numpy as np

from registry.baselines import (
    MOST_FEATURES,
    OUTPUT,
    Baseline,
    CategoryCounts,
    Feature,
    FeatureCounts,
    Kind,
    NumberCounts,
    Origin,
)
from registry.columns import Measure, Numbers, word
from registry.counting import NumberCounter, WordCounter
from registry.errors import InvalidRequest
from registry.monitoring.gathering import Tally, Values, tally
from registry.monitoring.grids import Watched, category_feature, is_text
from registry.monitoring.wanted import Part, Wanted

MOST_KEPT = 1 << 22
"""Numbers that are kept as they are, of all features together; with more, a feature gets a sketch."""
MOST_KEPT_EACH = 1 << 18
MOST_OUTPUTS = 200

Texts = Sequence[str | None]


class Held(StrEnum):
    """What a column of a table turned out to hold."""

    NUMBER = "number"
    WORD = "word"
    LENGTH = "length"


class Batch(Protocol):
    """Some rows of a table."""

    @property
    def rows(self) -> int:
        """How many."""
        ...

    def numbers(self, column: int) -> Numbers:
        """Return a column's numbers, or the lengths of what it holds; NaN where there is none."""
        ...

    def texts(self, column: int) -> Texts:
        """Return a column's words as they are; None where there is none."""
        ...


class Rows(Protocol):
    """A table that can be read several times."""

    @property
    def columns_at_once(self) -> int:
        """How many columns are read together, at most; more are read in turns."""
        ...

    def held(self, part: Part) -> Held:
        """Tell what a part's columns hold; raise InvalidRequest ``invalid_input`` where they do not fit its family."""
        ...

    def batches(self, columns: Iterable[int]) -> Iterable[Batch]:
        """Read these columns of all rows; raise InvalidRequest where the table is damaged."""
        ...


@dataclass(frozen=True, slots=True)
class _Numbers:
    """A feature of numbers in the making."""

    watched: Watched
    columns: tuple[int, ...]
    narrow: bool
    values: Values

    def see(self, batch: Batch) -> None:
        self.values.see(self._take(batch))

    def feature(self) -> Feature:
        return self.values.feature(self.watched)

    def counter(self, feature: Feature) -> _Counting:
        return _CountingNumbers(feature, self._take)

    def _take(self, batch: Batch) -> Numbers:
        if len(self.columns) == 1:
            taken = batch.numbers(self.columns[0])
        else:
            matrix = np.column_stack([batch.numbers(column) for column in self.columns])
            taken = matrix.mean(axis=1) if self.watched.measure is Measure.MEAN else matrix.std(axis=1)
        if not self.narrow:
            return taken
        with np.errstate(over="ignore"):
            return taken.astype(np.float32).astype(np.float64)


@dataclass(frozen=True, slots=True)
class _Words:
    """A feature of words in the making, or of their lengths, should they turn out to be text."""

    part: Part
    channel: int | None
    tally: Tally
    lengths: Values

    @property
    def columns(self) -> tuple[int, ...]:
        return self.part.columns

    def see(self, batch: Batch) -> None:
        texts = batch.texts(self.part.columns[0])
        self.tally.see(_worded(tally(texts)))
        self.lengths.see(_lengths(texts))

    def feature(self) -> Feature:
        if is_text(self.tally.words, self.tally.more):
            return self.lengths.feature(self.part.as_watched(Measure.LENGTH))
        return category_feature(self.part.as_watched(Measure.VALUE, self.channel), self.tally.words, self.tally.more)

    def counter(self, feature: Feature) -> _Counting:
        column = self.part.columns[0]
        if feature.kind is Kind.NUMBER:
            return _CountingNumbers(feature, lambda batch: _lengths(batch.texts(column)))
        return _CountingWords(feature, column)


class _Counting(Protocol):
    counts: FeatureCounts

    def see(self, batch: Batch) -> None: ...


class _CountingNumbers:
    def __init__(self, feature: Feature, take: _Take) -> None:
        self._counter = NumberCounter(feature)
        self._take = take
        self.counts: FeatureCounts = feature.empty()

    def see(self, batch: Batch) -> None:
        self.counts = self.counts.plus(self._counter.count(self._take(batch)))


class _CountingWords:
    def __init__(self, feature: Feature, column: int) -> None:
        self._counter = WordCounter(feature)
        self._column = column
        self.counts: FeatureCounts = feature.empty()

    def see(self, batch: Batch) -> None:
        counted: Counter[str | None] = Counter()
        for text, rows in Counter(batch.texts(self._column)).items():
            counted[word(text)] += rows
        self.counts = self.counts.plus(self._counter.count(counted))


class _Take(Protocol):
    def __call__(self, batch: Batch, /) -> Numbers: ...


def make(table: Rows, wanted: Wanted, origin: Origin) -> Baseline:
    """Return the baseline of a table.

    Raises InvalidRequest ``invalid_input`` where the table has no rows or a column does not fit, and whatever reading
    it raises.
    """
    made: list[tuple[Feature, FeatureCounts]] = []
    rows = 0
    for group in _groups(_begin(table, wanted), table.columns_at_once):
        rows, features = _make_group(table, group)
        made += features
    made = _told_apart(made)
    return Baseline(origin, rows, tuple(feature for feature, _ in made), tuple(counts for _, counts in made))


def _told_apart(made: Sequence[tuple[Feature, FeatureCounts]]) -> list[tuple[Feature, FeatureCounts]]:
    """Return features of different names: beside a column ``a.length`` the length of the text ``a`` is not watched."""
    ranked = sorted(made, key=lambda one: one[0].measure is not Measure.VALUE or one[0].channel is not None)
    chosen = {feature.name: feature for feature, _ in reversed(ranked)}
    return [(feature, counts) for feature, counts in made if chosen[feature.name] is feature]


def _make_group(table: Rows, making: Sequence[_Numbers | _Words]) -> tuple[int, list[tuple[Feature, FeatureCounts]]]:
    columns = sorted({at for one in making for at in one.columns})
    rows = 0
    for batch in table.batches(columns):
        rows += batch.rows
        for one in making:
            one.see(batch)
    if not rows:
        raise InvalidRequest("invalid_input", "the table has no rows", {"reason": "no_rows"})
    features = [one.feature() for one in making]
    counting = [one.counter(feature) for one, feature in zip(making, features, strict=True)]
    for batch in table.batches(columns):
        for each in counting:
            each.see(batch)
    return rows, [_ranked(feature, each.counts) for feature, each in zip(features, counting, strict=True)]


def _groups(making: Sequence[_Making], columns: int) -> Iterator[list[_Numbers | _Words]]:
    """Yield features that are made in one go; those of later groups do not exist yet, and take no memory."""
    most = min(MOST_KEPT_EACH, MOST_KEPT // max(1, min(len(making), columns)))
    for start in range(0, len(making), columns):
        yield [begin(most) for begin in making[start : start + columns]]


def _begin(table: Rows, wanted: Wanted) -> list[_Making]:
    outputs = _makings(table, [part for part in wanted.parts if part.side == OUTPUT])[:MOST_OUTPUTS]
    inputs = _makings(table, [part for part in wanted.parts if part.side != OUTPUT])
    return [*inputs[: MOST_FEATURES - len(outputs)], *outputs]


class _Making(Protocol):
    def __call__(self, most: int, /) -> _Numbers | _Words: ...


def _makings(table: Rows, parts: Iterable[Part]) -> list[_Making]:
    made: list[_Making] = []
    for part in parts:
        held = table.held(part)
        if held is Held.NUMBER:
            for watched, columns in part.watched():
                made.append(_numbers_of(watched, columns, narrow=part.narrow))
        elif held is Held.LENGTH:
            made.append(_numbers_of(part.as_watched(Measure.LENGTH), part.columns[:1], narrow=False))
        elif len(part.columns) == 1:  # of a matrix of words nothing is watched
            made.append(_words_of(part))
    return made


def _numbers_of(watched: Watched, columns: tuple[int, ...], *, narrow: bool) -> _Making:
    return lambda most: _Numbers(watched, columns, narrow, Values(most))


def _words_of(part: Part) -> _Making:
    return lambda most: _Words(part, 0 if part.matrix else None, Tally(), Values(most))


def _worded(texts: Mapping[str, int]) -> Counter[str]:
    """Return texts as the words that they are counted as."""
    counted: Counter[str] = Counter()
    for text, rows in texts.items():
        said = word(text)
        if said is not None:
            counted[said] += rows
    return counted


def _lengths(texts: Texts) -> Numbers:
    return np.array([np.nan if text is None else len(text) for text in texts], np.float64)


def _ranked(feature: Feature, counts: FeatureCounts) -> tuple[Feature, FeatureCounts]:
    """Put the categories in the order of their exact counts, which the first reading may only have guessed."""
    if isinstance(counts, NumberCounts) or not len(counts.categories):
        return feature, counts
    order = np.argsort(-counts.categories, kind="stable")
    if np.array_equal(order, np.arange(len(order))):
        return feature, counts
    names = tuple(feature.categories[at] for at in order.tolist())
    ranked = CategoryCounts(counts.categories[order], counts.others, counts.new, counts.missing)
    return replace(feature, categories=names), ranked
