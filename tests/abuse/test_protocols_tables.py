"""Tables made to hurt: bombs, lies about sizes, broken offsets, and B07's CSV files. Refused, in bounded memory."""

from __future__ import annotations

import contextlib
import io
import subprocess
import sys
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from registry.errors import InvalidRequest
from serving.protocols.limits import Limits
from serving.protocols.native import ARROW, CSV, PARQUET, parse_body, shape
from tests.unit.protocols.signatures import LIMITS, NOTHING

MIB = 2**20


def refused(kind: str, body: bytes, limits: Limits = LIMITS) -> InvalidRequest:
    """Return the error with which a table is refused."""
    with pytest.raises(InvalidRequest) as caught:
        shape(parse_body(kind, body, limits), NOTHING, None, limits)
    assert len(caught.value.message) <= 2048
    return caught.value


def stream(table: pa.Table, **options: Any) -> bytes:
    """Write an Arrow IPC stream."""
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema, **options) as writer:
        writer.write_table(table)
    return sink.getvalue()


def parquet(table: pa.Table, **options: Any) -> bytes:
    """Write a Parquet file."""
    sink = io.BytesIO()
    pq.write_table(table, sink, **options)
    return sink.getvalue()


def test_rows_that_need_no_bytes_are_counted() -> None:
    """A thousand million rows of the null type fit in 300 bytes, and are refused by their number."""
    body = stream(pa.table({"a": pa.nulls(1_000_000_000)}))
    assert len(body) < 1000
    assert refused(ARROW, body).code == "too_many_values"


def test_run_length_encoded_rows_are_counted() -> None:
    """Twenty million equal values are a small Parquet file, and too many."""
    body = parquet(pa.table({"a": np.zeros(20_000_000, np.int8)}))
    assert len(body) < MIB
    assert refused(PARQUET, body).code == "too_many_values"


def test_compressed_arrow_buffers_are_not_expanded() -> None:
    """A compressed stream is told to compress the body instead."""
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    body = stream(pa.table({"a": np.zeros(1_000_000)}), options=options)
    assert refused(ARROW, body).code == "unsupported_media_type"


def test_a_decompression_bomb_is_refused_by_its_page_headers() -> None:
    """A gigabyte of one letter is refused before it is decompressed, also where the footer says otherwise."""
    body = parquet(pa.table({"a": ["x" * (300 * MIB)]}),
     compression="zstd", use_dictionary=False, write_statistics=False)  # fmt: skip
    assert len(body) < MIB
    assert refused(PARQUET, body).code == "body_too_large"


def test_a_dictionary_is_not_multiplied() -> None:
    """One long string named by a million rows is refused by what it would be when written out."""
    text = pa.DictionaryArray.from_arrays(pa.array(np.zeros(1_000_000, np.int32)), pa.array(["x" * 10_000]))
    for kind, body in ((ARROW, stream(pa.table({"a": text}))), (PARQUET, parquet(pa.table({"a": text})))):
        assert refused(kind, body).code == "body_too_large"
    nested = pa.ListArray.from_arrays(pa.array([0, 1_000_000], pa.int32()), text)
    assert refused(PARQUET, parquet(pa.table({"a": nested}))).code == "body_too_large"


def test_prefix_encoded_strings_are_refused() -> None:
    """An encoding that shares prefixes expands without a bound to be read anywhere."""
    body = parquet(pa.table({"a": ["x" * 100] * 10}), use_dictionary=False, column_encoding={"a": "DELTA_BYTE_ARRAY"})
    assert refused(PARQUET, body).code == "invalid_argument"


@pytest.mark.parametrize("kind", [ARROW, PARQUET])
def test_truncated_tables_are_refused(kind: str) -> None:
    """A table cut off anywhere is refused, or read as far as it is whole."""
    table = pa.table({"a": [1.5, 2.5], "s": ["x", "y"], "l": [[1], [2]]})
    body = stream(table) if kind == ARROW else parquet(table)
    for cut in range(0, len(body) - 1, 7):
        with contextlib.suppress(InvalidRequest):
            shape(parse_body(kind, body[:cut], LIMITS), NOTHING, None, LIMITS)


