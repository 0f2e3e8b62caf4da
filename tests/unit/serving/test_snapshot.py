"""Following the registry: merging, starting from disk, living through its absence and its resets."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from registry.errors import Unavailable
from registry.snapshots import SnapshotPage
from serving.routing.table import Routes, Table
from serving.sources.snapshot import QUICK_VERSIONS, SnapshotFile, SnapshotFollower
from tests.support.serving_fakes import Clock, FakeRegistry, eventually, settle, snapshot

pytestmark = pytest.mark.anyio


class World:
    """A follower and what it stands on."""

    def __init__(self, path: Path, *models: object) -> None:
        self.registry = FakeRegistry(*models)  # type: ignore[arg-type]  # snapshots
        self.file, self.routes, self.clock = SnapshotFile(path / "state" / "snapshot"), Routes(), Clock()
        self.seen: list[Table] = []
        self.follower = SnapshotFollower(
            self.registry, self.file, self.routes, changed=self.seen.append, clock=self.clock
        )

    @property
    def names(self) -> list[str]:
        """Names in the table in force."""
        return sorted(self.routes.table.models)


async def test_the_first_page_is_everything_and_is_kept(tmp_path: Path) -> None:
    """A node asks for everything first, puts it in force and on disk."""
    world = World(tmp_path, snapshot("a"), snapshot("b"))
    await world.follower.follow_once()
    world.follower.save()
    assert world.names == ["a", "b"]
    assert world.registry.asked == [0]
    kept = world.file.load()
    assert kept is not None
    assert kept[0].revision == 2


async def test_a_change_is_in_force_as_soon_as_the_registry_tells(tmp_path: Path) -> None:
    """The long poll ends with the change, which replaces the model's plan whole."""
    world = World(tmp_path, snapshot("a", stable="1"))
    await world.follower.follow_once()
    polling = asyncio.create_task(world.follower.follow_once())
    await settle()
    world.registry.put(snapshot("a", stable="2", revision=2))
    await polling
    plan = world.routes.table.models["a"].plan
    assert plan is not None
    assert plan.stable == "2"
    assert len(world.seen) == 2


async def test_a_model_that_is_gone_goes(tmp_path: Path) -> None:
    """Removed names leave the table."""
    world = World(tmp_path, snapshot("a"), snapshot("b"))
    await world.follower.follow_once()
    world.registry.remove("a")
    await world.follower.follow_once()
    assert world.names == ["b"]


async def test_a_node_starts_from_the_disk_while_the_registry_is_down(tmp_path: Path) -> None:
    """The copy on disk is in force at once, and its age is known."""
    before = World(tmp_path, snapshot("a"))
    await before.follower.follow_once()
    before.follower.save()
    after = World(tmp_path)
    after.registry.down = True
    assert after.follower.start_from_file()
    assert after.names == ["a"]
    with pytest.raises(Unavailable):
        await after.follower.follow_once()
    assert after.names == ["a"]
    assert after.follower.age is not None


async def test_age_grows_until_the_registry_confirms_again(tmp_path: Path) -> None:
    """Age counts from the last answer, changed or not; there is none before the first."""
    world = World(tmp_path, snapshot("a"))
    assert world.follower.age is None
    await world.follower.follow_once()
    world.clock.now += 40
    assert world.follower.age == 40


@pytest.mark.parametrize("damage", [b"", b"{}", b"00\n{}", b"\xff\xfe"])
async def test_a_damaged_copy_is_ignored(tmp_path: Path, damage: bytes) -> None:
    """What cannot be verified is as good as absent."""
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "snapshot").write_bytes(damage)
    assert not World(tmp_path).follower.start_from_file()


async def test_one_changed_byte_on_disk_is_noticed(tmp_path: Path) -> None:
    """The copy carries its own digest."""
    world = World(tmp_path, snapshot("a"))
    await world.follower.follow_once()
    world.follower.save()
    path = tmp_path / "state" / "snapshot"
    path.write_bytes(path.read_bytes().replace(b'"a"', b'"b"'))
    assert world.file.load() is None


async def test_a_registry_that_knows_less_was_reset_and_is_asked_for_everything(tmp_path: Path) -> None:
    """A page that is not full and of a lower revision is not merged; the next question is for everything."""
    world = World(tmp_path, *(snapshot(n) for n in "abc"))
    await world.follower.follow_once()

    async def lower(since: int, seconds: float) -> SnapshotPage:
        return SnapshotPage(1, full=False, models=())

    honest, world.registry.wait = world.registry.wait, lower  # type: ignore[method-assign]  # the situation drawn
    await world.follower.follow_once()
    world.registry.wait = honest  # type: ignore[method-assign]  # and undone
    world.registry.reset(snapshot("z"))
    await world.follower.follow_once()
    assert world.names == ["z"]
    assert world.registry.asked[-1] == 0


async def test_a_full_page_of_a_lower_revision_replaces_everything(tmp_path: Path) -> None:
    """A restored registry is the truth."""
    world = World(tmp_path, *(snapshot(n) for n in "abc"))
    await world.follower.follow_once()
    world.registry.reset(snapshot("z"))
    await world.follower.follow_once()
    assert world.names == ["z"]


async def test_after_a_failure_everything_is_asked_for(tmp_path: Path) -> None:
    """The registry may have been restored meanwhile, with the same revisions for other changes."""
    world = World(tmp_path, snapshot("a"))
    await world.follower.follow_once()
    world.registry.down = True
    following = asyncio.create_task(world.follower.run())
    await settle()
    world.registry.down = False
    await eventually(lambda: len(world.registry.asked) >= 3)
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)
    assert world.registry.asked[:3] == [0, 1, 0]


async def test_a_disk_that_is_full_costs_nothing_but_the_copy(tmp_path: Path) -> None:
    """A snapshot that cannot be kept is in force all the same."""
    (tmp_path / "state").write_text("a file where a directory should be")
    world = World(tmp_path, snapshot("a"))
    await world.follower.follow_once()
    world.follower.save()
    assert world.names == ["a"]


async def test_a_disk_that_is_slow_does_not_hold_up_a_change(tmp_path: Path) -> None:
    """While one snapshot is being kept, the next one is already in force; the newest is on disk at the end."""
    world = World(tmp_path, snapshot("a", stable="1"))
    disk, save = threading.Event(), world.file.save

    def slowly(page: SnapshotPage) -> None:
        disk.wait(5)
        save(page)

    world.file.save = slowly  # type: ignore[method-assign]  # the situation drawn
    following = asyncio.create_task(world.follower.run())
    await eventually(lambda: world.names == ["a"])
    world.registry.put(snapshot("b"))
    await eventually(lambda: world.names == ["a", "b"])
    assert world.file.load() is None
    disk.set()
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)
    kept = world.file.load()
    assert kept is not None
    assert kept[0].revision == 2


async def test_a_large_page_is_in_force_like_a_small_one_and_only_once(tmp_path: Path) -> None:
    """What is merged beside the event loop takes effect; the same page again changes nothing."""
    world = World(tmp_path, *(snapshot(f"m{n}") for n in range(QUICK_VERSIONS)))
    await world.follower.follow_once()
    assert len(world.names) == QUICK_VERSIONS
    first = world.routes.table
    again = World(tmp_path, *(snapshot(f"m{n}") for n in range(QUICK_VERSIONS)))
    world.follower.save()
    assert again.follower.start_from_file()
    await again.follower.follow_once()
    assert again.routes.table == first
    assert len(again.seen) == 1
