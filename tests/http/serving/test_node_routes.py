"""The routes beside the lane: health, what the node knows, load and unload, documents."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from serving.http.routes import SERVING_ROUTES
from tests.support.serving_fakes import eventually, settle, snapshot
from tests.support.serving_node import ROW, FakeWorld, churn, running

pytestmark = pytest.mark.anyio


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[FakeWorld]:
    """Give a node that knows churn and a few more."""
    async with running(tmp_path, churn(), *(snapshot(f"m{n}", stable=None) for n in range(5))) as world:
        yield world


async def test_a_node_is_ready_once_it_has_a_snapshot(tmp_path: Path) -> None:
    """Alive from the start, ready with the first snapshot, and it says what it waits for."""
    async with running(tmp_path) as world:
        world.registry.down = True
        world.node.routes.swap(type(world.node.routes.table)())
        assert (await world.client.get("/livez")).json() == {"alive": True}
        answer = await world.client.get("/readyz")
        assert (answer.status_code, answer.json()["ready"]) == (503, False)
        assert "registry" in answer.json()["reason"]


async def test_an_empty_registry_makes_a_node_ready(tmp_path: Path) -> None:
    """No models is a snapshot too."""
    async with running(tmp_path) as world:
        await settle()
        assert (await world.client.get("/readyz")).json()["snapshot"]["models"] == 0


async def test_readiness_shows_the_snapshot(world: FakeWorld) -> None:
    """Revision, number of models and age."""
    body = (await world.client.get("/readyz")).json()
    assert (body["ready"], body["snapshot"]["revision"], body["snapshot"]["models"]) == (True, 6, 6)
    assert 0 <= body["snapshot"]["age_seconds"] < 5


async def test_a_node_that_leaves_is_not_ready_and_still_answers(world: FakeWorld) -> None:
    """From the signal on, /readyz says so; requests in flight and late ones are served."""
    world.node.leave()
    answer = await world.client.get("/readyz")
    assert (answer.status_code, answer.json()["reason"]) == (503, "this node is shutting down")
    assert (await world.client.post("/models/churn/predict", json=ROW)).status_code == 200


async def test_a_restarted_node_serves_from_its_snapshot(tmp_path: Path) -> None:
    """With the registry down from the start, the copy on disk and the cache are enough."""
    async with running(tmp_path, churn()) as first:
        await first.client.post("/models/churn/predict", json=ROW)
    second = FakeWorld(tmp_path)
    second.registry.down = True
    await second.node.start()
    try:
        assert (await second.client.get("/readyz")).status_code == 200
        assert (await second.client.post("/models/churn/predict", json=ROW)).json()["predictions"] == [3.0]
    finally:
        await second.client.aclose()
        await second.node.stop()


async def test_models_are_listed_by_pages(world: FakeWorld) -> None:
    """Pages follow one another by name, without gap or overlap."""
    names, token = [], ""
    while True:
        body = (await world.client.get("/models", params={"limit": 4, "page_token": token})).json()
        names += [m["name"] for m in body["models"]]
        token = body["next_page_token"]
        if token is None:
            break
    assert names == ["churn", "m0", "m1", "m2", "m3", "m4"]


async def test_a_model_shows_its_plan_versions_and_states(world: FakeWorld) -> None:
    """Plan, revision, aliases, versions newest first, and those that may not answer."""
    await world.client.post("/models/churn/predict", json=ROW)
    body = (await world.client.get("/models/churn")).json()
    assert (body["plan"]["stable"], body["revision"], body["aliases"]) == ("2", 7, {"champion": "3"})
    assert [(v["version"], v["state"]) for v in body["versions"]] == [("3", "cold"), ("2", "ready"), ("1", "cold")]
    assert body["others"] == {"6": "retired", "5": "rejected", "4": "pending"}


async def test_a_version_shows_what_it_costs_and_takes(world: FakeWorld) -> None:
    """Signature, memory, leases and when it was last used."""
    await world.client.post("/models/churn/predict", json=ROW)
    body = (await world.client.get("/models/churn/versions/2")).json()
    assert (body["state"], body["memory_bytes"], body["leases"]) == ("ready", 1_000_000, 0)
    assert body["idle_seconds"] >= 0
    assert [c["name"] for c in body["signature"]["inputs"]] == ["a", "b"]


async def test_an_operator_loads_and_unloads(world: FakeWorld) -> None:
    """Load waits until the version is ready; unload ends it."""
    loaded = await world.client.post("/models/churn/versions/1/load")
    assert (loaded.status_code, loaded.json()["state"]) == (200, "ready")
    unloaded = await world.client.post("/models/churn/versions/1/unload")
    assert unloaded.json()["state"] == "draining"
    await settle()
    assert (await world.client.get("/models/churn/versions/1")).json()["state"] == "cold"


@pytest.mark.parametrize(
    ("request_line", "expected"),
    [
        ("GET /models/nobody", (404, "unknown_model")),
        ("GET /models/churn/versions/99", (404, "unknown_version")),
        ("GET /models/churn/versions/5", (422, "not_servable")),
        ("GET /models/-x", (400, "invalid_name")),
        ("GET /models?limit=0", (400, "invalid_argument")),
        ("GET /models?limit=many", (400, "invalid_argument")),
        ("POST /models/churn/versions/99/load", (404, "unknown_version")),
        ("PUT /models", (405, "method_not_allowed")),
        ("GET /nowhere", (404, "not_found")),
    ],
)
async def test_errors_have_the_one_shape(world: FakeWorld, request_line: str, expected: tuple[int, str]) -> None:
    """Gate, framework and our own errors look alike."""
    answer = await world.client.request(*request_line.split())
    assert (answer.status_code, answer.json()["error"]["code"]) == expected
    assert answer.json()["error"]["request_id"] == answer.headers["x-request-id"]


async def test_a_fault_of_ours_is_a_500_that_shows_nothing(world: FakeWorld) -> None:
    """An unexpected exception beside the lane ends as ``internal``."""
    world.node.pool.status = None  # type: ignore[assignment,method-assign]  # something that breaks
    answer = await world.client.get("/models/churn")
    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "internal")
    assert "NoneType" not in answer.text


async def test_head_answers_as_get_without_a_body(world: FakeWorld) -> None:
    """Balancers that probe with HEAD get the same status."""
    answer = await world.client.head("/readyz")
    assert (answer.status_code, answer.content) == (200, b"")


async def test_every_answer_bears_its_request_id(world: FakeWorld) -> None:
    """The caller's id comes back, once."""
    answer = await world.client.get("/models", headers={"x-request-id": "mine"})
    assert answer.headers.get_list("x-request-id") == ["mine"]


