"""Where windows of features are kept, as a port.

The contracts of ``registry/ports.py`` hold here too: methods block, are safe to call from threads and processes, and
write wholly or not at all. Not here: what is decided about windows (``closing.py``, ``drift.py``), and where
baselines are (``ports.py``).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from registry.monitoring.closing import Closing
from registry.monitoring.tallies import Tally
from registry.records import Digest, ModelName, VersionNumber

Verdict = Mapping[str, Any]
"""What was found of a window, JSON-ready (``drift.WindowVerdict``)."""


@dataclass(frozen=True, slots=True)
class WindowKey:
    """One window of one version: they are numbered from 1 in the order in which they were opened."""

    model: ModelName
    version: VersionNumber
    number: int


@dataclass(frozen=True, slots=True)
class WindowSpan:
    """How many rows a window has and from when they are; ``baseline`` None: there was none to count them by.

    ``opened_ms`` is when its first rows came here, ``first_ms`` and ``last_ms`` when nodes began to count the earliest
    and the latest of them.
    """

    baseline: Digest | None
    rows: int
    opened_ms: int
    first_ms: int
    last_ms: int


@dataclass(frozen=True, slots=True)
class SealedWindow:
    """A window that nothing is added to any more and that was not judged yet."""

    key: WindowKey
    span: WindowSpan
    tally: Tally


@dataclass(frozen=True, slots=True)
class JudgedWindow:
    """A window with what was found; its counts are gone."""

    key: WindowKey
    span: WindowSpan
    judged_ms: int
    verdict: Verdict


class FeatureWindows(Protocol):
    """What nodes saw of versions' rows, a window after the other.

    Rows come with reports (``Reports.take``), in the transaction that takes the report's number: into the one open
    window of a version that exists, is not retired and has that baseline now (or still none). Rows counted by another
    baseline are left out. Rows that come after a window was sealed are in the next one.
    """

    def seal(self, rule: Closing) -> int:
        """Seal every open window that is due; return how many. Windows of a baseline that the version no longer has,
        and of retired versions, are left alone."""
        ...

    def unjudged(self, limit: int, but: Collection[Digest | None] = ()) -> Sequence[SealedWindow]:
        """Return up to ``limit`` sealed windows, the one with the oldest rows first, but for those of some
        baselines."""
        ...

    def settle(self, key: WindowKey, verdict: Verdict | None) -> bool:
        """Write a sealed window's verdict and drop its counts; without a verdict forget the window.

        Returns whether this did it: False where somebody else has, or the window is gone.
        """
        ...

    def open(self, model: ModelName, version: VersionNumber) -> WindowSpan | None:
        """Return the open window that a version's rows are added to now, or None."""
        ...

    def page(self, model: ModelName, version: VersionNumber, limit: int) -> Sequence[JudgedWindow]:
        """Return up to ``limit`` judged windows of a version, newest first."""
        ...

    def newest(self) -> Mapping[tuple[ModelName, VersionNumber], int]:
        """Return the number of the newest judged window of each version that is not retired and whose present baseline
        that window was compared with. Cheap: it is polled."""
        ...

    def sweep(self, before_ms: int) -> None:
        """Forget windows whose rows are older, and those not judged that nobody will look at: of retired versions, and
        open ones of a baseline that the version no longer has."""
        ...
