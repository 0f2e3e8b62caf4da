"""Monitoring on a whole node: what callers asked is in the reports once, and what S3 does is nobody's delay."""

from __future__ import annotations

import asyncio
import io
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from deploy.local.seaweedfs import REGION
from registry.baselines import CategoryCounts, NumberCounts
from registry.digest import sha256_digest
from registry.layout import blob_key
from registry.records import Digest
from registry.reports import NodeReport
from registry.snapshots import ModelSnapshot
from serving.sources.memory import MemorySealedSource
from serving.sources.reports import HttpReports
from serving.sources.s3 import S3SealedSource
from tests.support.fake_platform import free_port
from tests.support.reports import HandSink, Mood, report_desk
from tests.support.seaweedfs import Seaweed, aws_credentials, bucket, seaweedfs
from tests.support.serving_fakes import SIGNATURE, eventually, servable, snapshot
from tests.support.serving_node import ROW, FakeWorld, running
from tests.support.watched import baseline, category, number, prediction

__all__ = ["aws_credentials", "bucket", "seaweedfs"]
pytestmark = pytest.mark.anyio
WATCHED = baseline(number("a", 0.0, 5.0), number("b", 0.0, 5.0), category("c", "x"), prediction(0.0, 5.0))
DOCUMENT = WATCHED.to_bytes()
DIGEST = sha256_digest(DOCUMENT)


class Shelf(MemorySealedSource):
    """A bucket in memory that takes captures too."""

    def __init__(self) -> None:
        super().__init__()
        self.blobs[DIGEST] = DOCUMENT
        self.objects: dict[str, bytes] = {}

    async def put(self, key: str, data: bytes) -> None:  # type: ignore[override]  # artifacts are sealed otherwise
        """Store."""
        self.objects[key] = data


def watched(digest: Digest | None = DIGEST) -> ModelSnapshot:
    """Return a model whose version has a baseline, or none."""
    return snapshot(versions={"1": replace(servable("1", "churn 1", SIGNATURE), baseline=digest)})


async def ask(world: FakeWorld, times: int = 1) -> None:
    """Ask for one row, over and over."""
    for _ in range(times):
        assert (await world.client.post("/models/churn/predict", json=ROW)).status_code == 200


def rows(reports: Iterable[NodeReport]) -> Counter[Digest | None]:
    """Return how many rows reports count, by baseline."""
    found: Counter[Digest | None] = Counter()
    for report in reports:
        for window in report.features:
            found[window.baseline] += window.rows
    return found


async def test_what_callers_ask_is_counted_by_the_baseline(tmp_path: Path) -> None:
    """Features and prediction are in the last report, once; a column that nobody sent is not."""
    sink = HandSink()
    async with running(tmp_path, watched(), reports=sink, store=Shelf()) as world:
        await ask(world)
        await eventually(lambda: knows_baseline(world))
        await ask(world, 4)
    (window,) = [window for report in sink.book.reports for window in report.features]
    assert (window.model, window.version, window.baseline, window.rows) == ("churn", "1", DIGEST, 5)
    cells = {name: counts.cells.tolist() for name, counts in window.counts.items() if isinstance(counts, NumberCounts)}
    assert cells == {"a": [0, 5, 0], "b": [0, 5, 0], "prediction": [0, 5, 0]}
    assert not any(isinstance(counts, CategoryCounts) for counts in window.counts.values())


def knows_baseline(world: FakeWorld) -> bool:
    """Have a node count what it has, and tell whether it could."""
    assert world.node._monitor is not None
    world.node._monitor.features.gather()
    world.node._monitor.features.settle()
    return world.node._monitor.features.waiting > 0


async def test_a_version_without_a_baseline_sends_samples(tmp_path: Path) -> None:
    """What a provisional baseline can be made of."""
    sink = HandSink()
    async with running(tmp_path, watched(None), reports=sink) as world:
        await ask(world, 3)
    (window,) = [window for report in sink.book.reports for window in report.features]
    assert (window.baseline, window.rows) == (None, 3)
    assert set(window.samples) == {"a", "b", "prediction"}
    assert window.samples["a"].values == (1.0, 1.0, 1.0)


async def test_without_monitoring_nothing_is_counted(tmp_path: Path) -> None:
    """The setting turns all of it off, capture too."""
    sink, store = HandSink(), Shelf()
    async with running(tmp_path, watched(), reports=sink, store=store, monitor=False, capture_sample=1.0) as world:
        await ask(world, 3)
    assert rows(sink.book.reports) == {}
    assert not store.objects


