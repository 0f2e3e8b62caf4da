"""A node with the real cache, the real runtime and a real model: from sealed bytes to an answer, and a host's death."""

from __future__ import annotations

import dataclasses
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from registry.plans import Plan
from registry.records import ModelName, VersionNumber
from registry.snapshots import ModelSnapshot
from serving.bootstrap import Node
from serving.parts import Parts
from serving.pool.crashes import MOST_CRASHES
from serving.pool.state import State
from serving.runtimes.environments import Environments
from serving.runtimes.host.runtime import HostRuntime
from serving.runtimes.host.version import Bounds, HostedVersion
from serving.settings import load_settings
from serving.sources.cache import ArtifactCache
from serving.sources.memory import MemorySealedSource
from tests.support.models import SavedModels, saved_models, training
from tests.support.serving_fakes import FakeRegistry, eventually

__all__ = ["saved_models"]
pytestmark = [pytest.mark.anyio, pytest.mark.integration]


@pytest.fixture
async def node(tmp_path: Path, saved_models: SavedModels) -> AsyncIterator[Node]:
    """Give a node that serves a linear model from sealed bytes."""
    saved = saved_models.get("linear")
    directory = saved.directory
    sealed = MemorySealedSource()
    files = {str(f.relative_to(directory)): f.read_bytes() for f in directory.rglob("*") if f.is_file()}
    version = dataclasses.replace(saved.version, digest=sealed.put(files))
    number = VersionNumber("1")
    model = ModelSnapshot(ModelName("linear"), Plan(number), 1, versions={number: version})
    settings = load_settings({"HEADGATE_HOME": str(tmp_path), "HEADGATE_GRPC_PORT": "0"})
    cache = ArtifactCache(tmp_path / "artifacts", settings.cache_bytes, sealed)
    runtime = HostRuntime(Environments(tmp_path), tmp_path / "hosts", Bounds(settings.queue_rows))
    node = Node(settings, Parts(FakeRegistry(model), cache, runtime))
    await node.start()
    await eventually(lambda: node.routes.table.known)
    yield node
    await node.stop()


@pytest.fixture
async def client(node: Node) -> AsyncIterator[httpx.AsyncClient]:
    """Give a client of it."""
    transport = httpx.ASGITransport(node.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1", timeout=90) as client:
        yield client


def host_of(node: Node) -> HostedVersion:
    """Return the one host."""
    (slot,) = node.pool.slots()
    assert slot.residence is not None
    assert isinstance(slot.residence.loaded, HostedVersion)
    return slot.residence.loaded


async def test_a_real_model_answers_as_it_does_locally(client: httpx.AsyncClient, saved_models: SavedModels) -> None:
    """From sealed bytes through cache, pool and host: the very numbers of a local prediction."""
    import mlflow.pyfunc

    frame = training()[0].head(5)
    body = {"dataframe_split": frame.to_dict(orient="split")}
    answer = await client.post("/models/linear/predict", json=body)
    assert answer.status_code == 200, answer.text
    local = mlflow.pyfunc.load_model(str(saved_models.get("linear").directory)).predict(frame)
    assert answer.json()["predictions"] == local.tolist()
    shown = (await client.get("/models/linear/versions/1")).json()
    assert shown["state"] == "ready"
    assert shown["memory_bytes"] > 0


async def test_a_wrong_column_is_named(client: httpx.AsyncClient) -> None:
    """The version's signature is enforced before its host is asked."""
    answer = await client.post("/models/linear/predict", json={"dataframe_records": [{"nonsense": 1.0}]})
    assert answer.status_code == 422
    assert answer.json()["error"]["code"] == "invalid_input"


async def test_a_killed_host_costs_at_most_its_own_requests(node: Node, client: httpx.AsyncClient) -> None:
    """After kill -9 of the host the version comes back by itself."""
    body = {"dataframe_split": training()[0].head(1).to_dict(orient="split")}
    assert (await client.post("/models/linear/predict", json=body)).status_code == 200
    os.kill(host_of(node).pid, signal.SIGKILL)
    statuses = [(await client.post("/models/linear/predict", json=body)).status_code for _ in range(2)]
    assert statuses[0] in (200, 500)
    assert statuses[1] == 200
    assert (
        'headgate_host_restarts_total{model="linear",reason="died",version="1"} 1.0'
        in (await client.get("/metrics")).text
    )


async def test_unloading_ends_the_process(node: Node, client: httpx.AsyncClient) -> None:
    """Unload gives the memory back: the host is gone."""
    await client.post("/models/linear/versions/1/load")
    proc = Path("/proc") / str(host_of(node).pid)
    assert proc.exists()
    assert (await client.post("/models/linear/versions/1/unload")).json()["state"] == "draining"
    (slot,) = node.pool.slots()
    await eventually(lambda: slot.state is State.COLD)
    assert not proc.exists()


async def test_a_host_that_keeps_dying_is_quarantined_and_let_out(node: Node, client: httpx.AsyncClient) -> None:
    """Five deaths end in 503 model_quarantined; loading it by hand brings it back."""
    body = {"dataframe_split": training()[0].head(1).to_dict(orient="split")}
    await client.post("/models/linear/predict", json=body)
    (slot,) = node.pool.slots()
    for _ in range(MOST_CRASHES):
        slot.retry_at = 0.0  # nobody waits for the back-off here
        assert (await client.post("/models/linear/predict", json=body)).status_code == 200
        os.kill(host_of(node).pid, signal.SIGKILL)
        await eventually(lambda: slot.residence is None)
    answer = await client.post("/models/linear/predict", json=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "model_quarantined")
    assert (await client.post("/models/linear/versions/1/load")).json()["state"] == "ready"
    assert (await client.post("/models/linear/predict", json=body)).status_code == 200


async def test_batches_and_memory_are_measured(node: Node, client: httpx.AsyncClient) -> None:
    """What a real lane and a real process say reaches the metrics page."""
    body = {"dataframe_split": training()[0].head(3).to_dict(orient="split")}
    await client.post("/models/linear/predict", json=body)
    await node.pool.measure(10)
    page = (await client.get("/metrics")).text
    assert 'headgate_batch_rows_sum{model="linear",version="1"} 3.0' in page
    assert 'headgate_queue_rows{model="linear",version="1"} 0.0' in page
    (slot,) = node.pool.slots()
    assert 1 << 20 < slot.memory_bytes < 1 << 30
