"""What a large body may cost everybody else: little (J16)."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from serving.protocols.limits import HEAVY_BYTES
from tests.support.serving_fakes import eventually
from tests.support.serving_node import FakeWorld, churn, running

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


@pytest.fixture
def uncollected() -> Iterator[None]:
    """Keep the collector from coming, and count what is held."""
    gc.collect()
    gc.disable()
    tracemalloc.start()
    yield
    tracemalloc.stop()
    gc.enable()


_NUMBERS = b"1.5," * 60_000
BAD_BODIES = {
    "one long row": b'{"inputs": [' + _NUMBERS + b"1]}",
    "cut off": b'{"inputs": [' + _NUMBERS,
    "a key twice": b'{"inputs": [' + _NUMBERS + b'1], "inputs": 1}',
    "a long text": b'{"inputs": "' + b"x" * 200_000 + b'"}',
    "two forms": b'{"inputs": [' + _NUMBERS + b'1], "instances": 1}',
}


async def test_large_bodies_that_are_refused_are_let_go_at_once(tmp_path: Path, uncollected: None) -> None:
    """Nothing of them waits for the collector, which hardly ever comes: a list of a million numbers is one object."""
    async with running(tmp_path, churn()) as world:
        for path in ("/models/churn/predict", "/models/churn/invocations", "/v1/models/churn:predict"):
            for body in BAD_BODIES.values():
                assert len(body) > HEAVY_BYTES
                await refuse(world, path, body)
                most = held() + 2 * len(body)
                for _ in range(5):
                    await refuse(world, path, body)
                await until_held_is_below(most)


async def until_held_is_below(most: int) -> None:
    """Wait for a thread that has not put its last work away yet."""
    await eventually(lambda: held() < most)


async def refuse(world: FakeWorld, path: str, body: bytes) -> None:
    """Have a body refused."""
    answer = await world.client.post(path, content=body)
    assert 400 <= answer.status_code < 500, answer.text


def held() -> int:
    """Return how much memory is held."""
    return tracemalloc.get_traced_memory()[0]
