"""Capture: what is kept of whom, without what is redacted, within its bounds, and what becomes of it is counted."""

from __future__ import annotations

import asyncio
import io
from collections import Counter
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from registry.errors import Unavailable
from serving.exchange import ArrayOutput, JsonInput, JsonOutput, Table, TableOutput, TensorInput
from serving.telemetry import capture as module
from serving.telemetry.capture import EACH, FLUSH_BYTES, MOST_BYTES, Capture, Wanted
from serving.telemetry.captured import without
from tests.support.serving_fakes import Clock, eventually
from tests.support.watched import finished, row

pytestmark = pytest.mark.anyio
ALL = Wanted(1.0)
NOON = 1_700_049_600.0
DAY = "2023-11-15"


class Bucket:
    """Objects by key; a store that may be away, or hang."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.down = False
        self.gate: asyncio.Event | None = None

    async def put(self, key: str, data: bytes) -> None:
        """Store."""
        if self.gate is not None:
            await self.gate.wait()
        if self.down:
            raise Unavailable("artifact_unavailable", "the object store cannot be reached; try again")
        self.objects[key] = data

    def rows(self) -> list[dict[str, Any]]:
        """Return what all files hold, in the order of their keys."""
        return [one for key in sorted(self.objects) for one in read(self.objects[key]).to_pylist()]


def read(data: bytes) -> Any:
    """Return a file's table."""
    return pq.read_table(io.BytesIO(data))


class World:
    """A capture with its bucket and clock."""

    def __init__(self, wanted: Wanted = ALL) -> None:
        self.bucket, self.clock = Bucket(), Clock()
        self.clock.now = NOON
        self.outcomes: Counter[str] = Counter()
        self.capture = Capture(wanted, self.bucket, "node-boot", tell=self._tell, clock=self.clock)

    def _tell(self, outcome: str, requests: int) -> None:
        self.outcomes[outcome] += requests


async def test_a_request_is_kept_row_by_row_with_its_answer() -> None:
    """Under its model, version and day, with who asked, when, and which arm answered."""
    world = World()
    table = Table(("age", "city"), (np.array([31.0, 47.0]), np.array(["Rome", None], object)))
    world.capture.observe(finished(table, np.array([0.1, 0.9]), 2, request_id="r1", arm="canary"))
    await world.capture.flush()

    key = f"captures/model=m/version=1/day={DAY}/node-boot-1.parquet"
    first, second = read(world.bucket.objects[key]).to_pylist()
    assert (first["request_id"], first["arm"], first["row"], second["row"]) == ("r1", "canary", 0, 1)
    assert first["time"].timestamp() == NOON
    assert (first["input.age"], first["input.city"], first["output"]) == (31.0, "Rome", 0.1)
    assert (second["input.age"], second["input.city"], second["output"]) == (47.0, None, 0.9)
    assert world.outcomes == {"stored": 1}


async def test_models_versions_days_and_forms_have_files_of_their_own() -> None:
    """A file has one schema, and lies where its partition says."""
    world = World()
    world.capture.observe(row({"age": 1.0}))
    world.capture.observe(row({"age": 1.0}, version="2"))
    world.capture.observe(finished(TensorInput(np.ones((1, 2, 2))), np.ones(1)))
    world.clock.now += 86_400
    world.capture.observe(row({"age": 1.0}))
    await world.capture.flush()
    assert sorted(key.rsplit("/", 1)[0] for key in world.bucket.objects) == [
        f"captures/model=m/version=1/day={DAY}",
        f"captures/model=m/version=1/day={DAY}",
        "captures/model=m/version=1/day=2023-11-16",
        f"captures/model=m/version=2/day={DAY}",
    ]
    assert [[1.0, 1.0], [1.0, 1.0]] in [one.get("input") for one in world.bucket.rows()]


async def test_redacted_columns_are_there_and_null() -> None:
    """Whatever form they come in: a column, a tensor's name, a key deep in JSON, an output."""
    world = World(Wanted(1.0, redacted=frozenset({"ssn", "name"})))
    world.capture.observe(row({"ssn": 123456789.0, "age": 31.0}))
    world.capture.observe(finished(Table(("name",), (np.array(["Ada"], object),)), np.ones(1)))
    answer = TableOutput(Table(("name", "score"), (np.array(["Ada"], object), np.array([0.5]))))
    world.capture.observe(finished(JsonInput({"who": [{"name": "Ada", "age": 36}]}), answer))
    world.capture.observe(finished(JsonInput("hello"), JsonOutput({"name": "Ada"})))
    await world.capture.flush()

    rows = world.bucket.rows()
    assert not any(b"Ada" in data or b"123456789" in data for data in world.bucket.objects.values())
    assert any("input.ssn" in one and one["input.ssn"] is None and one["input.age"] == 31.0 for one in rows)
    assert any("input.name" in one and one["input.name"] is None for one in rows)
    assert '{"who":[{"name":null,"age":36}]}' in [one.get("input") for one in rows]
    assert any("output.name" in one and one["output.name"] is None and one["output.score"] == 0.5 for one in rows)


