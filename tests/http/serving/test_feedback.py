"""Labels over HTTP: from a node to the registry with the answers that it may not have, or not at all."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from registry.errors import HeadgateError, Unavailable
from registry.plans import Plan
from registry.records import ModelName
from serving.bootstrap import Node
from serving.parts import Parts
from serving.settings import ServingSettings
from serving.sources.feedback import HttpFeedback
from serving.workers.siblings import Worker
from tests.support.labels import item
from tests.support.ledgers import CHURN, number
from tests.support.registry_app import V1, RegistryInMemory
from tests.support.serving_fakes import FakeCache, FakeRegistry, FakeRuntime, eventually
from tests.support.serving_node import ROW, FakeWorld, churn, listening, running

pytestmark = pytest.mark.anyio
FEEDBACK = "/models/churn/feedback"


class Desk:
    """A node's way to a registry in this process: its reports and its labels."""

    def __init__(self) -> None:
        self.registry = RegistryInMemory()
        self.registry.ready("churn", 3)
        self.registry.ledger.plans.append(CHURN, 0, Plan(number(2)), "ana", "")
        self.bodies: list[dict[str, Any]] = []
        self.reports = Reports(self)

    async def send(self, model: ModelName, body: bytes) -> dict[str, Any]:
        """Hand labels over."""
        self.bodies.append(json.loads(body))
        return await self.post(f"{V1}/models/{model}/feedback", body)

    async def post(self, path: str, body: bytes) -> dict[str, Any]:
        """Post JSON to the registry."""
        headers = {"content-type": "application/json"}
        answer = await asyncio.to_thread(self.registry.ask, "POST", path, content=body, headers=headers)
        assert answer.status_code in (200, 202), answer.text
        return dict(answer.json())

    async def close(self) -> None:
        """Nothing is open."""

    def labelled(self) -> list[tuple[object, object]]:
        """Return what was predicted and labelled for version 2."""
        rows = self.registry.ledger.predictions.labelled(CHURN, number(2), 0, 100)
        return [(row.predicted, row.label) for row in rows]


