"""Sealed artifacts on a node's disk: fetched once, verified, shared, kept within a limit, usable with S3 down.

**One hold.** Somebody has it already → take it. Otherwise one *flight* a digest, whoever asks: on disk and untouched →
done; else manifest, room, the blobs that are missing, the model directory. A flight belongs to the cache and not to
those who wait for it: it goes on when they leave, and ends with ``close``.

**Eviction.** Only what nobody holds or fetches: first blobs that no artifact uses, then whole artifacts, the one held
longest ago first. Not here: the file work itself (``shelf.py``); retries inside S3's client (``s3.py``).
"""

from __future__ import annotations

import asyncio
import random
import weakref
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from registry.errors import Unavailable
from registry.records import Digest, Manifest, ManifestEntry
from serving.ports import ArtifactLease, SealedSource
from serving.sources.shelf import NO_SPACE, Kept, Shelf, Stamp, check_manifest

_T = TypeVar("_T")
_BLOBS_AT_ONCE = 4
_FIRST_PAUSE = 0.05
_LONGEST_PAUSE = 2.0
_OUTAGE_SECONDS = 3.0


@dataclass(slots=True, eq=False)
class _Flight:
    """An artifact on its way into the cache."""

    digest: Digest
    until: float  # loop time up to which somebody still waits; retries end there
    task: asyncio.Task[None] | None = None
    blobs: dict[Digest, ManifestEntry] = field(default_factory=dict)
    reserves: bool = False  # whether its missing blobs count towards the limit already
    trouble: Unavailable | None = None


class _Lease:
    """``serving.ports.ArtifactLease``."""

    def __init__(self, directory: Path, give_back: Callable[[], None]) -> None:
        self._directory = directory
        self._give_back: Callable[[], None] | None = give_back

    @property
    def directory(self) -> Path:
        return self._directory

    def release(self) -> None:
        give_back, self._give_back = self._give_back, None
        if give_back is not None:
            give_back()


