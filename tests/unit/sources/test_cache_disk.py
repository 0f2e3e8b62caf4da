"""The artifact cache on a disk that is really full, and across file systems: a small tmpfs of its own."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from registry.errors import Unavailable
from serving.sources.cache import ArtifactCache
from serving.sources.memory import MemorySealedSource

MIB = 1024 * 1024
NO_LIMIT = 1 << 40


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MiB; only root may make one."""
    where = tmp_path / "disk"
    where.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(where)]
    if os.geteuid() != 0 or subprocess.run(mount, stderr=subprocess.DEVNULL).returncode != 0:
        pytest.skip("only root can mount a small file system")
    try:
        yield where
    finally:
        subprocess.run(["umount", "-l", str(where)], check=True)


def test_a_full_disk_evicts_and_tries_again(small_disk: Path) -> None:
    """No space left: what nobody holds goes, and the download succeeds."""

    async def story() -> None:
        source = MemorySealedSource()
        one, two = (source.put({"f": letter * (3 * MIB)}) for letter in (b"a", b"b"))
        cache = ArtifactCache(small_disk / "cache", NO_LIMIT, source)
        (await cache.hold(one, 5)).release()
        lease = await cache.hold(two, 5)
        assert (lease.directory / "f").read_bytes() == b"b" * (3 * MIB)
        assert cache.cached_bytes == 3 * MIB

    asyncio.run(story())


def test_a_full_disk_is_unavailable_and_leaves_nothing_half(small_disk: Path) -> None:
    """No space and nothing to evict: ``artifact_unavailable``; what is held stays usable; later it works."""

    async def story() -> None:
        source = MemorySealedSource()
        one, two = (source.put({"f": letter * (3 * MIB)}) for letter in (b"a", b"b"))
        cache = ArtifactCache(small_disk / "cache", NO_LIMIT, source)
        lease = await cache.hold(one, 5)
        with pytest.raises(Unavailable, match="full") as raised:
            await cache.hold(two, 5)
        assert raised.value.code == "artifact_unavailable"
        assert list((small_disk / "cache" / "unfinished").iterdir()) == []
        assert (lease.directory / "f").read_bytes() == b"a" * (3 * MIB)
        lease.release()
        (await cache.hold(two, 5)).release()

    asyncio.run(story())
