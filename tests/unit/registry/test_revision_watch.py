"""Waiting for the snapshot's revision: who is let go, and when."""

from __future__ import annotations

import asyncio

import pytest

from registry.errors import HeadgateError, Internal
from registry.http.snapshot import RevisionWatch
from registry.records import ModelName
from registry.snapshots import SnapshotPage


class Still:
    """Snapshots of a registry in which nothing changes; counts how often it was looked at."""

    def __init__(self) -> None:
        self.looks = 0

    def revision(self) -> int:
        """Return the revision, always the same."""
        self.looks += 1
        return 7

    def changed(self, model: ModelName) -> int:
        """Return the same revision for every model."""
        return 7

    def page(self, since: int) -> SnapshotPage:
        """Return nothing new."""
        return SnapshotPage(7, full=False, models=())


def test_a_registry_that_leaves_lets_the_nodes_that_wait_go() -> None:
    """A stop must not last as long as a long poll: those who wait are answered at once, and so are new ones."""

    async def story() -> None:
        watch = RevisionWatch(Still())
        waiting = [asyncio.create_task(watch.wait_past(7, 3600)) for _ in range(3)]
        await asyncio.sleep(0)
        watch.leave()
        await asyncio.wait_for(asyncio.gather(*waiting), 10)
        await asyncio.wait_for(watch.wait_past(7, 3600), 10)
        await watch.close()

    asyncio.run(story())


def test_a_node_that_is_behind_does_not_wait() -> None:
    """Another revision than the one the node has is told at once, without a poll."""

    async def story() -> int:
        snapshots = Still()
        await asyncio.wait_for(RevisionWatch(snapshots).wait_past(6, 3600), 10)
        return snapshots.looks

    assert asyncio.run(story()) == 1


@pytest.mark.parametrize("fault", [Internal("internal", "refused"), ZeroDivisionError()])
def test_a_poll_that_fails_is_told_to_those_who_wait(fault: Exception) -> None:
    """Whatever the database raises, nobody waits on a poll that has ended; the next who asks begins another."""

    class Failing(Still):
        def revision(self) -> int:
            if super().revision() and self.looks == 2:
                raise fault
            return 7

    async def story() -> None:
        watch = RevisionWatch(Failing())
        with pytest.raises(HeadgateError):
            await asyncio.wait_for(watch.wait_past(7, 3600), 10)
        await asyncio.wait_for(watch.wait_past(7, 0.01), 10)
        await watch.close()

    asyncio.run(story())
