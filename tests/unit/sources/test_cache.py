"""The artifact cache: fetched once, verified, shared, within its limit, usable with S3 down."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from registry.digest import manifest_digest, sha256_digest
from registry.errors import Unavailable
from registry.records import Digest, Manifest, ManifestEntry
from serving.sources.cache import ArtifactCache
from serving.sources.memory import MemorySealedSource

FILES = {"MLmodel": b"flavors: {}", "data/model.bin": bytes(range(256)) * 1000, "empty": b""}
SIZE = sum(map(len, FILES.values()))
LIMIT = 10_000_000
SOON = 5.0

Story = Callable[[], Awaitable[None]]


def run(story: Story) -> None:
    """Run a story in a loop of its own."""
    asyncio.run(asyncio.wait_for(story(), 20))


def contents(directory: Path) -> dict[str, bytes]:
    """Return every file below a directory."""
    return {str(p.relative_to(directory)): p.read_bytes() for p in directory.rglob("*") if p.is_file()}


def overwrite(path: Path, data: bytes) -> None:
    """Write into an existing file, as an accident would: same inode, whoever may write."""
    path.chmod(0o644)
    path.write_bytes(data)
    os.utime(path, ns=(1, 1))  # certainly another mtime than before


async def held(cache: ArtifactCache, digest: Digest) -> dict[str, bytes]:
    """Hold, read everything, release."""
    lease = await cache.hold(digest, SOON)
    found = contents(lease.directory)
    lease.release()
    return found


async def code_of(cache: ArtifactCache, digest: Digest, seconds: float = SOON) -> str:
    """Return the code of the error that a hold raises."""
    with pytest.raises(Unavailable) as raised:
        await cache.hold(digest, seconds)
    return raised.value.code


def unfinished(directory: Path) -> list[Path]:
    """Return what lies between nothing and verified."""
    return list((directory / "unfinished").iterdir())


def test_a_hold_gives_the_very_files(tmp_path: Path) -> None:
    """The model directory has the manifest's files, bit for bit, and nothing else; releasing twice is allowed."""

    async def story() -> None:
        source = MemorySealedSource()
        cache = ArtifactCache(tmp_path / "new" / "cache", LIMIT, source)
        lease = await cache.hold(source.put(FILES), SOON)
        assert contents(lease.directory) == FILES
        lease.release()
        lease.release()
        assert cache.cached_bytes == SIZE
        await cache.close()

    run(story)


def test_five_hundred_holds_are_one_download(tmp_path: Path) -> None:
    """Single flight: whoever asks while it is under way shares it."""

    async def story() -> None:
        source = MemorySealedSource()
        digest = source.put(FILES)
        cache = ArtifactCache(tmp_path, LIMIT, source)
        leases = await asyncio.gather(*(cache.hold(digest, SOON) for _ in range(500)))
        assert {lease.directory for lease in leases} == {leases[0].directory}
        assert set(source.streamed.values()) == {1}
        assert source.manifests_read[digest] == 1

    run(story)


def test_artifacts_share_blobs(tmp_path: Path) -> None:
    """A file that two artifacts hold is fetched once, counted once, and outlives the eviction of one of them."""

    async def story() -> None:
        source = MemorySealedSource()
        one, two = source.put({**FILES, "only": b"z"}), source.put({**FILES, "more": b"x"})
        cache = ArtifactCache(tmp_path, SIZE + 2, source)
        await asyncio.gather(held(cache, one), held(cache, two))
        assert set(source.streamed.values()) == {1}
        assert cache.cached_bytes == SIZE + 2

        await held(cache, two)  # so the other one goes first
        await held(cache, source.put({"o": b"y"}))
        source.down = True
        assert await held(cache, two) == {**FILES, "more": b"x"}
        assert await code_of(cache, one, 0.01) == "artifact_unavailable"

    run(story)


@pytest.mark.parametrize("damage", ["flipped", "short", "long"])
@pytest.mark.parametrize("where", [0, -1])
def test_wrong_bytes_are_never_kept(tmp_path: Path, damage: str, where: int) -> None:
    """A flipped bit, a missing end or an appended byte in S3: ``artifact_corrupt``, no file, and others go on."""

    async def story() -> None:
        source = MemorySealedSource()
        digest, good = source.put(FILES), source.put({"g": b"good"})
        blob, data = sha256_digest(FILES["data/model.bin"]), bytearray(FILES["data/model.bin"])
        if damage == "flipped":
            data[where] ^= 1
        source.blobs[blob] = bytes({"flipped": data, "short": data[:-1], "long": data + b"x"}[damage])
        cache = ArtifactCache(tmp_path, LIMIT, source)

        assert await code_of(cache, digest) == "artifact_corrupt"

        assert source.streamed[blob] == 2  # once more, in case the way here was at fault
        assert not (tmp_path / "blobs" / blob.removeprefix("sha256:")).exists()
        assert unfinished(tmp_path) == []
        assert await held(cache, good) == {"g": b"good"}
        source.blobs[blob] = FILES["data/model.bin"]
        assert await held(cache, digest) == FILES

    run(story)


