"""Asking the registry over HTTP: what is sent, what is understood, and what counts as no answer."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import uvicorn

from registry.edge.gate import Receive, Scope, Send
from registry.errors import Unavailable
from serving.sources.snapshot import HttpSnapshotSource
from tests.support.serving_fakes import FakeRegistry, eventually, snapshot
from tests.support.serving_node import FakeWorld, churn

pytestmark = [pytest.mark.anyio, pytest.mark.integration]


class Desk:
    """A registry's snapshot route on a real port."""

    def __init__(self) -> None:
        self.registry = FakeRegistry(churn(), snapshot("other"))
        self.seen: list[tuple[str, str, str]] = []
        self.status, self.garbage = 200, b""
        self.port = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer as the registry does, or with garbage."""
        query = dict(pair.split("=") for pair in scope["query_string"].decode().split("&"))
        host = dict(scope["headers"])[b"host"].decode()
        self.seen.append((scope["path"], host, scope["query_string"].decode()))
        body = self.garbage
        if not body:
            page = await self.registry.wait(int(query["since"]), float(query["wait"]))
            body = json.dumps(page.to_json()).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": body})


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    """Give a running registry desk."""
    desk = Desk()
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        desk.port = listener.getsockname()[1]
        config = uvicorn.Config(desk, lifespan="off", log_config=None, access_log=False, timeout_graceful_shutdown=1)
        server = uvicorn.Server(config)
        serving = asyncio.create_task(server._serve([listener]))
        await eventually(lambda: server.started)
        try:
            yield desk
        finally:
            server.should_exit = True
            await serving


async def test_a_page_arrives_as_it_was_sent(desk: Desk) -> None:
    """Path, query and host are the contract's, and the page is the registry's."""
    source = HttpSnapshotSource(f"http://127.0.0.1:{desk.port}")
    page = await source.wait(0, 0)
    await source.close()
    assert page == await desk.registry.wait(0, 0)
    assert desk.seen == [("/registry/v1/snapshot", f"127.0.0.1:{desk.port}", "since=0&wait=0")]


async def test_a_long_poll_ends_with_the_change(desk: Desk) -> None:
    """A change is here within a fraction of a second of the registry's knowing it."""
    source = HttpSnapshotSource(f"http://127.0.0.1:{desk.port}")
    waiting = asyncio.create_task(source.wait(2, 20))
    await eventually(lambda: bool(desk.seen))
    desk.registry.put(snapshot("new"))
    page = await asyncio.wait_for(waiting, 0.8)
    await source.close()
    assert [m.name for m in page.models] == ["new"]


@pytest.mark.parametrize(
    ("status", "garbage"),
    [
        (500, b"{}"),
        (404, b"{}"),
        (302, b"{}"),
        (200, b"<html>"),
        (200, b"[]"),
        (200, b"{}"),
        (200, b'{"revision": "x"}'),
    ],
)
async def test_what_is_no_snapshot_is_no_answer(desk: Desk, status: int, garbage: bytes) -> None:
    """Other statuses and other bodies leave the node as it is."""
    desk.status, desk.garbage = status, garbage
    source = HttpSnapshotSource(f"http://127.0.0.1:{desk.port}")
    with pytest.raises(Unavailable) as refused:
        await source.wait(0, 0)
    await source.close()
    assert refused.value.code == "registry_unavailable"


async def test_a_registry_that_is_not_there_is_no_answer() -> None:
    """A refused connection is told apart from nothing."""
    source = HttpSnapshotSource("http://127.0.0.1:9")
    with pytest.raises(Unavailable, match="does not answer"):
        await source.wait(0, 0)
    await source.close()


async def test_a_damaged_version_in_a_page_is_no_answer(desk: Desk) -> None:
    """A digest that is none makes the page no snapshot, rather than a version that cannot be verified."""
    page = (await desk.registry.wait(0, 0)).to_json()
    page["models"][0]["versions"]["1"]["digest"] = "sha256:short"
    desk.garbage = json.dumps(page).encode()
    source = HttpSnapshotSource(f"http://127.0.0.1:{desk.port}")
    with pytest.raises(Unavailable):
        await source.wait(0, 0)
    await source.close()


async def test_a_node_follows_a_registry_over_the_network(desk: Desk, tmp_path: Path) -> None:
    """From start to a changed plan, with nothing but HTTP between the two."""
    world = FakeWorld(tmp_path, source=HttpSnapshotSource(f"http://127.0.0.1:{desk.port}"))
    await world.node.start()
    try:
        await eventually(lambda: "churn" in world.node.routes.table.models)
        desk.registry.remove("churn")
        await eventually(lambda: "churn" not in world.node.routes.table.models, seconds=0.8)
    finally:
        await world.client.aclose()
        await world.node.stop()
