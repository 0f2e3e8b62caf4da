"""Open Inference Protocol infers, through the whole gated node: who answers, binary both ways, compression, errors."""

from __future__ import annotations

import gzip
import json
import tracemalloc
import zlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from registry.errors import ModelFault, Unavailable
from registry.plans import WHOLE, Canary, Plan
from registry.records import VersionNumber
from serving.exchange import Priority
from tests.support.serving_fakes import FakeLoaded, servable, snapshot
from tests.support.serving_node import FakeWorld, churn, running

pytestmark = pytest.mark.anyio

INFER = "/v2/models/churn/infer"
A: dict[str, Any] = {"name": "a", "shape": [2], "datatype": "FP64", "data": [1.0, 2.0]}
B: dict[str, Any] = {"name": "b", "shape": [2, 1], "datatype": "FP32", "data": [[0.5], [1.5]]}
ROWS: dict[str, Any] = {"inputs": [A, B]}


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[FakeWorld]:
    """Give a node that knows churn, whose models answer the sum of each row."""
    async with running(tmp_path, churn(), snapshot("planless", stable=None), body_bytes=100_000) as world:
        yield world


def with_blobs(document: dict[str, Any], *blobs: bytes) -> tuple[bytes, dict[str, str]]:
    """Return a body of JSON and binary tensors, and the header that it needs."""
    header = json.dumps(document).encode()
    return b"".join((header, *blobs)), {"inference-header-content-length": str(len(header))}


async def post(world: FakeWorld, body: bytes | dict[str, Any], path: str = INFER, **headers: str) -> httpx.Response:
    """Send an infer with nothing but the headers given: no content type."""
    content = json.dumps(body).encode() if isinstance(body, dict) else body
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return await world.client.post(path, content=content, headers=given)


def refused(answer: httpx.Response) -> tuple[int, str]:
    """Return status and text of an error, after checking its shape."""
    document = answer.json()
    assert list(document) == ["error"]
    assert answer.headers["content-type"] == "application/json"
    assert len(answer.content) < 4096
    return answer.status_code, document["error"]


async def test_an_infer_says_who_answered(world: FakeWorld) -> None:
    """The answer has the tensors, the request's id, and the arm in headers and parameters."""
    answer = await post(world, {**ROWS, "id": "first"}, x_request_id="abc")
    assert answer.status_code == 200, answer.text
    assert answer.json() == {
        "model_name": "churn",
        "model_version": "2",
        "id": "first",
        "parameters": {"headgate_arm": "stable", "headgate_revision": 7, "headgate_request_id": "abc"},
        "outputs": [{"name": "output-1", "shape": [2], "datatype": "FP64", "data": [1.5, 3.5]}],
    }
    told = ("content-type", "x-headgate-version", "x-headgate-arm", "x-headgate-revision", "x-request-id")
    assert [answer.headers[name] for name in told] == ["application/json", "2", "stable", "7", "abc"]


async def test_a_version_in_the_path_is_pinned(world: FakeWorld) -> None:
    """The path's version answers, whatever the plan says, and a model_name in the body means nothing."""
    answer = await post(world, {**ROWS, "model_name": "other"}, "/v2/models/churn/versions/1/infer")
    assert (answer.json()["model_version"], answer.headers["x-headgate-arm"]) == ("1", "pinned")


async def test_a_canary_answers_as_such(tmp_path: Path) -> None:
    """A canary with all the traffic answers, and headers and parameters name its arm."""
    plan = Plan(VersionNumber("1"), canary=Canary(VersionNumber("2"), WHOLE, "7"))
    async with running(tmp_path, snapshot(plan=plan)) as world:
        await world.client.post("/models/churn/versions/2/load")
        answer = await post(world, ROWS)
        assert answer.json()["parameters"]["headgate_arm"] == answer.headers["x-headgate-arm"] == "canary"
        assert answer.json()["model_version"] == "2"