def test_a_missing_file_or_manifest_is_corrupt(tmp_path: Path) -> None:
    """An object that the manifest lists and the store does not have, or the manifest itself."""

    async def story() -> None:
        source = MemorySealedSource()
        digest = source.put(FILES)
        cache = ArtifactCache(tmp_path, LIMIT, source)
        kept = source.manifests.pop(digest)
        assert await code_of(cache, digest) == "artifact_corrupt"
        source.manifests[digest] = kept.replace(b"MLmodel", b"MLmodeL")
        assert await code_of(cache, digest) == "artifact_corrupt"
        source.manifests[digest] = kept
        del source.blobs[sha256_digest(FILES["MLmodel"])]
        assert await code_of(cache, digest) == "artifact_corrupt"

    run(story)


def test_a_broken_connection_is_tried_again(tmp_path: Path) -> None:
    """Streams that break off in the middle are begun again while there is time, and leave nothing half."""

    async def story() -> None:
        source = MemorySealedSource(piece=1000)
        digest = source.put(FILES)
        source.failures = 2
        cache = ArtifactCache(tmp_path, LIMIT, source)
        assert await held(cache, digest) == FILES
        assert unfinished(tmp_path) == []

    run(story)


def test_an_unreachable_store_is_unavailable_in_time(tmp_path: Path) -> None:
    """Nothing cached and S3 down: ``artifact_unavailable`` once the caller's time is over, and fine when it is back."""

    async def story() -> None:
        source = MemorySealedSource()
        digest = source.put(FILES)
        source.down = True
        cache = ArtifactCache(tmp_path, LIMIT, source)
        assert await code_of(cache, digest, 0.02) == "artifact_unavailable"
        source.down = False
        assert await held(cache, digest) == FILES

    run(story)


def test_a_store_that_stays_away_is_told_long_before_the_callers_time_is_over(tmp_path: Path) -> None:
    """Whoever has an hour is not kept for an hour: an outage that lasts is an answer."""

    async def story() -> None:
        source = MemorySealedSource()
        digest = source.put(FILES)
        source.down = True
        cache = ArtifactCache(tmp_path, LIMIT, source, outage_seconds=0.02)
        assert await code_of(cache, digest, 3600) == "artifact_unavailable"
        source.down = False
        assert await held(cache, digest) == FILES

    run(story)


def test_a_waiter_that_leaves_hurts_nobody(tmp_path: Path) -> None:
    """Cancelling one waiter, or all, lets the download go on; the next hold finds it done."""

    async def story() -> None:
        source = MemorySealedSource()
        source.gate = asyncio.Event()
        digest = source.put(FILES)
        cache = ArtifactCache(tmp_path, LIMIT, source)
        waiters = [asyncio.create_task(cache.hold(digest, SOON)) for _ in range(3)]
        while not source.streamed:
            await asyncio.sleep(0)
        waiters[0].cancel()
        assert await code_of(cache, digest, 0) == "loading"
        source.gate.set()
        assert contents((await waiters[1]).directory) == FILES
        assert contents((await waiters[2]).directory) == FILES
        assert set(source.streamed.values()) == {1}

    run(story)


def test_a_flight_goes_on_when_all_have_left(tmp_path: Path) -> None:
    """The last waiter's cancellation does not throw away what has come."""

    async def story() -> None:
        source = MemorySealedSource()
        source.gate = asyncio.Event()
        digest = source.put(FILES)
        cache = ArtifactCache(tmp_path, LIMIT, source)
        waiter = asyncio.create_task(cache.hold(digest, SOON))
        while not source.streamed:
            await asyncio.sleep(0)
        waiter.cancel()
        await asyncio.wait({waiter})
        source.gate.set()
        assert await held(cache, digest) == FILES
        assert set(source.streamed.values()) == {1}

    run(story)


