"""What became of copies, counted into windows until somebody takes them: ``registry.windows.ShadowWindow``.

Differences of numbers are put on lists first and counted into bins a few hundred at a time: that costs a hundredth. For
one thread; only what was taken is counted to its end by another. Not here: comparing (``comparison.py``), sending.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
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
    window_start,
)
from serving.shadows.comparison import Piece

MOST_WINDOWS = 256
MOST_TAKEN = 16
MOST_TAKEN_BYTES = 4 << 20
"""How many windows are handed over at once, and about how much they may be in a report: one, however large, and more
while they fit. The registry takes bodies of up to 16 MiB."""
BIN_BYTES, WORD_BYTES = 16, 160
"""About what a bin and a pair of words take in a report."""
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

    def __len__(self) -> int:
        """How many bins there may be at the most."""
        return min(MOST_BINS, len(self._counts) + len(self._pending))

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

    @property
    def size(self) -> int:
        return BIN_BYTES * (len(self.absolute) + len(self.relative)) + WORD_BYTES * len(self.pairs)

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

    @property
    def copies(self) -> int:
        """How many copies were counted, asked or not."""
        return sum(self._outcomes.values())

    @property
    def size(self) -> int:
        """About how many bytes this is in a report, without examples. O(outputs)."""
        return sum(output.size for output in self._outputs.values())

    def counts(self) -> ShadowCounts:
        """Return what was counted; a few milliseconds where there are many outputs."""
        return ShadowCounts(
            dict(self._outcomes),
            self._requests,
            self._differing,
            dict(self._primary),
            dict(self._shadow),
            {name: output.difference() for name, output in self._outputs.items()},
            tuple(self._examples),
        )


@dataclass(frozen=True, slots=True)
class Taken:
    """A window that was handed over: nobody counts into it any more."""

    model: ModelName
    revision: int
    version: VersionNumber
    start_ms: int
    count: Count

    def window(self) -> ShadowWindow:
        """Return its counts as they are reported; once, from any thread."""
        return ShadowWindow(self.model, self.revision, self.version, self.start_ms, self.count.counts())


class ShadowWindows:
    """The windows of all shadows of one node since they were taken.

    Args:
        seconds: How long one is.
        clock: Wall-clock seconds.
        lost: Told why (``full``), and of how many copies the counts are gone.
        most: How many are kept where nobody takes them; then the oldest goes.
    """

    def __init__(
        self,
        seconds: float,
        clock: Callable[[], float],
        lost: Callable[[str, int], None] = lambda _reason, _copies: None,
        *,
        most: int = MOST_WINDOWS,
    ) -> None:
        self._length, self._clock, self._most = max(1, round(seconds * 1000)), clock, most
        self._lost = lost
        self._counts: OrderedDict[Key, Count] = OrderedDict()

    def of(self, model: ModelName, revision: int, version: VersionNumber) -> Count:
        """Return the window of a shadow that is open now."""
        key = (model, revision, version, window_start(int(self._clock() * 1000), self._length))
        count = self._counts.get(key)
        if count is None:
            if len(self._counts) >= self._most:
                _, oldest = self._counts.popitem(last=False)
                self._lost("full", oldest.copies)
            count = self._counts[key] = Count()
        return count

    @property
    def waiting(self) -> int:
        """How many windows there are, open ones too, that nobody took yet."""
        return len(self._counts)

    def take(self) -> tuple[Taken, ...]:
        """Hand over the oldest windows, ``MOST_TAKEN`` at the most, the open ones last; in well under a millisecond.

        What is counted from now on makes new ones, which add to those.
        """
        taken: list[Taken] = []
        room = MOST_TAKEN_BYTES
        for key, count in self._counts.items():
            room -= count.size
            if len(taken) == MOST_TAKEN or (taken and room < 0):
                break
            taken.append(Taken(*key, count))
        for _ in taken:
            self._counts.popitem(last=False)
        return tuple(taken)
