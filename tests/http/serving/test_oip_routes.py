"""The routes of the Open Inference Protocol beside predicting, by the golden files of ``tests/wire/oip-routes``."""

from __future__ import annotations

import asyncio
import gzip
import json
import zlib
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from registry.errors import ModelFault
from registry.plans import Canary, Plan
from registry.records import ModelName, VersionNumber
from registry.signature import Column, Schema, Tensor
from registry.snapshots import ServableVersion
from serving.http.counted import statistics, statistics_for_sibling
from serving.http.repository import load_model, unload_model
from serving.http.routes import SERVING_ROUTES
from serving.http.view import NodeView
from serving.pool.state import State
from serving.workers.siblings import Message
from tests.support.serving_fakes import digest_of, eventually, servable, settle, snapshot
from tests.support.serving_node import ROW, FakeWorld, churn, running

pytestmark = pytest.mark.anyio
GOLDEN: dict[str, dict[str, Any]] = {
    path.stem: json.loads(path.read_text())
    for path in sorted((Path(__file__).parents[2] / "wire" / "oip-routes").glob("*.json"))
}
ANY = {"<integer>": int, "<text>": str}
"""What golden files write for a value that differs from run to run."""
LOAD, UNLOAD = "/v2/repository/models/churn/load", "/v2/repository/models/churn/unload"


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[FakeWorld]:
    """Give a node that knows churn, and a model without a plan."""
    versions = {n: servable(n, f"planless {n}") for n in ("1", "2", "10")}
    async with running(tmp_path, churn(), snapshot("planless", versions=versions, stable=None)) as world:
        yield world


def matches(expected: Any, found: Any) -> bool:
    """Tell whether an answer is what a golden file says."""
    if isinstance(expected, dict):
        return (
            isinstance(found, dict)
            and expected.keys() == found.keys()
            and all(matches(value, found[key]) for key, value in expected.items())
        )
    if isinstance(expected, list):
        return isinstance(found, list) and len(expected) == len(found) and all(map(matches, expected, found))
    if isinstance(expected, str) and expected in ANY:
        return isinstance(found, ANY[expected])
    return bool(expected == found)


@pytest.mark.parametrize("before", sorted({str(golden.get("before", [])) for golden in GOLDEN.values()}))
async def test_answers_are_what_the_golden_files_say(world: FakeWorld, before: str) -> None:
    """Status, body and type of every route, errors included; those that begin alike share a node, loads last."""
    alike = {name: golden for name, golden in GOLDEN.items() if str(golden.get("before", [])) == before}
    for method, target in next(iter(alike.values())).get("before", []):
        await world.client.request(method, target, json=ROW if target.endswith("/predict") else None)
        await settle()
    for name, golden in sorted(alike.items(), key=lambda each: each[1]["path"].endswith("load")):
        answer = await world.client.request(golden["method"], golden["path"], content=golden.get("body", "").encode())
        assert (name, answer.status_code) == (name, golden["status"])
        assert answer.headers["content-type"] == "application/json"
        assert matches(golden["answer"], answer.json()), f"{name}: {answer.text}"


def test_every_route_has_a_golden_file() -> None:
    """No route below /v2 is without one, but those that predict, and the pages that ``test_tryit.py`` looks at."""
    asked = GOLDEN.values()
    others = [r for r in SERVING_ROUTES if r.template.startswith("/v2") and r.access != "predict"]
    routes = [r for r in others if "docs" not in r.template.split("/")]
    for route in routes:
        made = [r["path"].split("/") for r in asked if r["method"] == route.methods and r["status"] == 200]
        parts = route.template.split("/")
        assert any(fits(parts, path) for path in made), route.template


def fits(template: list[str], path: list[str]) -> bool:
    """Tell whether a path is one of a template's."""
    if len(template) != len(path):
        return False
    return all(part in ("{name}", "{version}", given) for part, given in zip(template, path, strict=True))


async def standing(world: FakeWorld) -> dict[str, str]:
    """Return how the versions of churn that may answer stand."""
    rows = (await world.client.post("/v2/repository/index")).json()
    return {row["version"]: row["state"] for row in rows if row["name"] == "churn" and int(row["version"]) < 4}


async def ready(world: FakeWorld, path: str = "churn") -> int:
    """Return the status of a readiness."""
    return (await world.client.get(f"/v2/models/{path}/ready")).status_code


def second(world: FakeWorld) -> ServableVersion:
    """Return version 2 as the node knows it."""
    return world.node.routes.table.models[ModelName("churn")].versions[VersionNumber("2")].servable


