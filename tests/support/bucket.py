"""A node's bucket in memory: what a test sealed is read from it; nothing is captured into it."""

from __future__ import annotations

from collections.abc import AsyncIterator

from registry.records import Digest, Manifest
from serving.sources.memory import MemorySealedSource, NoSealed


class Bucket(NoSealed):
    """What ``FakeWorld`` takes as its store; ``sealed`` is where a test puts artifacts."""

    def __init__(self) -> None:
        self.sealed = MemorySealedSource()

    async def manifest(self, digest: Digest) -> Manifest:
        """Return a verified manifest."""
        return await self.sealed.manifest(digest)

    def stream(self, digest: Digest) -> AsyncIterator[bytes]:
        """Yield the bytes of a sealed file."""
        return self.sealed.stream(digest)
