"""The reporter: what a report says, and that each count reaches the registry exactly once."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import pytest

from registry.errors import Unavailable
from registry.records import ModelName, VersionNumber
from registry.reports import HeldPlan, LoadedVersion
from registry.snapshots import SnapshotPage
from registry.windows import ArmWindow, ShadowCounts, ShadowWindow
from serving.pool.limits import PoolLimits
from serving.pool.pool import Pool
from serving.pool.standing import Standing
from serving.pool.state import State
from serving.pool.warming import Warming
from serving.reporter import Beside, Reporter
from serving.routing.table import Routes
from serving.shadows.counting import MOST_TAKEN as FEW
from serving.shadows.counting import ShadowWindows, Taken
from serving.telemetry.finished import Finished
from serving.telemetry.windows import MOST_TAKEN, ArmWindows
from tests.support.reports import HandSink, Mood
from tests.support.serving_fakes import (
    Clock,
    FakeCache,
    FakeRuntime,
    FakeWatcher,
    eventually,
    servable,
    settle,
    snapshot,
)

pytestmark = pytest.mark.anyio
SHADOW = ShadowWindow(ModelName("m"), 5, VersionNumber("3"), 1_000_000, ShadowCounts({"compared": 1}, 1))
V = {n: servable(n, f"m {n}") for n in ("1", "2")}


class Held(ArmWindows):
    """Windows whose handing over, beside the loop, may be held up."""

    meanwhile: Callable[[], object] | None = None

    def take(self) -> tuple[ArmWindow, ...]:
        """Hand over, after what is to happen meanwhile."""
        if self.meanwhile is not None:
            self.meanwhile()
        return super().take()


class World:
    """A node's tables, pool and windows, with a reporter that is driven by hand."""

    def __init__(self, *moods: Mood) -> None:
        self.sink, self.runtime, self.clock = HandSink(*moods), FakeRuntime(), Clock()
        limits = PoolLimits(60, 1 << 40, patience_seconds=0)
        self.pool = Pool(FakeCache(), self.runtime, FakeWatcher(), limits=limits, clock=self.clock)
        self.routes = Routes()
        self.warming = Warming(self.routes, self.pool, changed=lambda: None, load_seconds=60, clock=self.clock)
        self.lost: list[tuple[str, int]] = []
        self.windows = Held(1, clock=self.clock)
        self.shadows = ShadowWindows(1, self.clock)
        self.standing = Standing("n:1", self.routes, self.pool, self.warming)
        self.reporter = Reporter(
            self.standing,
            self.windows,
            self.sink,
            seconds=10,
            beside=Beside(shadows=self),
            lost=lambda reason, requests: self.lost.append((reason, requests)),
        )

    @property
    def windows_waiting(self) -> int:
        """How many windows of shadows wait."""
        return self.shadows.waiting

    def take(self) -> tuple[Taken, ...]:
        """Hand over windows of shadows."""
        return self.shadows.take()

    def compare(self, windows: int = 1) -> None:
        """Let a copy be compared in each of some windows."""
        for _ in range(windows):
            self.shadows.of(ModelName("m"), 5, VersionNumber("3")).asked("compared", None, None)
            self.clock.now += 1

    def observe(self, count: int = 1) -> None:
        """Let some requests finish."""
        for _ in range(count):
            self.windows.observe(Finished("m", "2", "canary", code="model_error", revision=5, watched=True))

    async def learn(self, stable: str, revision: int) -> None:
        """Hear of a plan."""
        model = snapshot("m", V, stable, revision=revision)
        self.routes.swap(self.routes.learnt.merged(SnapshotPage(revision, full=False, models=(model,))))
        self.warming.learn(self.routes.learnt)
        self.warming.tend()
        await settle()

    async def send(self) -> None:
        """Send as often as it takes."""
        for _ in range(20):
            try:
                return await self.reporter.send()
            except Unavailable:
                self.observe()
        raise AssertionError("the reporter does not get through")


async def test_a_report_says_where_the_node_stands() -> None:
    """The snapshot learnt, plans that wait and for what, versions that are not cold."""
    world = World()
    await world.learn("1", 3)
    await world.pool.lease(ModelName("m"), V["1"], 5)
    world.runtime.gates[V["2"].digest] = asyncio.Event()
    await world.learn("2", 4)
    await world.reporter.send()
    (report,) = world.sink.book.reports
    assert (report.node, report.sequence, report.revision) == ("n:1", 1, 4)
    assert len(bytes.fromhex(report.boot)) == 16
    assert report.held == (HeldPlan(ModelName("m"), 3, (VersionNumber("2"),)),)
    assert report.versions == (
        LoadedVersion(ModelName("m"), VersionNumber("1"), "ready", 1_000_000),
        LoadedVersion(ModelName("m"), VersionNumber("2"), "loading", 0),
    )
    world.runtime.gates[V["2"].digest].set()
    await settle()
    world.warming.tend()
    await world.reporter.send()
    assert world.sink.book.reports[-1].held == ()
    await world.pool.close()


async def test_the_newest_plans_copy_of_a_version_is_the_one_that_shows() -> None:
    """Where a plan gives a version other processes, it is not ready before those are."""
    world = World()
    await world.learn("1", 1)
    await world.pool.lease(ModelName("m"), V["1"], 5)
    twice = servable("1", "m 1", instances=2)
    world.runtime.gates[twice.digest] = asyncio.Event()
    model = snapshot("m", {"1": twice}, "1", revision=2)
    world.routes.swap(world.routes.learnt.merged(SnapshotPage(2, full=False, models=(model,))))
    loading = asyncio.create_task(world.pool.lease(ModelName("m"), twice, 5))
    await settle()
    assert [v.state for v in world.standing.now().versions] == [State.LOADING]
    world.runtime.gates[twice.digest].set()
    await loading
    await world.pool.close()


