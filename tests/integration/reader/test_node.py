"""Tables through a whole node: answered as JSON is, and a table that kills its reader is one 400."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from serving.protocols.native import ARROW, CSV, PARQUET
from tests.support.serving_node import ROW, churn, running
from tests.support.table_reader import crashing_parquet, parquet, stream

pytestmark = [pytest.mark.anyio, pytest.mark.integration]
NUMBERS = pa.table({"a": [1.0, 2.0], "b": [2.0, 3.0]})


@pytest.fixture
def anyio_backend() -> str:
    """Run coroutine tests on asyncio alone."""
    return "asyncio"


async def test_tables_are_answered_and_crashes_are_refused(tmp_path: Path) -> None:
    """CSV, Parquet and Arrow give the same answer; a crashing file is 400 and counted, and the node goes on."""
    async with running(tmp_path, churn()) as world:
        for kind, body in ((CSV, b"b,a\n2,1\n3,2\n"), (PARQUET, parquet(NUMBERS)), (ARROW, stream(NUMBERS))):
            answer = await world.client.post("/models/churn/predict", content=body, headers={"content-type": kind})
            assert (answer.status_code, answer.json()["predictions"]) == (200, [3.0, 5.0])
        headers = {"content-type": PARQUET}
        answer = await world.client.post("/models/churn/predict", content=crashing_parquet(), headers=headers)
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_argument")
        assert (await world.client.post("/models/churn/predict", json=ROW)).json()["predictions"] == [3.0]
        answer = await world.client.post("/models/churn/predict", content=parquet(NUMBERS), headers=headers)
        assert answer.status_code == 200
        page = (await world.client.get("/metrics")).text
        assert 'headgate_table_readers_lost_total{reason="died"} 1.0' in page


async def test_a_callers_deadline_holds_for_tables(tmp_path: Path) -> None:
    """A caller who waits but a millisecond is told that the time was over."""
    async with running(tmp_path, churn()) as world:
        await world.client.post("/models/churn/predict", json=ROW)
        headers = {"content-type": CSV, "x-request-timeout-ms": "1"}
        answer = await world.client.post("/models/churn/predict", content=b"a,b\n1,2\n", headers=headers)
        assert (answer.status_code, answer.json()["error"]["code"]) == (504, "model_timeout")
