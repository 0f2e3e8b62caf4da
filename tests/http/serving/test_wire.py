"""What the node does on a real connection: sizes, chunks, slow and vanishing clients, and what is no HTTP (group H)."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from registry.edge.connection import Connection
from tests.support.serving_fakes import FakeLoaded, eventually, settle
from tests.support.serving_node import ROW, FakeWorld, churn, listening

pytestmark = [pytest.mark.anyio, pytest.mark.integration]
BODY = json.dumps(ROW).encode()
LIMIT = 100_000


class Wire:
    """A raw connection to the node."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._reader: asyncio.StreamReader
        self._writer: asyncio.StreamWriter

    async def __aenter__(self) -> Wire:
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.close()
        try:
            await self._writer.wait_closed()
        except OSError:
            return

    async def send(self, data: bytes) -> None:
        """Send bytes as they are."""
        self._writer.write(data)
        await self._writer.drain()

    async def post(self, *headers: str, path: str = "/models/churn/predict", body: bytes = b"") -> None:
        """Send the head of a predict request, and perhaps a body."""
        lines = [f"POST {path} HTTP/1.1", "Host: 127.0.0.1", *headers, "", ""]
        await self.send("\r\n".join(lines).encode() + body)

    async def until(self, mark: bytes) -> bytes:
        """Return what comes up to ``mark``, with it."""
        return await asyncio.wait_for(self._reader.readuntil(mark), 10)

    async def answer(self) -> tuple[int, dict[str, str], bytes]:
        """Return status, headers and body of the next answer."""
        head = (await asyncio.wait_for(self._reader.readuntil(b"\r\n\r\n"), 10)).decode().split("\r\n")
        headers = {k.lower(): v for k, _, v in (line.partition(": ") for line in head[1:] if line)}
        body = await self._reader.readexactly(int(headers["content-length"]))
        return int(head[0].split()[1]), headers, body

    async def refusal(self) -> tuple[int, str]:
        """Return status and code of an error that ends the connection."""
        status, headers, body = await self.answer()
        assert headers["connection"] == "close"
        return status, json.loads(body)["error"]["code"]

    async def closed(self) -> bool:
        """Tell whether the server closes now."""
        try:
            return await asyncio.wait_for(self._reader.read(), 5) == b""
        except ConnectionResetError:
            return True


@pytest.fixture
async def world(tmp_path: Path) -> FakeWorld:
    """Return a world that is not started yet."""
    return FakeWorld(tmp_path, churn(), body_bytes=LIMIT)


@pytest.fixture
async def port(world: FakeWorld) -> AsyncIterator[int]:
    """Give the port of a server around it."""
    async with listening(world) as port:
        await eventually(lambda: world.node.routes.table.known)
        yield port


@pytest.mark.parametrize("space", [" ", "\t", " \t "])
async def test_space_after_a_headers_value_is_no_part_of_it(port: int, space: str) -> None:
    """RFC 9110 §5.5: neither of an id, nor of a priority, nor of the time one waits."""
    async with Wire(port) as wire:
        said = (f"X-Request-Id: abc{space}", f"X-Headgate-Priority: high{space}", f"X-Request-Timeout-Ms: 5000{space}")
        await wire.post(*said, f"Content-Length: {len(BODY)}", body=BODY)
        status, headers, _ = await wire.answer()
        assert (status, headers["x-request-id"]) == (200, "abc")


async def test_a_predict_over_the_wire(port: int) -> None:
    """One connection answers request after request."""
    async with Wire(port) as wire:
        for _ in range(3):
            await wire.post(f"Content-Length: {len(BODY)}", body=BODY)
            status, headers, body = await wire.answer()
            assert (status, json.loads(body)["predictions"]) == (200, [3.0])
            assert headers["x-headgate-version"] == "2"


async def test_a_declared_oversize_is_refused_before_the_body(port: int) -> None:
    """413 and close, without waiting for what was announced (H01)."""
    async with Wire(port) as wire:
        await wire.post("Content-Length: 314572800")
        assert await wire.refusal() == (413, "body_too_large")


async def test_the_answer_arrives_although_the_client_is_still_sending(port: int) -> None:
    """A client in the midst of a large body reads the 413 instead of a reset."""
    async with Wire(port) as wire:
        await wire.post("Content-Length: 3000000", body=b"x" * 3_000_000)
        assert await wire.refusal() == (413, "body_too_large")