class ArtifactCache:
    """The artifacts of one node. For one event loop; one process a directory.

    Args:
        directory: Where to keep them; made where it is missing.
        limit_bytes: How much the sealed files may take together.
        source: Where they come from.
        outage_seconds: How long a source that fails without a break is tried again before its callers are told. Long
            enough for a restart of it; short, because they have better things to do than to wait for one that is down.
    """

    def __init__(
        self, directory: Path, limit_bytes: int, source: SealedSource, outage_seconds: float = _OUTAGE_SECONDS
    ) -> None:
        self._shelf = Shelf(directory.absolute())
        self._limit = limit_bytes
        self._source = source
        self._outage_seconds = outage_seconds
        self._opening = asyncio.Lock()
        self._opened = self._closed = False
        self._artifacts: OrderedDict[Digest, Kept] = OrderedDict()  # the one held longest ago comes first
        self._blobs: dict[Digest, int] = {}
        self._verified: dict[Digest, Stamp] = {}  # by this process
        self._flights: dict[Digest, _Flight] = {}
        self._wanted: Counter[Digest] = Counter()  # holders, and those who wait to be
        self._held: Counter[Digest] = Counter()
        self._locks: weakref.WeakValueDictionary[Digest, asyncio.Lock] = weakref.WeakValueDictionary()
        self._downloads = asyncio.Semaphore(_BLOBS_AT_ONCE)
        self._chores: set[asyncio.Task[None]] = set()

    @property
    def cached_bytes(self) -> int:
        """Bytes on disk, as the limit counts them."""
        return sum(self._blobs.values()) + sum(kept.copied for kept in self._artifacts.values())

    async def open(self) -> None:
        """Read what is on disk; ``hold`` does it too. Idempotent."""
        async with self._opening:
            if not self._opened:
                kept, self._blobs = await asyncio.to_thread(_translated, self._shelf.open)
                self._artifacts.update((k.digest, k) for k in kept)
                self._opened = True

    async def hold(self, digest: Digest, seconds: float) -> ArtifactLease:
        """Return a lease on the artifact, fetching it where it is not here, waiting at most ``seconds``.

        Raises Unavailable: ``artifact_corrupt`` where its bytes are wrong or lost, ``artifact_unavailable`` where they
        cannot be had or kept now, ``loading`` where they are still coming.
        """
        await self.open()
        self._wanted[digest] += 1
        try:
            if not self._held[digest]:
                await self._wait_for_flight(digest, seconds)
            self._artifacts.move_to_end(digest)
        except BaseException:
            self._let_go(self._wanted, digest)
            raise
        self._held[digest] += 1
        return _Lease(self._shelf.tree(digest), lambda: self._release(digest))

    def _release(self, digest: Digest) -> None:
        self._let_go(self._held, digest)
        self._let_go(self._wanted, digest)

    @staticmethod
    def _let_go(counts: Counter[Digest], digest: Digest) -> None:
        counts[digest] -= 1
        if not counts[digest]:
            del counts[digest]

    async def close(self) -> None:
        """End the flights and the tidying; leases stay readable. Idempotent."""
        self._closed = True
        tasks = [flight.task for flight in self._flights.values() if flight.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, *self._chores, return_exceptions=True)

    async def _wait_for_flight(self, digest: Digest, seconds: float) -> None:
        if self._closed:
            raise Unavailable("shutting_down", "this node is shutting down; ask another one")
        until = asyncio.get_running_loop().time() + seconds
        flight = self._flights.get(digest)
        if flight is None:
            flight = self._flights[digest] = _Flight(digest, until)
            flight.task = asyncio.create_task(self._fly(flight))
            flight.task.add_done_callback(lambda task: task.cancelled() or task.exception())  # seen, even if all left
        flight.until = max(flight.until, until)
        assert flight.task is not None
        # wait() and not wait_for(): a waiter that is cancelled leaves the flight alone.
        done, _ = await asyncio.wait({flight.task}, timeout=seconds)
        if not done:
            raise flight.trouble or Unavailable("loading", "this version's artifact is still being fetched; try again")
        if flight.task.cancelled():
            raise Unavailable("shutting_down", "this node is shutting down; ask another one")
        flight.task.result()

    async def _fly(self, flight: _Flight) -> None:
        try:
            await self._obtain(flight)
        except OSError as error:
            raise _disk_trouble(error) from error
        finally:
            del self._flights[flight.digest]

    async def _obtain(self, flight: _Flight) -> None:
        digest = flight.digest
        kept = self._artifacts.get(digest)
        if kept is not None:
            if self._held[digest] or await asyncio.to_thread(self._shelf.untouched, digest):
                return
            # Somebody wrote there. Take it apart; every blob is read again before it is used again.
            manifest = kept.manifest
            flight.blobs = _distinct(manifest)
            del self._artifacts[digest]
            for blob in flight.blobs:
                self._verified.pop(blob, None)
            await asyncio.to_thread(self._shelf.discard, self._shelf.take_artifact(digest))
        else:
            manifest = await self._patiently(flight, lambda: self._source.manifest(digest))
            await asyncio.to_thread(check_manifest, digest, manifest)
            flight.blobs = _distinct(manifest)
        self._reserve(flight)
        try:
            async with asyncio.TaskGroup() as group:
                for entry in flight.blobs.values():
                    group.create_task(self._have_blob(flight, entry))
        except ExceptionGroup as troubles:
            raise troubles.exceptions[0] from troubles  # one is enough: the first ended the others
        copied = await self._patiently(flight, lambda: asyncio.to_thread(self._shelf.place, digest, manifest))
        self._artifacts[digest] = Kept(digest, manifest, copied)

    def _reserve(self, flight: _Flight) -> None:
        """Set aside the part of the limit that the missing blobs will take; evict what has to go for it."""
        total = sum(entry.size for entry in flight.blobs.values())
        if total > self._limit:
            raise Unavailable(
                "artifact_unavailable",
                f"this version has {total:,} bytes and the artifact cache of this node holds {self._limit:,}; "
                f"set HEADGATE_CACHE_BYTES to {total} or more",
                {"bytes": total, "limit": self._limit},
                retry_after=30,
            )
        flight.reserves = True
        self._chore(self._evict(self.cached_bytes + self._reserved() - self._limit))
        if self.cached_bytes + self._reserved() > self._limit:
            flight.reserves = False
            raise Unavailable(
                "artifact_unavailable",
                "the artifact cache of this node is full of versions that are in use; raise HEADGATE_CACHE_BYTES",
                {"bytes": total, "limit": self._limit},
            )

    def _reserved(self) -> int:
        """Return the bytes that flights will still add; a blob that two of them want comes once."""
        coming = [flight.blobs for flight in self._flights.values() if flight.reserves]
        wanted = {digest: entry.size for blobs in coming for digest, entry in blobs.items()}
        return sum(size for digest, size in wanted.items() if digest not in self._blobs)

    def _evict(self, excess: int) -> list[Path | None]:
        """Take things off the shelf until ``excess`` bytes are gone or nothing may go; return what is to be deleted."""
        if excess <= 0:
            return []
        # Renames, on the loop: whoever asks for one of these next must find it gone, as our books say.
        uses = self._uses()
        orphans = [digest for digest in self._blobs if not uses[digest]]
        excess -= sum(self._blobs[digest] for digest in orphans)
        gone = [self._take_blob(digest) for digest in orphans]
        for digest in list(self._artifacts):
            if excess <= 0:
                break
            if self._wanted[digest] or digest in self._flights:
                continue
            kept = self._artifacts.pop(digest)
            excess -= kept.copied
            gone += self._shelf.take_artifact(digest)
            for blob in {entry.digest for entry in kept.manifest.entries}:
                uses[blob] -= 1
                if not uses[blob] and blob in self._blobs:
                    excess -= self._blobs[blob]
                    gone.append(self._take_blob(blob))
        return gone

    def _uses(self) -> Counter[Digest]:
        """Return by how many artifacts, here or on their way, each blob is used."""
        uses: Counter[Digest] = Counter()
        for kept in self._artifacts.values():
            uses.update({entry.digest for entry in kept.manifest.entries})
        for flight in self._flights.values():
            uses.update(flight.blobs.keys())
        return uses

    def _take_blob(self, digest: Digest) -> Path | None:
        self._blobs.pop(digest, None)
        self._verified.pop(digest, None)
        return self._shelf.take_blob(digest)

    def _chore(self, gone: list[Path | None]) -> None:
        if gone:
            task = asyncio.create_task(asyncio.to_thread(self._shelf.discard, gone))
            self._chores.add(task)
            task.add_done_callback(self._chores.discard)

    async def _have_blob(self, flight: _Flight, entry: ManifestEntry) -> None:
        """See to it that a verified blob is on the shelf; two flights that share one fetch it once."""
        lock = self._locks.setdefault(entry.digest, asyncio.Lock())
        async with lock:
            async with self._downloads:
                stamp = await asyncio.to_thread(self._shelf.stamp, entry.digest)
                if stamp is None or stamp != self._verified.get(entry.digest):
                    stamp = await asyncio.to_thread(self._shelf.verify_blob, entry)
            if stamp is None:
                self._chore([self._take_blob(entry.digest)])
                stamp = await self._patiently(flight, lambda: self._fetch(entry))
            self._verified[entry.digest] = stamp
            self._blobs[entry.digest] = entry.size

    async def _fetch(self, entry: ManifestEntry) -> Stamp:
        async with self._downloads:  # not while it waits to try again: others may have more luck
            return await self._fetch_now(entry)

    async def _fetch_now(self, entry: ManifestEntry) -> Stamp:
        writer = self._shelf.write_blob(entry)
        pieces = self._source.stream(entry.digest)
        try:
            async for piece in pieces:
                await asyncio.to_thread(writer.write, piece)
            return await asyncio.to_thread(writer.keep)
        finally:
            # At once, also when cancelled: nothing half stays behind, and what was just kept is counted.
            if writer.end():
                self._blobs[entry.digest] = entry.size
            if (aclose := getattr(pieces, "aclose", None)) is not None:
                await aclose()

    async def _patiently(self, flight: _Flight, work: Callable[[], Awaitable[_T]]) -> _T:
        """Do ``work``; again while S3 fails, not for ever; once more for wrong bytes or a full disk."""
        wrong = full = False
        pause = _FIRST_PAUSE
        hopeless: float | None = None
        while True:
            try:
                result = await work()
            except Unavailable as error:
                if error.code == "artifact_corrupt":
                    if wrong:
                        raise
                    wrong = True
                    continue
                flight.trouble = error
                now = asyncio.get_running_loop().time()
                hopeless = hopeless or now + self._outage_seconds
                left = min(flight.until, hopeless) - now
                if left <= 0:
                    raise
                # Jitter: after an outage the nodes must not all come back in the same moment.
                await asyncio.sleep(min(left, pause * random.uniform(0.5, 1.5)))  # noqa: S311 -- no secret
                pause = min(2 * pause, _LONGEST_PAUSE)
            except OSError as error:
                if full or error.errno not in NO_SPACE or not await self._free_disk(flight):
                    raise _disk_trouble(error) from error
                full = True
            else:
                flight.trouble = None
                return result

    async def _free_disk(self, flight: _Flight) -> bool:
        """Evict as much as the flight still needs; False where nothing may go."""
        gone = self._evict(max(1, sum(entry.size for entry in flight.blobs.values())))
        await asyncio.to_thread(self._shelf.discard, gone)
        return bool(gone)


def _distinct(manifest: Manifest) -> dict[Digest, ManifestEntry]:
    """Return each blob once, the largest first: it takes longest."""
    return {entry.digest: entry for entry in sorted(manifest.entries, key=lambda entry: entry.size, reverse=True)}


def _translated(work: Callable[[], _T]) -> _T:
    try:
        return work()
    except OSError as error:
        raise _disk_trouble(error) from error


def _disk_trouble(error: OSError) -> Unavailable:
    if error.errno in NO_SPACE:
        return Unavailable("artifact_unavailable", "the disk of this node's artifact cache is full; free some space")
    return Unavailable(
        "artifact_unavailable",
        "the directory of this node's artifact cache cannot be read or written; it must belong to the server's user",
    )
