"""How good the training run of a version said that its model was: what live quality is shown beside.

Read from MLflow's run when somebody asks, and remembered for a while. Not here: whose metrics mean what
(``monitoring/training.py``), and live quality (``monitoring/quality.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from registry.errors import HeadgateError
from registry.monitoring.ports import Runs
from registry.monitoring.training import training_quality
from registry.ports import Versions
from registry.records import ModelName, VersionNumber

REMEMBERED_MS = 60_000
MOST_REMEMBERED = 10_000


class Trained:
    """Tells what a version's run said, up to a minute old. From any thread; two at once read it twice.

    Args:
        versions: Where the runs of versions are known.
        runs: MLflow's.
        clock: Tells the time in milliseconds.
    """

    def __init__(self, versions: Versions, runs: Runs, clock: Callable[[], int]) -> None:
        self._versions = versions
        self._runs = runs
        self._clock = clock
        self._known: dict[tuple[ModelName, VersionNumber], tuple[int, Mapping[str, float]]] = {}

    def __call__(self, model: ModelName, version: VersionNumber) -> Mapping[str, float]:
        """Return quality by the names of our metrics; nothing where the run is gone, says none, or cannot be asked."""
        now_ms = self._clock()
        at_ms, known = self._known.get((model, version), (0, None))
        if known is not None and 0 <= now_ms - at_ms < REMEMBERED_MS:
            return known
        found = self._read(model, version)
        if len(self._known) >= MOST_REMEMBERED:
            self._known = {}
        self._known[model, version] = (now_ms, found)
        return found

    def _read(self, model: ModelName, version: VersionNumber) -> Mapping[str, float]:
        try:
            record = self._versions.get(model, version)
            run = None if record is None else self._runs.of(record)
        except HeadgateError:
            return {}  # live quality is shown all the same
        return {} if run is None else training_quality(run.metrics)
