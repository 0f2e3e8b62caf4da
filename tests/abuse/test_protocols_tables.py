"""Tables made to hurt: bombs, lies about sizes, broken offsets, and B07's CSV files. Refused, in bounded memory."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from registry.errors import InvalidRequest
from serving.exchange import Table
from serving.protocols.native import ARROW, CSV, PARQUET
from serving.reader.reader import ReaderBounds
from tests.support.table_reader import Tables, parquet, stream, table_reader, tables

__all__ = ["tables"]
pytestmark = pytest.mark.integration
MIB = 2**20


def test_rows_that_need_no_bytes_are_counted(tables: Tables) -> None:
    """A thousand million rows of the null type fit in 300 bytes, and are refused by their number."""
    body = stream(pa.table({"a": pa.nulls(1_000_000_000)}))
    assert len(body) < 1000
    assert tables.refused(ARROW, body).code == "too_many_values"


def test_run_length_encoded_rows_are_counted(tables: Tables) -> None:
    """Twenty million equal values are a small Parquet file, and too many."""
    body = parquet(pa.table({"a": np.zeros(20_000_000, np.int8)}))
    assert len(body) < MIB
    assert tables.refused(PARQUET, body).code == "too_many_values"


def test_nested_values_are_counted(tables: Tables) -> None:
    """A single row may hold too many values as well as too many rows may."""
    values = pa.array(np.zeros(20_000_000, np.int8))
    table = pa.table({"a": pa.ListArray.from_arrays(pa.array([0, len(values)], pa.int32()), values)})
    assert tables.refused(PARQUET, parquet(table)).code == "too_many_values"
    nothing = pa.ListArray.from_arrays(pa.array([0, 1_000_000_000], pa.int32()), pa.nulls(1_000_000_000))
    assert tables.refused(ARROW, stream(pa.table({"a": nothing}))).code == "too_many_values"


def test_a_decompression_bomb_is_refused_by_what_it_expands_to(tables: Tables) -> None:
    """Hundreds of megabytes of one letter are refused, and the reader has the memory to say so."""
    table = pa.table({"a": ["x" * (300 * MIB)]})
    flat = parquet(table, compression="zstd", use_dictionary=False, write_statistics=False)
    for kind, body in ((PARQUET, flat), (ARROW, stream(table, compression="zstd"))):
        assert len(body) < MIB
        assert tables.refused(kind, body).code == "body_too_large"


def test_a_bomb_beyond_all_memory_is_refused(tables: Tables) -> None:
    """What a reader may not even allocate is refused in the same words, and the reader goes on."""
    body = bytearray(stream(pa.table({"a": np.zeros(1_000_000)}), compression="zstd"))
    size = np.array([8_000_000], np.int64).tobytes()
    at = body.index(size + b"\x28\xb5\x2f\xfd")  # a buffer: the length that it claims, then Zstandard's own mark
    body[at : at + 8] = np.array([2**40], np.int64).tobytes()
    before = tables.reader.pids
    assert tables.refused(ARROW, bytes(body)).code == "body_too_large"
    assert tables.reader.pids == before


def test_one_buffer_named_often_counts_often(tables: Tables) -> None:
    """Columns that share one buffer are refused by what they would be when written out."""
    long = pa.array(["x" * MIB])
    body = bytearray(stream(pa.table({f"c{at}": long for at in range(300)}), compression="zstd"))
    assert len(body) < MIB
    assert tables.refused(ARROW, bytes(body)).code == "body_too_large"


def test_a_dictionary_is_not_multiplied(tables: Tables) -> None:
    """One long string named by a million rows is refused by what it would be when written out."""
    text = pa.DictionaryArray.from_arrays(pa.array(np.zeros(1_000_000, np.int32)), pa.array(["x" * 10_000]))
    for kind, body in ((ARROW, stream(pa.table({"a": text}))), (PARQUET, parquet(pa.table({"a": text})))):
        assert tables.refused(kind, body).code == "body_too_large"
    nested = pa.ListArray.from_arrays(pa.array([0, 1_000_000], pa.int32()), text)
    assert tables.refused(PARQUET, parquet(pa.table({"a": nested}), store_schema=False)).code == "body_too_large"


def test_encodings_and_compression_are_read(tables: Tables) -> None:
    """Shared prefixes and compressed buffers are no bombs by themselves."""
    table = pa.table({"a": ["x" * 100] * 10})
    prefixed = parquet(table, use_dictionary=False, column_encoding={"a": "DELTA_BYTE_ARRAY"})
    bodies = [(PARQUET, prefixed), *((ARROW, stream(table, compression=codec)) for codec in ("zstd", "lz4"))]
    for kind, body in bodies:
        data = tables.read(kind, body).data
        assert isinstance(data, Table)
        assert data.arrays[0].tolist() == ["x" * 100] * 10


@pytest.mark.parametrize("kind", [ARROW, PARQUET])
def test_truncated_tables_are_refused(tables: Tables, kind: str) -> None:
    """A table cut off anywhere is refused, or read as far as it is whole."""
    table = pa.table({"a": [1.5, 2.5], "s": ["x", "y"], "l": [[1], [2]]})
    body = stream(table) if kind == ARROW else parquet(table)
    for cut in range(0, len(body) - 1, 7):
        with contextlib.suppress(InvalidRequest):
            tables.read(kind, body[:cut])


def test_offsets_beyond_the_buffer_are_caught(tables: Tables) -> None:
    """String offsets and dictionary indices that point outside never reach memory."""
    good = stream(pa.table({"s": ["abc", "def"]}))
    bad = good.replace(np.array([0, 3, 6], np.int32).tobytes(), np.array([0, 3, 6_000_000], np.int32).tobytes())
    assert bad != good
    assert tables.refused(ARROW, bad).code == "invalid_argument"
    indices = pa.DictionaryArray.from_arrays(pa.array([1, 0, 1], pa.int32()), pa.array(["p", "q"]))
    good = stream(pa.table({"s": indices}))
    bad = good.replace(np.array([1, 0, 1], np.int32).tobytes(), np.array([1, 0, 99], np.int32).tobytes())
    assert bad != good
    assert tables.refused(ARROW, bad).code == "invalid_argument"


@pytest.mark.parametrize(
    "table",
    [pa.table({"a": pa.array([1], pa.duration("s"))}), pa.table({"a": pa.array([1], pa.time32("s"))}),
     pa.table({"a": pa.array([0], pa.timestamp("s", "UTC"))}),
     pa.table({"a": pa.array([2**40], pa.timestamp("s"))}),
      pa.table({"a": pa.array([[("k", 1)]], pa.map_(pa.string(), pa.int64()))}), pa.table({"a": pa.array([[b"x"]])})],
)  # fmt: skip
def test_types_that_no_model_takes_are_refused(tables: Tables, table: pa.Table) -> None:
    """Durations, zoned or far-away times, maps and nested bytes are invalid input."""
    assert tables.refused(ARROW, stream(table)).code == "invalid_input"


def test_names_double_or_missing_are_refused(tables: Tables) -> None:
    """Two columns of one name, or a name of nothing, are no table for a model."""
    for names in (["a", "a"], ["a", ""]):
        table = pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=names)
        assert tables.refused(ARROW, stream(table)).code == "invalid_input"


@pytest.mark.parametrize(
    "body",
    [b"a\n" + b"x" * 16 * MIB + b"\n\xff", b'a\n"' + b"x" * 16 * MIB,
     b",".join(b"c%d" % at for at in range(1_000_000)) + b"\n", b"," * 1_000_000 + b"\n" + b"," * 1_000_000,
     b"a\n\x00\n", b"\xff\xfea\x00", b"a\n" + b'"' * 999_999, b'"' * 1_000_001, b'"' + b"\n" * 8 * MIB + b'"\n1',
      b"a,b\n" + b"1,2\n" * 100_000 + b"3\n"],
)  # fmt: skip
def test_b07_csv_files_made_to_hurt(tables: Tables, body: bytes) -> None:
    """Giant lines, a million columns, NULs, foreign encodings and quotes that never close are refused."""
    assert tables.refused(CSV, body).code in {"invalid_input", "too_many_values"}


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads the peak from /proc")
@pytest.mark.parametrize(
    ("kind", "body", "most"),
    [
        (CSV, b",".join(b"c%d" % at for at in range(16_384)) + b"\n" + b",".join([b"1"] * 16_384), 400),
        (CSV, b"a\n" + b"x" * 15 * MIB, 400),
        (PARQUET, parquet(pa.table({"a": ["x" * (300 * MIB)]}), compression="zstd", use_dictionary=False), 1200),
        (ARROW, stream(pa.table({"a": pa.nulls(1_000_000_000)})), 200),
    ],
    ids=["wide csv", "long csv", "parquet bomb", "null rows"],
)
def test_memory_is_bounded(kind: str, body: bytes, most: int) -> None:
    """Nothing that fits the body limit costs a reader more than this at its peak, and the node next to nothing."""
    with table_reader(ReaderBounds(restart=0)) as tables:
        ours = peak("self")
        with contextlib.suppress(InvalidRequest):
            tables.read(kind, body)
        (pid,) = tables.reader.pids
        print(kind, peak(pid), peak("self") - ours, "MiB")
        assert peak(pid) < most
        assert peak("self") - ours < 100


def peak(process: int | str) -> int:
    """Return the most memory that a process has had, in MiB."""
    status = Path(f"/proc/{process}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) // 1024


PROGRAM = """
import sys
from pathlib import Path
from registry.signature import Signature
from serving.protocols.limits import Limits
from serving.protocols.native import parse_body, shape
shape(parse_body("application/json", sys.stdin.buffer.read(), Limits()), Signature(), None, Limits())
print(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads the peak from /proc")
def test_memory_for_json_is_bounded() -> None:
    """Seven million numbers, read in the node itself, cost less than half a gigabyte."""
    body = b'{"inputs": [' + b"0," * 7_000_000 + b"0]}"
    done = subprocess.run([sys.executable, "-c", PROGRAM], input=body, capture_output=True, check=True)
    assert int(done.stdout) // 1024 < 450