async def test_a_store_that_is_away_costs_counts_and_no_answer(tmp_path: Path) -> None:
    """Rows wait for their baseline, and are counted when it comes."""
    sink, store = HandSink(), Shelf()
    store.down = True
    async with running(tmp_path, watched(), reports=sink, store=store, window_seconds=0.2) as world:
        await ask(world, 3)
        await eventually(lambda: store.streamed.total() > 0)
        assert rows(sink.book.reports) == {}
        store.down = False
        await eventually(lambda: rows(sink.book.reports) == {DIGEST: 3})


@pytest.mark.integration
async def test_every_row_is_counted_once_whatever_becomes_of_reports(tmp_path: Path) -> None:
    """Answers of the registry are lost, late, somebody else's; it goes and comes back."""
    rng, moods, sent = random.Random(0), list[Mood](["answer", "unheard", "unanswered", "slow", "error", "html"]), 0
    async with report_desk() as desk:
        desk.late_seconds = 0.02
        reports = HttpReports(desk.url)
        async with running(tmp_path, watched(), reports=reports, store=Shelf(), window_seconds=0.2) as world:
            for step in range(12):
                desk.moods.extend(rng.choices(moods, k=2))
                await ask(world, count := rng.randrange(30))
                sent += count
                if step == 6:
                    await desk.go()
                    await asyncio.sleep(0.1)
                    await desk.come()
            desk.moods.clear()
            await eventually(lambda: rows(desk.book.reports) == {DIGEST: sent}, seconds=20)
            await ask(world, 2)  # left to the last report
    assert rows(desk.book.reports) == {DIGEST: sent + 2}


@asynccontextmanager
async def silent_server() -> AsyncIterator[str]:
    """Give the address of a server that takes connections and says nothing."""
    opened: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(lambda _, writer: opened.append(writer), "127.0.0.1", free_port())
    yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    server.close()
    for writer in opened:
        writer.transport.abort()  # or threads would wait for it long after


@pytest.mark.integration
async def test_a_store_that_hangs_delays_nobody(
    aws_credentials: Seaweed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With every request captured and no baseline to be had, requests are answered, and the node stops."""
    monkeypatch.setattr("serving.telemetry.capture.FLUSH_SECONDS", 0.05)
    monkeypatch.setattr("serving.telemetry.capture.LAST_SECONDS", 0.2)
    async with silent_server() as endpoint:
        store = S3SealedSource(endpoint, REGION, "nowhere")
        async with running(tmp_path, watched(), store=store, window_seconds=0.2, capture_sample=1.0) as world:
            await ask(world)
            took = []
            for _ in range(50):
                begun = time.monotonic()
                await ask(world)
                took.append(time.monotonic() - begun)
            begun = time.monotonic()
        assert time.monotonic() - begun < 3
        await store.close()
    assert sorted(took)[-5] < 0.1


@pytest.mark.integration
async def test_baselines_come_from_s3_and_captures_go_there(
    aws_credentials: Seaweed, bucket: str, tmp_path: Path
) -> None:
    """The sealed document is read by its digest; the requests are a partition that any reader of Parquet finds."""
    client, sink = aws_credentials.client(), HandSink()
    client.put_object(Bucket=bucket, Key=blob_key(DIGEST), Body=DOCUMENT)
    store = S3SealedSource(aws_credentials.endpoint, REGION, bucket)
    settings = {"window_seconds": 0.2, "capture_sample": 1.0, "capture_redact": ("b",), "node_name": "edge:1"}
    async with running(tmp_path, watched(), reports=sink, store=store, **settings) as world:
        await ask(world, 3)
        await eventually(lambda: rows(sink.book.reports) == {DIGEST: 3}, seconds=20)
        page = (await world.client.get("/metrics")).text
    await store.close()
    (listed,) = client.list_objects_v2(Bucket=bucket, Prefix="captures/")["Contents"]
    assert listed["Key"].startswith("captures/model=churn/version=1/day=20")
    assert "/edge%3A1-" in listed["Key"]
    stored = client.get_object(Bucket=bucket, Key=listed["Key"])["Body"].read()
    kept = pq.read_table(io.BytesIO(stored)).to_pylist()
    assert [(one["input.a"], one["input.b"], one["output"]) for one in kept] == [(1.0, None, 3.0)] * 3
    assert len({one["request_id"] for one in kept}) == 3
    assert 'headgate_counts_lost_total{reason="no_baseline"} 0.0' in page
    client.close()
