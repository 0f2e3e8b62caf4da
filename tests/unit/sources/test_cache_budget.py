"""Whatever is asked of the cache, in whatever order, it keeps to its limit and to what is on the disk."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from registry.errors import Unavailable
from serving.ports import ArtifactLease
from serving.sources.cache import ArtifactCache
from serving.sources.memory import MemorySealedSource

LIMIT = 1000
ARTIFACTS = [
    {"a": b"a" * 400},
    {"a": b"a" * 400, "b": b"b" * 100},
    {"c": b"c" * 300, "d/e": b"e" * 300},
    {"d": b"e" * 300, "f": b"f" * 600},
    {"g": b"g" * 1000},
    {"h": b"h" * 1001},
]
Steps = list[tuple[str, int]]


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(["hold", "keep", "both", "release", "restart"]), st.integers(0, 5)), max_size=12)
)
def test_the_limit_holds_and_leases_stay_readable(steps: Steps) -> None:
    """Bytes on disk never exceed the limit, what is held is never evicted, and a lease's files are the sealed ones."""
    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(_follow(Path(directory), steps))


async def _follow(directory: Path, steps: Steps) -> None:
    source = MemorySealedSource()
    digests = [source.put(files) for files in ARTIFACTS]
    cache = ArtifactCache(directory, LIMIT, source)
    leases: list[tuple[int, ArtifactLease]] = []
    for verb, number in steps:
        if verb in ("hold", "keep", "both"):
            asked = [number, (number + 1) % 6] if verb == "both" else [number]
            answers = await asyncio.gather(*(cache.hold(digests[n], 0.01) for n in asked), return_exceptions=True)
            for n, answer in zip(asked, answers, strict=True):
                if isinstance(answer, BaseException):
                    assert isinstance(answer, Unavailable)
                else:
                    leases.append((n, answer))
        if verb in ("hold", "release") and leases:
            leases.pop(number % len(leases))[1].release()
        if verb == "restart":
            await cache.close()
            leases.clear()
            cache = ArtifactCache(directory, LIMIT, source)
            await cache.open()
        for n, lease in leases:
            assert {p: (lease.directory / p).read_bytes() for p in ARTIFACTS[n]} == ARTIFACTS[n]
        assert cache.cached_bytes <= LIMIT
    for _, lease in leases:
        lease.release()
    await cache.close()
    assert sum(p.stat().st_size for p in (directory / "blobs").glob("*")) == cache.cached_bytes


def test_evicting_stops_as_soon_as_there_is_room(tmp_path: Path) -> None:
    """What is shared with an artifact that stays is no gain; the one held longest ago goes, and no more than needed."""

    async def story() -> None:
        source = MemorySealedSource()
        shared = b"s" * 100
        first, second, third, last = (
            source.put({"s": shared, "own": letter * 100}) for letter in (b"a", b"b", b"c", b"d")
        )
        cache = ArtifactCache(tmp_path, 400, source)
        for digest in (first, second, third, last):
            (await cache.hold(digest, 5)).release()
            assert cache.cached_bytes <= 400
        source.down = True
        for digest in (second, third, last):
            (await cache.hold(digest, 5)).release()
        with pytest.raises(Unavailable):
            await cache.hold(first, 0.1)
        await cache.close()

    asyncio.run(story())
