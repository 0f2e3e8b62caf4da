"""CSV, Parquet and Arrow streams become the same tables as JSON does."""

from __future__ import annotations

import datetime
import io
import math
import subprocess
import sys
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from registry.errors import InvalidRequest
from registry.signature import Signature
from serving.exchange import Input, Table, TensorInput, TensorsInput
from serving.protocols.native import ARROW, CSV, PARQUET, parse_body, shape
from tests.unit.protocols.signatures import LIMITS, NOTHING, column, signed, tensor


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


def read(content_type: str, body: bytes, signature: Signature = NOTHING) -> Input:
    """Parse and shape a table."""
    return shape(parse_body(content_type, body, LIMITS), signature, None, LIMITS).data


def columns(content_type: str, body: bytes, signature: Signature = NOTHING) -> dict[str, tuple[str, list[Any]]]:
    """Return a table's dtypes and values."""
    shaped = read(content_type, body, signature)
    assert isinstance(shaped, Table)
    return {name: (array.dtype.name, array.tolist()) for name, array in zip(shaped.names, shaped.arrays, strict=True)}


def refused(content_type: str, body: bytes, signature: Signature = NOTHING) -> InvalidRequest:
    """Return the error with which a table is refused."""
    with pytest.raises(InvalidRequest) as caught:
        read(content_type, body, signature)
    return caught.value


EVERYTHING = pa.table(
    {
        "i": pa.array([1, 2, 3], pa.int32()),
        "u": pa.array([1, 2, 3], pa.uint8()),
        "f": pa.array([1.5, None, 3.0], pa.float32()),
        "n": pa.array([1, None, 3]),
        "b": [True, None, False],
        "s": ["x", None, "é"],
        "c": pa.array(["p", "q", "p"]).dictionary_encode(),
        "y": [b"x", None, b"z"],
        "t": pa.array([1, None, 3], pa.timestamp("ms")),
        "d": [datetime.date(2024, 1, 31)] * 3,
        "l": [[1, 2], None, []],
        "o": [{"k": "v"}, {"k": None}, None],
        "z": pa.array([None] * 3),
        "v": pa.array(["x", "y", None], pa.large_string()),
    }
)


@pytest.mark.parametrize("content_type", [ARROW, PARQUET])
@pytest.mark.parametrize("cut", [slice(0, 3), slice(1, 3), slice(2, 3)])
def test_every_arrow_type_comes_as_pandas_has_it(content_type: str, cut: slice) -> None:
    """Numbers keep their types, missing numbers become NaN, the rest objects; slices and chunks are respected."""
    table = EVERYTHING.slice(cut.start, cut.stop - cut.start)
    got = columns(content_type, (stream if content_type == ARROW else parquet)(table))
    rows = table.to_pylist()
    assert [got[name][0] for name in "iuf"] == ["int32", "uint8", "float32"]
    assert got["d"] == ("datetime64[ns]", [1706659200000000000] * table.num_rows)
    for name in "iubscylozv":
        assert got[name][1] == [row[name] for row in rows]
    for name in "fn":
        assert [None if math.isnan(value) else value for value in got[name][1]] == [row[name] for row in rows]


def test_chunks_with_and_without_missing_values_join() -> None:
    """A column whose chunks differ in type after decoding is still one column."""
    table = pa.concat_tables(
        [pa.table({"a": [1, 2], "b": [True, False]}), pa.table({"a": [3, None], "b": [None, True]})]
    )
    got = columns(ARROW, stream(table))
    assert got["b"] == ("object", [True, False, None, True])
    assert got["a"][0] == "float64"
    assert got["a"][1][:3] == [1.0, 2.0, 3.0]


@pytest.mark.parametrize(
    "options",
    [{"compression": "zstd"}, {"compression": "gzip"}, {"compression": "none", "use_dictionary": False},
     {"row_group_size": 1}, {"data_page_version": "2.0"}, {"version": "1.0"}],
)  # fmt: skip
def test_parquet_is_read_however_it_was_written(options: dict[str, Any]) -> None:
    """Codecs, encodings, page versions and row groups make no difference."""
    table = pa.table({"a": [1, 2, 3], "s": ["x", "y", "x"]})
    assert columns(PARQUET, parquet(table, **options)) == {"a": ("int64", [1, 2, 3]), "s": ("object", ["x", "y", "x"])}


def test_a_dataframe_written_by_pandas_is_read() -> None:
    """What ``DataFrame.to_parquet`` writes arrives equal."""
    frame = pd.DataFrame({"a": [1.5, 2.5], "s": ["x", None], "t": pd.to_datetime(["2024-01-01", "2024-02-01"])})
    sink = io.BytesIO()
    frame.to_parquet(sink)
    shaped = read(PARQUET, sink.getvalue())
    assert isinstance(shaped, Table)
    back = pd.DataFrame(dict(zip(shaped.names, shaped.arrays, strict=True)))
    pd.testing.assert_frame_equal(back, frame, check_dtype=False)


