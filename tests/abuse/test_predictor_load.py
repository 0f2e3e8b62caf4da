"""What a large body may cost everybody else: little (J16)."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest

from serving.protocols.limits import HEAVY_BYTES
from tests.support.serving_node import churn, running

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    """Run coroutine tests on asyncio alone."""
    return "asyncio"


@pytest.fixture
def collected() -> Iterator[list[int]]:
    """Give a list that grows by the generation of each collection."""
    seen: list[int] = []

    def note(phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            seen.append(info["generation"])

    gc.callbacks.append(note)
    yield seen
    gc.callbacks.remove(note)


async def test_body_of_many_lists_does_not_wake_the_collector(tmp_path: Path, collected: list[int]) -> None:
    """Half a million small lists are read without the collector, which would look at each many times; then it is back.

    It holds the interpreter meanwhile, so that the event loop would stand still and liveness with it.
    """
    body = b'{"inputs": [' + b",".join([b"[1,2]"] * 500_000) + b"]}"
    assert len(body) > HEAVY_BYTES
    async with running(tmp_path, churn()) as world:
        await world.client.post("/models/churn/predict", json={"inputs": {"a": [1.0], "b": [2.0]}})
        del collected[:]
        await world.client.post("/models/churn/predict", content=body)
        assert len(collected) < 20, f"{len(collected)} collections"
        assert gc.isenabled()