async def test_the_document_describes_exactly_the_routes_of_the_table(world: FakeWorld) -> None:
    """What the gate lets through is what OpenAPI says, the lane's routes included."""
    document = (await world.client.get("/openapi.json")).json()
    # A verb after a colon is, to the gate, the end of a name.
    described = {(m.upper(), p.partition(":")[0]) for p, item in document["paths"].items() for m in item}
    assert described == {(m, r.template) for r in SERVING_ROUTES for m in r.methods.split()}
    predict = document["paths"]["/models/{name}/predict"]["post"]
    assert predict["requestBody"]["content"]["application/json"]["examples"]
    assert "ProblemBody" in document["components"]["schemas"]


async def test_the_page_loads_nothing_from_anywhere(world: FakeWorld) -> None:
    """The documents page is text and its policy forbids the rest."""
    answer = await world.client.get("/docs")
    assert "/models/{name}/predict" in answer.text
    assert "<script" not in answer.text
    assert "http" not in answer.text.replace("/openapi.json", "")
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")


async def test_health_is_never_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A node that is asked ten times a second whether it is ready does not fill its log; other refusals are there."""
    world = FakeWorld(tmp_path)
    with caplog.at_level(logging.DEBUG, logger="headgate"):
        assert (await world.client.get("/readyz")).status_code == 503
        assert (await world.client.get("/livez")).status_code == 200
        assert "access" not in caplog.messages
        await world.client.get("/models")
        assert "access" in caplog.messages
    await world.client.aclose()


async def boom() -> None:
    """Fail as nobody expected."""
    raise RuntimeError("boom")


async def test_a_node_that_has_lost_a_part_of_itself_is_not_ready(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A task that ends by a fault is logged and ends readiness, because nobody else would notice."""
    world = FakeWorld(tmp_path, churn())
    world.cache.open = boom  # type: ignore[method-assign]  # the situation drawn
    await world.node.start()
    await eventually(lambda: world.node.routes.table.known)
    answer = await world.client.get("/readyz")
    assert (answer.status_code, "failed" in answer.json()["reason"]) == (503, True)
    assert "node_task_failed" in caplog.messages
    await world.client.aclose()
    await world.node.stop()


async def test_what_cannot_end_does_not_keep_the_rest_from_ending(tmp_path: Path) -> None:
    """A part that fails to stop is told, after everything else has stopped."""
    world = FakeWorld(tmp_path, churn())
    await world.node.start()
    world.runtime.close = boom  # type: ignore[method-assign]  # the situation drawn
    with pytest.raises(RuntimeError):
        await world.node.stop()
    assert world.cache.closed
    await world.client.aclose()
