"""Looks at versions that got labels, and shows how good they were.

Figures are made anew from the newest labelled rows that are kept, so they need no memory of their own: any registry
gives the same, and a restart loses nothing. Not here: the figures (``quality.py``), and who calls (``duties.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Protocol

from registry.monitoring.prediction_ports import Predictions
from registry.monitoring.quality import MOST_ROWS, VersionQuality, quality_of
from registry.records import ModelName, VersionNumber

Training = Callable[[ModelName, VersionNumber], Mapping[str, float]]
"""What the training run of a version says of itself, by the names of our metrics."""
SEEN_MS = 1_000
MOST_SEEN = 64
PAUSE_MS = 30_000
"""A version that gets labels all the time is looked at as often."""
AGAIN_MS = 600_000
"""And one that gets none any more: its oldest rows go."""


class QualityGauges(Protocol):
    """Where live quality is shown."""

    def quality_seen(self, model: str, version: str, quality: VersionQuality, training: Mapping[str, float]) -> None:
        """Show a version's live quality, and what its training run said."""
        ...

    def qualities_are(self, versions: Collection[tuple[str, str]]) -> None:
        """Show the live quality of no others any more than these."""
        ...


def version_quality(
    predictions: Predictions, model: ModelName, version: VersionNumber, since_ms: int
) -> VersionQuality:
    """Return how good a version's answers since then were."""
    rows = predictions.labelled(model, version, since_ms, MOST_ROWS)
    return quality_of(rows, predictions.coverage(model, version, since_ms))


class QualityReader:
    """Reads what ``version_quality`` returns, up to a second old: many may watch, and ten thousand rows take a while.

    Args:
        predictions: Where labels are.
        clock: Tells the time in milliseconds.
        kept_ms: How old an answered request may be.
    """

    def __init__(self, predictions: Predictions, clock: Callable[[], int], kept_ms: int) -> None:
        self._predictions = predictions
        self._clock = clock
        self._kept_ms = kept_ms
        self._seen: dict[tuple[ModelName, VersionNumber], tuple[int, VersionQuality]] = {}

    def read(self, model: ModelName, version: VersionNumber) -> VersionQuality:
        """Return how good a version's answers were."""
        now_ms = self._clock()
        at_ms, found = self._seen.get((model, version), (0, None))
        if found is None or not 0 <= now_ms - at_ms < SEEN_MS:
            found = version_quality(self._predictions, model, version, now_ms - self._kept_ms)
            if len(self._seen) >= MOST_SEEN:
                self._seen = {}
            self._seen[model, version] = (now_ms, found)
        return found


@dataclass(frozen=True, slots=True)
class _Look:
    at_ms: int
    came_ms: int


class QualityWatch:
    """Remembers only what it has looked at.

    Args:
        predictions: Where labels are.
        gauges: Where figures are shown.
        kept_ms: How old an answered request may be.
        training: What training runs said.
    """

    def __init__(
        self,
        predictions: Predictions,
        gauges: QualityGauges,
        kept_ms: int,
        training: Training = lambda _model, _version: {},
    ) -> None:
        self._predictions = predictions
        self._gauges = gauges
        self._kept_ms = kept_ms
        self._training = training
        self._looks: dict[tuple[ModelName, VersionNumber], _Look] = {}

    def look(self, now_ms: int) -> None:
        """Look at every version that is due. Raises Unavailable where the database is gone; then look again."""
        newest = self._predictions.newest()
        self._gauges.qualities_are(newest.keys())
        self._looks = {key: look for key, look in self._looks.items() if key in newest}
        for (model, version), came_ms in newest.items():
            if self._due((model, version), came_ms, now_ms):
                found = version_quality(self._predictions, model, version, now_ms - self._kept_ms)
                self._gauges.quality_seen(model, version, found, self._training(model, version))
                self._looks[model, version] = _Look(now_ms, came_ms)

    def _due(self, key: tuple[ModelName, VersionNumber], came_ms: int, now_ms: int) -> bool:
        last = self._looks.get(key)
        if last is None:
            return True
        # One that came in the very millisecond of the last look may have come after it.
        news = came_ms != last.came_ms or came_ms >= last.at_ms
        return now_ms - last.at_ms >= (PAUSE_MS if news else AGAIN_MS)
