"""The newest verdicts in this process's memory, for the gauges: each registry keeps its own, and all show the same.

Refreshed every few seconds, so that no scrape asks the database; only verdicts that are new are read. Not here: how
much of a verdict is shown (``monitoring/shown.py``), and the gauges (``telemetry.py``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from registry.monitoring.shown import ShownVersion, series, shown
from registry.monitoring.window_ports import FeatureWindows
from registry.records import ModelName, VersionNumber


class DriftGauges(Protocol):
    """Where the newest verdicts are shown."""

    def drift_is(self, found: Mapping[str, Mapping[tuple[str, ...], float]]) -> None:
        """Show these series by metric and labels, and no others any more."""
        ...


class DriftView:
    """Owns what is shown of each version's newest judged window."""

    def __init__(self, windows: FeatureWindows, gauges: DriftGauges) -> None:
        self._windows = windows
        self._gauges = gauges
        self._shown: dict[tuple[ModelName, VersionNumber], ShownVersion] = {}

    def refresh(self) -> None:
        """Look for new verdicts, and for versions that are gone. Raises Unavailable where the database is."""
        newest = self._windows.newest()
        before = {of: version.number for of, version in self._shown.items()}
        if newest == before:
            return
        kept = {of: version for of, version in self._shown.items() if newest.get(of) == version.number}
        for of in newest.keys() - kept.keys():
            for window in self._windows.page(*of, 1):
                kept[of] = shown(window)
        self._shown = kept
        self._gauges.drift_is(series(kept))
