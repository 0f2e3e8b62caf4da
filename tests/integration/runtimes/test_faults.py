"""Whatever a model does, only its own process suffers, and callers are told what happened."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from registry.errors import HeadgateError, ModelFault, Refused
from serving.exchange import ArrayOutput, Call, JsonOutput, Output
from tests.integration.runtimes.conftest import Hosts, rows
from tests.support.serving_fakes import eventually

pytestmark = pytest.mark.integration


def runs(pid: int) -> bool:
    """Tell whether a process runs (and is no zombie)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def descendants(pid: int) -> list[int]:
    """Return the children of a process, and theirs."""
    children = [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return children + [d for c in children for d in descendants(c)]


def gone(pid: int, seconds: float = 5) -> bool:
    """Wait until a process has ended; tell whether it has."""
    until = time.monotonic() + seconds
    while runs(pid) and time.monotonic() < until:
        time.sleep(0.01)
    return not runs(pid)


@pytest.mark.parametrize(
    ("kind", "code", "words"),
    [
        ("failing", "model_error", "the model raised: ValueError: these rows cannot be had"),
        ("leaving", "model_error", "the model raised: SystemExit: 3"),
        ("strange", "model_output_invalid", "the model answered a object"),
    ],
)
def test_an_exception_is_an_answer_and_the_host_lives_on(hosts: Hosts, kind: str, code: str, words: str) -> None:
    """A model that raises, exits politely or answers nonsense is told of, time and again."""
    with hosts.loaded(kind) as host:
        for _ in range(3):
            with pytest.raises(ModelFault) as caught:
                hosts.predict(host, rows())
            assert caught.value.code == code
            assert words in caught.value.message
            assert "Traceback" not in caught.value.message
        assert host.alive


@pytest.mark.parametrize(("kind", "words"), [("exiting", "exit status 3"), ("segfault", "signal 11 (SIGSEGV)")])
def test_a_process_that_dies_fails_what_was_on_its_way(hosts: Hosts, kind: str, words: str) -> None:
    """Every request on its way is answered with how the process ended, and so is whoever comes later."""

    async def crowd(host: Any) -> list[Output | BaseException]:
        return await asyncio.gather(*(host.predict(Call(rows()), 10) for _ in range(20)), return_exceptions=True)

    with hosts.loaded(kind) as host:
        for error in hosts.run(crowd(host)):
            assert isinstance(error, ModelFault)
            assert error.code == "model_error"
            assert words in error.message
        assert not host.alive
        with pytest.raises(ModelFault, match="died"):
            hosts.predict(host, rows())


def test_a_loop_without_end_costs_its_caller_the_deadline_and_the_host_its_life(hosts: Hosts) -> None:
    """The caller is answered in time; the process, which cannot be interrupted, is ended soon after."""

    async def wait_and_see(host: Any) -> tuple[float, str]:
        started = time.monotonic()
        with pytest.raises(ModelFault) as caught:
            await host.predict(Call(rows()), 0.3)
        waited = time.monotonic() - started
        while host.alive:
            await asyncio.sleep(0.02)
        return waited, caught.value.code

    with hosts.loaded("endless") as host:
        waited, code = hosts.run(wait_and_see(host))
        assert code == "model_timeout"
        assert 0.3 <= waited < 1
        assert gone(host.pid)


def test_an_impatient_caller_does_not_cost_the_others_their_model(hosts: Hosts) -> None:
    """A deadline shorter than a prediction ends the wait, not the process."""
    with hosts.loaded("slow") as host:
        for _ in range(5):
            with pytest.raises(ModelFault, match=r"0\.01 s"):
                hosts.predict(host, rows(), seconds=0.01)
        assert isinstance(hosts.predict(host, rows()), ArrayOutput)


def test_a_cancelled_request_does_not_disturb_its_neighbours(hosts: Hosts) -> None:
    """Callers that go away leave the others their own answers."""

    async def half_of_them_leave(host: Any) -> list[float]:
        tasks = [asyncio.ensure_future(host.predict(Call(rows(start=float(i))), 20)) for i in range(20)]
        await tasks[0]  # the next are with the host by now, and the rest is in line
        for task in tasks[2::2]:
            task.cancel()
        outputs = await asyncio.gather(*tasks[1::2])
        return [o.array.tolist()[0] for o in outputs]

    with hosts.loaded("slow") as host:
        assert hosts.run(half_of_them_leave(host)) == [i * 10.0 for i in range(1, 20, 2)]
        assert isinstance(hosts.predict(host, rows()), ArrayOutput)


def test_too_many_rows_are_refused_at_once(hosts: Hosts) -> None:
    """What would wait beyond the limit is refused with a time to retry; what waits is answered."""

    async def rush(host: Any) -> list[Output | BaseException]:
        calls = (host.predict(Call(rows(400)), 20) for _ in range(5))
        return await asyncio.gather(*calls, return_exceptions=True)

    with hosts.loaded("slow") as host:
        results = hosts.run(rush(host))
        refused = [r for r in results if isinstance(r, Refused)]
        assert len(refused) == 3
        assert all(r.code == "overloaded" and r.retry_after for r in refused)
        assert isinstance(hosts.predict(host, rows(5000)), ArrayOutput)


def test_a_flood_of_prints_neither_blocks_nor_fills_memory(hosts: Hosts) -> None:
    """Sixty-four megabytes of output pass, and the last of it is kept."""
    with hosts.loaded("printing") as host:
        assert hosts.predict(host, rows()) == JsonOutput([1])
        hosts.run(eventually(lambda: host.last_output.endswith("the last line\n")))
        assert len(host.last_output) <= 8192


def test_a_killed_host_is_noticed_without_a_request(hosts: Hosts) -> None:
    """kill -9 of a host makes it not alive, and the others do not mind."""

    async def notice(host: Any) -> None:
        os.kill(host.pid, signal.SIGKILL)
        while host.alive:
            await asyncio.sleep(0.01)

    with hosts.loaded("sum") as other, hosts.loaded("sum") as host:
        hosts.run(asyncio.wait_for(notice(host), 5))
        assert isinstance(hosts.predict(other, rows()), ArrayOutput)


def test_unloading_ends_the_process_and_all_that_it_started(hosts: Hosts) -> None:
    """After closing there is no process, no directory, and no child that the model left behind."""
    with hosts.loaded("process") as asked:
        where = hosts.predict(asked, rows())
    assert isinstance(where, JsonOutput)
    with hosts.loaded("spawning") as host:
        hosts.predict(host, rows())
        started = descendants(host.pid)
    assert len(started) == 1
    assert gone(host.pid)
    assert gone(asked.pid)
    assert not Path(where.value[2]).exists()
    assert gone(started[0])
    hosts.run(host.close())


def test_a_killed_parent_takes_its_hosts_along_and_a_new_one_is_started(hosts: Hosts) -> None:
    """kill -9 of the warm parent ends its hosts; the next load has a new parent."""

    async def notice(host: Any) -> None:
        while host.alive:
            await asyncio.sleep(0.01)

    with hosts.loaded("sum") as host:
        parent = hosts.parent_pid
        os.kill(parent, signal.SIGKILL)
        hosts.run(asyncio.wait_for(notice(host), 5))
        assert gone(host.pid)
        with pytest.raises(HeadgateError):
            hosts.predict(host, rows())
    with hosts.loaded("sum"):
        assert hosts.parent_pid != parent


def test_loading_and_unloading_leaves_no_descriptors_behind(hosts: Hosts) -> None:
    """After many loads the node has as many open descriptors as before."""
    with hosts.loaded("sum"):
        pass
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(20):
        with hosts.loaded("sum"):
            pass
    assert len(list(Path("/proc/self/fd").iterdir())) <= before