class Reports:
    """The way of reports."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def send(self, body: bytes, sequence: int) -> bool:
        """Hand a report over."""
        return bool((await self._desk.post(f"{V1}/windows", body))["sequence"] >= sequence)

    async def close(self) -> None:
        """Nothing is open."""


async def predict(client: httpx.AsyncClient, request_id: str) -> None:
    """Have a row predicted: its sum, 3."""
    answer = await client.post("/models/churn/predict", json=ROW, headers={"x-request-id": request_id})
    assert answer.status_code == 200 and answer.headers["x-headgate-version"] == "2"


async def test_a_label_right_after_its_prediction_is_accepted(tmp_path: Path) -> None:
    """The answer goes with it; what was never predicted is refused, and told when to come again."""
    desk = Desk()
    async with running(tmp_path, churn(), feedback=desk, window_seconds=30) as world:
        await predict(world.client, "r-1")
        taken = await world.client.post(FEEDBACK, json={"items": [item("r-1", 4.5), item("no"), item("r-1", 1, row=1)]})
    assert taken.status_code == 202
    assert taken.json()["accepted"] == 1
    assert [(one["index"], one["code"]) for one in taken.json()["refused"]] == [
        (1, "unknown_request"),
        (2, "unknown_row"),
    ]
    assert "HEADGATE_WINDOW_SECONDS" in taken.json()["refused"][0]["message"]
    assert desk.labelled() == [(3.0, 4.5)]
    assert [one["request_id"] for one in desk.bodies[0]["answers"]] == ["r-1"]


async def test_a_label_after_its_report_is_accepted(tmp_path: Path) -> None:
    """The registry has the answer by then, kept once, with the arm and the revision that answered."""
    desk = Desk()
    async with running(tmp_path, churn(), feedback=desk, reports=desk.reports, window_seconds=0.2) as world:
        await predict(world.client, "r-1")
        kept = desk.registry.ledger.predictions
        await eventually(lambda: bool(kept.coverage(CHURN, number(2), 0)))
        await predict(world.client, "r-2")
        both = {"items": [item("r-1", 1), item("r-2", 2)]}
        assert (await world.client.post(FEEDBACK, json=both)).json() == {"accepted": 2, "refused": []}
    assert sorted(str(truth) for _, truth in desk.labelled()) == ["1", "2"]
    assert [(one.arm, one.predictions, one.labelled) for one in kept.coverage(CHURN, number(2), 0)] == [
        ("stable", 2, 2)
    ]
    assert {row.revision for row in kept.labelled(CHURN, number(2), 0, 9)} == {7}


@pytest.mark.parametrize(
    ("body", "headers", "expected"),
    [
        (b"", {}, (400, "malformed_json")),
        (b"[", {}, (400, "malformed_json")),
        (b'{"items": [{"request_id": "a", "request_id": "b"}]}', {}, (400, "duplicate_key")),
        (b'{"items": [NaN]}', {}, (400, "non_finite_number")),
        (b'{"items": ' + b"[" * 70 + b"]" * 70 + b"}", {}, (400, "too_deep")),
        (b'{"items": {}}', {}, (400, "invalid_argument")),
        (b'{"items": [], "answers": []}', {}, (400, "invalid_argument")),
        (b'{"items": [%b]}' % b",".join([b"1"] * 10_001), {}, (400, "invalid_argument")),
        (b'{"items": []}', {"content-type": "text/csv"}, (415, "unsupported_media_type")),
        (b'{"items": []}', {"content-encoding": "br"}, (415, "unsupported_media_type")),
        (b'{"items": []}' + b" " * 5_000, {}, (413, "body_too_large")),
    ],
)
async def test_bodies_that_cannot_be(
    tmp_path: Path, body: bytes, headers: dict[str, str], expected: tuple[int, str]
) -> None:
    """Are refused whole, in the contract's shape, and nothing goes to the registry."""
    desk = Desk()
    limit = 4_096 if expected[0] == 413 else 2**20
    async with running(tmp_path, churn(), feedback=desk, body_bytes=limit) as world:
        named = {"content-type": "application/json", **headers}
        answer = await world.client.post(FEEDBACK, content=body, headers=named)
        wrong = await world.client.post("/models/a%20b/feedback", json={"items": []})
        assert (await world.client.get(FEEDBACK)).status_code == 405
        free = world.node.bodies
        assert free.free_bytes == free.budget
    assert (answer.status_code, answer.json()["error"]["code"]) == expected
    assert wrong.status_code in (400, 404)
    assert desk.bodies == []


async def test_a_compressed_body_is_read(tmp_path: Path) -> None:
    """As it is for predictions."""
    desk = Desk()
    async with running(tmp_path, churn(), feedback=desk) as world:
        headers = {"content-type": "application/json", "content-encoding": "gzip"}
        answer = await world.client.post(FEEDBACK, content=gzip.compress(b'{"items": []}'), headers=headers)
    assert answer.json() == {"accepted": 0, "refused": []}


async def test_without_a_registry_nothing_is_acknowledged(tmp_path: Path) -> None:
    """503 with Retry-After, and predictions go on."""
    async with running(tmp_path, churn(), feedback=HttpFeedback("http://127.0.0.1:9")) as world:
        await predict(world.client, "r-1")
        answer = await world.client.post(FEEDBACK, json={"items": [item("r-1")]})
        await predict(world.client, "r-2")
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "registry_unavailable")
    assert int(answer.headers["retry-after"]) >= 1


async def test_a_sampled_out_prediction_takes_no_label(tmp_path: Path) -> None:
    """With a sample of nothing, nothing is kept."""
    desk = Desk()
    async with running(tmp_path, churn(), feedback=desk, predictions_sample=0) as world:
        await predict(world.client, "r-1")
        answer = await world.client.post(FEEDBACK, json={"items": [item("r-1")]})
    assert [one["code"] for one in answer.json()["refused"]] == ["unknown_request"]


