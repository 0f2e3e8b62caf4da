"""One request to two servers: MLflow's own scoring server, and a node of ours with real model processes."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from registry.plans import Plan
from registry.records import ModelName, VersionNumber
from registry.snapshots import ModelSnapshot
from serving.bootstrap import Node
from serving.parts import Parts
from serving.runtimes.environments import Environments
from serving.runtimes.host.runtime import HostRuntime
from serving.runtimes.host.version import Bounds
from serving.settings import ServingSettings, load_settings
from serving.sources.cache import ArtifactCache
from serving.sources.memory import MemorySealedSource
from tests.support.models import SavedModel
from tests.support.serving_fakes import FakeRegistry, eventually

BASE = "http://127.0.0.1"


class BothServers:
    """Asks either server about any of the models; for tests that are plain functions."""

    def __init__(self, runner: asyncio.Runner, node: Node, models: Mapping[str, SavedModel]) -> None:
        self._runner, self._models = runner, models
        self._ours = httpx.AsyncClient(transport=httpx.ASGITransport(node.app), base_url=BASE, timeout=90)
        self._theirs: dict[str, httpx.AsyncClient] = {}

    def ours(self, kind: str, body: bytes, content_type: str | None = "application/json") -> httpx.Response:
        """Return our answer."""
        return self._runner.run(self._post(self._ours, f"/models/{kind}/invocations", body, content_type))

    def theirs(self, kind: str, body: bytes, content_type: str | None = "application/json") -> httpx.Response:
        """Return MLflow's."""
        with quiet():
            return self._runner.run(self._post(self._their_client(kind), "/invocations", body, content_type))

    def get(self, kind: str, path: str) -> tuple[httpx.Response, httpx.Response]:
        """Return our answer and MLflow's to a GET."""
        with quiet():
            theirs = self._runner.run(self._their_client(kind).get(path))
        return self._runner.run(self._ours.get(f"/models/{kind}{path}")), theirs

    async def _post(self, client: httpx.AsyncClient, path: str, body: bytes, named: str | None) -> httpx.Response:
        return await client.post(path, content=body, headers={} if named is None else {"content-type": named})

    def _their_client(self, kind: str) -> httpx.AsyncClient:
        if kind not in self._theirs:
            import mlflow.pyfunc
            from mlflow.pyfunc import scoring_server

            init: Any = scoring_server.init
            app = init(mlflow.pyfunc.load_model(str(self._models[kind].directory)))
            transport = httpx.ASGITransport(app, raise_app_exceptions=False)
            self._theirs[kind] = httpx.AsyncClient(transport=transport, base_url=BASE, timeout=90)
        return self._theirs[kind]

    def close(self) -> None:
        """Close the clients."""
        for client in (self._ours, *self._theirs.values()):
            self._runner.run(client.aclose())


@contextmanager
def both_servers(home: Path, models: Mapping[str, SavedModel]) -> Iterator[BothServers]:
    """Give a started node that serves ``models``, and MLflow's server beside it."""
    sealed = MemorySealedSource()
    snapshots = [_snapshot(kind, saved, sealed) for kind, saved in models.items()]
    settings = load_settings(
        {
            "HEADGATE_HOME": str(home),
            "HEADGATE_MONITOR": "false",
            "HEADGATE_REQUEST_SECONDS": "300",
            "HEADGATE_LOAD_SECONDS": "300",
        }
    )
    serving = "_MLFLOW_IS_IN_SERVING_ENVIRONMENT"  # which MLflow's server sets, and leaves behind
    before = {name: value for name, value in os.environ.items() if serving in name}
    with asyncio.Runner() as runner:
        node = runner.run(_started(settings, home, sealed, snapshots))
        both = BothServers(runner, node, models)
        try:
            yield both
        finally:
            both.close()
            runner.run(node.stop())
            for name in [name for name in os.environ if serving in name and name not in before]:
                del os.environ[name]


async def _started(
    settings: ServingSettings, home: Path, sealed: MemorySealedSource, snapshots: list[ModelSnapshot]
) -> Node:
    cache = ArtifactCache(home / "artifacts", settings.cache_bytes, sealed)
    runtime = HostRuntime(Environments(home), home / "hosts", Bounds(settings.queue_rows))
    node = Node(settings, Parts(FakeRegistry(*snapshots), cache, runtime))
    await node.start()
    await eventually(lambda: node.routes.table.known)
    return node


def _snapshot(kind: str, saved: SavedModel, sealed: MemorySealedSource) -> ModelSnapshot:
    files = {str(f.relative_to(saved.directory)): f.read_bytes() for f in saved.directory.rglob("*") if f.is_file()}
    number = VersionNumber("1")
    version = dataclasses.replace(saved.version, digest=sealed.put(files))
    return ModelSnapshot(ModelName(kind), Plan(number), 1, versions={number: version})


@contextmanager
def quiet() -> Iterator[None]:
    """Keep MLflow's warnings to itself."""
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging.NOTSET)
