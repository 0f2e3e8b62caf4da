"""TensorFlow Serving's and KServe V1's routes through the whole gated node, as tests/wire/tfs/routes.json has them."""

from __future__ import annotations

import gzip
import json
from collections.abc import AsyncIterator
from pathlib import Path
from threading import current_thread
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from registry.errors import ModelFault, Refused, Unavailable
from serving.http.tfs import tfs_routes
from serving.pool.state import State
from tests.support.serving_fakes import FakeLoaded, servable, snapshot
from tests.support.serving_node import FakeWorld, churn, running

pytestmark = pytest.mark.anyio
ROUTES = Path(__file__).resolve().parents[2] / "wire" / "tfs" / "routes.json"
CASES = json.loads(ROUTES.read_text())["cases"]
ROW = {"instances": [[1, 2]]}


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[FakeWorld]:
    """Give a node that knows churn, and a model that has no plan."""
    async with running(tmp_path, churn(), snapshot("planless", stable=None), body_bytes=10_000) as world:
        yield world


async def test_every_route_answers_as_the_file_says(world: FakeWorld) -> None:
    """Status and body are those of the file; an error has one key, whatever refused."""
    for case in CASES:
        answer = await world.client.request(case["method"], case["path"], json=case.get("body"))
        asked = f"{case['method']} {case['path']}: {answer.text}"
        assert answer.headers["content-type"] == "application/json", asked
        assert answer.status_code == case["status"], asked
        if "answer" in case:
            assert answer.json() == case["answer"], asked
        else:
            assert list(answer.json()) == ["error"], asked
            assert answer.json()["error"].startswith(case["error_begins"]), asked


@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "text/plain", None])
async def test_the_content_type_does_not_matter(world: FakeWorld, kind: str | None) -> None:
    """curl sends forms and others nothing at all: the body is read as JSON, as theirs does."""
    headers = {} if kind is None else {"content-type": kind}
    answer = await world.client.post("/v1/models/churn:predict", content=json.dumps(ROW), headers=headers)
    assert answer.json() == {"predictions": [3.0]}


async def test_who_answered_is_in_the_headers_and_counted(world: FakeWorld) -> None:
    """Arms, versions and the protocol are seen as on our own routes."""
    answer = await world.client.post("/v1/models/churn/labels/champion:predict", json=ROW)
    assert (answer.headers["x-headgate-version"], answer.headers["x-headgate-arm"]) == ("3", "alias")
    await world.client.post("/v1/models/half:predict", json=ROW)
    text = (await world.client.get("/metrics")).text
    assert 'arm="alias",code="2xx",model="churn",protocol="tfs",version="3"} 1.0' in text
    assert 'arm="other",code="4xx",model="other",protocol="tfs",version="other"} 1.0' in text


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ModelFault("model_error", "ValueError: no"), 500),
        (ModelFault("model_timeout", "too slow"), 504),
        (Refused("overloaded", "the queue is full", retry_after=1), 429),
        (Unavailable("no_capacity", "no room"), 503),
        (RuntimeError("secret of the platform"), 500),
    ],
)
async def test_what_a_model_raises_has_their_shape(world: FakeWorld, error: Exception, status: int) -> None:
    """Faults keep their status and may say when to retry; ours show nothing."""
    await world.client.post("/v1/models/churn:predict", json=ROW)
    loaded = world.copy_of("2")
    assert isinstance(loaded, FakeLoaded)
    loaded.error = error
    answer = await world.client.post("/v1/models/churn:predict", json=ROW)
    assert (answer.status_code, list(answer.json())) == (status, ["error"])
    assert "secret" not in answer.text
    assert ("retry-after" in answer.headers) == (status in (429, 503))


async def test_limits_of_http_are_those_of_http(world: FakeWorld) -> None:
    """A body that is too long is 413 after expansion too, in their shape."""
    for body, headers in ((b" " * 20_000, {}), (gzip.compress(b" " * 1_000_000), {"content-encoding": "gzip"})):
        answer = await world.client.post("/v1/models/churn:predict", content=body, headers=headers)
        assert (answer.status_code, list(answer.json())) == (413, ["error"])


async def test_a_version_that_failed_ends_and_is_not_ready(world: FakeWorld) -> None:
    """A model whose stable version cannot be loaded is 503 for who asks by status, with the reason for who reads."""
    version = servable("2", "churn 2")
    world.runtime.errors[version.digest] = ModelFault("model_error", "it cannot be loaded")
    await world.client.post("/v1/models/churn:predict", json=ROW)
    assert world.node.pool.state(world.node.routes.table.models["churn"].versions["2"].servable) is State.FAILED  # type: ignore[index]
    answer = await world.client.get("/v1/models/churn")
    assert (answer.status_code, answer.json()["ready"]) == (503, False)
    (status,) = [each for each in answer.json()["model_version_status"] if each["version"] == "2"]
    assert (status["state"], status["status"]["error_code"]) == ("END", "UNAVAILABLE")
    assert "it cannot be loaded" in status["status"]["error_message"]
    assert (await world.client.get("/v1/models/churn/versions/2")).status_code == 200


async def test_a_canary_is_not_described_by_lot(world: FakeWorld) -> None:
    """Asking for metadata ten times is the same ten times: that of the stable version."""
    answers = [(await world.client.get("/v1/models/churn/metadata")).json() for _ in range(10)]
    assert {answer["model_spec"]["version"] for answer in answers} == {"2"}


async def test_head_answers_as_get_without_a_body(world: FakeWorld) -> None:
    """Probes that ask with HEAD get the status of GET."""
    for path, status in (("/", 200), ("/v1/models/churn", 200), ("/v1/models/planless", 503), ("/v1/x", 400)):
        answer = await world.client.head(path)
        assert (answer.status_code, answer.content) == (status, b"")


async def test_the_document_has_their_paths_and_errors(world: FakeWorld) -> None:
    """OpenAPI shows verbs where callers write them, and errors as they are."""
    paths = (await world.client.get("/openapi.json")).json()["paths"]
    for path in (
        "/v1/models/{name}:predict",
        "/v1/models/{name}/labels/{label}:classify",
        "/v1/models/{name}/metadata",
    ):
        (operation,) = paths[path].values()
        error = operation["responses"]["default"]["content"]["application/json"]["schema"]
        assert list(error["properties"]) == ["error"]


async def test_the_list_of_models_is_made_beside_the_loop() -> None:
    """There may be 100,000 of them, which nobody else's request waits for."""
    threads: list[str] = []

    class Models(dict[str, Any]):
        def values(self) -> Any:
            threads.append(current_thread().name)
            return super().values()

    named = [SimpleNamespace(name=name) for name in ("half", "churn")]
    node: Any = SimpleNamespace(
        routes=SimpleNamespace(table=SimpleNamespace(models=Models({each.name: each for each in named})))
    )
    app = FastAPI()
    app.include_router(tfs_routes(node))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1") as client:
        answer = await client.get("/v1/models")
    assert answer.json() == {"models": ["churn", "half"]}
    assert threads[0] != current_thread().name
