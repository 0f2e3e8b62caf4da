"""Small sealed files that a node reads whole: from its own disk, else from the bucket. Verified by their digest,
whichever it was.

What was fetched once stays, so that it can be read with S3 away. Not here: what is in them, and the artifacts of
versions (``sources/cache.py``).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import tempfile
import time
from collections.abc import Collection
from pathlib import Path

from registry.digest import sha256_digest
from registry.errors import Unavailable
from registry.records import Digest
from serving.ports import SealedSource


class Documents:
    """The documents of one kind.

    Args:
        directory: Where they are kept; made where it is missing.
        source: The bucket.
        what: What they are called in messages, such as ``the lock of this version's libraries``.
        most_bytes: How large one may be.
    """

    def __init__(self, directory: Path, source: SealedSource, what: str, most_bytes: int) -> None:
        self._directory, self._source = directory, source
        self._what, self._most_bytes = what, most_bytes

    async def read(self, digest: Digest) -> bytes:
        """Return a document.

        Raises Unavailable ``artifact_corrupt`` where its bytes are wrong, ``artifact_unavailable`` where they cannot be
        had now.
        """
        path = self._directory / digest.removeprefix("sha256:")
        data = await asyncio.to_thread(_kept, path, digest)
        if data is None:
            data = await self._fetch(digest)
            await asyncio.to_thread(_keep, path, data)
        return data

    def sweep(self, needed: Collection[Digest], idle_seconds: float) -> None:
        """Remove documents that are not needed and were not read for that long. Blocks."""
        names = {digest.removeprefix("sha256:") for digest in needed}
        with contextlib.suppress(OSError):
            for path in self._directory.iterdir():
                if path.name not in names and time.time() - path.stat().st_mtime > idle_seconds:
                    path.unlink()

    async def _fetch(self, digest: Digest) -> bytes:
        data = bytearray()
        async with contextlib.AsyncExitStack() as ends:
            pieces = self._source.stream(digest)
            if (aclose := getattr(pieces, "aclose", None)) is not None:
                ends.push_async_callback(aclose)
            async for piece in pieces:
                data += piece
                if len(data) > self._most_bytes:
                    break
        if sha256_digest(bytes(data)) != digest:
            raise Unavailable("artifact_corrupt", f"{self._what} does not match its digest", retry_after=30)
        return bytes(data)


def _kept(path: Path, digest: Digest) -> bytes | None:
    with contextlib.suppress(OSError):
        data = path.read_bytes()
        if sha256_digest(data) == digest:
            os.utime(path)
            return data
    return None


def _keep(path: Path, data: bytes) -> None:
    with contextlib.suppress(OSError):  # then it is fetched again
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
            file.write(data)
        Path(file.name).replace(path)
