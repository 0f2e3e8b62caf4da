"""Where a node gets a lock from: its own disk, else the bucket (``serving/documents.py``).

A lock once fetched stays, so that an environment can be told apart, and rebuilt from uv's cache, with S3 away. Not
here: what a lock says (``registry/libraries/lockfile.py``).
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from registry.errors import Unavailable
from registry.libraries.lockfile import LOCK_LIMIT, locked_packages
from registry.records import Digest
from serving.documents import Documents
from serving.ports import SealedSource


class Locks:
    """The locks of a node.

    Args:
        directory: Where they are kept; made where it is missing.
        source: The bucket.
    """

    def __init__(self, directory: Path, source: SealedSource) -> None:
        self._documents = Documents(directory, source, "the lock of this version's libraries", LOCK_LIMIT)

    async def read(self, digest: Digest) -> str:
        """Return a lock's text.

        Raises Unavailable ``artifact_corrupt`` where its bytes are wrong or are no lock, ``artifact_unavailable`` where
        they cannot be had now.
        """
        data = await self._documents.read(digest)
        try:
            text = data.decode()
            locked_packages(text)
        except ValueError as error:
            message = "the lock of this version's libraries cannot be read; admit the version again"
            raise Unavailable("artifact_corrupt", message, retry_after=30) from error
        return text

    def sweep(self, needed: Collection[Digest], idle_seconds: float) -> None:
        """Remove locks that are not needed and were not read for that long. Blocks."""
        self._documents.sweep(needed, idle_seconds)
