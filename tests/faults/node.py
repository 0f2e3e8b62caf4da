"""A whole node in a process of its own, on saved models: ``python -m tests.faults.node <what it serves, as JSON>``.

Only the registry and the store are missing: its plans and its model directories are given. Prints its port once it
listens. Not here: what is asked of it (``conftest.py``).
"""

from __future__ import annotations

import json
import socket
import sys
from pathlib import Path
from typing import Any

import uvicorn

from registry.edge.connection import Connection
from registry.records import Digest, VersionNumber
from registry.snapshots import ServableVersion
from serving.bootstrap import Node
from serving.parts import Parts
from serving.runtimes.host.confinement import Confinement
from serving.runtimes.host.runtime import HostRuntime
from serving.settings import ServingSettings
from tests.integration.runtimes.conftest import OneEnvironment
from tests.support.serving_fakes import FakeArtifactLease, FakeCache, FakeRegistry, digest_of, snapshot

COLUMNS = {"inputs": [{"type": "string", "name": "do", "required": True}], "outputs": None, "params": None}


class SavedCache(FakeCache):
    """A cache in which every artifact has a directory of its own, or one with others."""

    def __init__(self, directories: dict[Digest, Path]) -> None:
        super().__init__()
        self._directories = directories

    async def hold(self, digest: Digest, seconds: float) -> FakeArtifactLease:
        """Hand out a lease."""
        self.held[digest] += 1
        return FakeArtifactLease(self, digest, self._directories[digest])


async def serve(what: dict[str, Any]) -> None:
    """Serve the models of ``what`` until the process is told to end."""
    home = Path(what["home"])
    servables = {name: _servable(name) for name in what["models"]}
    cache = SavedCache({servables[name].digest: Path(path) for name, path in what["models"].items()})
    registry = FakeRegistry(*(snapshot(name, versions={"1": v}) for name, v in servables.items()))
    options: dict[str, Any] = {"request_seconds": what["request_seconds"], "memory_budget_bytes": 8 << 30}
    settings = ServingSettings(home=home, **{"grpc_port": 0, **options})
    confinement = Confinement(what["sandbox"], home, memory_bytes=what["memory_bytes"])
    runtime = HostRuntime(OneEnvironment(), home / "serving" / "hosts", confinement=confinement)
    node = Node(settings, Parts(registry, cache, runtime))
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    config = uvicorn.Config(node.app, http=Connection, ws="none", lifespan="on", log_config=None, access_log=False)
    await uvicorn.Server(config).serve([listener])


def _servable(name: str) -> ServableVersion:
    return ServableVersion(
        version=VersionNumber("1"),
        digest=digest_of(name),
        size=1,
        runtime="host",
        signature=COLUMNS,
        flavors=("python_function",),
    )


if __name__ == "__main__":
    import asyncio

    asyncio.run(serve(json.loads(sys.argv[1])))
