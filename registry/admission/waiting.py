"""How long a version waits for a package index that cannot be used, and what need not be done twice meanwhile. Pure.

Ten minutes outlast a restart and most hiccups. After that whoever registered the version hears why: a check that never
ends tells nobody anything, and it can be admitted again. Only versions that need the index wait; those that the
platform's own environment satisfies never ask it.
"""

from __future__ import annotations

from dataclasses import dataclass

from registry.records import Manifest, VersionRecord

PAUSE_MS = 15_000
PATIENCE_MS = 600_000


@dataclass(frozen=True, slots=True)
class _Wait:
    created_ms: int
    since_ms: int
    manifest: Manifest


class Waiting:
    """Versions whose requirements are being locked, in this process."""

    def __init__(self) -> None:
        self._waits: dict[tuple[str, str], _Wait] = {}

    def note(self, record: VersionRecord, manifest: Manifest, now_ms: int) -> None:
        """Remember that a version is sealed and asks the index from now on, unless it did before."""
        if self._of(record) is None:
            self._waits[record.model, record.version] = _Wait(record.created_ms, now_ms, manifest)

    def sealed(self, record: VersionRecord) -> Manifest | None:
        """Return what a version that waits was sealed as: its files need not be read again for every try."""
        wait = self._of(record)
        return None if wait is None else wait.manifest

    def is_over(self, record: VersionRecord, now_ms: int) -> bool:
        """Tell whether a version has waited for long enough."""
        wait = self._of(record)
        return wait is not None and now_ms - wait.since_ms >= PATIENCE_MS

    def forget(self, record: VersionRecord) -> None:
        """Forget a version that waits no more."""
        self._waits.pop((record.model, record.version), None)

    def _of(self, record: VersionRecord) -> _Wait | None:
        wait = self._waits.get((record.model, record.version))
        return wait if wait is not None and wait.created_ms == record.created_ms else None