def test_the_longest_unheld_goes_first(tmp_path: Path) -> None:
    """Past the limit the artifact whose last hold is oldest is evicted; one that is held never is."""

    async def story() -> None:
        source = MemorySealedSource()
        a, b, c, d = (source.put({"f": name * 100}) for name in (b"a", b"b", b"c", b"d"))
        cache = ArtifactCache(tmp_path, 300, source)
        lease = await cache.hold(a, SOON)
        for digest in (b, c, b):
            await held(cache, digest)
        await held(cache, d)
        assert cache.cached_bytes == 300
        source.down = True
        assert contents(lease.directory) == {"f": b"a" * 100}
        assert await held(cache, b) == {"f": b"b" * 100}
        assert await code_of(cache, c, 0.01) == "artifact_unavailable"

    run(story)


def test_the_order_of_eviction_survives_a_restart(tmp_path: Path) -> None:
    """Which one was held last is known from the disk."""

    async def story() -> None:
        source = MemorySealedSource()
        a, b, c = (source.put({"f": name * 100}) for name in (b"a", b"b", b"c"))
        cache = ArtifactCache(tmp_path, 200, source)
        for age, digest in ((20, b), (10, a)):
            await held(cache, digest)
            record = tmp_path / "records" / digest.removeprefix("sha256:")
            os.utime(record, (1_000_000 - age, 1_000_000 - age))
        cache = ArtifactCache(tmp_path, 200, source)
        await held(cache, c)
        source.down = True
        assert await code_of(cache, b, 0.01) == "artifact_unavailable"
        assert await held(cache, a) == {"f": b"a" * 100}

    run(story)


def test_too_large_says_what_would_be_right(tmp_path: Path) -> None:
    """An artifact beyond the limit, or a cache full of held ones, is refused with the setting to change."""

    async def story() -> None:
        source = MemorySealedSource()
        large, a, b = (source.put({"f": data}) for data in (b"x" * 301, b"a" * 200, b"b" * 200))
        cache = ArtifactCache(tmp_path, 300, source)
        with pytest.raises(Unavailable, match="HEADGATE_CACHE_BYTES to 301") as raised:
            await cache.hold(large, SOON)
        assert raised.value.code == "artifact_unavailable"
        lease = await cache.hold(a, SOON)
        with pytest.raises(Unavailable, match="in use"):
            await cache.hold(b, SOON)
        lease.release()
        assert await held(cache, b) == {"f": b"b" * 200}
        assert unfinished(tmp_path) == []

    run(story)


def test_a_restart_needs_no_store(tmp_path: Path) -> None:
    """What is cached is usable with S3 down, manifest included; rubbish of a crash is gone."""

    async def story() -> None:
        source = MemorySealedSource()
        digest = source.put(FILES)
        await held(ArtifactCache(tmp_path, LIMIT, source), digest)
        (tmp_path / "unfinished" / "7").write_bytes(b"half")
        (tmp_path / "blobs" / "stranger").write_bytes(b"?")
        (tmp_path / "artifacts" / ("0" * 64)).mkdir()
        source.down = True

        cache = ArtifactCache(tmp_path, LIMIT, source)
        assert await held(cache, digest) == FILES

        assert cache.cached_bytes == SIZE
        assert unfinished(tmp_path) == []
        assert [p.name for p in (tmp_path / "artifacts").iterdir()] == [digest.removeprefix("sha256:")]

    run(story)


@pytest.mark.parametrize("restart", [True, False])
@pytest.mark.parametrize("damage", ["flipped", "cut", "deleted", "symlink"])
def test_a_damaged_local_file_is_fetched_again(tmp_path: Path, damage: str, restart: bool) -> None:
    """A bad disk, a loader that writes, a user who deletes: the next hold has the right bytes again."""

    async def story() -> None:
        source = MemorySealedSource()
        digest = source.put(FILES)
        cache = ArtifactCache(tmp_path, LIMIT, source)
        lease = await cache.hold(digest, SOON)
        path, data = lease.directory / "data/model.bin", FILES["data/model.bin"]
        lease.release()
        if damage == "flipped":
            overwrite(path, bytes([data[0] ^ 1]) + data[1:])
        elif damage == "cut":
            overwrite(path, data[:-1])
        else:
            path.unlink()
        if damage == "symlink":
            path.symlink_to("/etc/hostname")

        assert await held(ArtifactCache(tmp_path, LIMIT, source) if restart else cache, digest) == FILES

    run(story)


def test_an_extra_file_is_removed_without_a_download(tmp_path: Path) -> None:
    """What a loader left in the directory is not part of the artifact; intact blobs are not fetched again."""

    async def story() -> None:
        source = MemorySealedSource()
        digest = source.put(FILES)
        cache = ArtifactCache(tmp_path, LIMIT, source)
        lease = await cache.hold(digest, SOON)
        (lease.directory / "__pycache__").mkdir()
        (lease.directory / "__pycache__" / "x.pyc").write_bytes(b"x")
        lease.release()
        source.down = True
        assert await held(cache, digest) == FILES

    run(story)


