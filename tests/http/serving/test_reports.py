"""Reports over real connections: a registry that is slow, away, forgetful or somebody else gets each count once."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from statistics import median
from typing import Any

import httpx
import numpy as np
import psutil
import pytest

from registry.errors import Unavailable
from serving.bootstrap import Node
from serving.exchange import ArrayOutput
from serving.sources.reports import HttpReports
from serving.telemetry.finished import Finished
from tests.support.fake_platform import free_port
from tests.support.reports import TAKEN, Mood, ReportDesk, report_desk
from tests.support.serving_fakes import eventually, servable
from tests.support.serving_node import ROW, FakeWorld, churn, listening, running

pytestmark = [pytest.mark.anyio, pytest.mark.integration]
CANARY = ("churn", 7, "canary", "3")


@pytest.fixture
async def desk() -> AsyncIterator[ReportDesk]:
    """Give a registry's desk."""
    async with report_desk() as desk:
        yield desk


def body(sequence: int = 1) -> bytes:
    """Return a report with nothing in it."""
    fields = f'"sequence":{sequence},"revision":0,"held":[],"versions":[],"arms":[],"shadows":[]'
    return b'{"node":"n","boot":"b",' + fields.encode() + b"}"


def observe(node: Node, count: int = 1, **more: Any) -> None:
    """Let some requests of a canary finish."""
    for number in range(count):
        given: dict[str, Any] = {"seconds": 0.001 * (1 + number % 50), "output": ArrayOutput(np.array([0.5]))}
        node._observe(Finished("churn", "3", "canary", revision=7, watched=True, rows=1, **given | more))


async def told(desk: ReportDesk, node: Node, count: int) -> None:
    """Wait until the desk has counted so many requests."""
    await eventually(lambda: desk.book.requests >= count, seconds=20)


@pytest.mark.parametrize(
    ("mood", "outcome"),
    [
        ("answer", True),
        ("slow", True),
        ("damaged", False),
        ("unheard", None),
        ("unanswered", None),
        ("error", None),
        ("html", None),
    ],
)
async def test_only_a_receipt_says_that_a_report_was_taken(desk: ReportDesk, mood: Mood, outcome: bool | None) -> None:
    """A client error says that it never will be; whatever else comes says nothing."""
    reports = HttpReports(desk.url)
    desk.moods.append(mood)
    if outcome is None:
        with pytest.raises(Unavailable):
            await reports.send(body(), 1)
    else:
        assert await reports.send(body(), 1) is outcome
    assert await reports.send(body(2), 2)
    await reports.close()
    assert desk.book.last["b"] == 2
    assert (len(desk.book.reports) == 2) is (mood in TAKEN)
    assert desk.types == {"application/json"}


async def test_a_registry_that_is_not_there_is_no_answer() -> None:
    """A refused connection says nothing about the report."""
    reports = HttpReports("http://127.0.0.1:9")
    with pytest.raises(Unavailable, match="does not answer"):
        await reports.send(body(), 1)
    await reports.close()


@pytest.mark.parametrize("seed", range(3))
async def test_every_count_arrives_once_whatever_becomes_of_reports_and_answers(
    desk: ReportDesk, tmp_path: Path, seed: int
) -> None:
    """Answers are lost, late, somebody else's; the registry goes and comes back: what it has is what was counted."""
    rng = random.Random(seed)
    moods: list[Mood] = ["answer", "unheard", "unanswered", "slow", "error", "html"]
    desk.late_seconds = 0.02
    sent = 0
    async with running(tmp_path, churn(), reports=HttpReports(desk.url), window_seconds=0.2) as world:
        for step in range(25):
            desk.moods.extend(rng.choices(moods, k=2))
            observe(world.node, count := rng.randrange(400))
            sent += count
            if step in (8, 16):
                await desk.go()
                await asyncio.sleep(0.1)
                await desk.come()
            await asyncio.sleep(rng.random() * 0.05)
        desk.moods.clear()
        await told(desk, world.node, sent)
        observe(world.node, 5, code="model_error")  # left to the last report
    counts = desk.book.arms[CANARY]
    assert (counts.requests, counts.errors) == (sent + 5, 5)
    assert sum(counts.latency.values()) == sum(counts.predictions.values()) == sent
    sequences = [report.sequence for report in desk.book.reports]
    assert sequences == list(range(1, len(sequences) + 1))
    assert len(set(desk.book.bodies)) == len(sequences)
    assert desk.most_at_once == 1


async def test_what_is_refused_for_good_is_said_to_be_lost(desk: ReportDesk, tmp_path: Path) -> None:
    """The metrics count the requests, and the reports after it arrive."""
    async with running(tmp_path, churn(), reports=HttpReports(desk.url), window_seconds=0.2) as world:
        await eventually(lambda: bool(desk.book.reports))
        desk.moods.append("damaged")
        observe(world.node, 7)
        await eventually(lambda: not desk.moods)
        observe(world.node, 2)
        await told(desk, world.node, 2)
        page = (await world.client.get("/metrics")).text
    assert desk.book.arms == {CANARY: desk.book.arms[CANARY]}
    assert desk.book.requests == 2
    assert 'headgate_counts_lost_total{reason="refused"} 7.0' in page
    age = float(page.partition("\nheadgate_report_age_seconds ")[2].partition("\n")[0])
    assert 0 <= age < 2


