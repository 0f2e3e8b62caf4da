"""Workers that are killed again and again leave nothing behind in the page of metrics (M08)."""

from __future__ import annotations

import asyncio
import multiprocessing
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from serving.workers.pages import join_pages, unpacked
from serving.workers.siblings import Message, Siblings, Worker
from tests.support.metrics import check_with_promtool, sample
from tests.support.page_worker import counted, page, work

pytestmark = pytest.mark.integration
KILLS = 100
LABELS = {"model": "churn", "version": "1", "arm": "stable", "protocol": "native", "code": "2xx"}


def test_workers_killed_a_hundred_times_leave_no_trace(tmp_path: Path) -> None:
    """The page of both workers is as long after the hundredth kill -9 as after the first, and nothing is negative.

    What a killed worker had counted goes with it: its series begins again, which ``increase()`` understands, and no
    file is left that somebody would add up for ever.
    """
    lengths = asyncio.run(_kill_again_and_again(tmp_path))
    assert len(lengths) == KILLS
    assert set(lengths) == {lengths[0]}
    assert [path.name for path in tmp_path.iterdir()] == ["1.sock"]


async def _kill_again_and_again(meeting: Path) -> list[int]:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.support.page_worker"])
    own = counted(7)

    async def answer(message: Message) -> Message:
        return {}

    siblings = Siblings(Worker(0, 2, meeting), answer)
    await siblings.start()
    lengths = []
    for turn in range(KILLS):
        process = context.Process(target=work, args=(1, 2, str(meeting), turn + 1), daemon=True)
        process.start()
        try:
            theirs = await _page_of(siblings)
        finally:
            process.kill()
            process.join(30)
        joined = join_pages({0: page(*own), 1: theirs})
        lengths.append(len(joined.splitlines()))
        assert sample(joined, "headgate_requests_total", worker="0", **LABELS) == 7
        assert sample(joined, "headgate_requests_total", worker="1", **LABELS) == turn + 1
        assert await siblings.ask({"op": "page"}) == {}
    await siblings.close()
    values = [s.value for f in text_string_to_metric_families(joined.decode()) for s in f.samples]
    assert not any(value < 0 for value in values)
    check_with_promtool(joined)
    return lengths


async def _page_of(siblings: Siblings) -> bytes:
    async with asyncio.timeout(30):
        while True:
            answers = await siblings.ask({"op": "page"})
            if 1 in answers:
                return unpacked(str(answers[1]["page"]))
            await asyncio.sleep(0.005)
