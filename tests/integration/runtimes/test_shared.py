"""Large bodies through memory that node and host share, with real hosts, honest and hostile."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from registry.errors import ModelFault
from serving.exchange import ArrayOutput, Call, JsonOutput, Output, TensorInput
from serving.runtimes.host import shared
from serving.runtimes.host.version import HostedVersion
from tests.integration.runtimes.conftest import Hosts, rows
from tests.support.models import servable

pytestmark = pytest.mark.integration
OURS = """
import fcntl, mmap, os, sys, threading, time
def region():
    for n in range(256):
        try:
            if os.readlink(f"/proc/self/fd/{n}").startswith("/memfd:headgate"):
                return n
        except OSError:
            pass
"""


@contextmanager
def loaded(hosts: Hosts, directory: Path, body: str) -> Iterator[HostedVersion]:
    """Load a model with this body."""
    hosts.models.save_custom(directory, body)
    host = hosts.run(hosts.runtime.load(servable(directory), directory, 60))
    try:
        yield host
    finally:
        hosts.run(host.close())


def array_of(output: Output) -> Any:
    """Return an answered array."""
    assert isinstance(output, ArrayOutput)
    return output.array


def region_bytes() -> int:
    """Return how much memory of such regions this process has in use."""
    found, inside = 0, False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if re.match(r"[0-9a-f]+-[0-9a-f]+ ", line):
            inside = "memfd:headgate" in line
        elif inside and line.startswith("Rss:"):
            found += int(line.split()[1]) * 1024
    return found


def test_small_and_large_calls_in_any_order_keep_their_answers(hosts: Hosts) -> None:
    """Whether a body goes over the socket or through the region, and whoever else asks, each gets its own."""
    sizes = [10, 200_000, 7_000, 9_000, 3, 6_000_000, 40_000, 8_192, 8_193, 1, 300_000]

    async def ask(host: HostedVersion, size: int, number: int) -> bool:
        array = np.arange(size, dtype=np.float64)[None] + number
        output = await host.predict(Call(TensorInput(array)), 60)
        return bool(array_of(output).tobytes() == array.tobytes())

    async def crowd(host: HostedVersion) -> list[bool]:
        return await asyncio.gather(*(ask(host, size, i) for i, size in enumerate(sizes * 3)))

    with hosts.loaded("echo") as host:
        assert host.ready.shared
        assert all(hosts.run(crowd(host)))


def test_without_such_memory_large_bodies_pass_as_ever(hosts: Hosts, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a system that has none, everything goes over the socket."""
    monkeypatch.setattr(shared, "_SEALS", 0)
    array = np.random.default_rng(3).normal(size=(300_000,))
    with hosts.loaded("echo") as host:
        assert not host.ready.shared
        assert array_of(hosts.predict(host, TensorInput(array))).tobytes() == array.tobytes()


def test_a_body_that_does_not_fit_passes_as_ever(hosts: Hosts) -> None:
    """More than the region holds goes over the socket, and the next body through the region again."""
    with hosts.loaded("echo") as host:
        for size in (5_000_000, 20_000):
            array = np.random.default_rng(size).normal(size=(size,))
            assert array_of(hosts.predict(host, TensorInput(array))).tobytes() == array.tobytes()


def test_a_model_may_keep_its_input(hosts: Hosts, tmp_path: Path) -> None:
    """What a model has kept of one request is not changed by the next."""
    body = "kept = self.__dict__.setdefault('kept', model_input); return kept"
    first, second = np.full(50_000, 1.0), np.full(50_000, 2.0)
    with loaded(hosts, tmp_path / "keeping", body) as host:
        for given in (first, second, second):
            assert array_of(hosts.predict(host, TensorInput(given))).tolist() == first.tolist()


def test_the_memory_of_large_calls_comes_back(hosts: Hosts, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred large calls leave the host as it was, and the region is empty once nobody uses it."""
    monkeypatch.setattr(shared, "REST_SECONDS", 0.1)
    array = np.random.default_rng(2).normal(size=(1_000_000,))

    async def rest() -> None:
        for _ in range(100):
            await asyncio.sleep(0.05)
            if not region_bytes():
                return

    with hosts.loaded("echo") as host:
        for _ in range(10):  # what its allocator keeps for the next time it keeps from now on
            hosts.predict(host, TensorInput(array))
        before = hosts.run(host.measure())
        for _ in range(100):
            hosts.predict(host, TensorInput(array))
        assert hosts.run(host.measure()) < before + (4 << 20)
        hosts.run(rest())
        assert region_bytes() == 0
        assert array_of(hosts.predict(host, TensorInput(array))).tobytes() == array.tobytes()


def test_a_host_cannot_shrink_or_grow_what_is_shared(hosts: Hosts, tmp_path: Path) -> None:
    """It is refused, and the node answers on."""
    body = f"""
{OURS}
tried = []
for deed in (
    lambda n: os.ftruncate(n, 0),
    lambda n: os.ftruncate(n, 1 << 30),
    lambda n: os.pwrite(n, b"x", os.fstat(n).st_size),
    lambda n: fcntl.fcntl(n, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE),
):
    try:
        deed(region())
        tried.append("done")
    except OSError as error:
        tried.append(type(error).__name__)
return tried
"""
    with loaded(hosts, tmp_path / "cutting", body) as host:
        for _ in range(2):
            output = hosts.predict(host, TensorInput(np.zeros(50_000)))
            assert output == JsonOutput(["PermissionError"] * 4)


def test_a_host_that_rewrites_what_is_read_harms_itself_alone(hosts: Hosts, tmp_path: Path) -> None:
    """While a thread of it scribbles and punches holes, answers have the shape that was announced, or are refused."""
    body = f"""
{OURS}
def scribble():
    place = mmap.mmap(region(), 0)
    while True:
        place[: 1 << 20] = os.urandom(1 << 10) * (1 << 10)
        place.madvise(mmap.MADV_REMOVE, 0, 1 << 20)
        time.sleep(0.001)
if not hasattr(self, "thread"):
    self.thread = threading.Thread(target=scribble, daemon=True)
    self.thread.start()
return model_input if len(model_input) % 2 else ["x" * len(model_input)]
"""
    with loaded(hosts, tmp_path / "scribbling", body) as host:
        for size in (200_001, 20_001) * 5:
            assert array_of(hosts.predict(host, TensorInput(np.ones(size)))).shape == (size,)
        for size in (200_000,) * 5:
            try:
                hosts.predict(host, TensorInput(np.ones(size)))
            except ModelFault as error:
                assert error.code == "model_error"
    with hosts.loaded("sum") as other:
        assert array_of(hosts.predict(other, rows())).tolist() == [5.0]


@pytest.mark.parametrize("length", [(32 << 20) + 1, 1 << 40, (1 << 64) - 8])
def test_a_host_that_points_beyond_the_region_is_ended(hosts: Hosts, tmp_path: Path, length: int) -> None:
    """A head that claims more than is shared costs the host its life and its caller a ``model_error``."""
    body = f"""
{OURS}
import struct
head = b'{{"output":{{}}}}'.ljust(24)
forged = [struct.pack("<IIQQ", 24, 1 | 1 << 31, 1, {length}), head]
sys.modules["_headgate_child.answer"].pack = lambda *args, **named: forged
return [1]
"""
    with loaded(hosts, tmp_path / "lying", body) as host:
        with pytest.raises(ModelFault) as caught:
            hosts.predict(host, TensorInput(np.zeros(50_000)))
        assert caught.value.code == "model_error"
        assert not host.alive
    with hosts.loaded("sum") as other:
        assert array_of(hosts.predict(other, rows())).tolist() == [5.0]