async def test_a_version_that_is_being_loaded_is_not_ready(world: FakeWorld) -> None:
    """Who polls until it is ready waits for the load; the index says why."""
    gate = world.runtime.gates[digest_of("churn 2")] = asyncio.Event()
    loading = asyncio.create_task(world.client.post(LOAD))
    await eventually(lambda: world.node.pool.state(second(world)) is State.LOADING)
    assert (await ready(world), (await standing(world))["2"]) == (503, "LOADING")
    assert (await world.client.post(UNLOAD)).status_code == 409
    gate.set()
    assert (await loading).status_code == 200
    assert (await ready(world), (await standing(world))["2"]) == (200, "READY")


async def test_what_an_operator_unloads_is_not_ready_until_it_is_asked_for(world: FakeWorld) -> None:
    """Unload, and clients that look see it gone; a request or a load brings it back."""
    await world.client.post(LOAD)
    await world.client.post(UNLOAD)
    await eventually(lambda: world.node.pool.state(second(world)) is State.COLD)
    assert (await ready(world), await standing(world)) == (503, {"1": "READY", "2": "UNAVAILABLE", "3": "READY"})
    assert (await world.client.post("/models/churn/predict", json=ROW)).status_code == 200
    assert await ready(world) == 200


async def test_a_version_that_is_unloaded_while_it_answers_is_unloading(world: FakeWorld) -> None:
    """Its last request is answered; then it is unavailable."""
    await world.client.post(LOAD)
    copy = world.runtime.newest(servable("2", "churn 2"))
    copy.hold = asyncio.Event()
    asked = asyncio.create_task(world.client.post("/models/churn/predict", json=ROW))
    await eventually(lambda: copy.calls > 0)
    await world.client.post(UNLOAD)
    assert (await standing(world))["2"] == "UNLOADING"
    copy.hold.set()
    assert (await asked).status_code == 200
    await settle()
    assert (await standing(world))["2"] == "UNAVAILABLE"


async def test_unload_ends_every_version_that_is_loaded(world: FakeWorld) -> None:
    """Those beside the plan too."""
    for number in ("1", "2", "3"):
        await world.client.post(f"/models/churn/versions/{number}/load")
    assert (await world.client.post(UNLOAD)).status_code == 200
    await settle()
    assert all(copy.closed for copy in world.runtime.loaded)


async def test_a_version_that_cannot_be_loaded_says_why(world: FakeWorld) -> None:
    """The load fails with the model's error; readiness and index name it; a load tries again."""
    world.runtime.errors[digest_of("churn 2")] = ModelFault("model_error", "ValueError: no weights")
    failed = await world.client.post(LOAD)
    assert (failed.status_code, failed.json()) == (500, {"error": "ValueError: no weights"})
    answer = await world.client.get("/v2/models/churn/ready")
    assert (answer.status_code, "no weights" in answer.json()["error"]) == (503, True)
    assert (await standing(world))["2"] == "UNAVAILABLE"
    world.runtime.errors.clear()
    assert (await world.client.post(LOAD)).status_code == 200
    assert await ready(world) == 200


async def test_load_takes_all_that_the_plan_asks(tmp_path: Path) -> None:
    """Stable and canary; a model without a plan gets its newest version."""
    plan = Plan(VersionNumber("1"), canary=Canary(VersionNumber("2"), 1000, "s"))
    async with running(tmp_path, snapshot("split", plan=plan), snapshot("planless", stable=None)) as world:
        for name in ("split", "planless"):
            assert (await world.client.post(f"/v2/repository/models/{name}/load")).status_code == 200
        loaded = {copy.version.digest for copy in world.runtime.loaded}
        assert loaded == {digest_of("split 1"), digest_of("split 2"), digest_of("planless 2")}


async def test_a_graph_without_a_signature_is_loaded_to_be_described(tmp_path: Path) -> None:
    """Its own inputs and outputs are its metadata; a load that fails is that failure."""
    bare = servable("1", "graph")
    onnx = ServableVersion(bare.version, bare.digest, 10, "inline", flavors=("onnx", "python_function"))
    async with running(tmp_path, snapshot("graph", versions={"1": onnx})) as world:
        await world.client.post("/v2/repository/models/graph/load")
        spec = {"name": "x", "type": "float"}
        world.runtime.newest(onnx).graph_inputs = Schema(columns=(Column("x", "float", True, spec),))
        world.runtime.newest(onnx).graph_outputs = Schema(tensors=(Tensor("y", "str", (-1, 2)),))
        body = (await world.client.get("/v2/models/graph")).json()
        assert body["platform"] == "onnx_onnxv1"
        assert body["inputs"] == [{"name": "x", "datatype": "FP32", "shape": [-1]}]
        assert body["outputs"] == [{"name": "y", "datatype": "BYTES", "shape": [-1, 2]}]