def test_offsets_beyond_the_buffer_are_caught() -> None:
    """String offsets and dictionary indices that point outside never reach memory."""
    good = stream(pa.table({"s": ["abc", "def"]}))
    bad = good.replace(np.array([0, 3, 6], np.int32).tobytes(), np.array([0, 3, 6_000_000], np.int32).tobytes())
    assert bad != good
    assert refused(ARROW, bad).code == "invalid_argument"
    indices = pa.DictionaryArray.from_arrays(pa.array([1, 0, 1], pa.int32()), pa.array(["p", "q"]))
    good = stream(pa.table({"s": indices}))
    bad = good.replace(np.array([1, 0, 1], np.int32).tobytes(), np.array([1, 0, 99], np.int32).tobytes())
    assert bad != good
    assert refused(ARROW, bad).code == "invalid_argument"


@pytest.mark.parametrize(
    "table",
    [pa.table({"a": pa.array([1], pa.duration("s"))}), pa.table({"a": pa.array([1], pa.time32("s"))}),
     pa.table({"a": pa.array([0], pa.timestamp("s", "UTC"))}),
     pa.table({"a": pa.array([2**40], pa.timestamp("s"))}),
      pa.table({"a": pa.array([[("k", 1)]], pa.map_(pa.string(), pa.int64()))}), pa.table({"a": pa.array([[b"x"]])})],
)  # fmt: skip
def test_types_that_no_model_takes_are_refused(table: pa.Table) -> None:
    """Durations, zoned or far-away times, maps and nested bytes are invalid input."""
    assert refused(ARROW, stream(table)).code == "invalid_input"


def test_names_double_or_missing_are_refused() -> None:
    """Two columns of one name, or a name of nothing, are no table for a model."""
    for names in (["a", "a"], ["a", ""]):
        table = pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=names)
        assert refused(ARROW, stream(table)).code == "invalid_input"


@pytest.mark.parametrize(
    "body",
    [b"a\n" + b"x" * 16 * MIB + b"\n\xff", b'a\n"' + b"x" * 16 * MIB,
     b",".join(b"c%d" % at for at in range(1_000_000)) + b"\n", b"," * 1_000_000 + b"\n" + b"," * 1_000_000,
     b"a\n\x00\n", b"\xff\xfea\x00", b"a\n" + b'"' * 999_999, b'"' * 1_000_001, b'"' + b"\n" * 8 * MIB + b'"\n1',
      b"a,b\n" + b"1,2\n" * 100_000 + b"3\n"],
)  # fmt: skip
def test_b07_csv_files_made_to_hurt(body: bytes) -> None:
    """Giant lines, a million columns, NULs, foreign encodings and quotes that never close are refused."""
    assert refused(CSV, body).code in {"invalid_input", "too_many_values"}


PROGRAM = """
import pathlib, re, sys
from registry.errors import HeadgateError
from registry.signature import Signature
from serving.protocols.limits import Limits
from serving.protocols.native import parse_body, shape
import pyarrow.csv, pyarrow.parquet
kind, body, limits = sys.argv[1], sys.stdin.buffer.read(), Limits()
peak = lambda: int(re.search(r"VmHWM:\\s+(\\d+)", pathlib.Path("/proc/self/status").read_text())[1])
before = peak()
try:
    shape(parse_body(kind, body, limits), Signature(), None, limits)
except HeadgateError as error:
    code = error.code
else:
    code = "read"
print(code, (peak() - before) // 1024)
"""


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (CSV, b",".join(b"c%d" % at for at in range(16_384)) + b"\n" + b",".join([b"1"] * 16_384)),
        (CSV, b"a\n" + b"x" * 15 * MIB),
        (PARQUET, parquet(pa.table({"a": ["x" * (300 * MIB)]}), compression="zstd", use_dictionary=False)),
        (ARROW, stream(pa.table({"a": pa.nulls(1_000_000_000)}))),
        ("application/json", b'{"inputs": [' + b"0," * 7_000_000 + b"0]}"),
    ],
    ids=["wide csv", "long csv", "parquet bomb", "null rows", "many numbers"],
)
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads the peak from /proc")
def test_memory_is_bounded(kind: str, body: bytes) -> None:
    """Nothing that fits the body limit costs more than a few hundred megabytes at its peak."""
    done = subprocess.run([sys.executable, "-c", PROGRAM, kind], input=body, capture_output=True, check=True)
    code, mebibytes = done.stdout.split()
    print(kind, code.decode(), mebibytes.decode(), "MiB")
    assert int(mebibytes) < 400
