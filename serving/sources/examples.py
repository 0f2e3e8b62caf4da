"""The example that was saved with a version, for its page: read from its files, or that one sealed file fetched.

A version is not downloaded for its example: where it is loaded, its files are on the disk; otherwise its manifest says
which object the example is. One that cannot be had now is said to be so, soon, and costs no request its answer.
Not here: whether it is a request that the version takes.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from registry.errors import Unavailable
from registry.records import Digest
from serving.documents import Documents
from serving.ports import ArtifactLease, SealedSource

FILE = "serving_input_example.json"
"""Where MLflow keeps the example as a request has it."""
EXAMPLE_BYTES = 256 * 1024
"""How large one may be to be shown."""
KEPT = 32
"""How many are kept in memory."""
FETCH_SECONDS = 3.0
KEEP_SECONDS = 7 * 86_400.0
"""How long one stays on disk that nobody reads."""

NONE_SAVED = "no example was saved with this version"
TOO_LARGE = f"the example saved with this version has more than {EXAMPLE_BYTES // 1024} KiB"
NOT_NOW = "the example saved with this version cannot be fetched now"


@dataclass(frozen=True, slots=True)
class Saved:
    """An example as it was saved; ``body`` is None where there is none to show, and ``why`` says so in words."""

    body: bytes | None
    why: str = ""


class SavedExamples:
    """The examples of one node's versions. For one event loop.

    Args:
        hold: Gives a lease on an artifact's files, as the artifact cache does.
        sealed: The bucket.
        directory: Where examples of versions that are not loaded are kept.
    """

    def __init__(
        self, hold: Callable[[Digest, float], Awaitable[ArtifactLease]], sealed: SealedSource, directory: Path
    ) -> None:
        self._hold, self._sealed = hold, sealed
        self._documents = Documents(directory, sealed, "the example of this version", EXAMPLE_BYTES)
        self._kept: OrderedDict[Digest, Saved] = OrderedDict()
        # One at a time: pages must not take the store's threads from versions that are being loaded.
        self._fetching = asyncio.Semaphore(1)

    async def read(self, digest: Digest, *, loaded: bool) -> Saved:
        """Return the example of an artifact.

        Args:
            digest: The artifact's.
            loaded: Whether the version is loaded here, so that its files are on the disk.
        """
        known = self._kept.get(digest)
        if known is None:
            try:
                async with asyncio.timeout(FETCH_SECONDS):
                    known = await self._local(digest) if loaded else await self._fetched(digest)
            except (Unavailable, TimeoutError):
                return Saved(None, NOT_NOW)
            self._kept[digest] = known
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return known

    async def _local(self, digest: Digest) -> Saved:
        lease = await self._hold(digest, FETCH_SECONDS)
        try:
            return await asyncio.to_thread(_read, lease.directory / FILE)
        finally:
            lease.release()

    async def _fetched(self, digest: Digest) -> Saved:
        async with self._fetching:
            manifest = await self._sealed.manifest(digest)
            entry = next((entry for entry in manifest.entries if entry.path == FILE), None)
            if entry is None:
                return Saved(None, NONE_SAVED)
            if entry.size > EXAMPLE_BYTES:
                return Saved(None, TOO_LARGE)
            body = await self._documents.read(entry.digest)
            await asyncio.to_thread(self._documents.sweep, (), KEEP_SECONDS)
            return Saved(body)


def _read(path: Path) -> Saved:
    try:
        with path.open("rb") as file:
            body = file.read(EXAMPLE_BYTES + 1)
    except FileNotFoundError:
        return Saved(None, NONE_SAVED)
    except OSError:
        return Saved(None, NOT_NOW)
    return Saved(None, TOO_LARGE) if len(body) > EXAMPLE_BYTES else Saved(body)
