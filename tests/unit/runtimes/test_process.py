"""A host's connection, with a process that is only drawn: what becomes of requests when it ends."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest

from registry.errors import ModelFault
from serving.exchange import Call, Output, TensorInput
from serving.runtimes.host.output import OutputTail
from serving.runtimes.host.parent import Fork
from serving.runtimes.host.process import OFF_LOOP_BYTES, HostProcess
from tests.support.lanes import telling

LARGE = Call(TensorInput(np.zeros(8 * OFF_LOOP_BYTES, dtype=np.uint8)))


class Sink(asyncio.Transport):
    """A connection that takes everything and answers nothing."""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Take it."""

    def abort(self) -> None:
        """Close."""


def connected(home: Path) -> HostProcess:
    """Return a host whose process has ended already, and nobody knows yet."""
    exited: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()
    exited.set_result(-9)
    host = HostProcess(Fork(1, None, exited), OutputTail(), home)
    host.connection_made(Sink())
    return host


def test_a_request_that_is_being_packed_when_its_host_dies_is_told_at_once(tmp_path: Path) -> None:
    """Nobody waits for a process that is gone, wherever the request was when it went."""

    async def story() -> None:
        host = connected(tmp_path / "host")
        asking: asyncio.Future[Output] = asyncio.get_running_loop().create_future()
        host.run(LARGE, 30, telling(asking))
        await asyncio.sleep(0)  # it is being packed, beside the loop
        host.connection_lost(None)
        await host.close()
        with pytest.raises(ModelFault) as caught:
            await asyncio.wait_for(asking, 5)
        assert (caught.value.code, caught.value.details) == ("model_error", {"started": False})

    asyncio.run(story())


@pytest.mark.parametrize("late", [False, True])
def test_whoever_asked_hears_of_a_death(tmp_path: Path, late: bool) -> None:
    """The end of a process is told once, without a request, also to whoever asks too late."""

    async def story() -> None:
        host = connected(tmp_path / "host")
        told: list[bool] = []
        if not late:
            host.when_dead(lambda: told.append(host.alive))
        host.connection_lost(None)
        if late:
            host.when_dead(lambda: told.append(host.alive))
        await host.close()
        assert told == [False]

    asyncio.run(story())
