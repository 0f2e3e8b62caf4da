"""A version with several processes: they answer side by side, and the death of one is a loss, not the end."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import signal
import time
from collections.abc import Iterator

import pytest

from registry.errors import ModelFault
from serving.exchange import Call, Output
from serving.runtimes.host.version import HostedVersion
from tests.integration.runtimes.conftest import Hosts, rows
from tests.integration.runtimes.test_batching import numbers
from tests.support.serving_fakes import eventually

pytestmark = pytest.mark.integration


@pytest.fixture
def pair(hosts: Hosts) -> Iterator[HostedVersion]:
    """Load a slow model twice."""
    saved = hosts.models.get("slow")
    version = dataclasses.replace(saved.version, instances=2)
    loaded = hosts.run(hosts.runtime.load(version, saved.directory, 60))
    yield loaded
    hosts.run(loaded.close())


def test_two_processes_answer_side_by_side(hosts: Hosts, pair: HostedVersion) -> None:
    """Two requests that take 50 ms each take less than 100 ms; the memory is that of both."""

    async def both() -> tuple[float, list[Output]]:
        started = time.monotonic()
        outputs = await asyncio.gather(*(pair.predict(Call(rows(start=float(i))), 20) for i in range(2)))
        return time.monotonic() - started, outputs

    taken = []
    for _ in range(5):
        seconds, outputs = hosts.run(both())
        taken.append(seconds)
        assert [numbers(o) for o in outputs] == [[0.0], [10.0]]
    assert min(taken) < 0.095
    assert len({host.pid for host in pair.hosts}) == 2
    assert pair.memory_bytes == sum(host.memory_bytes for host in pair.hosts)
    assert hosts.run(pair.measure()) > 2 << 20


def test_the_death_of_one_costs_what_it_was_doing_and_it_comes_back(hosts: Hosts, pair: HostedVersion) -> None:
    """The version stays alive and answers, nobody hears of a death, and there are two again."""

    async def story() -> None:
        told: list[bool] = []
        lost: list[int] = []
        pair.when_dead(lambda: told.append(True))
        pair.when_one_died(lambda: lost.append(len(pair.hosts)))
        requests = [pair.predict(Call(rows(start=float(i))), 20) for i in range(6)]
        await asyncio.sleep(0.01)  # two of them are being computed
        victim = pair.hosts[0]
        os.kill(victim.pid, signal.SIGKILL)
        outcomes = await asyncio.gather(*requests, return_exceptions=True)
        failed = [o for o in outcomes if isinstance(o, BaseException)]
        assert len(failed) == 1
        assert isinstance(failed[0], ModelFault)
        assert "SIGKILL" in failed[0].message
        assert pair.alive
        await eventually(lambda: len(pair.hosts) == 2)
        assert victim not in pair.hosts
        assert not told
        assert lost == [1]

    hosts.run(story())


def test_one_that_cannot_be_started_now_is_started_later(hosts: Hosts, pair: HostedVersion) -> None:
    """A disk that is full or away for a while costs a process for that while, not for good."""
    home = hosts.runtime._home
    assert home is not None
    away = home.with_name("away")

    async def story() -> None:
        home.rename(away)
        try:
            os.kill(pair.hosts[0].pid, signal.SIGKILL)
            await eventually(lambda: pair._failures > 0)
            await asyncio.sleep(0.1)  # the try has begun; the next comes half a second later at the earliest
        finally:
            away.rename(home)
        await eventually(lambda: len(pair.hosts) == 2)

    hosts.run(story())


def test_when_all_are_dead_the_version_is(hosts: Hosts, pair: HostedVersion) -> None:
    """Who asked is told once, what waits is answered with how it ended, and nothing is started any more."""

    async def story() -> None:
        told: list[bool] = []
        pair.when_dead(lambda: told.append(pair.alive))
        requests = [pair.predict(Call(rows()), 20) for _ in range(6)]
        await asyncio.sleep(0.01)
        for host in pair.hosts:
            os.kill(host.pid, signal.SIGKILL)
        outcomes = await asyncio.wait_for(asyncio.gather(*requests, return_exceptions=True), 10)
        assert all(isinstance(o, ModelFault) and "SIGKILL" in o.message for o in outcomes)
        assert [o.details["started"] for o in outcomes if isinstance(o, ModelFault)].count(False) == 4
        assert told == [False]
        with pytest.raises(ModelFault, match="died"):
            await pair.predict(Call(rows()), 5)

    hosts.run(story())