async def test_a_node_that_leaves_says_so_in_the_protocol(world: FakeWorld) -> None:
    """Not ready is 503 with both keys and a reason; alive it is all the same."""
    world.node.leave()
    answer = await world.client.get("/v2/health/ready")
    expected = {"live": True, "ready": False, "error": "this node is shutting down"}
    assert (answer.status_code, answer.json()) == (503, expected)
    assert (await world.client.get("/v2/health/live")).status_code == 200


@pytest.mark.parametrize(
    ("encoding", "compress"), [("gzip", gzip.compress), ("deflate", zlib.compress), ("identity", bytes)]
)
async def test_bodies_of_the_repository_are_read_as_any_other(world: FakeWorld, encoding: str, compress: Any) -> None:
    """Compressed or not, with any content type or none."""
    headers = {"content-encoding": encoding, "content-type": "text/plain"}
    answer = await world.client.post("/v2/repository/index", content=compress(b'{"ready":true}'), headers=headers)
    assert {row["state"] for row in answer.json()} == {"READY"}


async def test_statistics_count_every_protocol_and_its_failures(world: FakeWorld) -> None:
    """What came by our own route is counted too: rows, answers, errors."""
    await world.client.post("/models/churn/predict", json={"inputs": {"a": [1.0, 2.0], "b": [2.0, 3.0]}})
    await world.client.post("/models/churn/predict", json={"inputs": {"a": [1.0]}})
    (row,) = (await world.client.get("/v2/models/churn/versions/2/stats")).json()["model_stats"]
    assert (row["inference_count"], row["execution_count"]) == (2, 1)
    stats = row["inference_stats"]
    assert (stats["success"]["count"], stats["fail"]["count"]) == (1, 1)
    parts = sum(stats[part]["ns"] for part in ("queue", "compute_input", "compute_infer", "compute_output"))
    assert 0 < parts <= stats["success"]["ns"]
    assert row["memory_usage"] == [{"type": "CPU", "id": 0, "byte_size": 1_000_000}]


async def test_head_answers_as_get_without_a_body(world: FakeWorld) -> None:
    """Balancers that probe with HEAD get the same status, errors included."""
    for path, status in (("/v2/health/ready", 200), ("/v2/models/churn/ready", 200), ("/v2/models/nobody", 404)):
        answer = await world.client.head(path)
        assert (answer.status_code, answer.content) == (status, b"")


async def test_a_fault_of_ours_has_the_protocols_shape(world: FakeWorld) -> None:
    """An unexpected exception is a 500 that shows nothing."""
    world.node.pool.find = None  # type: ignore[assignment,method-assign]  # something that breaks
    answer = await world.client.get("/v2/models/churn/ready")
    assert (answer.status_code, answer.json()) == (500, {"error": "a fault of the platform; its log has the place"})


async def test_the_document_says_what_errors_look_like(world: FakeWorld) -> None:
    """Below /v2 an error is one string."""
    paths = (await world.client.get("/openapi.json")).json()["paths"]
    for path in (path for path in paths if path.startswith("/v2")):
        for operation in paths[path].values():
            schema = operation["responses"]["default"]["content"]["application/json"]["schema"]
            assert schema["properties"]["error"] == {"type": "string"}


async def test_an_evicted_version_may_be_asked(world: FakeWorld) -> None:
    """Only an operator's unload makes a cold version look gone."""
    await world.client.post(LOAD)
    slot = world.node.pool.find(servable("2", "churn 2"))
    assert slot is not None
    world.node.pool._evict(slot)
    await eventually(lambda: all(copy.closed for copy in world.runtime.loaded))
    assert await ready(world) == 200


class OtherWorker:
    """A sibling that has done what this process has done, and hears what it is told."""

    def __init__(self, node: NodeView) -> None:
        self.node = node
        self.told: list[str] = []

    async def ask(self, message: Message, seconds: float = 2.0) -> dict[int, Message]:
        """Answer as the composition root does."""
        self.told.append(f"{message['op']} {message['model']} {message['version']}")
        if message["op"] == "statistics":
            return {1: {"rows": statistics_for_sibling(self.node, message["model"], message["version"])}, 2: {}}
        return {}


async def test_workers_count_together_and_load_together(world: FakeWorld) -> None:
    """Statistics are of all processes on a port; load and unload reach all of them."""
    view = world.node._view
    other = OtherWorker(view)
    shared = replace(view, siblings=other)  # type: ignore[arg-type]  # all of a sibling that is used here
    await load_model(shared, "churn")
    await world.client.post("/models/churn/predict", json=ROW)
    (row,) = await statistics(shared, "churn")
    assert (row.statistics.inferences, row.statistics.success.count, row.memory_bytes) == (2, 2, 2_000_000)
    await unload_model(shared, "churn")
    assert other.told == ["load churn 2", "statistics churn ", "unload churn 2"]
