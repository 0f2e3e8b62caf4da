"""What became of copies, counted into windows until somebody takes them: ``registry.windows.ShadowWindow``.

Differences of numbers are put on lists first and counted into bins a few hundred at a time: that costs a hundredth. For
one thread. Not here: comparing (``comparison.py``), sending.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from registry.records import ModelName, VersionNumber
from registry.windows import (
    MOST_BINS,
    MOST_EXAMPLES,
    OTHER,
    Difference,
    ShadowCounts,
    ShadowWindow,
    latency_bin,
    merged_bins,
    value_bins,
)
from serving.shadows.comparison import Piece

MOST_WINDOWS = 256
MOST_OUTPUTS = 64
NAME_LETTERS = 128
PENDING = 512

Key = tuple[ModelName, int, VersionNumber, int]


class _Bins:
    """Numbers by ``value_bins``."""

    __slots__ = ("_counts", "_pending")

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self._pending: list[float] = []

    def add(self, numbers: Sequence[float]) -> None:
        self._pending.extend(numbers)
        if len(self._pending) >= PENDING:
            self.counted()

    def counted(self) -> dict[str, int]:
        if self._pending:
            self._counts = merged_bins(self._counts, value_bins(np.array(self._pending, dtype=np.float64)))
            self._pending.clear()
        return self._counts


class _Output:
    """One output of a shadow beside the primary's."""

    __slots__ = ("absolute", "compared", "differed", "pairs", "relative")

    def __init__(self) -> None:
        self.compared = self.differed = 0
        self.absolute, self.relative = _Bins(), _Bins()
        self.pairs: dict[tuple[str, str], int] = {}

    def add(self, piece: Piece) -> None:
        self.compared += piece.compared
        self.differed += piece.differed
        if piece.absolute:
            self.absolute.add(piece.absolute)
            self.relative.add(piece.relative)
        for pair in piece.pairs:
            kept = pair if pair in self.pairs or len(self.pairs) < MOST_BINS else (OTHER, OTHER)
            self.pairs[kept] = self.pairs.get(kept, 0) + 1

    def difference(self) -> Difference:
        absolute, relative = self.absolute.counted(), self.relative.counted()
        return Difference(self.compared, self.differed, dict(absolute), dict(relative), dict(self.pairs))


class Count:
    """One window of one shadow under one plan."""

    __slots__ = ("_differing", "_examples", "_outcomes", "_outputs", "_primary", "_requests", "_shadow")

    def __init__(self) -> None:
        self._outcomes: dict[str, int] = {}
        self._requests = self._differing = 0
        self._primary: dict[int, int] = {}
        self._shadow: dict[int, int] = {}
        self._outputs: dict[str, _Output] = {}
        self._examples: deque[Mapping[str, Any]] = deque(maxlen=MOST_EXAMPLES)

    def unasked(self, outcome: str) -> None:
        """Count a copy that the shadow never saw: ``dropped`` or ``not_loaded``."""
        self._outcomes[outcome] = self._outcomes.get(outcome, 0) + 1

    def asked(self, outcome: str, primary: float | None, shadow: float | None) -> None:
        """Count a copy that the shadow answered or failed; times in seconds, None where they say nothing."""
        self._outcomes[outcome] = self._outcomes.get(outcome, 0) + 1
        self._requests += 1
        if primary is not None:
            number = latency_bin(primary)
            self._primary[number] = self._primary.get(number, 0) + 1
        if shadow is not None:
            number = latency_bin(shadow)
            self._shadow[number] = self._shadow.get(number, 0) + 1

    def compared(self, pieces: Sequence[Piece]) -> None:
        """Count the comparison of one answer."""
        self._differing += any(piece.differed for piece in pieces)
        for piece in pieces:
            name = piece.name[:NAME_LETTERS]
            output = self._outputs.get(name)
            if output is None:
                if len(self._outputs) >= MOST_OUTPUTS:
                    continue  # whether it differs is counted all the same
                output = self._outputs[name] = _Output()
            output.add(piece)

    def keep(self, example: Mapping[str, Any]) -> None:
        """Keep an example in place of the oldest."""
        self._examples.append(example)

    def counts(self) -> ShadowCounts:
        """Return what was counted."""
        return ShadowCounts(
            dict(self._outcomes),
            self._requests,
            self._differing,
            dict(self._primary),
            dict(self._shadow),
            {name: output.difference() for name, output in self._outputs.items()},
            tuple(self._examples),
        )


class Windows:
    """The windows since they were taken last.

    Args:
        seconds: How long one is.
        clock: Wall-clock seconds.
        most: How many are kept where nobody takes them; then the oldest goes.
    """

    def __init__(self, seconds: float, clock: Callable[[], float], most: int = MOST_WINDOWS) -> None:
        self._length, self._clock, self._most = max(1, round(seconds * 1000)), clock, most
        self._counts: OrderedDict[Key, Count] = OrderedDict()

    def of(self, model: ModelName, revision: int, version: VersionNumber) -> Count:
        """Return the window of a shadow that is open now."""
        now = int(self._clock() * 1000)
        key = (model, revision, version, now - now % self._length)
        count = self._counts.get(key)
        if count is None:
            if len(self._counts) >= self._most:
                self._counts.popitem(last=False)
            count = self._counts[key] = Count()
        return count

    def take(self) -> tuple[ShadowWindow, ...]:
        """Return all windows, the open ones too, and begin anew: what is counted from now on adds to them."""
        taken, self._counts = self._counts, OrderedDict()
        return tuple(
            ShadowWindow(model, revision, version, start, count.counts())
            for (model, revision, version, start), count in taken.items()
        )
