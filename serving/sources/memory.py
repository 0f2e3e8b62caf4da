"""Sealed artifacts in memory: the same promises as S3, and ways for a test to draw a situation.

Not here: anything that outlives the process.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping

from registry.digest import decode_manifest, encode_manifest, manifest_digest, manifest_of, sha256_digest
from registry.errors import Unavailable
from registry.records import Digest, Manifest, ManifestEntry


class MemorySealedSource:
    """``serving.ports.SealedSource`` in dicts.

    Attributes:
        blobs: Digest → bytes of a sealed file. A test may damage or remove what is there.
        manifests: Digest → bytes of a manifest.
        streamed: How often each blob was asked for.
        manifests_read: How often each manifest was asked for.
        down: While set, everything raises Unavailable, as with a store that cannot be reached.
        failures: How many of the next streams break off in the middle.
        gate: Where one is given, streams wait for it before each piece.
    """

    def __init__(self, piece: int = 64 * 1024) -> None:
        self.blobs: dict[Digest, bytes] = {}
        self.manifests: dict[Digest, bytes] = {}
        self.streamed: Counter[Digest] = Counter()
        self.manifests_read: Counter[Digest] = Counter()
        self.down = False
        self.failures = 0
        self.gate: asyncio.Event | None = None
        self._piece = piece

    def put(self, files: Mapping[str, bytes]) -> Digest:
        """Seal an artifact of these files (path → bytes) and return its digest."""
        entries = [ManifestEntry(path, len(data), sha256_digest(data)) for path, data in files.items()]
        self.blobs.update({sha256_digest(data): data for data in files.values()})
        manifest = manifest_of(entries)
        digest = manifest_digest(manifest)
        self.manifests[digest] = encode_manifest(manifest)
        return digest

    async def manifest(self, digest: Digest) -> Manifest:
        """Return a verified manifest."""
        self.manifests_read[digest] += 1
        self._reach()
        if digest not in self.manifests:
            raise Unavailable("artifact_corrupt", "a sealed file of this version is missing", retry_after=30)
        return decode_manifest(self.manifests[digest], digest)

    async def stream(self, digest: Digest) -> AsyncIterator[bytes]:
        """Yield the bytes of a sealed file, unverified."""
        self.streamed[digest] += 1
        self._reach()
        if digest not in self.blobs:
            raise Unavailable("artifact_corrupt", "a sealed file of this version is missing", retry_after=30)
        data = self.blobs[digest]
        breaks, self.failures = self.failures > 0, max(0, self.failures - 1)
        for start in range(0, len(data), self._piece):
            if self.gate is not None:
                await self.gate.wait()
            self._reach()
            if breaks and start >= len(data) // 2:
                raise Unavailable("artifact_unavailable", "the object store cannot be reached; try again")
            yield data[start : start + self._piece]

    def _reach(self) -> None:
        if self.down:
            raise Unavailable("artifact_unavailable", "the object store cannot be reached; try again")


class NoSealed:
    """A store that is never there."""

    async def manifest(self, digest: Digest) -> Manifest:
        """Raise Unavailable."""
        raise Unavailable("artifact_unavailable", "this node has no object store")

    def stream(self, digest: Digest) -> AsyncIterator[bytes]:
        """Raise Unavailable."""
        raise Unavailable("artifact_unavailable", "this node has no object store")

    async def put(self, key: str, data: bytes) -> None:
        """Raise Unavailable."""
        raise Unavailable("artifact_unavailable", "this node has no object store")