async def test_an_undeclared_oversize_is_refused_at_the_limit(port: int) -> None:
    """Chunks are counted together (H02)."""
    async with Wire(port) as wire:
        await wire.post("Transfer-Encoding: chunked")
        for _ in range(12):
            await wire.send(b"2710\r\n" + b"x" * 10_000 + b"\r\n")
        assert await wire.refusal() == (413, "body_too_large")


async def test_a_body_of_a_great_many_chunks_is_refused(port: int) -> None:
    """Seventy thousand chunks of one byte are too many, although they are few bytes (H03)."""
    async with Wire(port) as wire:
        await wire.post("Transfer-Encoding: chunked")
        await wire.send(b"1\r\n \r\n" * 70_000)
        assert await wire.refusal() == (413, "body_too_large")


@pytest.mark.parametrize("piece", [b"ZZ\r\n{}\r\n", b"2\r\n{}XX0\r\n\r\n"])
async def test_broken_chunks_are_refused(port: int, piece: bytes) -> None:
    """A bad size or terminator is 400 and close (H04)."""
    async with Wire(port) as wire:
        await wire.post("Transfer-Encoding: chunked", body=piece)
        assert (await wire.refusal())[0] == 400
        assert await wire.closed()


@pytest.mark.parametrize(
    "headers", [("Content-Length: 1", "Content-Length: 2"), ("Content-Length: -1",), ("Content-Length: x",)]
)
async def test_contradictory_lengths_are_refused(port: int, headers: tuple[str, ...]) -> None:
    """Two lengths, or none that is one: 400 (H06)."""
    async with Wire(port) as wire:
        await wire.post(*headers, body=b"x")
        assert (await wire.refusal())[0] == 400


@pytest.mark.parametrize(
    "headers", [["X-Large: " + "a" * 2_000_000], [f"X-{n}: 1" for n in range(5000)], [f"X-{n}: 1" for n in range(101)]]
)
async def test_heads_that_are_too_large_are_refused(port: int, headers: list[str]) -> None:
    """One huge header or many small ones: 431 and close (H07)."""
    async with Wire(port) as wire:
        await wire.post(*headers)
        assert await wire.refusal() == (431, "headers_too_large")


