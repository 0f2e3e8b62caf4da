"""The predict lane, through the whole gated node: routes, headers, answers, refusals."""

from __future__ import annotations

import asyncio
import dataclasses
import gzip
import json
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from registry.errors import ModelFault, Refused, Unavailable
from registry.plans import Plan
from registry.records import VersionNumber
from serving.protocols.limits import HEAVY_BYTES
from tests.support.serving_fakes import FakeLoaded, eventually, settle, snapshot
from tests.support.serving_node import ROW, FakeWorld, churn, running

pytestmark = pytest.mark.anyio


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[FakeWorld]:
    """Give a node that knows churn."""
    async with running(tmp_path, churn(), snapshot("planless", stable=None), body_bytes=10_000) as world:
        yield world


def problem(answer: httpx.Response) -> tuple[int, str]:
    """Return status and code of an error, after checking its shape."""
    body = answer.json()
    assert list(body) == ["error"]
    assert set(body["error"]) == {"code", "message", "request_id", "details"}
    assert body["error"]["request_id"] == answer.headers["x-request-id"]
    assert len(answer.content) < 4096
    return answer.status_code, body["error"]["code"]


@pytest.mark.parametrize(
    ("path", "version", "arm"),
    [
        ("/models/churn/predict", "2", "stable"),
        ("/models/churn/versions/1/predict", "1", "pinned"),
        ("/models/churn/aliases/champion/predict", "3", "alias"),
    ],
)
async def test_each_route_answers_with_its_version(world: FakeWorld, path: str, version: str, arm: str) -> None:
    """Plan, version and alias each choose, and the headers say what was chosen."""
    answer = await world.client.post(path, json=ROW, headers={"x-request-id": "abc"})
    assert answer.status_code == 200
    assert answer.json() == {
        "predictions": [3.0],
        "model_name": "churn",
        "model_version": version,
        "request_id": "abc",
    }
    names = ("x-headgate-model", "x-headgate-version", "x-headgate-arm", "x-headgate-revision", "x-request-id")
    assert [answer.headers[n] for n in names] == ["churn", version, arm, "7", "abc"]


async def test_a_request_without_an_id_gets_one(world: FakeWorld) -> None:
    """The id in the answer is the one in the header."""
    answer = await world.client.post("/models/churn/predict", json=ROW)
    assert len(answer.json()["request_id"]) == 32
    assert answer.json()["request_id"] == answer.headers["x-request-id"]


async def test_a_change_of_plan_is_in_force_at_once(world: FakeWorld) -> None:
    """The next request after the registry's word goes to the new stable version."""
    await world.client.post("/models/churn/predict", json=ROW)
    world.registry.put(dataclasses.replace(churn(), plan=Plan(VersionNumber("3")), plan_revision=8))
    await eventually(lambda: world.node.routes.table.models["churn"].revision == 8, seconds=0.5)
    answer = await world.client.post("/models/churn/predict", json=ROW)
    assert (answer.headers["x-headgate-version"], answer.headers["x-headgate-revision"]) == ("3", "8")


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/models/nobody/predict", (404, "unknown_model")),
        ("/models/churn/versions/99/predict", (404, "unknown_version")),
        ("/models/churn/versions/4/predict", (409, "not_ready")),
        ("/models/churn/versions/5/predict", (422, "not_servable")),
        ("/models/churn/versions/6/predict", (404, "unknown_version")),
        ("/models/churn/aliases/nobody/predict", (404, "unknown_alias")),
        ("/models/planless/predict", (404, "no_plan")),
    ],
)
async def test_what_does_not_answer_says_why(world: FakeWorld, path: str, expected: tuple[int, str]) -> None:
    """Each reason has its status and code."""
    assert problem(await world.client.post(path, json=ROW)) == expected


async def test_gzip_is_accepted_and_limited_after_expansion(world: FakeWorld) -> None:
    """A compressed body counts as what it expands to."""
    headers = {"content-encoding": "gzip", "content-type": "application/json"}
    fine = gzip.compress(json.dumps(ROW).encode())
    assert (await world.client.post("/models/churn/predict", content=fine, headers=headers)).status_code == 200
    bomb = gzip.compress(b" " * 1_000_000)
    assert problem(await world.client.post("/models/churn/predict", content=bomb, headers=headers)) == (
        413,
        "body_too_large",
    )


@pytest.mark.parametrize(
    "kind",
    ["text/plain", "application/xml", "application/x-pickle", "application/vnd.bentoml+pickle", "multipart/mixed"],
)
async def test_other_content_types_are_refused(world: FakeWorld, kind: str) -> None:
    """What is not on the list is 415, whatever it holds."""
    answer = await world.client.post("/models/churn/predict", content=b"x", headers={"content-type": kind})
    assert problem(answer) == (415, "unsupported_media_type")