async def test_a_label_at_one_worker_finds_the_answer_of_another(tmp_path: Path) -> None:
    """They share a port, so the next connection may be anybody's."""
    desk, meeting, nodes = Desk(), tmp_path / "meeting", []
    meeting.mkdir()
    for worker in range(2):
        given: dict[str, Any] = {"home": tmp_path, "window_seconds": 30}
        settings = ServingSettings(**{"grpc_port": 0, **given})
        parts = Parts(FakeRegistry(churn()), FakeCache(), FakeRuntime(), feedback=desk)
        nodes.append(Node(settings, parts, Worker(worker, 2, meeting)))
    clients = [
        httpx.AsyncClient(transport=httpx.ASGITransport(node.app), base_url="http://127.0.0.1:8080") for node in nodes
    ]
    for node in nodes:
        await node.start()
    await eventually(lambda: all(node.routes.table.known for node in nodes))
    try:
        await predict(clients[0], "r-1")
        await predict(clients[1], "r-2")
        answer = await clients[1].post(FEEDBACK, json={"items": [item("r-1"), item("r-2")]})
        assert answer.json() == {"accepted": 2, "refused": []}
    finally:
        for client, node in zip(clients, nodes, strict=True):
            await client.aclose()
            await node.stop()


@pytest.mark.integration
async def test_labels_come_over_a_real_connection(tmp_path: Path) -> None:
    """Beside predictions, on the same connection, in one piece and in several."""
    desk = Desk()
    world = FakeWorld(tmp_path, churn(), feedback=desk)

    async def pieces() -> AsyncIterator[bytes]:
        for piece in (b'{"items": [', b'{"request_id": "r-1", ', b'"label": 2}]}'):
            yield piece
            await asyncio.sleep(0.01)

    async with listening(world) as port, httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        await eventually(lambda: world.node.routes.table.known)
        await predict(client, "r-1")
        whole = await client.post(FEEDBACK, json={"items": [item("r-1", 1)]})
        headers = {"content-type": "application/json"}
        cut = await client.post(FEEDBACK, content=pieces(), headers=headers)
        await predict(client, "r-2")
    assert [one.json()["accepted"] for one in (whole, cut)] == [1, 1]
    assert desk.labelled() == [(3.0, 2)]


@asynccontextmanager
async def saying(status: int, body: bytes) -> AsyncIterator[str]:
    """Give the address of a server that answers everything so."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        await reader.readexactly(int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0]))
        writer.write(b"HTTP/1.1 %d x\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%b" % (status, len(body), body))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        await server.wait_closed()


@pytest.mark.integration
@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (202, b'{"accepted": 1, "refused": []}', ""),
        (200, b"<html>", "registry_unavailable"),
        (202, b'{"accepted": true}', "registry_unavailable"),
        (404, b'{"error": {"code": "unknown_model", "message": "there is no model churn"}}', "unknown_model"),
        (413, b'{"error": {"code": "body_too_large", "message": "too large"}}', "body_too_large"),
        (404, b'{"error": {"code": "internal", "message": "x"}}', "registry_unavailable"),
        (400, b"[]", "registry_unavailable"),
        (503, b'{"error": {"code": "registry_unavailable", "message": "x"}}', "registry_unavailable"),
    ],
)
async def test_only_the_registry_acknowledges(status: int, body: bytes, expected: str) -> None:
    """What it says of the caller's request is passed on; anything else is a registry that is away."""
    async with saying(status, body) as url:
        sink = HttpFeedback(url)
        try:
            if expected:
                with pytest.raises(HeadgateError) as refused:
                    await sink.send(CHURN, b"{}")
                assert refused.value.code == expected
                assert isinstance(refused.value, Unavailable) is (expected == "registry_unavailable")
            else:
                assert await sink.send(CHURN, b"{}") == {"accepted": 1, "refused": []}
        finally:
            await sink.close()