@pytest.mark.parametrize(
    ("array", "kind", "dtype"),
    [(pa.array([1], pa.int32()), "long", "int64"), (pa.array([1], pa.int64()), "integer", "int32"),
     (pa.array([1], pa.int64()), "double", "float64"),
     (pa.array([1.5], pa.float32()), "double", "float64"), (pa.array([1.5], pa.float64()), "float", "float32"),
     (pa.array(["x"]), "string", "object"),
     (pa.array([b"x"]), "binary", "object"), (pa.array([True]), "boolean", "bool"),
     (pa.array([1], pa.timestamp("s")), "datetime", "datetime64[ns]"), (pa.array([None], pa.float64()),
     "double", "float64")],
)  # fmt: skip
def test_typed_columns_convert_without_loss(array: Any, kind: str, dtype: str) -> None:
    """Types widen freely, and narrow where every value stays what it is."""
    assert columns(ARROW, stream(pa.table({"a": array})), signed(column("a", kind)))["a"][0] == dtype


@pytest.mark.parametrize(
    ("array", "kind"),
    [(pa.array([1, 2**31]), "integer"), (pa.array([0.5, 0.1]), "float"), (pa.array([1.0, 2.0]), "long"),
     (pa.array([1, 2**53 + 1]), "double"), (pa.array([1, 2**63 - 1]), "double"),
     (pa.array(["1"]), "long"), (pa.array([True]), "double"), (pa.array([1, None]), "long"), (pa.array([1]),
     "string"), (pa.array([1]), "datetime"), (pa.array([True, None]), "boolean"),
     (pa.array([2**63], pa.uint64()), "long"), (pa.array([-1]), "boolean")],
)  # fmt: skip
def test_typed_columns_are_never_cast_with_loss(array: Any, kind: str) -> None:
    """What would change a value is refused, naming the column."""
    error = refused(ARROW, stream(pa.table({"a": array})), signed(column("a", kind)))
    assert (error.code, error.details["column"]) == ("invalid_input", "a")


def test_tables_feed_tensor_signatures() -> None:
    """Columns side by side become a two-dimensional tensor; lists become its rows."""
    wide = read(ARROW, stream(pa.table({"p": [1, 2], "q": [0.5, 1.5]})), signed(tensor(None, "float64", -1, 2)))
    deep = read(PARQUET, parquet(pa.table({"x": [[1.0, 0.5], [2.0, 1.5]]})), signed(tensor(None, "float64", -1, 2)))
    for shaped in (wide, deep):
        assert isinstance(shaped, TensorInput)
        assert shaped.array.tolist() == [[1.0, 0.5], [2.0, 1.5]]


@pytest.mark.parametrize("name", [None, "X", "p"])
def test_csv_is_typed_by_the_tensor_that_it_becomes(name: str | None) -> None:
    """Text has no type of its own: 0.1 is the nearest 32-bit float where one is asked for, as it is from JSON."""
    body = b"p\n0.1\n2\n"
    shaped = read(CSV, body, signed(tensor(name, "float32", -1, 1)))
    assert isinstance(shaped, TensorInput | TensorsInput)
    array = shaped.array if isinstance(shaped, TensorInput) else shaped.arrays[str(name)]
    assert array.dtype == np.float32
    assert array.tolist() == [[np.float32(0.1)], [2.0]]


@pytest.mark.parametrize(
    "text",
    ["a,b,c\n1,2.5,x\n2,,y\n", "a,b\n1,True\n2,False\n", "a\n1e3\nNaN\n", 'a,b\n"x,1","y\nz"\n', "a,b\r\n1,x\r\n",
     "a\nNA\nx\n", ",a\n0,5\n", "a\n\n1\n", "d\n2024-01-01\n", "a,b\n1,\n2,\n",
     "a\nTrue\n1\n", "a\n-5\n+3\n", "a\n\"1\"\n\"2\"\n", "a\n1\n2.5\n"],
)  # fmt: skip
def test_csv_without_a_signature_is_typed_as_pandas_does(text: str) -> None:
    """Values and dtypes are those of ``pandas.read_csv``."""
    shaped = read(CSV, text.encode())
    assert isinstance(shaped, Table)
    frame = pd.DataFrame(dict(zip(shaped.names, shaped.arrays, strict=True)))
    pd.testing.assert_frame_equal(frame, pd.read_csv(io.StringIO(text)), check_dtype=False)
    for name, array in zip(shaped.names, shaped.arrays, strict=True):
        theirs = pd.read_csv(io.StringIO(text))[name].dtype
        assert array.dtype == (object if isinstance(theirs, pd.StringDtype) else theirs)