def test_redaction_reaches_every_depth() -> None:
    """Under a redacted key everything is null, lists and objects too."""
    assert without({"a": [{"b": {"c": 1}}, 2]}, {"b"}) == {"a": [{"b": None}, 2]}


async def test_answers_without_rows_of_their_own_stand_in_the_first_row() -> None:
    """As JSON text; so does what Arrow has no type for."""
    world = World()
    two = Table(("mixed",), (np.array([1, "one"], object),))
    world.capture.observe(finished(two, JsonOutput({"answer": 42}), 2))
    world.capture.observe(finished(JsonInput("hi"), ArrayOutput(np.array([1.0, 2.0]))))
    await world.capture.flush()
    rows = world.bucket.rows()
    assert [one["output"] for one in rows] == ['{"answer":42}', None, "[1.0,2.0]"]
    assert [one["input.mixed"] for one in rows[:2]] == ["1", '"one"']


async def test_only_the_models_and_the_share_that_were_asked_for() -> None:
    """Drawn by the request's id, so that all processes draw alike."""
    world = World(Wanted(0.25, frozenset({"m"})))
    for number in range(2000):
        world.capture.observe(row({"age": 1.0}, request_id=f"request {number}"))
        world.capture.observe(row({"age": 1.0}, request_id=f"request {number}", model="other"))
    await world.capture.flush()
    assert 400 < world.outcomes["stored"] < 600
    assert {key.split("/")[1] for key in world.bucket.objects} == {"model=m"}


async def test_what_finds_no_room_is_dropped_and_counted() -> None:
    """A store that is away costs a bounded amount of memory, and what it got in the end is what was kept."""
    world = World()
    world.bucket.down = True
    large = np.ones((1, 1 << 18))
    most = MOST_BYTES // (large.nbytes + EACH)
    for _ in range(most + 5):
        world.capture.observe(finished(TensorInput(large), np.ones(1)))
    assert world.outcomes == {"dropped": 5 + (1 if (most * (large.nbytes + EACH + 8)) > MOST_BYTES else 0)}
    await world.capture.flush()
    world.capture.observe(finished(TensorInput(large), np.ones(1)))
    world.bucket.down = False
    await world.capture.flush()
    assert world.outcomes["stored"] + world.outcomes["dropped"] == most + 6
    assert sum(read(data).num_rows for data in world.bucket.objects.values()) == world.outcomes["stored"]


async def test_a_kept_answer_keeps_no_batch_alive() -> None:
    """What a batch answered together is not held for one row of it; what is larger than a file's half is dropped."""
    world = World()
    batch = np.zeros((256, 1000))
    world.capture.observe(finished(TensorInput(np.ones((1, 2))), batch[3:4]))
    (kept,) = world.capture._waiting
    assert isinstance(kept.request.answer, np.ndarray)
    assert kept.request.answer.base is None
    world.capture.observe(finished(TensorInput(np.ones((1, 1 << 20))), np.ones(1)))
    assert world.outcomes == {"dropped": 1}


async def test_a_store_that_hangs_delays_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests go on being noted, and the end comes all the same."""
    monkeypatch.setattr(module, "LAST_SECONDS", 0.05)
    world = World()
    world.bucket.gate = asyncio.Event()
    running = asyncio.create_task(world.capture.run())
    while not world.capture._full.is_set():
        world.capture.observe(finished(TensorInput(np.zeros((1, FLUSH_BYTES // 32))), np.ones(1)))
    await eventually(lambda: bool(world.capture._files))
    world.capture.observe(row({"age": 1.0}))
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await world.capture.close()
    assert not world.bucket.objects
    assert world.outcomes["failed"] >= 4


async def test_the_last_requests_are_stored_at_the_end() -> None:
    """A node that stops hands over what it still has."""
    world = World()
    world.capture.observe(row({"age": 1.0}))
    await world.capture.close()
    assert world.outcomes == {"stored": 1}


async def test_what_cannot_be_written_down_costs_no_other_model_its_files() -> None:
    """It is counted as failed."""
    world = World()
    deep: list[Any] = []
    for _ in range(2000):
        deep = [deep]
    world.capture.observe(finished(JsonInput(deep), np.ones(1)))
    world.capture.observe(row({"age": 1.0}, version="2"))
    await world.capture.flush()
    assert world.outcomes == {"failed": 1, "stored": 1}