async def test_binary_in_and_out(world: FakeWorld) -> None:
    """Binary tensors come behind the JSON both ways, and the header says how long the JSON is."""
    raw = np.array([1.0, 2.0]).tobytes()
    binary = {"name": "a", "shape": [2], "datatype": "FP64", "parameters": {"binary_data_size": len(raw)}}
    body, headers = with_blobs({"inputs": [binary, B], "parameters": {"binary_data_output": True}}, raw)
    answer = await post(world, body, **headers)
    assert answer.headers["content-type"] == "application/octet-stream"
    length = int(answer.headers["inference-header-content-length"])
    assert json.loads(answer.content[:length])["outputs"] == [
        {"name": "output-1", "shape": [2], "datatype": "FP64", "parameters": {"binary_data_size": 16}}
    ]
    assert np.frombuffer(answer.content[length:]).tolist() == [1.5, 3.5]


async def test_a_raw_request_is_answered_in_binary(world: FakeWorld) -> None:
    """A header length of 0 makes the whole body one tensor, and the answer is binary unasked."""
    raw = np.array([[1.0, 2.0], [3.0, 4.0]]).tobytes()
    answer = await post(world, raw, inference_header_content_length="0")
    length = int(answer.headers["inference-header-content-length"])
    assert np.frombuffer(answer.content[length:]).tolist() == [3.0, 7.0]


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [("gzip", "gzip"), ("deflate", "deflate"), ("gzip;q=0.5, deflate", "deflate"), ("gzip;q=0", None), ("br", None)],
)
async def test_answers_are_compressed_where_that_is_read(world: FakeWorld, accepted: str, coding: str | None) -> None:
    """Accept-Encoding decides, and the header length still counts the JSON before it was compressed."""
    rows = {"inputs": [dict(A, shape=[500], data=[1.0] * 500), dict(B, shape=[500], data=[2.0] * 500)]}
    body = {**rows, "parameters": {"binary_data_output": True}}
    request = world.client.build_request("POST", INFER, json=body, headers={"accept-encoding": accepted})
    answer = await world.client.send(request, stream=True)
    sent = b"".join([piece async for piece in answer.aiter_raw()])
    assert answer.headers.get("content-encoding") == coding
    assert answer.headers["content-length"] == str(len(sent))
    plain = gzip.decompress(sent) if coding == "gzip" else zlib.decompress(sent) if coding else sent
    length = int(answer.headers["inference-header-content-length"])
    assert json.loads(plain[:length])["outputs"][0]["parameters"] == {"binary_data_size": 4000}
    assert np.frombuffer(plain[length:]).tolist() == [3.0] * 500


async def test_a_compressed_request_with_binary_tensors(world: FakeWorld) -> None:
    """Gzip is taken off first: the header length counts what is inside."""
    raw = np.array([1.0, 2.0]).tobytes()
    binary = {"name": "a", "shape": [2], "datatype": "FP64", "parameters": {"binary_data_size": len(raw)}}
    body, headers = with_blobs({"inputs": [binary, B]}, raw)
    answer = await post(world, gzip.compress(body), content_encoding="gzip", **headers)
    assert answer.json()["outputs"][0]["data"] == [1.5, 3.5]


@pytest.mark.parametrize(
    ("path", "body", "status", "said"),
    [
        (INFER, b"{", 400, "not valid JSON"),
        (INFER, b'{"inputs": [], "inputs": []}', 400, "twice"),
        (INFER, b'{"inputs": []}', 400, "inputs: expected"),
        (INFER, {"inputs": [A]}, 400, "missing column 'b'"),
        (INFER, {"inputs": [A, dict(B, data=[1.0])]}, 400, "tensor 'b'"),
        (INFER, {**ROWS, "outputs": [{"name": "other"}]}, 400, "no output 'other'"),
        (INFER, {**ROWS, "parameters": {"timeout": -1}}, 400, "timeout"),
        ("/v2/models/nobody/infer", ROWS, 404, "no model"),
        ("/v2/models/churn/versions/99/infer", ROWS, 404, "99"),
        ("/v2/models/churn/versions/01/infer", ROWS, 404, "01"),
        ("/v2/models/churn/versions/4/infer", ROWS, 409, "checked"),
        ("/v2/models/planless/infer", ROWS, 404, "plan"),
        ("/v2/models/churn/nothing", ROWS, 404, ""),
        ("/v2/nothing", ROWS, 404, ""),
        (INFER, b'{"inputs": "' + b"x" * 200_000 + b'"}', 413, "100000 bytes"),
    ],
)
async def test_every_refusal_is_one_text(
    world: FakeWorld, path: str, body: bytes | dict[str, Any], status: int, said: str
) -> None:
    """Whatever is wrong, the answer is an object with one text, and a status that clients of the protocol expect."""
    found, text = refused(await post(world, body, path))
    assert (found, said in text) == (status, True), (found, text)


