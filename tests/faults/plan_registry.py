"""A registry without MLflow and S3, in a process of its own: ``python -m tests.faults.plan_registry <url> <port>``.

Plans, aliases and the snapshot over a real database, served as the registry serves them. It starts in a second, which
is what tests that kill it again and again need. Not here: who asks, and who kills (``plan_clients.py``).
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from registry.adapters.memory.artifacts import MemoryArtifacts
from registry.adapters.memory.catalog import MemoryCatalog
from registry.adapters.sql.database import open_database
from registry.adapters.sql.ledger import ledger_on
from registry.edge.gate import Receive, Scope, Send
from registry.edge.server import listen, serve
from registry.http.app import Mounted, build_app, build_fastapi
from registry.http.health import Life, health_routes
from registry.http.routes import REGISTRY_ROUTES
from registry.http.snapshot import RevisionWatch, snapshot_routes
from registry.http.traffic import alias_routes, traffic_routes
from registry.http.versions import version_routes
from registry.operations import Operations


async def nothing(scope: Scope, receive: Receive, send: Send) -> None:
    """Stand where MLflow is mounted; the gate lets nothing of it through."""
    raise AssertionError("no route of MLflow is listed")


def main(url: str, port: int) -> None:
    """Serve until the process is told to end."""
    database = open_database(url)
    ledger = ledger_on(database)
    operations = Operations(MemoryCatalog(), ledger, MemoryArtifacts(), wake=lambda: None, upload_limit=0)
    watch = RevisionWatch(ledger.snapshots)

    @asynccontextmanager
    async def lifespan() -> AsyncIterator[None]:
        yield
        await watch.close()
        await asyncio.to_thread(database.close)

    app = build_fastapi(lifespan)
    for routes in (
        health_routes(lambda: b"", Life()),
        version_routes(operations),
        traffic_routes(operations),
        alias_routes(operations),
        snapshot_routes(ledger.snapshots, watch),
    ):
        app.include_router(routes)
    gate = build_app(app, REGISTRY_ROUTES, Mounted(nothing, ()), ())
    serve(gate, listen("127.0.0.1", port, "the port"), leave=watch.leave)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
