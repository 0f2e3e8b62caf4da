"""A whole serving node on a fake world: in process behind its gate, or in a real uvicorn on a free port."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

import httpx
import uvicorn

from registry.edge.connection import Connection
from registry.snapshots import ModelSnapshot
from serving.bootstrap import Node
from serving.parts import Parts
from serving.ports import FeedbackSink, ReportSink, SealedSource, SnapshotSource
from serving.settings import ServingSettings
from serving.sources.feedback import NoFeedback
from serving.sources.memory import NoSealed
from serving.sources.reports import NoReports
from serving.telemetry.capture import ObjectSink
from tests.support.serving_fakes import SIGNATURE, FakeCache, FakeRegistry, FakeRuntime, eventually, servable, snapshot

ROW = {"inputs": {"a": [1.0], "b": [2.0]}}


def churn() -> ModelSnapshot:
    """Return the model that most tests ask: versions 1 to 3, an alias, and versions that may not answer."""
    versions = {n: servable(n, f"churn {n}", SIGNATURE) for n in ("1", "2", "3")}
    others = {"4": "pending", "5": "rejected", "6": "retired"}
    return snapshot(versions=versions, stable="2", revision=7, aliases={"champion": "3"}, others=others)


class Store(SealedSource, ObjectSink, Protocol):
    """A bucket: what was sealed is read from it, what is captured goes there."""


class FakeWorld:
    """A node, what it stands on, and a client that talks to it in process."""

    def __init__(
        self,
        home: Path,
        *models: ModelSnapshot,
        source: SnapshotSource | None = None,
        reports: ReportSink | None = None,
        feedback: FeedbackSink | None = None,
        store: Store | None = None,
        **settings: Any,
    ) -> None:
        self.registry, self.cache, self.runtime = FakeRegistry(*models), FakeCache(), FakeRuntime()
        self.settings = ServingSettings(home=home, **{"grpc_port": 0, **settings})
        kept = store or NoSealed()
        parts = Parts(
            source or self.registry,
            self.cache,
            self.runtime,
            reports=reports or NoReports(),
            feedback=feedback or NoFeedback(),
            sealed=kept,
            captures=kept,
        )
        self.node = Node(self.settings, parts)
        transport = httpx.ASGITransport(self.node.app)
        self.client = httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080")

    def copy_of(self, number: str) -> object:
        """Return the newest loaded copy of a version of churn."""
        return self.runtime.newest(servable(number, f"churn {number}"))


@asynccontextmanager
async def running(home: Path, *models: ModelSnapshot, **settings: Any) -> AsyncIterator[FakeWorld]:
    """Give a started node that knows ``models``; stop it afterwards."""
    world = FakeWorld(home, *models, **settings)
    await world.node.start()
    await eventually(lambda: world.node.routes.table.known)
    try:
        yield world
    finally:
        await world.client.aclose()
        await world.node.stop()


@asynccontextmanager
async def listening(world: FakeWorld, connection: type[Connection] = Connection) -> AsyncIterator[int]:
    """Give the port of a real server around a world that is not started; its life is the server's."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    config = uvicorn.Config(
        world.node.app,
        http=connection,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=5,
    )
    server = uvicorn.Server(config)
    # Not serve(), which takes over the signals of the process that runs the tests.
    serving = asyncio.create_task(server._serve([listener]))
    while not server.started:
        await asyncio.sleep(0.005)
    try:
        yield listener.getsockname()[1]
    finally:
        server.should_exit = True
        await serving
        await world.client.aclose()
        listener.close()
