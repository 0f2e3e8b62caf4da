"""Samples the rows of a version that has no baseline yet: what a provisional one can be made of. Pure.

Of numbers a KLL sketch is kept, which says any quantile of any number of rows within a known error; of words how often
each was there. Wide models get smaller sketches, so that a window stays a few megabytes. Source: Karnin, Lang, Liberty:
"Optimal Quantile Approximation in Streams" (2016), as in Apache DataSketches. Not here: versions that have a baseline
(``counted.py``).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import orjson

from registry.baselines import INPUT, OUTPUT, name_apart
from registry.columns import (
    MOST_COLUMNS,
    Measure,
    Numbers,
    channels_of,
    feature_name,
    is_long,
    is_wordy,
    numbers,
)
from registry.observed import MOST_WORDS, Sample, is_text
from serving.exchange import Array
from serving.telemetry.counted import UNNAMED, tally_of
from serving.telemetry.joined import Columns

MOST_OUTPUTS = 200
"""Features of the prediction that are sampled, and ``MOST_COLUMNS`` of the input."""
FINEST, COARSEST = 400, 32
"""Sizes of a sketch: its error in rank is 0.7 % and 8 %, and it keeps at most 1,200 values and 170."""
MOST_VALUES = 16_000
"""Values, about, that the sketches of all features keep together, where they are not the coarsest already."""
ALL_WORDS, FEWEST_WORDS = 30_000, 50
"""Words of all features together, where each may keep more than the fewest."""
NAME_LETTERS = 256
"""A feature with a longer name is not watched: callers may send any names where no signature says them."""


class Sampled:
    """The samples of one window as they grow."""

    def __init__(self) -> None:
        self._features: dict[str, _Sampled] = {}
        self._outputs = 0
        self.rows = 0

    def add(self, rows: int, inputs: Iterable[Columns], answers: Iterable[Columns]) -> None:
        """Sample rows: their inputs, and what was predicted for them."""
        found = [(INPUT, *each) for columns in inputs for each in _parts(columns)]
        found += [(OUTPUT, *each) for columns in answers for each in _parts(columns)]
        # A column's own values before what is measured of another: the column `a.length` before the length of `a`.
        found.sort(key=lambda one: one[2] is not Measure.VALUE or one[3] is not None)
        size = max(COARSEST, min(FINEST, MOST_VALUES // max(1, 3 * len(found))))
        most_words = max(FEWEST_WORDS, min(MOST_WORDS, ALL_WORDS // max(1, len(found))))
        taken: list[tuple[_Sampled, Numbers | dict[str | None, int]]] = []
        for side, source, measure, channel, array in found:
            name = name_apart(side, feature_name(source or UNNAMED, measure, channel))
            one = self._features.get(name)
            if one is None:
                if len(name) > NAME_LETTERS or not is_text(name) or not self._has_room(side):
                    continue
                self._outputs += side == OUTPUT
                one = self._features[name] = _Sampled(side, source, measure, channel, size, most_words)
            elif (one.side, one.source, one.measure, one.channel) != (side, source, measure, channel):
                continue  # of another column, by the same name
            if measure is Measure.VALUE and is_wordy(array):
                taken.append((one, tally_of(array if channel is None else array[:, channel])))
            else:
                taken.append((one, numbers(array, measure, channel)))
        for one, values in taken:  # all or nothing: what cannot be sampled raised before
            if isinstance(values, dict):
                one.add_words(values)
            else:
                one.add_numbers(values)
        self.rows += rows

    def samples(self) -> dict[str, Sample]:
        """Return the samples by feature."""
        return {name: one.sample() for name, one in self._features.items()}

    @property
    def wire_bytes(self) -> int:
        """About how many bytes of JSON it will take."""
        return 256 + sum(len(name) + one.wire_bytes for name, one in self._features.items())

    def _has_room(self, side: str) -> bool:
        return self._outputs < MOST_OUTPUTS if side == OUTPUT else len(self._features) - self._outputs < MOST_COLUMNS


@dataclass(slots=True)
class _Sampled:
    """One feature."""

    side: str
    source: str
    measure: Measure
    channel: int | None
    size: int
    most_words: int
    rows: int = 0
    missing: int = 0
    smallest: float = math.inf
    largest: float = -math.inf
    words: dict[str, int] = field(default_factory=dict)
    more: int = 0
    _sketch: Any = None

    def add_numbers(self, values: Numbers) -> None:
        """Take numbers; NaN is a missing one, and what is infinite stands for nothing."""
        finite = values[np.isfinite(values)]
        self.rows += len(values)
        self.missing += int(np.isnan(values).sum()) if len(finite) < len(values) else 0
        if not len(finite):
            return
        if self._sketch is None:
            # On first use: a node whose versions all have a baseline never loads the library.
            from datasketches import kll_doubles_sketch

            self._sketch = kll_doubles_sketch(self.size)
        self._sketch.update(finite)
        self.smallest = min(self.smallest, float(finite.min()))
        self.largest = max(self.largest, float(finite.max()))

    def add_words(self, tally: Mapping[str | None, int]) -> None:
        """Take words, each with how often there is it."""
        for word, rows in tally.items():
            self.rows += rows
            if word is None:
                self.missing += rows
            elif word in self.words:
                self.words[word] += rows
            elif len(self.words) < self.most_words:
                # Half a pair of surrogates is no text that JSON could say.
                said = word.encode("utf-8", "replace").decode()
                self.words[said] = self.words.get(said, 0) + rows
            else:
                self.more += rows

    def sample(self) -> Sample:
        """Return it as it is sent."""
        pairs = sorted(self._sketch) if self._sketch is not None else []
        return Sample(
            side=self.side,
            source=self.source,
            measure=self.measure,
            channel=self.channel,
            rows=self.rows,
            missing=self.missing,
            values=tuple(value for value, _ in pairs),
            weights=tuple(weight for _, weight in pairs),
            smallest=self.smallest if pairs else 0.0,
            largest=self.largest if pairs else 0.0,
            words=self.words,
            more=self.more,
        )

    @property
    def wire_bytes(self) -> int:
        """About how many bytes of JSON it will take."""
        kept = 0 if self._sketch is None else self._sketch.num_retained
        return 256 + 26 * kept + len(orjson.dumps(self.words))


def _parts(columns: Columns) -> Iterator[tuple[str, Measure, int | None, Array]]:
    """Yield what is watched of columns: of words their length too, since nobody knows yet whether they are texts."""
    for source, given in columns.items():
        if not given.size:
            continue
        array = given[:, 0] if given.ndim == 2 and given.shape[1] == 1 else given
        if array.dtype.kind in "OSU" and is_long(array):
            yield source, Measure.LENGTH, None, array
            continue
        for measure, channel in channels_of(array.shape):
            yield source, measure, channel, array
        if array.dtype.kind in "OSU" and array.ndim == 1 and is_wordy(array):
            yield source, Measure.LENGTH, None, array
