"""What a serving node needs of the world, in one value. Not here: who makes it (``bootstrap.py``, and tests)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Protocol

from registry.snapshots import ServableVersion
from serving.pool.ports import Artifacts
from serving.ports import FeedbackSink, ReportSink, SealedSource, SnapshotSource, StartedRuntime
from serving.slack import Slack
from serving.sources.feedback import NoFeedback
from serving.sources.memory import NoSealed
from serving.sources.reports import NoReports
from serving.telemetry.capture import ObjectSink


class Cache(Artifacts, Protocol):
    """The artifact cache as the node owns it."""

    @property
    def cached_bytes(self) -> int:
        """Bytes on disk."""
        ...

    async def open(self) -> None:
        """Read what is on disk."""
        ...

    async def close(self) -> None:
        """Let go of everything."""
        ...


class Closes(Protocol):
    """Something that must be let go of at the end."""

    async def close(self) -> None:
        """Let go."""
        ...


@dataclass(frozen=True, slots=True)
class Parts:
    """What a node needs of the world; tests hand in their own.

    ``beneath`` is what those stand on, closed last; ``retain`` hears, at each change, of every version that may answer;
    ``reports`` gets what the node says of itself, ``feedback`` the labels that callers send; ``sealed`` has the
    baselines, ``captures`` gets requests that are kept, and ``slack`` gives memory back.
    """

    source: SnapshotSource
    cache: Cache
    runtime: StartedRuntime
    beneath: tuple[Closes, ...] = ()
    retain: Callable[[Iterable[ServableVersion]], None] = lambda _: None
    reports: ReportSink = field(default_factory=NoReports)
    feedback: FeedbackSink = field(default_factory=NoFeedback)
    sealed: SealedSource = field(default_factory=NoSealed)
    captures: ObjectSink = field(default_factory=NoSealed)
    slack: Slack = field(default_factory=Slack)
