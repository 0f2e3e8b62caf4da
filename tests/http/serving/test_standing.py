"""Where versions stand on a node, over HTTP: quarantine, last words, want of memory, warm plans and waiting plans."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from registry.errors import ModelFault, Refused
from registry.plans import Plan
from registry.records import VersionNumber
from registry.snapshots import ModelSnapshot
from serving.pool.crashes import MOST_CRASHES
from serving.ports import LoadFault
from tests.support.serving_fakes import SIGNATURE, FakeLoaded, eventually, servable, settle, snapshot
from tests.support.serving_node import ROW, FakeWorld, churn, running

pytestmark = pytest.mark.anyio
MIB = 1 << 20
PREDICT, V2 = "/models/churn/predict", "/models/churn/versions/2"
SECRET = "row 17: alice@example.org"


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[FakeWorld]:
    """Give a node that knows churn and may use 64 MiB."""
    async with running(tmp_path, churn(), memory_budget_bytes=64 * MIB) as world:
        yield world


def planned(stable: str, revision: int, **more: Any) -> ModelSnapshot:
    """Return churn with another plan."""
    return dataclasses.replace(churn(), plan=Plan(VersionNumber(stable), **more), plan_revision=revision)


def crashing() -> LoadFault:
    """Return how a load ends that crashes, having printed an input."""
    died = ModelFault("model_error", "the process of this version died while loading: signal 11 (SIGSEGV)")
    return LoadFault.of(died, died=True, last_output=f"loading\n{SECRET}\nSegmentation fault")


async def crash(world: FakeWorld) -> str:
    """Ask for a version that crashes as it loads, and end its back-off; return the error's code."""
    answer = await world.client.post(PREDICT, json=ROW)
    slot = world.node.pool.find(servable("2", "churn 2"))
    assert slot is not None
    slot.retry_at = 0.0
    return str(answer.json()["error"]["code"])


async def shown(world: FakeWorld, path: str = V2) -> dict[str, Any]:
    """Return what a GET shows."""
    body = (await world.client.get(path)).json()
    assert isinstance(body, dict)
    return body


async def metric(world: FakeWorld, start: str) -> str:
    """Return the lines of the metrics page that begin so."""
    page = (await world.client.get("/metrics")).text
    return "\n".join(line for line in page.splitlines() if line.startswith(start))


async def test_a_crash_loop_ends_in_quarantine(world: FakeWorld) -> None:
    """Requests are refused with 503 from then on; the version shows why and what it printed, and nobody else does."""
    world.runtime.errors[servable("2", "churn 2").digest] = crashing()
    codes = [await crash(world) for _ in range(MOST_CRASHES)]
    assert codes == ["model_error"] * (MOST_CRASHES - 1) + ["model_quarantined"]
    refused = await world.client.post(PREDICT, json=ROW)
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "model_quarantined")
    assert refused.headers["retry-after"] == "60"
    body = await shown(world)
    assert (body["state"], body["crashes"]) == ("quarantined", MOST_CRASHES)
    assert body["reason"].startswith("model_quarantined: ")
    assert body["last_output"] == ["loading", SECRET, "Segmentation fault"]
    others = (await world.client.get("/models/churn")).text + refused.text + await metric(world, "headgate")
    assert SECRET not in others
    assert 'headgate_host_restarts_total{model="churn",reason="loading",version="2"} 5.0' in others
    assert 'headgate_versions{state="quarantined"} 1.0' in others


async def test_loading_by_hand_ends_quarantine(world: FakeWorld) -> None:
    """POST …/load tries a quarantined version at once, and what is mended answers again."""
    digest = servable("2", "churn 2").digest
    world.runtime.errors[digest] = crashing()
    for _ in range(MOST_CRASHES):
        await crash(world)
    del world.runtime.errors[digest]
    assert (await world.client.post(PREDICT, json=ROW)).status_code == 503
    assert (await world.client.post(f"{V2}/load")).json()["state"] == "ready"
    assert (await world.client.post(PREDICT, json=ROW)).status_code == 200


async def test_a_loaded_version_shows_what_it_prints(world: FakeWorld) -> None:
    """The end of its output is there while it lives."""
    await world.client.post(PREDICT, json=ROW)
    copy = world.copy_of("2")
    assert isinstance(copy, FakeLoaded)
    copy.last_output = "ready to go\n"
    assert (await shown(world))["last_output"] == ["ready to go"]


