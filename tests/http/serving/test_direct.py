"""The way past ASGI, on real connections: small bodies and large ones in a row, priorities, idle connections."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import uvicorn

from registry.edge.connection import Connection
from tests.http.serving.test_wire import Wire
from tests.support.serving_fakes import eventually
from tests.support.serving_node import FakeWorld, churn, listening

pytestmark = [pytest.mark.anyio, pytest.mark.integration]


@pytest.fixture
async def port(tmp_path: Path) -> AsyncIterator[int]:
    """Give the port of a node's server."""
    world = FakeWorld(tmp_path, churn())
    async with listening(world) as port:
        await eventually(lambda: world.node.routes.table.known)
        yield port


def request(number: int, rows: int) -> bytes:
    """Return a predict request whose every row sums to ``number``."""
    body = json.dumps({"inputs": {"a": [number] * rows, "b": [0] * rows}}).encode()
    head = f"POST /models/churn/predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


async def test_large_and_small_bodies_in_a_row_keep_to_themselves(port: int) -> None:
    """A small body that waits behind a large one is never taken for it, nor the other way round."""
    sizes = [1, 9_000, 1, 1, 20_000, 1]
    async with Wire(port) as wire:
        await wire.send(b"".join(request(number, rows) for number, rows in enumerate(sizes)))
        answers = [json.loads((await wire.answer())[2])["predictions"] for _ in sizes]
    assert answers == [[float(number)] * rows for number, rows in enumerate(sizes)]


async def test_every_answer_has_its_headers_whichever_way_it_went(port: int) -> None:
    """An answer in one write has what one by ASGI has: type, length, date, model, version, arm, revision, id."""
    async with Wire(port) as wire:
        await wire.send(request(1, 1))
        _, direct, _ = await wire.answer()
        body = b'{"inputs": {"a": [1], "b": [0]}}'
        await wire.post("Connection: close", f"Content-Length: {len(body)}", body=body)
        _, plain, _ = await wire.answer()
    assert direct.keys() == plain.keys() - {"connection"}
    kept = ("x-headgate-model", "x-headgate-version", "x-headgate-arm", "x-headgate-revision", "content-type")
    assert [direct[name] for name in kept] == [plain[name] for name in kept]
    assert [direct[name] for name in kept] == ["churn", "2", "stable", "7", "application/json"]


async def test_an_unknown_priority_is_refused_and_the_connection_goes_on(port: int) -> None:
    """A priority that is none is the caller's error; the next request on the connection is answered."""
    body = b'{"inputs": {"a": [1], "b": [0]}}'
    async with Wire(port) as wire:
        await wire.post("X-Headgate-Priority: urgent", f"Content-Length: {len(body)}", body=body)
        status, headers, answer = await wire.answer()
        assert (status, json.loads(answer)["error"]["code"]) == (400, "invalid_argument")
        assert "connection" not in headers
        await wire.post("X-Headgate-Priority: high", f"Content-Length: {len(body)}", body=body)
        assert (await wire.answer())[0] == 200


async def test_an_idle_connection_is_closed_and_a_busy_one_is_not(tmp_path: Path) -> None:
    """A connection on which nothing comes for the keep-alive time is closed; each answer begins that time anew."""

    class Hasty(Connection):
        """A connection that is kept for a moment."""

        def __init__(self, config: uvicorn.Config, *args: object, **kwargs: object) -> None:
            super().__init__(config, *args, **kwargs)
            self.timeout_keep_alive = 0.3  # type: ignore[assignment]  # upstream takes whole seconds

    world = FakeWorld(tmp_path, churn())
    async with listening(world, Hasty) as port, Wire(port) as wire:
        await eventually(lambda: world.node.routes.table.known)
        begun = asyncio.get_running_loop().time()
        while asyncio.get_running_loop().time() - begun < 0.9:
            await wire.send(request(1, 1))
            assert (await wire.answer())[0] == 200
            await asyncio.sleep(0.1)
        assert await wire.closed()


async def test_a_head_that_came_before_answers_as_the_first_did(port: int) -> None:
    """Equal heads with other bodies get their own answers and ids; what they ask for holds for each of them."""
    async with Wire(port) as wire:
        ids = set()
        for number in range(6):
            await wire.send(request(number, 1))
            status, headers, answer = await wire.answer()
            assert (status, json.loads(answer)["predictions"]) == (200, [float(number)])
            ids.add(headers["x-request-id"])
        assert len(ids) == 6
        for number in range(4):
            body = b'{"inputs": {"a": [%d], "b": [0]}}' % number
            await wire.post("X-Request-Id: mine", f"Content-Length: {len(body)}", body=body)
            assert (await wire.answer())[1]["x-request-id"] == "mine"


async def test_bytes_like_a_known_request_within_another_are_part_of_it(port: int) -> None:
    """A known request in the midst of another's body, or after half of a head, is not taken for one."""
    known = request(1, 1)
    async with Wire(port) as wire:
        for _ in range(3):
            await wire.send(known)
            assert (await wire.answer())[0] == 200
        head = f"POST /models/churn/predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(known) + 1}\r\n\r\n"
        await wire.send(head.encode() + b"{")
        await asyncio.sleep(0.05)
        await wire.send(known)
        assert json.loads((await wire.answer())[2])["error"]["code"] == "malformed_json"
        await wire.send(known + b"POST /models/churn/predict HTTP/1.1\r\nX-Rest: ")
        assert (await wire.answer())[0] == 200
        await asyncio.sleep(0.05)
        await wire.send(known)  # its first line ends the header, its Host is the one of the request begun before
        assert (await wire.answer())[0] == 200
        await wire.send(known)
        assert (await wire.answer())[0] == 200


async def test_known_requests_sent_at_once_are_answered_in_order(port: int) -> None:
    """What comes in one piece, or before the last answer, is answered in the order it came."""
    async with Wire(port) as wire:
        for _ in range(3):
            await wire.send(request(1, 1))
            await wire.answer()
        for number in range(4):
            await wire.send(request(number, 1) * 2)
            await wire.send(request(number + 4, 1))
        answers = [json.loads((await wire.answer())[2])["predictions"][0] for _ in range(12)]
    assert answers == [n + extra for n in range(4) for extra in (0.0, 0.0, 4.0)]


async def test_a_known_request_may_need_all_that_others_do(port: int) -> None:
    """Bodies that are compressed, tables, refusals and other routes answer alike the first time and the tenth."""
    body = gzip.compress(b'{"inputs": {"a": [1], "b": [2]}}')
    table = b"a,b\n1,2\n"
    async with Wire(port) as wire:
        for _ in range(6):
            await wire.post("Content-Encoding: gzip", f"Content-Length: {len(body)}", body=body)
            status, _, answer = await wire.answer()
            assert (status, json.loads(answer)["predictions"]) == (200, [3.0])
        for _ in range(4):
            await wire.post("Content-Type: text/csv", f"Content-Length: {len(table)}", body=table)
            status, _, answer = await wire.answer()
            assert (status, json.loads(answer)["predictions"]) == (200, [3.0])
        for _ in range(4):
            await wire.post("Content-Length: 2", body=b"{}")
            assert (await wire.answer())[0] == 400
        order = b"POST /models/churn/versions/2/load HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 2\r\n\r\n{}"
        statuses = []
        for _ in range(4):
            await wire.send(order)
            statuses.append((await wire.answer())[0])
        assert statuses == [200] * 4
