"""A worker reduced to its metrics: counts, answers its siblings with its page, and waits to be killed."""

from __future__ import annotations

import asyncio
from pathlib import Path

from registry.snapshots import SnapshotPage
from serving.routing.table import Table
from serving.telemetry.finished import Finished
from serving.telemetry.metrics import Metrics, Readings
from serving.workers.pages import packed
from serving.workers.siblings import Message, Siblings, Worker
from tests.support.serving_fakes import snapshot


def counted(requests: int) -> tuple[Metrics, Table]:
    """Return metrics that have seen so many requests to version 1 of churn."""
    metrics, table = Metrics(), Table().merged(SnapshotPage(1, full=True, models=(snapshot(),)))
    metrics.retain(table)
    for _ in range(requests):
        metrics.observe(Finished("churn", "1", "stable", seconds=0.004, decode=0.001, predict=0.002, encode=0.001))
    return metrics, table


def page(metrics: Metrics, table: Table) -> bytes:
    """Return what they show."""
    metrics.read(Readings(table, (), 1.0, 4096))
    return metrics.page()


def work(number: int, count: int, meeting: str, requests: int) -> None:
    """Answer siblings until killed."""
    asyncio.run(_work(Worker(number, count, Path(meeting)), requests))


async def _work(worker: Worker, requests: int) -> None:
    own = counted(requests)

    async def answer(message: Message) -> Message:
        return {"page": packed(page(*own))}

    await Siblings(worker, answer).start()
    await asyncio.Event().wait()
