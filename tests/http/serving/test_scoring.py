"""MLflow's scoring protocol and SageMaker's contract, through the whole gated node."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from registry.errors import ModelFault, Unavailable
from registry.plans import Canary, Plan
from registry.records import VersionNumber
from serving.pool.state import State
from tests.support.scoring_exchanges import Exchange, exchanges
from tests.support.serving_fakes import FakeLoaded, eventually, servable, settle, snapshot
from tests.support.serving_node import FakeWorld, churn, running

pytestmark = pytest.mark.anyio
PREFIXES = ("/models/churn", "/models/churn/versions/1", "/models/churn/aliases/champion")
BODY = {"dataframe_records": [{"a": 1, "b": 2}]}


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[FakeWorld]:
    """Give a node that knows churn, and has no model at its root."""
    async with running(tmp_path, churn(), snapshot("planless", stable=None), body_bytes=10_000) as world:
        yield world


@pytest.fixture
async def rooted(tmp_path: Path) -> AsyncIterator[FakeWorld]:
    """Give a node that answers at its root with churn's champion."""
    async with running(tmp_path, churn(), default_model="churn@champion") as world:
        yield world


def scoring_error(answer: httpx.Response) -> tuple[int, str]:
    """Return status and code of an error, after checking its shape."""
    assert {"error_code", "message"} <= answer.json().keys() <= {"error_code", "message", "sqlstate", "error_class"}
    assert answer.headers["x-request-id"]
    return answer.status_code, answer.json()["error_code"]


@pytest.mark.parametrize("exchange", exchanges(), ids=lambda exchange: exchange.row)
async def test_the_golden_exchanges_hold(world: FakeWorld, exchange: Exchange) -> None:
    """Every row of the protocol answers with its bytes, or is refused with its status and shape."""
    headers = {} if exchange.content_type is None else {"content-type": exchange.content_type}
    answer = await world.client.post("/models/churn/invocations", content=exchange.body, headers=headers)
    assert exchange.agrees(answer.status_code, answer.headers["content-type"], answer.content), answer.text


@pytest.mark.parametrize(("prefix", "version"), [*zip(PREFIXES, "213", strict=True)])
async def test_each_prefix_is_the_base_url_of_a_scoring_server(world: FakeWorld, prefix: str, version: str) -> None:
    """Invocations, ping, health and version answer below a model, a version and an alias."""
    answer = await world.client.post(f"{prefix}/invocations?ignored=1", json=BODY)
    assert (answer.status_code, answer.text) == (200, '{"predictions": [3.0]}')
    assert answer.headers["x-headgate-version"] == version
    for path in ("/ping", "/health"):
        alive = await world.client.get(prefix + path)
        assert (alive.status_code, alive.text, alive.headers["content-type"]) == (200, "\n", "application/json")
    assert (await world.client.get(f"{prefix}/version")).text == "3.17.2"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/models/nobody", (404, "RESOURCE_DOES_NOT_EXIST")),
        ("/models/churn/versions/99", (404, "RESOURCE_DOES_NOT_EXIST")),
        ("/models/churn/aliases/nobody", (404, "RESOURCE_DOES_NOT_EXIST")),
        ("/models/planless", (404, "RESOURCE_DOES_NOT_EXIST")),
        ("/models/-x", (400, "BAD_REQUEST")),
        ("", (404, "ENDPOINT_NOT_FOUND")),
    ],
)
async def test_who_is_not_there_is_a_404_in_mlflows_words(
    world: FakeWorld, path: str, expected: tuple[int, str]
) -> None:
    """Of invocations and of ping alike; at the root as long as no model is set."""
    assert scoring_error(await world.client.post(f"{path}/invocations", json=BODY)) == expected
    for ending in ("ping", "version") if path else ("version",):
        assert scoring_error(await world.client.get(f"{path}/{ending}")) == expected


async def test_ping_says_why_a_version_cannot_answer(world: FakeWorld) -> None:
    """503 where it is being checked, failed to load, or the node leaves; 404 where it was rejected."""
    assert scoring_error(await world.client.get("/models/churn/versions/4/ping"))[0] == 503
    assert scoring_error(await world.client.get("/models/churn/versions/5/ping"))[0] == 404
    world.runtime.errors[servable("1", "churn 1").digest] = ModelFault("model_error", "its weights are gone")
    await world.client.post("/models/churn/versions/1/invocations", json=BODY)
    failed = await world.client.get("/models/churn/versions/1/ping")
    assert failed.status_code == 503
    assert "its weights are gone" in failed.json()["message"]
    world.node.leave()
    assert scoring_error(await world.client.get("/models/churn/ping")) == (503, "TEMPORARILY_UNAVAILABLE")


async def test_ping_at_a_root_without_a_model_tells_of_the_node(world: FakeWorld) -> None:
    """A host of many models pings the container before it has named one: 200 while the node can serve, else 503."""
    for path in ("/ping", "/health"):
        answer = await world.client.get(path)
        assert (answer.status_code, answer.text, answer.headers["content-type"]) == (200, "\n", "application/json")
    world.node.leave()
    for path in ("/ping", "/health"):
        assert scoring_error(await world.client.get(path)) == (503, "TEMPORARILY_UNAVAILABLE")