async def test_parameters_that_nobody_knows_are_left_out(world: FakeWorld) -> None:
    """Triton and MLServer take any, and clients add their own."""
    assert (await post(world, {**ROWS, "parameters": {"depth": 1, "trace": "x"}})).status_code == 200


@pytest.mark.parametrize("path", [INFER, "/v2/models/churn/versions/1/infer"])
async def test_another_method_is_refused_in_the_protocols_words(world: FakeWorld, path: str) -> None:
    """GET of an infer path is 405, with the methods that it has."""
    answer = await world.client.get(path)
    assert refused(answer)[0] == 405
    assert answer.headers["allow"] == "POST"


async def test_a_query_is_left_out(world: FakeWorld) -> None:
    """Clients may send one, and no route of this protocol has any use for it."""
    assert (await post(world, ROWS, INFER + "?x=1")).status_code == 200


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ModelFault("model_error", "ValueError: no"), 500),
        (ModelFault("model_timeout", "the model took too long"), 504),
        (Unavailable("no_capacity", "no room"), 503),
    ],
)
async def test_what_a_model_raises_has_the_protocols_shape(world: FakeWorld, error: Exception, status: int) -> None:
    """The model's error is the text, and who answered stays in the headers."""
    assert (await post(world, ROWS)).status_code == 200
    copy = world.copy_of("2")
    assert isinstance(copy, FakeLoaded)
    copy.error = error
    answer = await post(world, ROWS)
    assert refused(answer) == (status, str(error))
    assert answer.headers["x-headgate-version"] == "2"
    assert ("retry-after" in answer.headers) == (status == 503)


async def test_timeout_and_priority_reach_the_model(world: FakeWorld) -> None:
    """Microseconds shorten the wait; 1 goes first."""
    assert (await post(world, ROWS)).status_code == 200
    seen: list[tuple[float, Priority]] = []
    copy = world.copy_of("2")
    assert isinstance(copy, FakeLoaded)
    real = copy.predict

    async def predict(call: Any, seconds: float, priority: Priority = Priority.NORMAL) -> Any:
        seen.append((seconds, priority))
        return await real(call, seconds, priority)

    copy.predict = predict  # type: ignore[method-assign]  # a listener in front of the fake
    assert (await post(world, {**ROWS, "parameters": {"timeout": 2_000_000, "priority": 1}})).status_code == 200
    assert (await post(world, {**ROWS, "parameters": {"priority": 5}})).status_code == 200
    assert 1.5 < seen[0][0] <= 2.0 < seen[1][0]
    assert [priority for _, priority in seen] == [Priority.HIGH, Priority.LOW]


async def test_it_is_counted_as_its_own_protocol(world: FakeWorld) -> None:
    """The metrics tell infers from native predicts."""
    await post(world, ROWS)
    await post(world, b"{")
    page = (await world.client.get("/metrics")).text
    lines = [line for line in page.splitlines() if 'protocol="oip"' in line and line.startswith("headgate_requests")]
    assert lines, page[:2000]


async def test_a_large_binary_tensor_is_in_memory_once(tmp_path: Path) -> None:
    """Reading the body takes its size, and nothing after that takes it again: what the model gets is a view."""
    tensors = {"inputs": [{"type": "tensor", "tensor-spec": {"dtype": "float64", "shape": [-1, 100]}}]}
    model = snapshot("wide", {"1": servable("1", "wide", tensors)})
    raw = np.ones((2000, 100)).tobytes()
    tensor = {"name": "x", "shape": [2000, 100], "datatype": "FP64", "parameters": {"binary_data_size": len(raw)}}
    body, headers = with_blobs({"inputs": [tensor]}, raw)
    async with running(tmp_path, model) as world:
        path = "/v2/models/wide/infer"
        await post(world, {"inputs": [dict(A, shape=[1, 100], data=[1.0] * 100)]}, path)
        tracemalloc.start()
        answer = await post(world, body, path, **headers)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert answer.json()["outputs"][0]["data"][:2] == [100.0, 100.0]
    assert peak < 1.5 * len(raw)