async def test_no_memory_left_is_said_so(world: FakeWorld) -> None:
    """With everything in use a cold version is 503 no_capacity; the reason is in the metric; idle ones make room."""
    digests = [servable(n, f"churn {n}").digest for n in "123"]
    world.runtime.memory = dict.fromkeys(digests, 40 * MIB)
    await world.client.post(PREDICT, json=ROW)
    copy = world.copy_of("2")
    assert isinstance(copy, FakeLoaded)
    copy.hold = asyncio.Event()
    slow = asyncio.create_task(world.client.post(PREDICT, json=ROW))
    await eventually(lambda: copy.calls == 2)
    refused = await world.client.post("/models/churn/versions/1/predict", json=ROW)
    error = refused.json()["error"]
    assert (refused.status_code, error["code"], refused.headers["retry-after"]) == (503, "no_capacity", "1")
    assert error["details"] == {"reason": "memory_in_use", "memory_budget_bytes": 64 * MIB}
    assert 'reason="memory_in_use"} 1.0' in await metric(world, "headgate_refused_total")
    copy.hold.set()
    assert (await slow).status_code == 200
    assert (await world.client.post("/models/churn/versions/1/predict", json=ROW)).status_code == 200
    assert (await shown(world))["state"] == "cold"
    assert float((await metric(world, "headgate_memory_budget_bytes ")).split()[1]) == 64 * MIB
    assert 'headgate_unloads_total{reason="evicted"} 1.0' in await metric(world, "headgate_unloads_total")


async def test_a_refusal_without_a_reason_counts_by_its_code(world: FakeWorld) -> None:
    """Details name the reason where there is one."""
    await world.client.post(PREDICT, json=ROW)
    copy = world.copy_of("2")
    assert isinstance(copy, FakeLoaded)
    for details in ({"reason": "queue_full"}, {}):
        copy.error = Refused("overloaded", "too much", details)
        await world.client.post(PREDICT, json=ROW)
    lines = await metric(world, "headgate_refused_total{")
    assert 'model="churn",reason="queue_full"} 1.0' in lines
    assert 'model="churn",reason="overloaded"} 1.0' in lines


async def test_a_plan_waits_until_its_version_is_loaded(world: FakeWorld) -> None:
    """The old version answers under its revision, the model shows what it waits for, and then the new one answers."""
    await world.client.post(PREDICT, json=ROW)
    gate = world.runtime.gates[servable("3", "churn 3").digest] = asyncio.Event()
    world.registry.put(planned("3", 8))
    await eventually(lambda: world.node.warming.waiting == 1)
    answer = await world.client.post(PREDICT, json=ROW)
    assert (answer.headers["x-headgate-version"], answer.headers["x-headgate-revision"]) == ("2", "7")
    body = await shown(world, "/models/churn")
    assert (body["plan"]["stable"], body["revision"]) == ("2", 7)
    assert (body["waiting"]["plan"]["stable"], body["waiting"]["revision"]) == ("3", 8)
    assert body["waiting"]["reason"] == "version 3 is being loaded"
    assert await metric(world, "headgate_plans_waiting") == "headgate_plans_waiting 1.0"
    assert await metric(world, 'headgate_plan_revision{model="churn"}') == 'headgate_plan_revision{model="churn"} 7.0'
    gate.set()
    await eventually(lambda: world.node.warming.waiting == 0)
    answer = await world.client.post(PREDICT, json=ROW)
    assert (answer.headers["x-headgate-version"], answer.headers["x-headgate-revision"]) == ("3", "8")
    assert (await shown(world, "/models/churn"))["waiting"] is None


async def test_a_version_that_cannot_be_loaded_gets_no_traffic(world: FakeWorld) -> None:
    """Callers never notice a broken promotion; the model says why it is not followed."""
    await world.client.post(PREDICT, json=ROW)
    world.runtime.errors[servable("3", "churn 3").digest] = ModelFault("model_error", "ImportError: no torch")
    world.registry.put(planned("3", 8))
    await eventually(lambda: "ImportError" in world.node.warming.why_waiting("churn"))
    answer = await world.client.post(PREDICT, json=ROW)
    assert (answer.status_code, answer.headers["x-headgate-version"]) == (200, "2")
    reason = (await shown(world, "/models/churn"))["waiting"]["reason"]
    assert reason == "version 3 cannot be loaded here: model_error: ImportError: no torch"


async def test_a_warm_plan_is_loaded_without_a_request(tmp_path: Path) -> None:
    """A node is ready once the versions of warm plans are loaded, and shows the plan as it is."""
    warm = planned("2", 7, warm=True, instances=3)
    warm = dataclasses.replace(
        warm, versions={**warm.versions, VersionNumber("2"): servable("2", "churn 2", SIGNATURE, instances=3)}
    )
    world = FakeWorld(tmp_path, warm, snapshot("other"))
    gate = world.runtime.gates[servable("2", "churn 2").digest] = asyncio.Event()
    await world.node.start()
    await eventually(lambda: bool(world.runtime.loads))
    answer = await world.client.get("/readyz")
    assert (answer.status_code, "warm plans" in answer.json()["reason"]) == (503, True)
    gate.set()
    await settle()
    assert (await world.client.get("/readyz")).status_code == 200
    body = await shown(world)
    assert (body["state"], body["instances"], body["idle_seconds"]) == ("ready", 3, None)
    plan = (await shown(world, "/models/churn"))["plan"]
    assert (plan["stable"], plan["note"], plan["warm"], plan["instances"]) == ("2", "", True, 3)
    await world.client.aclose()
    await world.node.stop()