async def test_an_endless_head_is_cut_off(port: int) -> None:
    """A header that never ends is refused while it comes, not when it has come."""
    async with Wire(port) as wire:
        await wire.send(b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\nX: ")
        await wire.send(b"a" * 200_000)
        assert await wire.refusal() == (431, "headers_too_large")


class Impatient(Connection):
    """A server that soon has enough of waiting."""

    head_seconds = 0.1


class Small(Connection):
    """A server for one connection."""

    max_connections = 1


async def test_slow_heads_are_closed(world: FakeWorld) -> None:
    """A head must come in time; a client that says nothing at all is closed too (H10)."""
    async with listening(world, Impatient) as port, Wire(port) as wire, Wire(port) as silent:
        await wire.send(b"GET /livez HTTP/1.1\r\nHost: ")
        assert await wire.refusal() == (408, "request_timeout")
        assert await silent.closed()


async def test_a_slow_body_is_given_up(world: FakeWorld, port: int) -> None:
    """A body that stops coming is 408 and close (H11)."""
    world.node.bodies.seconds = 0.1
    async with Wire(port) as wire:
        await wire.post("Content-Length: 100", body=b"{")
        assert await wire.refusal() == (408, "request_timeout")


async def test_clients_that_vanish_leave_nothing_behind(world: FakeWorld, port: int) -> None:
    """Who disconnects in mid-body or mid-predict is given up at once, whatever the model is busy with (H14)."""
    async with Wire(port) as wire:
        await wire.post(f"Content-Length: {len(BODY)}", body=BODY)
        await wire.answer()
    loaded = world.copy_of("2")
    assert isinstance(loaded, FakeLoaded)
    loaded.hold = asyncio.Event()
    bodies = world.node.bodies
    for n in range(40):
        before, calls = bodies.free_bytes, loaded.calls
        async with Wire(port) as wire:
            await wire.post(f"Content-Length: {len(BODY)}", body=BODY if n % 2 else BODY[:5])
            if n % 2:
                await eventually(lambda calls=calls: loaded.calls > calls)  # type: ignore[misc]  # bound at once
            else:
                await eventually(lambda before=before: bodies.free_bytes < before)  # type: ignore[misc]  # bound at once
        await eventually(lambda: bodies.free_bytes == bodies.budget)
    residence = next(s for s in world.node.pool.slots()).residence
    assert residence is not None and residence.leases == 0
    loaded.hold = None
    async with Wire(port) as wire:
        await wire.post(f"Content-Length: {len(BODY)}", body=BODY)
        assert (await wire.answer())[0] == 200
    await settle()
    assert next(s for s in world.node.pool.slots()).residence.leases == 0  # type: ignore[union-attr]  # it is loaded
    assert world.node.bodies.free_bytes == world.node.bodies.budget


async def test_a_gzip_bomb_is_refused_on_the_wire(port: int) -> None:
    """A thousandfold expansion is 413 (H15)."""
    bomb = gzip.compress(b"0" * 10_000_000)
    async with Wire(port) as wire:
        await wire.post(f"Content-Length: {len(bomb)}", "Content-Encoding: gzip", body=bomb)
        status, _, body = await wire.answer()
        assert (status, json.loads(body)["error"]["code"]) == (413, "body_too_large")


async def test_an_unknown_method_is_refused(port: int) -> None:
    """What the parser does not know gets the contract's error body (H19)."""
    async with Wire(port) as wire:
        await wire.send(b"FOO /models HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        assert (await wire.refusal())[0] == 400


async def test_an_oversize_that_asks_first_is_not_told_to_go_on(port: int) -> None:
    """Expect: 100-continue with too large a body gets 413 and no 100 (H21)."""
    async with Wire(port) as wire:
        await wire.post("Content-Length: 314572800", "Expect: 100-continue")
        assert await wire.refusal() == (413, "body_too_large")


async def test_a_request_that_asks_first_is_told_to_go_on(port: int) -> None:
    """Expect: 100-continue works for a body within the limits."""
    async with Wire(port) as wire:
        await wire.post(f"Content-Length: {len(BODY)}", "Expect: 100-continue")
        assert (await asyncio.wait_for(wire._reader.readuntil(b"\r\n\r\n"), 10)).startswith(b"HTTP/1.1 100")
        await wire.send(BODY)
        assert (await wire.answer())[0] == 200


@pytest.mark.parametrize("upgrade", ["websocket", "h2c"])
@pytest.mark.parametrize("asked", ["GET /livez", "GET /nowhere", "POST /models/churn/predict"])
async def test_upgrades_are_refused(port: int, upgrade: str, asked: str) -> None:
    """An upgrade is 400 whatever it asks for, in words that help whose client sends one by itself (H23)."""
    async with Wire(port) as wire:
        head = f"{asked} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: {upgrade}\r\nContent-Length: "
        await wire.send(f"{head}{len(BODY)}\r\n\r\n".encode() + BODY)
        assert await wire.refusal() == (400, "invalid_argument")


@pytest.mark.parametrize(
    ("line", "header"),
    [
        ("GET /livez HTTP/2.0", "X: y"),
        ("GET http://evil.example/livez HTTP/1.1", "X: y"),
        ("POST /models/churn/predict HTTP/1.1", "Transfer-Encoding: gzip, chunked"),
    ],
)
async def test_what_is_not_spoken_here_is_refused(port: int, line: str, header: str) -> None:
    """A version, a host or a coding that this server would have to pretend to understand is 400 (H06, H08)."""
    async with Wire(port) as wire:
        await wire.send(f"{line}\r\nHost: 127.0.0.1\r\n{header}\r\n\r\n".encode())
        assert await wire.refusal() == (400, "invalid_argument")


async def test_an_absolute_uri_of_this_server_is_answered(port: int) -> None:
    """The form that proxies send, with the host that the Host header names."""
    async with Wire(port) as wire:
        await wire.send(b"GET http://127.0.0.1/livez HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        assert (await wire.answer())[0] == 200


CHUNKED = b"POST /models/churn/predict HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n"


async def test_fields_after_a_body_are_dropped(port: int) -> None:
    """They say nothing that the head would have been asked for: neither host nor length."""
    async with Wire(port) as wire:
        await wire.send(CHUNKED + b"%x\r\n%b\r\n0\r\nHost: evil.example\r\nX-Request-Id: b\r\n\r\n" % (len(BODY), BODY))
        status, headers, _ = await wire.answer()
        assert status == 200 and headers["x-request-id"] != "b"


@pytest.mark.parametrize(
    "endless", [b"0\r\n" + b"X-A: b\r\n" * 100_000, b"0\r\nX-A: " + b"b" * 1_000_000, b"2;" + b"a" * 1_000_000]
)
async def test_what_stands_around_a_body_is_bounded(port: int, endless: bytes) -> None:
    """Fields after a body, and extensions of its chunks, count as headers do (H03, H07)."""
    async with Wire(port) as wire:
        await wire.send(CHUNKED)
        for at in range(0, len(endless), 10_000):
            await wire.send(endless[at : at + 10_000])
        assert await wire.refusal() == (431, "headers_too_large")


async def test_many_chunks_of_one_byte_are_refused_where_large_files_are_taken(world: FakeWorld) -> None:
    """A server that takes more chunks takes no more tiny ones (H03)."""

    class Large(Connection):
        max_chunks = 2**31

    async with listening(world, Large) as port, Wire(port) as wire:
        await wire.send(CHUNKED + b"1\r\n[\r\n" * 65_537)
        assert await wire.refusal() == (413, "body_too_large")


class SoonIdle(Connection):
    """A connection that is idle after a moment."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.timeout_keep_alive = 1


@pytest.mark.parametrize("later", [b"", b"b", b"body"])
async def test_a_body_that_nobody_reads_holds_no_connection(world: FakeWorld, later: bytes) -> None:
    """Once it is answered, a request's connection is idle, whether the body it announced comes or not (H11, H13)."""
    async with listening(world, SoonIdle) as port, Wire(port) as wire:
        await wire.send(b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 4\r\n\r\n")
        assert (await wire.answer())[0] == 200
        await wire.send(later)
        assert await wire.closed()


async def test_a_body_that_nobody_reads_may_come_late(port: int) -> None:
    """Where it comes whole, the connection goes on."""
    async with Wire(port) as wire:
        for _ in range(3):
            await wire.send(b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 4\r\n\r\n")
            assert (await wire.answer())[0] == 200
            await wire.send(b"body")


async def test_health_answers_while_others_misbehave(port: int) -> None:
    """Two hundred half-open requests do not delay /livez."""
    wires = [Wire(port) for _ in range(200)]
    for wire in wires:
        await wire.__aenter__()
        await wire.post("Content-Length: 1000", body=b"{")
    async with Wire(port) as healthy:
        await healthy.send(b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        assert (await asyncio.wait_for(healthy.answer(), 1))[0] == 200
    for wire in wires:
        await wire.__aexit__()


async def test_beyond_the_connection_limit_health_alone_is_answered(world: FakeWorld) -> None:
    """A full node says 503 at once, and still shows that it lives (H13)."""
    async with listening(world, Small) as port, Wire(port) as first:
        await first.send(b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        await first.answer()
        async with Wire(port) as second:
            await second.post(f"Content-Length: {len(BODY)}", body=BODY)
            assert await second.refusal() == (503, "no_capacity")
        async with Wire(port) as third:
            await third.send(b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            assert (await third.answer())[0] == 200


async def test_requests_in_a_row_on_one_write_are_answered_in_order(port: int) -> None:
    """Pipelining works."""
    request = (
        b"POST /models/churn/predict HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Request-Id: %d\r\nContent-Length: %d\r\n\r\n%s"
    )
    async with Wire(port) as wire:
        await wire.send(b"".join(request % (n, len(BODY), BODY) for n in range(5)))
        ids = [(await wire.answer())[1]["x-request-id"] for _ in range(5)]
    assert ids == ["0", "1", "2", "3", "4"]


async def test_what_is_in_flight_at_the_end_is_answered(world: FakeWorld) -> None:
    """A server that is told to stop answers what it has begun, closes, and unloads everything."""
    answer_now: list[Callable[[], None]] = []

    class Ending(Connection):
        """A connection whose model answers once the server has begun to end."""

        def shutdown(self) -> None:
            super().shutdown()
            for answer in answer_now:
                answer()

    async with listening(world, Ending) as port:
        await eventually(lambda: world.node.routes.table.known)
        wire = Wire(port)
        await wire.__aenter__()
        await wire.post(f"Content-Length: {len(BODY)}", body=BODY)
        await wire.answer()
        loaded = world.copy_of("2")
        assert isinstance(loaded, FakeLoaded)
        loaded.hold = asyncio.Event()
        await wire.post(f"Content-Length: {len(BODY)}", body=BODY)
        await eventually(lambda: loaded.calls == 2)
        answer_now.append(loaded.hold.set)
    status, headers, _ = await wire.answer()
    assert (status, headers["connection"]) == (200, "close")
    assert await wire.closed()
    assert loaded.closed
    assert world.runtime.closed
    assert world.cache.closed
    await wire.__aexit__()
