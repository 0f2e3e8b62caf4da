"""Streamed answers over HTTP: events in order, errors before and after the first piece, and clients that leave."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from registry.errors import ModelFault, Refused
from registry.plans import WHOLE, Canary, Plan
from registry.records import VersionNumber
from serving.exchange import ArrayOutput, Call, JsonOutput, Output, Priority
from serving.routing.ejection import FAILURES
from tests.http.serving.test_wire import Wire
from tests.support.collector import attributes, collecting
from tests.support.metrics import sample
from tests.support.serving_fakes import FakeLoaded, eventually, snapshot
from tests.support.serving_node import ROW, FakeWorld, churn, listening, running

pytestmark = pytest.mark.anyio
URL = "/models/churn/predict_stream"
WORDS: list[Output | Exception] = [JsonOutput("to"), JsonOutput({"be": None}), ArrayOutput(np.array([1.5, np.nan]))]
FAULT = ModelFault("model_error", "the model raised: ValueError: no more words", {"type": "ValueError"})
DIED = ModelFault("model_error", "the process of this version died: killed by SIGKILL", {"started": True})


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[FakeWorld]:
    """Give a node whose churn 2 is loaded."""
    async with running(tmp_path, churn()) as world:
        await load(world, "2")
        yield world


async def load(world: FakeWorld, number: str, pieces: list[Output | Exception] | None = None) -> FakeLoaded:
    """Have a version loaded, with pieces to stream."""
    assert (await world.client.post(f"/models/churn/versions/{number}/load")).status_code == 200
    copy = world.copy_of(number)
    assert isinstance(copy, FakeLoaded)
    copy.pieces = WORDS if pieces is None else pieces
    return copy


def events(body: str) -> list[tuple[str, Any]]:
    """Return the events of a body: name and data."""
    assert body.endswith("\n\n")
    found = []
    for block in body[:-2].split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.splitlines())
        found.append((lines.get("event", ""), json.loads(lines["data"])))
    return found


async def test_pieces_come_as_events_in_order_and_a_last_one_counts_them(world: FakeWorld) -> None:
    """Each event is what a predict answers, valid JSON; the headers say who answered, and that nothing may hold it
    back."""
    answer = await world.client.post(URL, json=ROW, headers={"x-request-id": "r-1", "accept": "text/event-stream"})
    told = {"model_name": "churn", "model_version": "2", "request_id": "r-1"}
    assert events(answer.text) == [
        ("", {"predictions": "to", **told}),
        ("", {"predictions": {"be": None}, **told}),
        ("", {"predictions": [1.5, None], **told}),
        ("done", {"pieces": 3}),
    ]
    wanted = {
        "content-type": "text/event-stream",
        "cache-control": "no-store",
        "x-accel-buffering": "no",
        "x-request-id": "r-1",
        "x-headgate-model": "churn",
        "x-headgate-version": "2",
        "x-headgate-arm": "stable",
        "x-headgate-revision": "7",
    }
    assert {name: answer.headers[name] for name in wanted} == wanted
    assert "content-length" not in answer.headers


@pytest.mark.parametrize("path", ["versions/3", "aliases/champion"])
async def test_a_version_and_an_alias_stream_too(world: FakeWorld, path: str) -> None:
    """Whoever is named answers."""
    await load(world, "3")
    answer = await world.client.post(f"/models/churn/{path}/predict_stream", json=ROW)
    assert (answer.headers["x-headgate-version"], events(answer.text)[-1]) == ("3", ("done", {"pieces": 3}))


async def test_a_model_without_predict_stream_is_told_where_to_ask(world: FakeWorld) -> None:
    """It is no fault of the input: the words name the other route."""
    copy = await load(world, "1", [])
    answer = await world.client.post("/models/churn/versions/1/predict_stream", json=ROW)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (422, "not_servable")
    assert "no predict_stream" in error["message"] and "predict (or infer) route" in error["message"]
    assert copy.calls == 0


@pytest.mark.parametrize(
    ("body", "headers", "status", "code"),
    [
        (b'{"inputs": {"a": [1.0]}}', {}, 422, "invalid_input"),
        (b"{", {}, 400, "malformed_json"),
        (json.dumps(ROW).encode(), {"accept": "text/csv"}, 406, "not_acceptable"),
    ],
)
async def test_what_is_wrong_before_the_first_piece_is_an_ordinary_error(
    world: FakeWorld, body: bytes, headers: dict[str, str], status: int, code: str
) -> None:
    """As a predict would be refused."""
    sent = {"content-type": "application/json", **headers}
    answer = await world.client.post(URL, content=body, headers=sent)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


async def test_a_model_that_fails_at_once_answers_an_error(world: FakeWorld) -> None:
    """Nothing was sent yet, so the status can still say so."""
    copy = await load(world, "2", [FAULT])
    answer = await world.client.post(URL, json=ROW)
    assert (answer.status_code, answer.json()["error"]["message"]) == (500, FAULT.message)
    assert copy.closed_streams == ["error"]


async def test_a_stream_that_cannot_begin_is_closed_before_its_version_may_go(world: FakeWorld) -> None:
    """The model still has its lease while its generator is closed."""
    copy = await load(world, "2")
    leases: list[int] = []

    async def stream(call: Call, seconds: float, priority: Priority = Priority.NORMAL) -> AsyncGenerator[Output, None]:
        try:
            yield JsonOutput(object())
        finally:
            leases.append((await world.client.get("/models/churn/versions/2")).json()["leases"])

    copy.stream = stream  # type: ignore[method-assign]  # a test's own
    assert (await world.client.post(URL, json=ROW)).status_code == 500
    assert leases == [1]


async def test_a_model_that_fails_in_the_middle_ends_with_an_error_event(world: FakeWorld) -> None:
    """What came before stands; there is no ``done``, and metrics count a failure."""
    await load(world, "2", [JsonOutput(1), FAULT])
    answer = await world.client.post(URL, json=ROW, headers={"x-request-id": "r-2"})
    first, last = events(answer.text)
    assert first[1]["predictions"] == 1
    assert last == (
        "error",
        {
            "error": {
                "code": "model_error",
                "message": FAULT.message,
                "request_id": "r-2",
                "details": {"type": "ValueError"},
            }
        },
    )
    page = (await world.client.get("/metrics")).content
    labels = {"model": "churn", "version": "2", "arm": "stable", "protocol": "native", "code": "5xx"}
    assert sample(page, "headgate_requests_total", **labels) == 1


async def test_a_piece_that_cannot_be_written_is_an_error_event(world: FakeWorld) -> None:
    """JSON cannot say it: the stream ends there, and the model is told to stop."""
    copy = await load(world, "2", [JsonOutput(1), JsonOutput(object()), JsonOutput(3)])
    found = events((await world.client.post(URL, json=ROW)).text)
    assert [name for name, _ in found] == ["", "error"]
    assert found[1][1]["error"]["code"] == "model_output_invalid"
    assert copy.closed_streams == ["closed"]


async def test_a_stream_has_a_longest_time(tmp_path: Path) -> None:
    """A model that would go on for ever is ended, with words that name the setting."""
    async with running(tmp_path, churn(), stream_seconds=0.05) as world:
        copy = await load(world, "2", [JsonOutput(1), JsonOutput(2)])
        copy.hold = asyncio.Event()
        found = events((await world.client.post(URL, json=ROW)).text)
    assert found[1][1]["error"]["code"] == "model_timeout"
    assert "HEADGATE_STREAM_SECONDS" in found[1][1]["error"]["message"]
    assert copy.closed_streams == ["closed"]


async def test_a_version_is_not_unloaded_under_a_stream(world: FakeWorld) -> None:
    """The lease is held until the last piece; then the version goes."""
    copy = await load(world, "2")
    copy.hold = asyncio.Event()
    asking = asyncio.create_task(world.client.post(URL, json=ROW))
    await eventually(lambda: copy.calls == 1)
    await world.client.post("/models/churn/versions/2/unload")
    assert not copy.closed
    copy.hold.set()
    assert events((await asking).text)[-1] == ("done", {"pieces": 3})
    await eventually(lambda: copy.closed)


async def test_stable_answers_for_a_canary_that_dies_before_its_first_piece_only(world: FakeWorld) -> None:
    """Later its callers have part of an answer; they are told, and who fails often rests."""
    plan = Plan(VersionNumber("2"), canary=Canary(VersionNumber("3"), WHOLE, "7"))
    copy = await load(world, "3", [DIED])
    world.registry.put(snapshot(versions=churn().versions, plan=plan, revision=8))  # type: ignore[arg-type]  # numbers are str
    await eventually(lambda: world.node.routes.table.models["churn"].revision == 8)
    answer = await world.client.post(URL, json=ROW)
    assert (answer.headers["x-headgate-arm"], events(answer.text)[-1][0]) == ("fallback", "done")
    copy.pieces = [JsonOutput(1), DIED]
    for _ in range(FAILURES - 1):
        answer = await world.client.post(URL, json=ROW)
        assert (answer.headers["x-headgate-arm"], events(answer.text)[-1][0]) == ("canary", "error")
    assert (await world.client.post(URL, json=ROW)).headers["x-headgate-arm"] == "fallback"


async def test_an_overload_is_refused_before_anything_is_sent(world: FakeWorld) -> None:
    """429, with a time to come back."""
    await load(world, "2", [Refused("overloaded", "too much", {"reason": "queue_full"}, retry_after=1)])
    answer = await world.client.post(URL, json=ROW)
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "1")


async def test_a_span_covers_the_whole_stream(tmp_path: Path) -> None:
    """It ends with the last piece, and says how it ended."""
    with collecting() as collector:
        async with running(tmp_path, churn(), otlp_endpoint=collector.url) as world:
            await load(world, "2", [JsonOutput(1), FAULT])
            trace = "4bf92f3577b34da6a3ce929d0e0e4736"
            headers = {"traceparent": f"00-{trace}-00f067aa0ba902b7-01"}
            answer = await world.client.post(URL, json=ROW, headers=headers)
            await eventually(lambda: bool(collector.of(trace)))
    own, *_ = collector.of(trace)
    assert answer.headers["traceparent"] == f"00-{trace}-{own.span_id.hex()}-01"
    assert attributes(own)["error.type"] == "model_error"


@pytest.fixture
async def wired(tmp_path: Path) -> AsyncIterator[tuple[FakeWorld, int]]:
    """Give a node behind a real server, and its port; churn 2 is loaded."""
    world = FakeWorld(tmp_path, churn())
    async with listening(world) as port:
        await eventually(lambda: world.node.routes.table.known)
        await load(world, "2")
        yield world, port


@pytest.mark.integration
async def test_each_piece_is_sent_before_the_next_is_made(wired: tuple[FakeWorld, int]) -> None:
    """A client reads the first one while the model still thinks of the second; the connection goes on afterwards."""
    world, port = wired
    copy = world.copy_of("2")
    assert isinstance(copy, FakeLoaded)
    copy.hold = asyncio.Event()
    body = json.dumps(ROW).encode()
    async with Wire(port) as wire:
        await wire.post("Content-Type: application/json", f"Content-Length: {len(body)}", path=URL, body=body)
        head = await wire.until(b"\r\n\r\n")
        assert b"transfer-encoding: chunked" in head.lower()
        assert b'"predictions":"to"' in await wire.until(b"\n\n")
        copy.hold.set()
        assert b'event: done\ndata: {"pieces":3}' in await wire.until(b"0\r\n\r\n")
        await wire.post("Content-Type: application/json", f"Content-Length: {len(body)}", body=body)
        assert (await wire.answer())[0] == 200


@pytest.mark.integration
async def test_a_client_that_leaves_closes_the_stream_at_once(wired: tuple[FakeWorld, int]) -> None:
    """The model is told to stop, the lease comes back, and no failure is counted."""
    world, port = wired
    copy = world.copy_of("2")
    assert isinstance(copy, FakeLoaded)
    copy.hold = asyncio.Event()
    body, free = json.dumps(ROW).encode(), world.node.bodies.free_bytes
    async with Wire(port) as wire:
        await wire.post("Content-Type: application/json", f"Content-Length: {len(body)}", path=URL, body=body)
        await wire.until(b'"to"')
    await eventually(lambda: copy.closed_streams == ["closed"], 1)
    view = (await world.client.get("/models/churn/versions/2")).json()
    assert view["leases"] == 0
    page = (await world.client.get("/metrics")).content
    labels = {"model": "churn", "version": "2", "arm": "stable", "protocol": "native", "code": "4xx"}
    assert sample(page, "headgate_requests_total", **labels) == 1
    assert world.node.bodies.free_bytes == free


INFERENCE = {
    "id": "i-1",
    "inputs": [
        {"name": "a", "shape": [1], "datatype": "FP64", "data": [1.0]},
        {"name": "b", "shape": [1], "datatype": "FP64", "data": [2.0]},
    ],
    "parameters": {"binary_data_output": True},
}


@pytest.mark.parametrize(
    "path", ["infer_stream", "generate_stream", "versions/2/infer_stream", "versions/2/generate_stream"]
)
async def test_the_open_inference_protocol_streams_bare_answers(world: FakeWorld, path: str) -> None:
    """Each event is an infer's answer in JSON, binary or not as it may have asked; nothing else is in the stream."""
    await load(world, "2", [ArrayOutput(np.array([1.5])), ArrayOutput(np.array([2.5]))])
    headers = {"accept-encoding": "gzip"}
    answer = await world.client.post(f"/v2/models/churn/{path}", json=INFERENCE, headers=headers)
    found = events(answer.text)
    assert answer.headers["content-type"] == "text/event-stream"
    assert "content-encoding" not in answer.headers
    assert [name for name, _ in found] == ["", ""]
    assert [(data["id"], data["model_name"], data["model_version"]) for _, data in found] == [("i-1", "churn", "2")] * 2
    assert [data["outputs"][0]["data"] for _, data in found] == [[1.5], [2.5]]


async def test_an_open_inference_stream_that_fails_says_so_in_an_event(world: FakeWorld) -> None:
    """A client that knows nothing of names finds ``error`` in the data."""
    await load(world, "2", [ArrayOutput(np.array([1.5])), FAULT])
    found = events((await world.client.post("/v2/models/churn/infer_stream", json=INFERENCE)).text)
    assert found[1] == ("", {"error": FAULT.message})


async def test_open_inference_errors_before_the_first_piece_are_its_own(world: FakeWorld) -> None:
    """The shape and the status of an infer's errors."""
    await load(world, "2", [])
    answer = await world.client.post("/v2/models/churn/generate_stream", json=INFERENCE)
    assert (answer.status_code, list(answer.json())) == (400, ["error"])


async def test_generate_is_another_name_for_infer(world: FakeWorld) -> None:
    """As MLServer has it."""
    one, other = [await world.client.post(f"/v2/models/churn/{verb}", json=INFERENCE) for verb in ("infer", "generate")]
    assert one.status_code == other.status_code == 200
    assert one.headers["content-type"] == other.headers["content-type"]