def test_a_corrupt_blob_is_not_shared(tmp_path: Path) -> None:
    """A blob that was written to since it was verified is not linked into another artifact."""

    async def story() -> None:
        source = MemorySealedSource()
        one, two = source.put(FILES), source.put({**FILES, "more": b"x"})
        cache = ArtifactCache(tmp_path, LIMIT, source)
        lease = await cache.hold(one, SOON)
        overwrite(lease.directory / "MLmodel", b"flavors: []")
        assert await held(cache, two) == {**FILES, "more": b"x"}
        lease.release()
        assert await held(cache, one) == FILES

    run(story)


def test_a_damaged_cached_manifest_or_record_is_replaced(tmp_path: Path) -> None:
    """Neither is believed; the verified blobs are used again."""

    async def story() -> None:
        source = MemorySealedSource()
        digest = source.put(FILES)
        for name in ("manifests", "records"):
            await held(ArtifactCache(tmp_path, LIMIT, source), digest)
            (tmp_path / name / digest.removeprefix("sha256:")).write_bytes(b"{}")
            assert await held(ArtifactCache(tmp_path, LIMIT, source), digest) == FILES
        assert set(source.streamed.values()) == {1}

    run(story)


OUTSIDE = Manifest((ManifestEntry("../../escaped", 1, sha256_digest(b"x")),))


class LyingSource:
    """A source whose manifest nobody checked."""

    async def manifest(self, digest: Digest) -> Manifest:
        """Return a manifest that points outside."""
        return OUTSIDE

    async def stream(self, digest: Digest) -> AsyncIterator[bytes]:
        """Yield its byte."""
        yield b"x"


def test_no_path_leaves_the_directory(tmp_path: Path) -> None:
    """Whatever a source says, nothing is written outside the model directory."""

    async def story() -> None:
        cache = ArtifactCache(tmp_path / "deep" / "cache", LIMIT, LyingSource())
        for digest in (manifest_digest(OUTSIDE), sha256_digest(b"any")):
            assert await code_of(cache, digest) == "artifact_corrupt"
        assert not list(tmp_path.rglob("escaped*"))

    run(story)


def test_an_unusable_directory_is_said(tmp_path: Path) -> None:
    """A cache directory that is a file raises ours, not an OSError."""

    async def story() -> None:
        (tmp_path / "cache").write_bytes(b"")
        source = MemorySealedSource()
        assert (
            await code_of(ArtifactCache(tmp_path / "cache", LIMIT, source), source.put(FILES)) == "artifact_unavailable"
        )

    run(story)


def test_closing_ends_what_is_under_way(tmp_path: Path) -> None:
    """A closed cache lets waiters go with ``shutting_down`` and leaves nothing half."""

    async def story() -> None:
        source = MemorySealedSource()
        source.gate = asyncio.Event()
        digest = source.put(FILES)
        cache = ArtifactCache(tmp_path, LIMIT, source)
        waiter = asyncio.create_task(code_of(cache, digest))
        while not source.streamed:
            await asyncio.sleep(0)
        await cache.close()
        assert await waiter == "shutting_down"
        assert await code_of(cache, digest) == "shutting_down"
        assert unfinished(tmp_path) == []

    run(story)


class PartlyDown(MemorySealedSource):
    """A source that has lost some of its files for now."""

    def __init__(self) -> None:
        super().__init__()
        self.lost: set[Digest] = set()

    async def stream(self, digest: Digest) -> AsyncIterator[bytes]:
        """Yield the bytes of a sealed file, unless it is among those that are lost."""
        if digest in self.lost:
            raise Unavailable("artifact_unavailable", "the object store cannot be reached; try again")
        async for piece in super().stream(digest):
            yield piece


def test_files_that_cannot_be_had_do_not_hold_up_others(tmp_path: Path) -> None:
    """While many downloads wait to be tried again, another version is fetched at once."""

    async def story() -> None:
        source = PartlyDown()
        stuck = source.put({str(n): b"%d" % n for n in range(8)})
        source.lost = set(source.blobs)
        other = source.put(FILES)
        cache = ArtifactCache(tmp_path, LIMIT, source, outage_seconds=60)
        waiter = asyncio.create_task(code_of(cache, stuck))
        while not source.manifests_read[stuck]:
            await asyncio.sleep(0)
        assert await asyncio.wait_for(held(cache, other), 2) == FILES
        await cache.close()
        await waiter

    run(story)