def test_csv_takes_its_types_from_the_signature() -> None:
    """Text becomes what the signature says, and stays text where it says so."""
    signature = signed(
        column("s", "string"), column("f", "float"), column("i", "integer"), column("b", "boolean"),
         column("t", "datetime"), column("x", "binary")
    )  # fmt: skip
    got = columns(CSV, b"i,s,f,b,t,x\n7,007,0.1,true,2024-01-01,aGk=\n", signature)
    assert list(got) == ["s", "f", "i", "b", "t", "x"]
    assert [kind for kind, _ in got.values()] == ["object", "float32", "int32", "bool", "datetime64[ns]", "object"]
    assert (got["s"][1], got["x"][1], got["i"][1]) == (["007"], [b"hi"], [7])


@pytest.mark.parametrize(
    ("text", "kind"),
    [("a\n1\nx\n", "double"), ("a\n1\n1.5\n", "long"), ("a\n1\n\"\"\n", "long"), ("a\n1\n99999999999\n", "integer"),
     ("a\ntrue\n1\n", "boolean"), ("a\n2024-01-01\nsoon\n", "datetime"),
     ("a\n1\n1e300\n", "float"), ("a\n1\n" + "9" * 50 + "\n", "long")],
)  # fmt: skip
def test_csv_errors_name_column_and_row(text: str, kind: str) -> None:
    """The field that does not fit is named."""
    error = refused(CSV, text.encode(), signed(column("a", kind)))
    assert (error.code, error.details["column"], error.details["row"]) == ("invalid_input", "a", 1)


@pytest.mark.parametrize(
    ("body", "line"),
    [(b"a,b\n1,2\n3\n", 3), (b"a,b\n1,2,3\n", 2), (b"a\n1\n\xff\n", 3), (b"a\n\x001\n", 2), (b'a,b\n1,2\n"x,3\n', 3),
     (b"\xef\xbb\xbfa\n1\n", 1), ("a\n1\n".encode("utf-16"), 1)],
)  # fmt: skip
def test_broken_csv_names_the_line(body: bytes, line: int) -> None:
    """Ragged lines, foreign encodings, NULs, open quotes and byte order marks are refused with their line."""
    error = refused(CSV, body)
    assert (error.code, error.details["line"]) == ("invalid_input", line)


@pytest.mark.parametrize("body", [b"a\n", b"\n", b"a,a\n1,2\n", b'"', b"a"])
def test_csv_that_is_no_table_is_refused(body: bytes) -> None:
    """No rows, no header and double names are invalid input."""
    assert refused(CSV, body).code == "invalid_input"


def test_an_index_left_in_a_csv_is_explained() -> None:
    """The nameless first column of ``DataFrame.to_csv`` is refused with a hint."""
    assert "index" in refused(CSV, b",a\n0,1.5\n", signed(column("a", "double"))).message


def test_no_table_brings_pandas_into_the_process() -> None:
    """Reading and writing every kind of table imports neither pandas nor MLflow."""
    program = (
        "import sys, io, base64, numpy as np\n"
        "from registry.signature import Signature\n"
        "from serving.exchange import ArrayOutput, TableOutput\n"
        "from serving.protocols.answer import encode_answer\n"
        "from serving.protocols.limits import Limits\n"
        "from serving.protocols.native import parse_body, shape\n"
        "assert 'pyarrow' not in sys.modules\n"
        "limits = Limits()\n"
        "for line in sys.stdin:\n"
        "    kind, body = line.split()\n"
        "    table = shape(parse_body(kind, base64.b64decode(body), limits), Signature(), None, limits).data\n"
        "    for fmt in ('application/json', 'application/vnd.apache.arrow.stream', 'text/csv'):\n"
        "        for output in (TableOutput(table), ArrayOutput(np.zeros(3))):\n"
        "            encode_answer(output, fmt, model='m', version='1', request_id='r', limits=limits)\n"
        "print(sorted({'pandas', 'mlflow', 'sklearn', 'fastapi'} & set(sys.modules)))\n"
    )
    import base64

    flat = EVERYTHING.drop_columns(["l", "o"])
    bodies = {CSV: b"a,b,c\n1,x,true\n2,,false\n", ARROW: stream(flat), PARQUET: parquet(flat)}
    lines = "".join(f"{kind} {base64.b64encode(body).decode()}\n" for kind, body in bodies.items())
    done = subprocess.run([sys.executable, "-c", program], input=lines, capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


def test_arrow_arrays_may_be_views_of_the_body() -> None:
    """Numbers are not copied out of a stream."""
    shaped = read(ARROW, stream(pa.table({"a": np.arange(10.0)})))
    assert isinstance(shaped, Table)
    assert not shaped.arrays[0].flags.owndata