async def test_changes_are_told_at_once(desk: ReportDesk, tmp_path: Path) -> None:
    """A new snapshot, a version that begins to load, is ready, is gone: each is with the registry within 0.2 s."""
    reports, node_seconds = HttpReports(desk.url), 30.0
    async with running(tmp_path, churn(), reports=reports, window_seconds=node_seconds) as world:
        await eventually(lambda: bool(desk.book.reports))

        async def until(state: str | None) -> float:
            begun = time.monotonic()
            await eventually(
                lambda: {v.version: v.state for v in desk.book.reports[-1].versions}.get("2") == state  # type: ignore[call-overload]  # a str is enough
            )
            return time.monotonic() - begun

        took = []
        gate = world.runtime.gates[servable("2", "churn 2").digest] = asyncio.Event()
        for _ in range(3):
            gate.clear()
            asking = asyncio.create_task(world.client.post("/models/churn/predict", json=ROW))
            took.append(await until("loading"))
            gate.set()
            await asking
            took.append(await until("ready"))
            await world.client.post("/models/churn/versions/2/unload")
            took.append(await until(None))
        world.registry.put(churn())
        begun = time.monotonic()
        await eventually(lambda: desk.book.reports[-1].revision == world.registry.revision)
        took.append(time.monotonic() - begun)
        count = len(desk.book.reports)
        await asyncio.sleep(0.3)
    assert median(took) < 0.2, took
    assert count <= 12, "nothing is told twice"


async def test_a_registry_that_hangs_holds_up_neither_answers_nor_the_end(desk: ReportDesk, tmp_path: Path) -> None:
    """Predictions go on, and a node stops a second later at most."""
    desk.steady, desk.late_seconds = "slow", 30
    async with running(tmp_path, churn(), reports=HttpReports(desk.url), window_seconds=0.2) as world:
        await eventually(lambda: bool(desk.book.bodies))
        for _ in range(20):
            answer = await world.client.post("/models/churn/predict", json=ROW)
            assert answer.status_code == 200
        begun = time.monotonic()
    assert time.monotonic() - begun < 1.5


async def test_what_is_answered_while_a_node_stops_is_in_the_last_report(desk: ReportDesk, tmp_path: Path) -> None:
    """A server that stops answers first what it has begun, and only then reports."""
    world = FakeWorld(tmp_path, churn(), reports=HttpReports(desk.url), window_seconds=30)
    go = asyncio.Event()

    async def answer_late() -> None:
        await asyncio.sleep(0.3)
        observe(world.node, 3)
        go.set()

    async with httpx.AsyncClient() as client:
        async with listening(world) as port:
            url = f"http://127.0.0.1:{port}/models/churn/predict"
            await eventually(lambda: bool(desk.book.reports) and world.node.routes.table.known)
            await client.post(url, json=ROW)
            world.runtime.newest(servable("2", "churn 2")).hold = go
            asking = asyncio.create_task(client.post(url, json=ROW))
            await asyncio.sleep(0.05)
            late = asyncio.create_task(answer_late())
        assert (await asking).status_code == 200
        await late
    assert desk.book.requests == 3


async def test_each_worker_reports_for_itself(desk: ReportDesk, tmp_path: Path) -> None:
    """Under the node's name and its own number, with a boot of its own, also after it was killed."""
    env = {
        "PATH": os.environ["PATH"],
        "HEADGATE_HOME": str(tmp_path),
        "HEADGATE_SERVING_PORT": str(free_port()),
        "HEADGATE_GRPC_PORT": "0",
        "HEADGATE_REGISTRY_URL": desk.url,
        "HEADGATE_NODE_NAME": "edge-1",
        "HEADGATE_WORKERS": "2",
        "HEADGATE_WINDOW_SECONDS": "0.2",
    }
    words = (sys.executable, "-m", "serving")
    null = asyncio.subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec(*words, env=env, stderr=null, stdout=null)
    try:
        await eventually(lambda: len(desk.book.last) == 2, seconds=60)
        worker = next(p for p in psutil.Process(process.pid).children() if "--worker" in p.cmdline())
        worker.kill()
        await eventually(lambda: len(desk.book.last) == 3, seconds=60)
        boots = {(report.node, report.boot) for report in desk.book.reports}
        assert sorted(Counter(name for name, _ in boots).values()) == [1, 2]
        assert {name for name, _ in boots} == {"edge-1#0", "edge-1#1"}
    finally:
        process.send_signal(signal.SIGTERM)
        await asyncio.wait_for(process.wait(), 30)
