"""A table comes from another process exactly as it would have come from this one."""

from __future__ import annotations

import datetime
import subprocess
import sys
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from registry.errors import HeadgateError, InvalidRequest
from registry.signature import Schema, Signature, Tensor, parse_signature
from serving.exchange import Input, Table, TensorInput, TensorsInput
from serving.protocols.native import ARROW, CSV, PARQUET, parse_body, shape
from tests.support.table_reader import LIMITS, Tables, parquet, stream
from tests.unit.protocols.signatures import column, signed, tensor

pytestmark = pytest.mark.integration

EVERYTHING = pa.table(
    {
        "i": pa.array([1, 2, 3], pa.int32()),
        "u": pa.array([1, 2, 2**64 - 1], pa.uint64()),
        "h": pa.array([1.5, 2.5, None], pa.float16()),
        "f": pa.array([1.5, None, 3.0], pa.float32()),
        "n": pa.array([1, None, 3]),
        "b": [True, None, False],
        "t": [True, True, False],
        "s": ["x", None, "é\ud7ff"],
        "c": pa.array(["p", "q", "p"]).dictionary_encode(),
        "y": [b"x", None, b"\x00\xff"],
        "d": [datetime.date(2024, 1, 31), None, datetime.date(1700, 1, 1)],
        "l": [[1, 2], None, []],
        "o": [{"k": [{"v": 1.5}]}, {"k": None}, None],
        "z": pa.array([None] * 3),
    }
)
NUMBERS = pa.table({"a": [1.0, 2.0], "b": [0.5, 0.1]})
GRAPH = Schema(tensors=(Tensor("X", "float32", (-1, 2)),))
BODIES: list[tuple[str, bytes, Signature]] = [
    (CSV, b"a,b,c\n1,x,true\n2,,false\n", Signature()),
    (CSV, b"b,a\n1,0.5\n", signed(column("a", "double"), column("b", "long"))),
    (CSV, b"a\n1\nx\n", signed(column("a", "double"))),
    (CSV, b"a,b\n1\n", Signature()),
    (ARROW, stream(EVERYTHING), Signature()),
    (PARQUET, parquet(EVERYTHING.drop_columns(["h"])), Signature()),
    (ARROW, stream(NUMBERS), signed(column("a", "double"), column("b", "double"))),
    (ARROW, stream(NUMBERS), signed(column("a", "double"), column("c", "double"))),
    (PARQUET, parquet(NUMBERS), signed(column(None, "double"), column(None, "double"))),
    (PARQUET, parquet(NUMBERS), signed(tensor(None, "float64", -1, 2))),
    (ARROW, stream(NUMBERS), signed(tensor("a", "float64", -1), tensor("b", "float64", -1, 1))),
    (ARROW, stream(NUMBERS), signed(params=[{"name": "p", "type": "datetime", "default": "2024-01-01"}])),
    (PARQUET, b"PAR1", Signature()),
    (ARROW, b"ARROW1", Signature()),
]  # fmt: skip


def same(ours: Any, theirs: Any) -> bool:
    """Tell whether two arrays are equal to the bit, or cell by cell."""
    if ours.dtype != theirs.dtype or ours.shape != theirs.shape:
        return False
    return repr(ours.tolist()) == repr(theirs.tolist()) if ours.dtype == object else ours.tobytes() == theirs.tobytes()


def equal(ours: Input, theirs: Input) -> bool:
    """Tell whether two inputs are the same to a model."""
    if isinstance(ours, Table) and isinstance(theirs, Table):
        alike = (ours.names, ours.named) == (theirs.names, theirs.named)
        return alike and all(map(same, ours.arrays, theirs.arrays))
    if isinstance(ours, TensorsInput) and isinstance(theirs, TensorsInput):
        alike = list(ours.arrays) == list(theirs.arrays)
        return alike and all(map(same, ours.arrays.values(), theirs.arrays.values()))
    return isinstance(ours, TensorInput) and isinstance(theirs, TensorInput) and same(ours.array, theirs.array)


