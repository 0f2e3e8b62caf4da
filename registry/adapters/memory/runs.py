"""MLflow's runs, in memory: those that a test draws."""

from __future__ import annotations

from registry.monitoring.ports import LoggedRun
from registry.records import VersionRecord


class MemoryRuns:
    """The ``Runs`` port.

    Attributes:
        runs: By id.
    """

    def __init__(self) -> None:
        self.runs: dict[str, LoggedRun] = {}

    def of(self, version: VersionRecord) -> LoggedRun | None:
        """See ``Runs.of``."""
        return self.runs.get(version.run_id) if version.run_id is not None else None
