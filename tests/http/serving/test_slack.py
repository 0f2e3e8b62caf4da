"""A node gives memory back after large requests, whatever became of them."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from serving.bootstrap import Node
from serving.http.body import MUCH_BYTES
from serving.parts import Parts
from serving.settings import load_settings
from serving.slack import Pace, Slack
from tests.support.serving_fakes import FakeCache, FakeRegistry, FakeRuntime, eventually

pytestmark = pytest.mark.anyio


async def test_a_large_request_that_is_refused_is_cleared_up_after(tmp_path: Path) -> None:
    """A small one is not worth it."""
    given: list[int] = []
    slack = Slack(Pace(quiet=0, rest=60), lambda: given.append(1))
    settings = load_settings({"HEADGATE_HOME": str(tmp_path), "HEADGATE_GRPC_PORT": "0"})
    node = Node(settings, Parts(FakeRegistry(), FakeCache(), FakeRuntime(), slack=slack))
    await node.start()
    try:
        transport = httpx.ASGITransport(node.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            for size in (1000, MUCH_BYTES + 1):
                assert given == []
                answer = await client.post("/models/none/predict", content=b" " * size)
                assert answer.status_code == 404
            await eventually(lambda: given == [1])
    finally:
        await node.stop()
