"""What is kept of one column while a table is read the first time, in memory that does not grow with the table.

Of numbers: all of them while they are few (then the grid is exact, and the same each time), else a KLL sketch. Of
words: how often each was seen, the rare ones forgotten by Misra and Gries' rule where there are too many different
ones. Not here: the second reading, which counts (``making.py``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

import numpy as np
from datasketches import kll_doubles_sketch

from registry.baselines import Feature
from registry.columns import Numbers
from registry.monitoring.grids import Watched, numeric_feature

SKETCH_K = 400
MOST_DISTINCT = 4096


class Values:
    """Numbers of one feature.

    Args:
        most: How many are kept as they are.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._blocks: list[Numbers] = []
        self._kept = 0
        self._sketch: kll_doubles_sketch | None = None
        self._smallest = np.inf
        self._largest = -np.inf

    def see(self, values: Numbers) -> None:
        """Take in a block; NaN and infinities are left out."""
        finite = values[np.isfinite(values)]
        if not len(finite):
            return
        self._smallest = min(self._smallest, float(finite.min()))
        self._largest = max(self._largest, float(finite.max()))
        if self._sketch is not None:
            self._sketch.update(finite)
            return
        self._blocks.append(finite)
        self._kept += len(finite)
        if self._kept > self._most:
            self._sketch = kll_doubles_sketch(SKETCH_K)
            for block in self._blocks:
                self._sketch.update(block)
            self._blocks = []

    def feature(self, watched: Watched) -> Feature:
        """Return the feature with the grid of what was seen; without edges where that was nothing."""
        if self._sketch is not None:
            pairs = list(self._sketch)
            values, weights = np.array([v for v, _ in pairs]), np.array([w for _, w in pairs], np.float64)
        else:
            values = np.concatenate(self._blocks) if self._blocks else np.zeros(0)
            weights = np.ones(len(values))
        if not len(values):
            return numeric_feature(watched, values, weights, 0.0, 0.0)
        return numeric_feature(watched, values, weights, self._smallest, self._largest)


class Tally:
    """How often each word was seen: exactly for up to ``most`` different ones.

    With more, a count may be too small by at most the rows ÷ (``most`` / 2); what is missing is in ``more``.
    """

    def __init__(self, most: int = MOST_DISTINCT) -> None:
        self._most = most
        self._words: Counter[str] = Counter()
        self._rows = 0

    def see(self, words: Mapping[str, int]) -> None:
        """Take in words with how often each was seen."""
        self._rows += sum(words.values())
        self._words.update(words)
        if len(self._words) > self._most:
            half = self._most // 2
            least = sorted(self._words.values(), reverse=True)[half]
            self._words = Counter({word: count - least for word, count in self._words.items() if count > least})

    @property
    def words(self) -> Mapping[str, int]:
        """The words that were not forgotten."""
        return self._words

    @property
    def more(self) -> int:
        """Rows that are in no count."""
        return self._rows - sum(self._words.values())


def tally(words: Iterable[str | None]) -> Counter[str]:
    """Return how often each word is there, missing ones left out."""
    counted: Counter[str | None] = Counter(words)
    return Counter({word: rows for word, rows in counted.items() if word is not None})
