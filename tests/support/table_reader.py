"""A real table reader on a loop of its own, for tests that are plain functions; and files that it is to read."""

from __future__ import annotations

import asyncio
import io
import struct
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from registry.errors import HeadgateError
from registry.signature import Schema, Signature
from serving.exchange import Call
from serving.protocols.limits import Limits
from serving.protocols.native import parse_body
from serving.reader.reader import ReaderBounds, TableReader

T = TypeVar("T")
LIMITS = Limits()


class Tables:
    """A table reader, its loop, and the reasons for which it has lost processes."""

    def __init__(self, runner: asyncio.Runner, bounds: ReaderBounds, limits: Limits = LIMITS) -> None:
        self._runner = runner
        self.lost: list[str] = []
        self.reader = TableReader(limits, self.lost.append, bounds)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run ``work`` on the reader's loop."""
        return self._runner.run(work)

    def ask(
        self, kind: str, body: bytes, signature: Signature | None = None, *, graph: Schema | None = None,
        seconds: float = 60,
    ) -> Coroutine[Any, Any, Call]:  # fmt: skip
        """Return what reads a body, to be awaited on the loop."""
        parsed = parse_body(kind, body, LIMITS)
        return self.reader.read(parsed, signature or Signature(), graph, seconds=seconds)

    def read(self, kind: str, body: bytes, signature: Signature | None = None, **more: Any) -> Call:
        """Read a body."""
        return self.run(self.ask(kind, body, signature, **more))

    def refused(self, kind: str, body: bytes, signature: Signature | None = None, **more: Any) -> HeadgateError:
        """Return the error with which a body is refused."""
        with pytest.raises(HeadgateError) as caught:
            self.read(kind, body, signature, **more)
        assert len(caught.value.message) <= 2048
        return caught.value


@contextmanager
def table_reader(bounds: ReaderBounds | None = None, limits: Limits = LIMITS) -> Iterator[Tables]:
    """Give a table reader; end its processes afterwards. Without bounds, its processes are replaced at once."""
    with asyncio.Runner() as runner:
        tables = Tables(runner, bounds or ReaderBounds(restart=0), limits)
        yield tables
        runner.run(tables.reader.close())
        assert tables.reader.pids == []


@pytest.fixture(scope="session")
def tables() -> Iterator[Tables]:
    """Give one table reader for the whole session."""
    with table_reader() as tables:
        yield tables


def stream(table: pa.Table, **options: Any) -> bytes:
    """Write an Arrow IPC stream."""
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(table)
    return sink.getvalue()


def parquet(table: pa.Table, **options: Any) -> bytes:
    """Write a Parquet file."""
    sink = io.BytesIO()
    pq.write_table(table, sink, **options)
    return sink.getvalue()


def crashing_parquet(depth: int = 20_000) -> bytes:
    """Return a Parquet file whose one column lies in structs in structs: the library's recursion overflows the stack.

    Written in Thrift's compact protocol: each element is its name and its number of children.
    """
    root = b"\x48\x01r\x15\x02\x00"
    group = b"\x35\x00\x18\x01g\x15\x02\x00"
    leaf = b"\x15\x02\x25\x00\x18\x01l\x00"
    elements = b"\x19\xfc" + _varint(depth + 2) + root + group * depth + leaf
    footer = b"\x15\x02" + elements + b"\x16\x00\x19\x0c\x00"
    return b"PAR1" + footer + struct.pack("<I", len(footer)) + b"PAR1"


def _varint(number: int) -> bytes:
    low, high = number & 0x7F, number >> 7
    return bytes([low]) if not high else bytes([low | 0x80]) + _varint(high)


def state(pid: int) -> str:
    """Return the letter of a process's state; empty where it has gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return ""


def until(condition: Callable[[], bool], seconds: float = 10) -> bool:
    """Wait for something in another process; tell whether it came true."""
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.005)
    return condition()


def gone(pid: int) -> bool:
    """Wait until a process has ended; tell whether it has."""
    return until(lambda: state(pid) in ("", "Z"))