async def test_ping_asks_for_the_version_that_stands_behind_a_canary(world: FakeWorld) -> None:
    """A canary that is gone does not make a model look dead."""
    plan = Plan(VersionNumber("2"), canary=Canary(VersionNumber("1"), 10_000, "seed"))
    world.registry.put(dataclasses.replace(churn(), plan=plan, plan_revision=8))
    await eventually(lambda: world.node.routes.table.models["churn"].revision == 8)
    await world.client.post("/models/churn/versions/1/load")
    world.runtime.errors[servable("1", "churn 1").digest] = ModelFault("model_error", "its weights are gone")
    loaded = world.copy_of("1")
    assert isinstance(loaded, FakeLoaded)
    loaded.die()
    await world.client.post("/models/churn/versions/1/invocations", json=BODY)
    assert (await world.client.get("/models/churn/versions/1/ping")).status_code == 503
    assert (await world.client.get("/models/churn/ping")).status_code == 200


async def test_the_default_model_answers_at_the_root(rooted: FakeWorld) -> None:
    """As `mlflow models serve` does, and as SageMaker asks its containers."""
    answer = await rooted.client.post("/invocations", json=BODY)
    assert (answer.text, answer.headers["x-headgate-arm"]) == ('{"predictions": [3.0]}', "alias")
    csv = await rooted.client.post("/invocations", content=b"a,b\n1,2\n", headers={"content-type": "text/csv"})
    assert csv.text == '{"predictions": [3.0]}'
    assert (await rooted.client.get("/ping")).text == "\n"
    assert (await rooted.client.get("/version")).text == "3.17.2"
    other = await rooted.client.post("/invocations", json=BODY, headers={"X-Amzn-SageMaker-Target-Model": "other"})
    assert scoring_error(other) == (400, "BAD_REQUEST")


async def test_the_model_that_raises_is_a_500(world: FakeWorld) -> None:
    """As in our own protocol; and its metrics bear this one's name."""
    await world.client.post("/models/churn/invocations", json=BODY)
    loaded = world.copy_of("2")
    assert isinstance(loaded, FakeLoaded)
    loaded.error = ModelFault("model_error", "ValueError: no")
    assert scoring_error(await world.client.post("/models/churn/invocations", json=BODY)) == (500, "INTERNAL_ERROR")
    page = (await world.client.get("/metrics")).text
    for code, count in (("2xx", 1), ("5xx", 1)):
        line = f'headgate_requests_total{{arm="stable",code="{code}",model="churn",protocol="mlflow",version="2"}}'
        assert f"{line} {count}.0" in page


async def test_methods_and_sizes_are_refused_in_mlflows_shape(world: FakeWorld) -> None:
    """What the gate and the lane refuse speaks the protocol of the path."""
    wrong = await world.client.get("/models/churn/invocations")
    assert (wrong.status_code, wrong.json(), wrong.headers["allow"]) == (405, {"detail": "Method Not Allowed"}, "POST")
    large = await world.client.post("/models/churn/invocations", content=b" " * 20_000)
    assert scoring_error(large)[0] == 413


async def test_sagemaker_loads_lists_and_unloads(world: FakeWorld) -> None:
    """POST loads what the registry knows, 409 where it is loaded; DELETE unloads; invoke scores; fields stand beside
    ours."""
    model = {"model_name": "churn", "url": "models:/churn@champion"}
    loaded = await world.client.post("/models", json=model)
    assert (loaded.status_code, loaded.json()) == (200, {"modelName": "churn", "modelUrl": "models:/churn/3"})
    assert world.node.pool.state(servable("3", "churn 3")) is State.READY
    again = await world.client.post("/models", json=model)
    assert (again.status_code, again.json()["error"]["code"]) == (409, "already_exists")
    page = (await world.client.get("/models", params={"limit": 1})).json()
    assert (page["models"][0]["modelName"], page["models"][0]["modelUrl"]) == ("churn", "models:/churn")
    assert page["nextPageToken"] == page["next_page_token"] == "churn"
    rest = (await world.client.get("/models", params={"next_page_token": "churn"})).json()
    assert [line["modelName"] for line in rest["models"]] == ["planless"]
    assert (await world.client.get("/models/churn")).json()["modelName"] == "churn"
    target = {"X-Amzn-SageMaker-Target-Model": "churn.tar.gz"}
    assert (await world.client.post("/models/churn/invoke", json=BODY, headers=target)).text == '{"predictions": [3.0]}'
    assert (await world.client.delete("/models/churn")).status_code == 200
    await settle()
    assert world.node.pool.state(servable("3", "churn 3")) is State.COLD
    assert (await world.client.delete("/models/churn")).status_code == 404


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"model_name": "nobody"}, (404, "unknown_model")),
        ({"model_name": "planless"}, (404, "no_plan")),
        ({"model_name": "churn", "url": "/opt/ml/models/churn/model"}, (400, "invalid_argument")),
        ({"model_name": "churn", "url": "models:/other"}, (400, "invalid_argument")),
        ({"model_name": 5}, (400, "invalid_argument")),
        ([], (400, "invalid_argument")),
    ],
)
async def test_sagemaker_is_told_what_cannot_be_loaded(
    world: FakeWorld, body: object, expected: tuple[int, str]
) -> None:
    """No file is loaded that the caller names, and no model that the registry does not know."""
    answer = await world.client.post("/models", json=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == expected


async def test_sagemaker_learns_that_there_is_no_memory(world: FakeWorld) -> None:
    """507, upon which it unloads others; by any other fault it gets that one's status."""
    world.runtime.errors[servable("2", "churn 2").digest] = Unavailable("no_capacity", "all memory is in use")
    answer = await world.client.post("/models", json={"model_name": "churn"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (507, "no_capacity")
