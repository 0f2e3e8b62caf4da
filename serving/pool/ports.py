"""What the pool needs of others: files, somebody who counts, and the word on what versions are. Interfaces only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from registry.records import Digest, ModelName, VersionNumber
from registry.snapshots import ServableVersion
from serving.ports import ArtifactLease, BatchWatch

Servables = Callable[[ModelName, VersionNumber], ServableVersion | None]
"""Tells which bytes and libraries a model's version has now; None where it may not serve."""


class Artifacts(Protocol):
    """Where the files of a version are had: the cache on disk."""

    async def hold(self, digest: Digest, seconds: float) -> ArtifactLease:
        """Return the model directory, downloaded if need be; raise Unavailable as ``SealedSource`` does."""
        ...


class Watcher(Protocol):
    """Who wants to know what the pool did: metrics."""

    def version_loaded(self, model: str, version: str, seconds: float) -> None:
        """Take note that a version was loaded."""
        ...

    def load_failed(self, model: str, version: str, code: str) -> None:
        """Take note that a version could not be loaded."""
        ...

    def version_unloaded(self, reason: str) -> None:
        """Take note that one is gone: ``unwanted``, ``operator``, ``evicted`` or ``died``."""
        ...

    def batches(self, model: str, version: str) -> BatchWatch:
        """Return who counts the batches of a version."""
        ...

    def version_died(self, model: str, version: str, reason: str = "died") -> None:
        """Take note that a version's process ended by itself: ``died``, ``loading`` where it was being loaded, or
        ``instance`` where others of the version are left."""
        ...
