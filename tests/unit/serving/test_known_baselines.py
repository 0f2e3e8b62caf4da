"""Baselines on a node: fetched when rows ask, kept on disk, tried again for as long as they do, never in the way."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from registry.digest import sha256_digest
from registry.records import Digest
from serving.documents import Documents
from serving.sources.memory import MemorySealedSource
from serving.telemetry.baselines import FORGOTTEN_SECONDS, KnownBaselines
from tests.support.serving_fakes import Clock, eventually
from tests.support.watched import baseline, number

pytestmark = pytest.mark.anyio


class World:
    """A bucket and a node's disk."""

    def __init__(self, home: Path) -> None:
        self.home, self.source, self.clock = home, MemorySealedSource(), Clock()

    def node(self, most_bytes: int = 1 << 20) -> KnownBaselines:
        """Return what a process that starts knows."""
        documents = Documents(self.home, self.source, "a baseline", 1 << 20)
        return KnownBaselines(documents, most_bytes=most_bytes, clock=self.clock)

    def seal(self, *edges: float) -> Digest:
        """Seal a baseline."""
        document = baseline(number("age", *edges)).to_bytes()
        digest = sha256_digest(document)
        self.source.blobs[digest] = document
        return digest


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Give an empty one."""
    return World(tmp_path)


async def test_a_baseline_is_fetched_once_it_is_asked_for(world: World) -> None:
    """Not before, and once; until then there is none."""
    digest, node = world.seal(1.0), world.node()
    assert await node.tend() is None
    assert node.get(digest) is None
    assert node.get(digest) is None
    assert await node.tend() is None
    plan = node.get(digest)
    assert plan is not None
    assert plan.names == ("age",)
    assert world.source.streamed == {digest: 1}


async def test_a_node_that_starts_with_the_store_away_reads_its_disk(world: World) -> None:
    """What it once had needs no store."""
    digest, node = world.seal(1.0), world.node()
    node.get(digest)
    await node.tend()
    world.source.down = True
    again = world.node()
    again.get(digest)
    assert await again.tend() is None
    assert again.get(digest) is not None


async def test_a_store_that_is_away_is_asked_again_ever_more_rarely(world: World) -> None:
    """And the baseline comes when it is back."""
    digest, node = world.seal(1.0), world.node()
    world.source.down = True
    node.get(digest)
    pauses = []
    for _ in range(9):
        pause = await node.tend()
        assert pause is not None
        assert await node.tend() == pause
        pauses.append(pause)
        world.clock.now += pause
        node.get(digest)
    assert pauses == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0, 60.0]
    world.source.down = False
    assert await node.tend() is None
    assert node.get(digest) is not None


async def test_what_nobody_asks_for_any_more_is_not_sought(world: World) -> None:
    """A version without traffic costs no requests to the store."""
    node = world.node()
    world.source.down = True
    node.get(world.seal(1.0))
    assert await node.tend() is not None
    world.clock.now += FORGOTTEN_SECONDS + 1
    assert await node.tend() is None


@pytest.mark.parametrize(
    "damage", [b"{}", b"\xff", b'{"format":2,"features":[],"rows":0,"origin":"given","quality":{}}']
)
async def test_a_document_that_cannot_be_read_stops_no_other(world: World, damage: bytes) -> None:
    """A damaged one, and one of a later release, is as good as none."""
    good, node = world.seal(1.0), world.node()
    bad = sha256_digest(damage)
    world.source.blobs[bad] = damage
    wrong = sha256_digest(b"another")
    world.source.blobs[wrong] = b"not what was sealed"
    for digest in (bad, wrong, good):
        node.get(digest)
    assert await node.tend() is not None
    assert node.get(good) is not None
    assert node.get(bad) is node.get(wrong) is None


async def test_memory_is_bounded_and_what_was_asked_last_stays(world: World) -> None:
    """The one that nobody asked for longest goes, and comes back from the disk."""
    node = world.node(most_bytes=6000)
    digests = [world.seal(float(edge)) for edge in range(3)]
    for digest in digests:
        node.get(digest)
        await node.tend()
        node.get(digests[0])
    assert [node.get(digest) is not None for digest in digests] == [True, False, True]
    await node.tend()
    assert node.get(digests[1]) is not None
    assert world.source.streamed.total() == 3


async def test_a_thread_that_asks_wakes_the_loop(world: World) -> None:
    """Rows are counted beside the loop, where a baseline is missed."""
    digest, node = world.seal(1.0), world.node()
    running = asyncio.create_task(node.run())
    await asyncio.sleep(0)
    assert await asyncio.to_thread(node.get, digest) is None
    await eventually(lambda: node.get(digest) is not None)
    running.cancel()
