"""Images and bytes through whole nodes with real models: hosted ones, and an ONNX graph that runs inline."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from registry.records import Digest
from serving.bootstrap import Node
from serving.parts import Parts
from serving.runtimes.host.runtime import HostRuntime
from serving.settings import ServingSettings
from tests.integration.runtimes.conftest import OneEnvironment
from tests.integration.runtimes.test_inline_node import PATH, serving
from tests.support.models import SavedModel, SavedModels, saved_models, servable
from tests.support.onnx_models import SavedGraphs, graph, node, saved_graphs, weight
from tests.support.pictures import drawn, form, opened, pixels
from tests.support.serving_fakes import FakeArtifactLease, FakeCache, FakeRegistry, eventually, snapshot

__all__ = ["saved_graphs", "saved_models"]
pytestmark = pytest.mark.integration
PICTURE = drawn(pixels())
PNG = {"content-type": "image/png", "accept": "image/png"}


class Shelf(FakeCache):
    """A cache of several models' own directories."""

    def __init__(self, directories: Mapping[Digest, Path]) -> None:
        super().__init__()
        self._directories = directories

    async def hold(self, digest: Digest, seconds: float) -> FakeArtifactLease:
        """Hand out a lease."""
        self.held[digest] += 1
        return FakeArtifactLease(self, digest, self._directories[digest])


def test_hosts_take_pictures_and_bytes(saved_models: SavedModels, tmp_path: Path) -> None:
    """Three models of one node: of bytes, of pixels, and of whatever comes."""
    saved = {str(1 + at): saved_models.get(kind) for at, kind in enumerate(("bytes", "negative", "echo"))}
    shelf = Shelf({one.version.digest: one.directory for one in saved.values()})
    registry = FakeRegistry(snapshot(versions={number: one.version for number, one in saved.items()}))
    runtime = HostRuntime(OneEnvironment(), tmp_path / "hosts")

    async def told() -> None:
        options: dict[str, Any] = {"home": tmp_path, "request_seconds": 120, "load_seconds": 100}
        node = Node(ServingSettings(**options), Parts(registry, shelf, runtime))
        await node.start()
        await eventually(lambda: node.routes.table.known)
        transport = httpx.ASGITransport(node.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080", timeout=120) as client:
            await of_bytes(client)
            await of_pixels(client)
            await of_anything(client)
        await node.stop()

    asyncio.run(told())


async def of_bytes(client: httpx.AsyncClient) -> None:
    """Bytes arrive bit for bit, alone and in a batch, and come back as what the caller accepts."""
    path = "/models/churn/versions/1/predict"
    answer = await client.post(path, content=PICTURE, headers=PNG)
    assert (answer.status_code, answer.headers["content-type"], answer.content) == (200, "image/png", PICTURE)
    noise = bytes(range(256)) * 2000
    octets = {"content-type": "application/octet-stream", "accept": "application/octet-stream"}
    answer = await client.post(path, content=noise, headers=octets)
    assert (answer.headers["content-type"], answer.content) == ("application/octet-stream", noise)
    bodies = [bytes([at]) * (1 + at) for at in range(40)]
    answers = await asyncio.gather(*(client.post(path, content=one, headers=octets) for one in bodies))
    assert [one.content for one in answers] == bodies
    kind, body = form({"image": ("image/png", PICTURE)})
    assert (await client.post(path, content=body, headers={**PNG, "content-type": kind})).content == PICTURE
    answer = await client.post(path, content=b"abc", headers={"content-type": "image/any"})
    assert answer.json()["predictions"] == ["YWJj\n"]


async def of_pixels(client: httpx.AsyncClient) -> None:
    """A picture in, its negative out: as a picture, or as numbers for who asks for nothing else."""
    path = "/models/churn/versions/2/predict"
    answer = await client.post(path, content=PICTURE, headers=PNG)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png")
    assert (opened(answer.content) == 255 - pixels()).all()
    answer = await client.post(path, content=PICTURE, headers={"content-type": "image/png"})
    assert answer.json()["predictions"] == (255 - pixels())[np.newaxis].tolist()
    wrong = await client.post(path, content=drawn(pixels(4, 4)), headers=PNG)
    assert (wrong.status_code, wrong.json()["error"]["code"]) == (422, "invalid_input")
    two = {"inputs": np.stack([pixels(), pixels()]).tolist()}
    none = await client.post(path, json=two, headers={"accept": "image/png"})
    assert (none.status_code, none.json()["error"]["code"]) == (406, "not_acceptable")


async def of_anything(client: httpx.AsyncClient) -> None:
    """Without a signature, predict is called with bytes, or with a dict of them, and its answer comes back."""
    path = "/models/churn/versions/3/predict"
    assert (await client.post(path, content=PICTURE, headers=PNG)).content == PICTURE
    kind, body = form({"a": b"x", "b": b"y"})
    answer = await client.post(path, content=body, headers={"content-type": kind})
    assert answer.json()["predictions"] == {"a": "eA==\n", "b": "eQ==\n"}


def test_a_graph_gets_channels_first_inline(saved_graphs: SavedGraphs, tmp_path: Path) -> None:
    """An ONNX graph without a signature takes pictures as its own input says, in the node's process."""
    directory = tmp_path / "model"
    taken = graph([node("Sub", ["c", "x"], ["y"])], [weight("c", np.full(1, 255, np.float32))], takes=("N", 3, 8, 8))
    saved_graphs.save(directory, taken)
    saved = SavedModel(directory, replace(servable(directory), runtime="inline"))

    async def told() -> None:
        async with serving(tmp_path, saved, inline=True) as client:
            headers = {"content-type": "image/png"}
            answer = await client.post(f"{PATH}/predict", content=PICTURE, headers=headers)
            assert answer.status_code == 200, answer.text
            (found,) = np.array(answer.json()["predictions"]["y"])
            assert (found == 255 - pixels().transpose(2, 0, 1)).all()
            assert '"inline"' in (await client.get(PATH)).text

    asyncio.run(told())