async def test_counts_are_handed_over_once() -> None:
    """What one report has carried the next has not; shadows go with it."""
    world = World()
    world.observe(3)
    world.compare()
    await world.reporter.send()
    await world.reporter.send()
    first, second = world.sink.book.reports
    assert (first.sequence, first.arms[0].counts.requests, first.shadows) == (1, 3, (SHADOW,))
    assert (second.sequence, second.arms, second.shadows) == (2, (), ())


@pytest.mark.parametrize("mood", ["unheard", "unanswered", "error"])
async def test_a_report_without_an_answer_is_sent_again_as_it_was(mood: Mood) -> None:
    """Byte for byte under its number, while what was counted meanwhile waits for the next."""
    world = World(mood, mood)
    world.observe(2)
    await world.send()
    await world.send()
    book = world.sink.book
    assert [r.sequence for r in book.reports] == [1, 2]
    assert len(set(book.bodies)) == 2
    assert [r.arms[0].counts.requests for r in book.reports] == [2, 2]
    assert world.lost == []


async def test_a_report_that_is_refused_for_good_is_dropped_and_counted() -> None:
    """The next one has the next number, and the counts of the refused one are said to be lost."""
    world = World("damaged")
    world.observe(2)
    await world.reporter.send()
    world.observe(1)
    await world.reporter.send()
    assert [(r.sequence, r.arms[0].counts.requests) for r in world.sink.book.reports] == [(2, 1)]
    assert world.lost == [("refused", 2)]


async def test_the_last_counts_are_handed_over_at_the_end() -> None:
    """However many windows there are, and whatever was under way."""
    world = World("unanswered")
    world.observe(2)
    with pytest.raises(Unavailable):
        await world.reporter.send()
    for _ in range(2 * MOST_TAKEN):
        world.clock.now += 1
        world.observe()
    await world.reporter.close()
    assert world.sink.book.requests == 2 + 2 * MOST_TAKEN
    assert not world.windows.waiting


async def test_windows_of_shadows_go_a_few_at_a_time() -> None:
    """A report has the oldest, the next one follows at once, and the end leaves none."""
    world = World()
    world.compare(2 * FEW + 3)
    running = asyncio.create_task(world.reporter.run())
    await eventually(lambda: len(world.sink.book.reports) == 3)
    assert [len(report.shadows) for report in world.sink.book.reports] == [FEW, FEW, 3]
    running.cancel()
    await asyncio.wait([running])
    world.compare(FEW + 1)
    await world.reporter.close()
    assert sum(len(report.shadows) for report in world.sink.book.reports) == 3 * FEW + 4
    assert not world.shadows.waiting


async def test_copies_in_a_report_that_is_refused_are_lost_counts_too() -> None:
    """As requests are."""
    world = World("damaged")
    world.compare(2)
    world.observe(1)
    await world.reporter.send()
    assert world.lost == [("refused", 3)]


async def test_windows_of_shadows_are_counted_to_the_end_beside_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """That takes milliseconds, in which the loop answers."""
    threads: list[threading.Thread] = []
    world = World()
    whole = Taken.window

    def window(taken: Taken) -> ShadowWindow:
        threads.append(threading.current_thread())
        return whole(taken)

    monkeypatch.setattr(Taken, "window", window)
    world.compare()
    await world.reporter.send()
    assert len(threads) == 1
    assert threads[0] is not threading.main_thread()


async def test_an_end_without_the_registry_is_quick() -> None:
    """One try, and no word about it but a line in the log."""
    world = World("unheard")
    world.observe()
    await asyncio.wait_for(world.reporter.close(), 0.5)
    assert world.sink.book.reports == []


async def test_a_report_in_the_making_is_not_lost_with_the_one_who_made_it() -> None:
    """A task that is cancelled while windows are taken leaves them to the last report."""
    world = World()
    go, begun = threading.Event(), threading.Event()

    def wait() -> None:
        begun.set()
        go.wait(5)

    world.windows.meanwhile = wait
    world.observe(4)
    sending = asyncio.create_task(world.reporter.send())
    await asyncio.to_thread(begun.wait, 5)
    sending.cancel()
    await asyncio.wait([sending])
    go.set()
    await world.reporter.close()
    assert world.sink.book.requests == 4
    assert [r.sequence for r in world.sink.book.reports] == [1, 2]


async def test_a_report_that_was_made_in_the_moment_of_the_end_is_not_lost() -> None:
    """Whoever made it may be cancelled before it hears that it is done."""
    for turns in range(6):
        world = World()
        world.observe(4)
        sending = asyncio.create_task(world.reporter.send())
        made = threading.Event()
        world.windows.meanwhile = made.set
        await asyncio.sleep(0)
        made.wait(5)
        for _ in range(turns):
            await asyncio.sleep(0)
        sending.cancel()
        await asyncio.wait([sending])
        world.windows.meanwhile = None
        await world.reporter.close()
        assert world.sink.book.requests == 4


async def test_a_pool_says_every_move() -> None:
    """Loading, ready, draining and gone are each told to all who listen."""
    world = World()
    states: list[list[str]] = []
    heard: list[int] = []
    world.pool.when_changed(lambda: states.append([v.state for v in world.standing.now().versions]))
    world.pool.when_changed(lambda: heard.append(1))
    lease = await world.pool.lease(ModelName("m"), V["1"], 5)
    lease.release()
    world.pool.unload(V["1"])
    await settle()
    assert states == [["loading"], ["ready"], ["draining"], []]
    assert len(heard) == 4
