"""A whole node answers from an inline version, and with the setting off the same bytes from a host."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from serving.bootstrap import Node
from serving.parts import Parts
from serving.runtimes.choice import ChosenRuntime
from serving.runtimes.host.runtime import HostRuntime
from serving.runtimes.inline.runtime import InlineRuntime
from serving.settings import ServingSettings
from tests.integration.runtimes.conftest import OneEnvironment
from tests.support.models import SavedModel
from tests.support.onnx_models import SavedGraphs, saved_graphs
from tests.support.serving_fakes import FakeCache, FakeRegistry, eventually, snapshot

__all__ = ["saved_graphs"]

pytestmark = pytest.mark.integration
PATH = "/models/churn/versions/1"


@asynccontextmanager
async def serving(home: Path, saved: SavedModel, inline: bool) -> AsyncIterator[httpx.AsyncClient]:
    """Give a client of a started node that serves one version, from real runtimes."""
    options: dict[str, Any] = {"home": home, "inline": inline}
    settings = ServingSettings(**{"grpc_port": 0, **options})
    hosts = HostRuntime(OneEnvironment(), home / "hosts")
    runtime = ChosenRuntime(hosts, InlineRuntime(home / "inline") if inline else None)
    registry = FakeRegistry(snapshot(versions={"1": saved.version}))
    node = Node(settings, Parts(registry, FakeCache(saved.directory), runtime))
    await node.start()
    await eventually(lambda: node.routes.table.known)
    transport = httpx.ASGITransport(node.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080", timeout=60) as client:
        yield client
    await node.stop()


async def ask(home: Path, saved: SavedModel, inline: bool, bodies: list[Any]) -> tuple[list[Any], str]:
    """Return what a node predicts for each body, and what it says of the version."""
    async with serving(home, saved, inline) as client:
        answers = await asyncio.gather(*(client.post(f"{PATH}/predict", json=body) for body in bodies))
        assert {a.status_code for a in answers} == {200}, answers[0].text
        return [a.content.split(b'"model_name"')[0] for a in answers], (await client.get(PATH)).text


@pytest.mark.parametrize(("name", "kind"), [("forest", "tensors"), ("forest_maps", "columns"), ("dense", "unsigned")])
def test_a_node_gives_the_same_bytes_either_way(
    saved_graphs: SavedGraphs, tmp_path: Path, name: str, kind: str
) -> None:
    """Forty requests at once are answered alike inline and hosted."""
    width = 20 if name == "dense" else 4
    rows = [[[0.25 * i + j for j in range(width)]] * (1 + i % 3) for i in range(40)]
    if kind == "columns":
        names = [f"x{i}" for i in range(width)]
        bodies: list[Any] = [{"dataframe_split": {"columns": names, "data": data}} for data in rows]
    else:
        bodies = [{"inputs": data} for data in rows]
    saved = saved_graphs.get(name, kind)
    here, shown = asyncio.run(ask(tmp_path / "a", saved, True, bodies))
    there, _ = asyncio.run(ask(tmp_path / "b", saved, False, bodies))
    assert here == there
    assert '"inline"' in shown
