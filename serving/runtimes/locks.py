"""Where a node gets a lock from: its own disk, else the bucket. Verified by its digest, whichever it was.

A lock once fetched stays, so that an environment can be told apart, and rebuilt from uv's cache, with S3 away. Not
here: what a lock says (``registry/libraries/lockfile.py``).
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
from registry.libraries.lockfile import LOCK_LIMIT, locked_packages
from registry.records import Digest
from serving.ports import SealedSource


class Locks:
    """The locks of a node.

    Args:
        directory: Where they are kept; made where it is missing.
        source: The bucket.
    """

    def __init__(self, directory: Path, source: SealedSource) -> None:
        self._directory, self._source = directory, source

    async def read(self, digest: Digest) -> str:
        """Return a lock's text.

        Raises Unavailable ``artifact_corrupt`` where its bytes are wrong or are no lock, ``artifact_unavailable`` where
        they cannot be had now.
        """
        path = self._directory / digest.removeprefix("sha256:")
        data = await asyncio.to_thread(_kept, path, digest)
        if data is None:
            data = await self._fetch(digest)
            await asyncio.to_thread(_keep, path, data)
        try:
            text = data.decode()
            locked_packages(text)
        except ValueError as error:
            message = "the lock of this version's libraries cannot be read; admit the version again"
            raise Unavailable("artifact_corrupt", message, retry_after=30) from error
        return text

    def sweep(self, needed: Collection[Digest], idle_seconds: float) -> None:
        """Remove locks that are not needed and were not read for that long. Blocks."""
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
                if len(data) > LOCK_LIMIT:
                    break
        if sha256_digest(bytes(data)) != digest:
            message = "the lock of this version's libraries does not match its digest"
            raise Unavailable("artifact_corrupt", message, retry_after=30)
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