@pytest.mark.parametrize(("kind", "body", "signature"), BODIES)
@pytest.mark.parametrize("graph", [None, GRAPH])
def test_the_reader_answers_as_reading_here_does(
    tables: Tables, kind: str, body: bytes, signature: Signature, graph: Schema | None
) -> None:
    """Inputs, parameters and refusals are the same, for every form, with a signature, a graph or neither."""
    lost = len(tables.lost)
    try:
        expected = shape(parse_body(kind, body, LIMITS), signature, graph, LIMITS)
    except HeadgateError as error:
        refusal = tables.refused(kind, body, signature, graph=graph)
        assert type(refusal) is type(error)
        assert (refusal.code, refusal.message, refusal.details) == (error.code, error.message, error.details)
        return
    call = tables.read(kind, body, signature, graph=graph)
    assert equal(call.data, expected.data)
    assert call.params == expected.params
    assert len(tables.lost) == lost


def test_json_is_read_as_here_too(tables: Tables) -> None:
    """Large JSON bodies of copies: input, parameters and refusals are the same."""
    body = b'{"inputs": [[1.5, 2.0]], "params": {"times": 3.0}}'
    signature = parse_signature({"inputs": None, "params": [{"name": "times", "type": "double", "default": 1.0}]})
    expected = shape(parse_body(None, body, LIMITS), signature, None, LIMITS)
    call = tables.run(tables.reader.read_json(body, signature, None, seconds=60))
    assert equal(call.data, expected.data)
    assert call.params == expected.params
    with pytest.raises(InvalidRequest, match="unknown parameter"):
        tables.run(tables.reader.read_json(body, Signature(), None, seconds=60))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.floats(width=64), st.none() | st.text(max_size=5), st.integers(-(2**63), 2**63 - 1)),
        min_size=1, max_size=6,
    ),
    st.sampled_from([ARROW, PARQUET]),
)  # fmt: skip
def test_any_rows_arrive_as_they_were(tables: Tables, rows: list[tuple[float, str | None, int]], kind: str) -> None:
    """Floats to the bit, text and missing text, 64-bit integers."""
    numbers, texts, integers = zip(*rows, strict=True)
    table = pa.table({"f": pa.array(numbers, pa.float64()), "s": pa.array(texts, pa.string()), "i": integers})
    got = tables.read(kind, stream(table) if kind == ARROW else parquet(table)).data
    assert isinstance(got, Table)
    assert got.arrays[0].tobytes() == np.array(numbers).tobytes()
    assert got.arrays[1].tolist() == list(texts)
    assert got.arrays[2].tolist() == list(integers)


def test_a_large_table_arrives(tables: Tables) -> None:
    """Megabytes of numbers and text, decoded beside the loop, are what was sent."""
    table = pa.table({"f": np.arange(300_000.0), "s": [str(at) for at in range(300_000)]})
    got = tables.read(PARQUET, parquet(table)).data
    assert isinstance(got, Table)
    assert got.arrays[0].tobytes() == np.arange(300_000.0).tobytes()
    assert got.arrays[1].tolist()[::9_999] == [str(at) for at in range(0, 300_000, 9_999)]


PROGRAM = """
import asyncio, base64, sys
from registry.signature import Signature
from serving.protocols.limits import Limits
from serving.protocols.native import parse_body
from serving.reader.reader import TableReader

async def main():
    reader = TableReader(Limits())
    for line in sys.stdin:
        kind, body = line.split()
        await reader.read(parse_body(kind, base64.b64decode(body), Limits()), Signature(), None, seconds=60)
    await reader.close()
    print("pyarrow" in sys.modules or "pandas" in sys.modules)

asyncio.run(main())
"""


def test_the_node_itself_imports_no_library_of_tables() -> None:
    """A process that has had every kind of table read has never loaded pyarrow."""
    import base64

    lines = "".join(
        f"{kind} {base64.b64encode(body).decode()}\n"
        for kind, body in ((CSV, b"a\n1\n"), (ARROW, stream(NUMBERS)), (PARQUET, parquet(NUMBERS)))
    )
    done = subprocess.run([sys.executable, "-c", PROGRAM], input=lines, capture_output=True, text=True, timeout=60)
    assert (done.stdout.strip(), done.stderr) == ("False", "")
