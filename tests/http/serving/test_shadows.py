"""A node with real hosts whose shadows misbehave in every way: callers get the primary's answers, all of them."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from registry.plans import Plan, Shadow
from registry.records import ModelName, VersionNumber
from registry.reports import NodeReport
from registry.snapshots import ModelSnapshot, ServableVersion, as_planned
from registry.windows import ShadowCounts, ShadowWindow
from serving.bootstrap import Node
from serving.parts import Parts
from serving.pool.state import State
from serving.runtimes.choice import ChosenRuntime
from serving.runtimes.environments import Environments
from serving.runtimes.host.runtime import HostRuntime
from serving.runtimes.host.version import HostedVersion
from serving.runtimes.inline.runtime import InlineRuntime
from serving.settings import load_settings
from serving.sources.cache import ArtifactCache
from serving.sources.memory import MemorySealedSource
from serving.sources.reports import NoReports
from tests.support.models import SavedModels, saved_models
from tests.support.onnx_models import SavedGraphs, saved_graphs
from tests.support.serving_fakes import FakeRegistry, eventually

__all__ = ["saved_graphs", "saved_models"]
pytestmark = pytest.mark.integration

ONE, TWO = VersionNumber("1"), VersionNumber("2")
KINDS = ("echo", "failing", "endless", "exiting", "leaving", "nan", "frame", "strange", "slow")
REQUESTS = 12
SECONDS = 5
STARVED = {"timeout", "not_loaded", "dropped"}
"""What becomes of copies on a machine that has no time left for them."""
ROWS = {"dataframe_split": {"columns": ["a", "b"], "data": [[1.5, 2.0], [0.25, 4.0]]}}


class Heard(NoReports):
    """Keeps what the node reports of shadows: each change on the node may be followed by a report."""

    def __init__(self) -> None:
        self.windows: list[ShadowWindow] = []

    async def send(self, body: bytes, sequence: int) -> bool:
        """Take a report."""
        self.windows += NodeReport.from_json(json.loads(body)).shadows
        return True


class World:
    """A node on a loop of its own: models named after the shadow of each; the primary sums rows."""

    def __init__(self, runner: asyncio.Runner, home: Path, models: SavedModels, graphs: SavedGraphs) -> None:
        self._runner, self._sealed = runner, MemorySealedSource()
        primary = self._put(models.get("sum").directory, models.get("sum").version)
        shadows = {kind: self._put(models.get(kind).directory, models.get(kind).version) for kind in KINDS}
        shadows["same"] = replace(primary, background=True)
        graph = graphs.get("dense", "unsigned")
        shadows["graph"] = replace(self._put(graph.directory, graph.version), runtime="inline")
        settings = load_settings(
            {"HEADGATE_HOME": str(home), "HEADGATE_REQUEST_SECONDS": str(SECONDS), "HEADGATE_GRPC_PORT": "0"}
        )
        hosts = HostRuntime(Environments(home), home / "hosts")
        runtime = ChosenRuntime(hosts, InlineRuntime(home / "inline"))
        registry = FakeRegistry(*(_model(kind, primary, shadow) for kind, shadow in shadows.items()))
        cache = ArtifactCache(home / "artifacts", settings.cache_bytes, self._sealed)
        self._heard = Heard()
        self.node = Node(settings, Parts(registry, cache, runtime, reports=self._heard))
        self._seen: dict[str, ShadowCounts] = {}

    def _put(self, directory: Path, version: ServableVersion) -> ServableVersion:
        files = {str(f.relative_to(directory)): f.read_bytes() for f in directory.rglob("*") if f.is_file()}
        return replace(version, digest=self._sealed.put(files))

    def run(self, work: Any) -> Any:
        """Run ``work`` on the node's loop."""
        return self._runner.run(work)

    def shadow(self, kind: str) -> ServableVersion:
        """Return the shadow of a model."""
        return self.node.routes.table.models[kind].versions[TWO].servable

    def counts(self, kind: str) -> ShadowCounts:
        """Return what was counted of a model's shadow so far."""
        heard, self._heard.windows = self._heard.windows, []
        for window in (*heard, *(each.window() for each in self.node.shadows.take())):
            self._seen[window.model] = self._seen.get(window.model, ShadowCounts()).plus(window.counts)
        return self._seen.get(kind, ShadowCounts())

    async def settled(self, kind: str) -> int:
        """Wait until no copy is under way; return how many requests were counted."""
        before = -1
        while before != (now := sum(self.counts(kind).outcomes.values())) or self.node.shadows.waiting:
            before = now
            await asyncio.sleep(0.1)
        return self.counts(kind).requests

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait for something that takes processes."""
        await eventually(holds, 60)

    async def ask(self, kind: str, count: int = REQUESTS) -> None:
        """Ask a model: every answer is the primary's, and right."""
        transport = httpx.ASGITransport(self.node.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1", timeout=60) as client:
            for _ in range(count):
                answer = await client.post(f"/models/{kind}/predict", json=ROWS)
                assert answer.status_code == 200, answer.text
                assert answer.headers["x-headgate-version"] == "1"
                assert answer.json()["predictions"] == [3.5, 4.25]

    async def shadowed(self, kind: str, count: int = REQUESTS) -> ShadowCounts:
        """Ask a model whose shadow is loaded, and return what was counted of it meanwhile."""
        await self.until(lambda: self.node.pool.state(self.shadow(kind)) is State.READY)
        before = sum(self.counts(kind).outcomes.values())
        await self.ask(kind, count)
        await self.until(lambda: sum(self.counts(kind).outcomes.values()) == before + count)
        return self.counts(kind)


def _model(kind: str, primary: ServableVersion, shadow: ServableVersion) -> ModelSnapshot:
    plan = Plan(ONE, shadows=(Shadow(TWO),))
    return ModelSnapshot(
        ModelName(kind), plan, 1, versions=as_planned({ONE: primary, TWO: replace(shadow, version=TWO)}, plan)
    )


@pytest.fixture(scope="module")
def world(
    tmp_path_factory: pytest.TempPathFactory, saved_models: SavedModels, saved_graphs: SavedGraphs
) -> Iterator[World]:
    """A started node, its primary warm."""
    with asyncio.Runner() as runner:
        made: list[World] = []

        async def begin() -> None:
            made.append(World(runner, tmp_path_factory.mktemp("home"), saved_models, saved_graphs))
            await made[0].node.start()
            node = made[0].node
            await eventually(lambda: node.routes.table.known)
            primary = node.routes.table.models["same"].versions[ONE].servable
            (await node.pool.lease(ModelName("same"), primary, 120)).release()

        runner.run(begin())
        yield made[0]
        runner.run(made[0].node.stop())


@pytest.mark.parametrize(
    ("kind", "outcomes"),
    [
        ("same", {"compared"}),
        ("slow", {"compared"}),
        ("failing", {"error"}),
        ("leaving", {"error"}),
        ("strange", {"error"}),
        ("echo", {"incomparable"}),
        ("frame", {"incomparable"}),
        ("nan", {"incomparable"}),
        ("graph", {"error"}),
    ],
)
def test_callers_get_the_primarys_answers(world: World, kind: str, outcomes: set[str]) -> None:
    """Whatever the shadow does; and what it did is counted."""
    found = world.run(world.shadowed(kind))
    assert found.outcomes.keys() <= outcomes | STARVED
    assert found.outcomes.keys() & outcomes
    assert (found.differing, found.examples) == (0, ())


def test_a_shadow_that_is_the_primary_never_differs(world: World) -> None:
    """The same bytes in a process of their own: 100 % agreement, and in the metrics too."""
    found = world.run(world.shadowed("same"))
    (difference,) = found.outputs.values()
    assert difference.compared == 2 * found.outcomes["compared"]
    assert difference.differed == 0

    async def page() -> str:
        transport = httpx.ASGITransport(world.node.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            return (await client.get("/metrics")).text

    text = world.run(page())
    assert 'headgate_shadow_total{model="same",outcome="compared",version="2"}' in text
    assert 'headgate_shadow_difference{model="same",version="2"} 0.0' in text


def test_a_shadow_that_hangs_is_ended_and_loaded_again(world: World) -> None:
    """Two copies are timeouts at the most; those behind them find nothing loaded."""
    found = world.run(world.shadowed("endless", 4))
    assert 1 <= found.outcomes["timeout"] <= 2
    assert found.outcomes.keys() <= {"timeout", "not_loaded"}
    world.run(world.until(lambda: world.node.pool.state(world.shadow("endless")) is State.READY))


def test_a_shadow_that_keeps_dying_is_quarantined(world: World) -> None:
    """After five deaths its copies are not even tried, and callers never notice."""

    node, kind = world.node, "exiting"

    async def story() -> None:
        while node.pool.state(world.shadow(kind)) is not State.QUARANTINED:
            slot = node.pool.find(world.shadow(kind))
            if slot is not None:
                slot.retry_at = 0.0  # nobody waits for the back-off here
            await world.ask(kind, 1)
            await asyncio.sleep(0.02)
        asked = await world.settled(kind)
        await world.ask(kind)
        assert await world.settled(kind) == asked

    world.run(asyncio.wait_for(story(), 120))


def test_shadows_come_after_everybody_else(world: World) -> None:
    """A shadow's process is scheduled where nobody else wants the processor, the primary's as all are; a graph that may
    run in the serving process has one of its own too."""

    def policy(kind: str, number: VersionNumber) -> int:
        slot = world.node.pool.find(world.node.routes.table.models[kind].versions[number].servable)
        assert slot is not None
        assert slot.residence is not None
        assert isinstance(slot.residence.loaded, HostedVersion)
        return os.sched_getscheduler(slot.residence.loaded.pid)

    world.run(world.until(lambda: world.node.pool.state(world.shadow("graph")) is State.READY))
    assert policy("same", ONE) == os.SCHED_OTHER
    assert policy("same", TWO) == policy("graph", TWO) == os.SCHED_IDLE