@pytest.mark.parametrize("value", ["0", "-1", "1.5", "soon", "", " 5", "9999999999"])
async def test_a_bad_timeout_header_is_refused(world: FakeWorld, value: str) -> None:
    """X-Request-Timeout-Ms must be whole milliseconds; an empty one counts as absent."""
    answer = await world.client.post("/models/churn/predict", json=ROW, headers={"x-request-timeout-ms": value})
    assert answer.status_code == 200 if not value.strip() else problem(answer) == (400, "invalid_argument")


async def test_the_timeout_header_shortens_the_wait(world: FakeWorld) -> None:
    """A model that takes longer than the caller waits is a 504; longer than allowed is not possible."""
    await world.client.post("/models/churn/predict", json=ROW)
    loaded = world.copy_of("2")
    assert isinstance(loaded, FakeLoaded)
    loaded.hold = asyncio.Event()
    answer = await world.client.post("/models/churn/predict", json=ROW, headers={"x-request-timeout-ms": "20"})
    assert problem(answer) == (504, "model_timeout")


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ModelFault("model_error", "ValueError: no"), (500, "model_error")),
        (Refused("overloaded", "the queue is full", retry_after=1), (429, "overloaded")),
        (RuntimeError("secret of the platform"), (500, "internal")),
    ],
)
async def test_what_a_model_raises_becomes_an_answer(
    world: FakeWorld, error: Exception, expected: tuple[int, str]
) -> None:
    """A model's fault, an overload and our own fault are told apart; the latter shows nothing."""
    await world.client.post("/models/churn/predict", json=ROW)
    loaded = world.copy_of("2")
    assert isinstance(loaded, FakeLoaded)
    loaded.error = error
    answer = await world.client.post("/models/churn/predict", json=ROW)
    assert problem(answer) == expected
    assert "secret" not in answer.text
    assert ("retry-after" in answer.headers) == (expected[0] == 429)


async def test_a_version_that_cannot_be_loaded_does_not_touch_the_others(world: FakeWorld) -> None:
    """Corrupt artifacts are that version's 503; the other versions answer."""
    corrupt = Unavailable("artifact_corrupt", "the artifact does not match its digest", retry_after=30)
    world.cache.errors[churn().versions[next(iter(churn().versions))].digest] = corrupt
    answer = await world.client.post("/models/churn/versions/1/predict", json=ROW)
    assert problem(answer) == (503, "artifact_corrupt")
    assert "retry-after" in answer.headers
    assert (await world.client.post("/models/churn/versions/2/predict", json=ROW)).status_code == 200


async def test_a_version_whose_host_died_answers_the_next_request(world: FakeWorld) -> None:
    """The request that met the death gets one 500; the next one a fresh copy."""
    await world.client.post("/models/churn/predict", json=ROW)
    loaded = world.copy_of("2")
    assert isinstance(loaded, FakeLoaded)
    loaded.error, loaded.alive = ModelFault("model_error", "the process of this version ended"), True
    assert problem(await world.client.post("/models/churn/predict", json=ROW)) == (500, "model_error")
    loaded.alive = False
    assert (await world.client.post("/models/churn/predict", json=ROW)).status_code == 200


async def test_the_registrys_absence_is_not_noticed(world: FakeWorld) -> None:
    """With the registry down, answers go on and the node stays ready."""
    world.registry.down = True
    world.registry._wake()
    await settle()
    assert (await world.client.post("/models/churn/predict", json=ROW)).status_code == 200
    assert (await world.client.get("/readyz")).status_code == 200


async def test_requests_are_counted_with_what_they_met(world: FakeWorld) -> None:
    """Successes, refusals before the predictor and unknown names show in the metrics."""
    await world.client.post("/models/churn/predict", json=ROW)
    await world.client.post("/models/nobody/predict", json=ROW)
    await world.client.post("/models/churn/predict", content=b"x" * 20_000)
    text = (await world.client.get("/metrics")).text
    assert 'arm="stable",code="2xx",model="churn",protocol="native",version="2"} 1.0' in text
    assert 'arm="other",code="4xx",model="other",protocol="native",version="other"} 1.0' in text
    assert 'arm="other",code="4xx",model="churn",protocol="native",version="other"} 1.0' in text


async def test_a_query_is_refused(world: FakeWorld) -> None:
    """What stands in the query would be ignored without a word: it is refused instead."""
    assert problem(await world.client.post("/models/churn/predict?scale=3", json=ROW)) == (400, "invalid_argument")


async def test_a_body_that_nobody_has_time_to_read_is_told_so(tmp_path: Path) -> None:
    """A large body waits its turn for as long as its caller does, and no longer."""
    async with running(tmp_path, churn()) as world:
        free = threading.Event()
        for _ in range(2):
            world.node._predictor._aside._threads.submit(free.wait)
        body = b" " * HEAVY_BYTES + json.dumps(ROW).encode()
        head = {"content-type": "application/json", "x-request-timeout-ms": "50"}
        answer = await world.client.post("/models/churn/predict", content=body, headers=head)
        free.set()
        assert problem(answer) == (504, "model_timeout")
