"""Tables made to do harm: each ends its own process at worst, and is its sender's error."""

from __future__ import annotations

import io
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from registry.adapters.tables.process import TableProcesses, environment
from registry.baselines import Origin
from registry.errors import InvalidRequest, Refused
from registry.monitoring.ports import MadeOfTable, TableForm, TableOrder
from tests.support.tables import signature, table_bytes

pytestmark = pytest.mark.integration

AGE = signature(("age", "double"))


def make(
    folder: Path, body: bytes, form: TableForm, raw: dict[str, Any] | None = None, seconds: int = 60
) -> MadeOfTable:
    """Have a process read a table; see that it has ended, whatever came of it."""
    path = folder / "table"
    path.write_bytes(body)
    try:
        with path.open("rb") as file:
            return TableProcesses(seconds).make(file, TableOrder(form, raw, Origin.GIVEN))
    finally:
        assert not [p for p in psutil.Process().children() if "registry.adapters.tables.child" in p.cmdline()]


def bomb(rows: int) -> bytes:
    """Return a small Parquet file of one word, ten megabytes long, in as many rows."""
    out = io.BytesIO()
    word = pa.array(["x" * 10_000_000])
    column = pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int32)), word)
    pq.write_table(pa.table({"age": [1.0] * rows, "city": column}), out, compression="zstd")
    return out.getvalue()


def test_a_table_is_read_beside_the_registry(tmp_path: Path) -> None:
    """The ordinary case, by a real process: a baseline comes back whole."""
    found = make(tmp_path, table_bytes({"age": [1.0, 2.0, None], "id": [1, 2, 3]}), TableForm.PARQUET, AGE)
    assert (found.baseline.rows, found.ignored) == (3, ("id",))


def test_a_parquet_bomb_is_too_large(tmp_path: Path) -> None:
    """Words that unpack to a terabyte end at the bound on memory, and only there."""
    body = bomb(100_000)
    assert len(body) < 1_000_000
    with pytest.raises(InvalidRequest) as refused:
        make(tmp_path, body, TableForm.PARQUET, signature(("age", "double"), ("city", "string")))
    assert (refused.value.code, refused.value.details.get("reason")) in (
        ("body_too_large", None),
        ("invalid_input", "unreadable"),
    )


def test_a_slow_table_is_ended(tmp_path: Path) -> None:
    """Reading has an end, whatever the table does: the sender is told to send less."""
    began = time.monotonic()
    body = table_bytes({"age": np.zeros(20_000_000)})
    with pytest.raises(InvalidRequest, match="too long to read") as refused:
        make(tmp_path, body, TableForm.PARQUET, AGE, seconds=0)
    assert refused.value.code == "body_too_large" and time.monotonic() - began < 30


def test_random_damage_never_reaches_the_registry(tmp_path: Path) -> None:
    """Bytes overwritten at random anywhere in a file: a baseline, or the sender's error, and no crash of ours."""
    random = np.random.default_rng(7)
    for form in (TableForm.PARQUET, TableForm.ARROW):
        whole = table_bytes({"age": random.normal(size=300), "city": ["a", "b", None] * 100}, form)
        for _ in range(2):
            damaged = bytearray(whole)
            for at in random.integers(0, len(whole), 12):
                damaged[at] = random.integers(0, 256)
            try:
                make(tmp_path, bytes(damaged), form, signature(("age", "double"), ("city?", "string")))
            except InvalidRequest as error:
                assert error.code in ("invalid_input", "body_too_large")


def test_too_many_at_once_are_refused(tmp_path: Path) -> None:
    """A table that finds no place is refused in time, and may come again."""
    processes = TableProcesses(place_seconds=0.01)
    for _ in range(2):
        processes._places.acquire()
    (tmp_path / "table").write_bytes(b"age\n1\n")
    with (tmp_path / "table").open("rb") as file, pytest.raises(Refused):
        processes.make(file, TableOrder(TableForm.CSV, AGE, Origin.GIVEN))


def test_the_process_has_nothing_to_steal() -> None:
    """No credential of the registry's is in the reader's environment."""
    ours = {"AWS_SECRET_ACCESS_KEY": "x", "HEADGATE_DATABASE_URL": "postgresql://ana:x@db/headgate", "PATH": "/bin"}
    assert environment(ours).keys() & ours.keys() == {"PATH"}
