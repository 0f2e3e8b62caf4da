"""Whatever bytes come, the answer is an input or one of our own errors; and what is sent right arrives right.

Not here: damaged Parquet and Arrow, which may end the process that reads them (``tests/integration/reader``).
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from registry.errors import HeadgateError
from registry.signature import Schema, Signature, Tensor
from serving.exchange import ArrayOutput, Table, TableOutput, TensorInput
from serving.protocols.answer import encode_answer
from serving.protocols.native import CSV, JSON, parse_body, shape
from tests.unit.protocols.signatures import LIMITS, NOTHING, body, column, data, signed, tensor

SIGNATURES = [
    NOTHING,
    signed(column("a", "double"), column("b", "double")),
    signed(column("a", "long"), column("b", "string", required=False), column("c", "datetime", required=False)),
    signed(column("a", "boolean"), column("b", "binary")),
    signed(column("a", "array", items={"type": "double"}), column("b", "any", required=False)),
    signed(column("a", "object", properties={"k": {"type": "map", "values": {"type": "integer"}, "required": False}})),
    signed(column(None, "float"), column(None, "integer")),
    signed(column("a", "string")),
    signed(column("a", "sparkml_vector", required=False)),
    signed(tensor(None, "float32", -1, 2)),
    signed(tensor("a", "int8", -1), tensor("b", "str", -1, 1)),
    signed(tensor(None, "datetime64[ns]", -1)),
    signed(params=[{"name": "p", "type": "long", "default": 1, "shape": None}]),
]
GRAPHS = [None, Schema(tensors=(Tensor("X", "float32", (-1, -1)),))]


def serve(content_type: str | None, raw: bytes, signature: Signature, graph: Schema | None) -> None:
    """Go the whole way with a body; only our own errors may come of it, none repeating the input at length."""
    try:
        call = shape(parse_body(content_type, raw, LIMITS), signature, graph, LIMITS)
    except HeadgateError as error:
        json.dumps(error.details)
        assert len(error.message.encode()) <= 2048
        return
    assert call.data.rows >= 1
    if isinstance(call.data, Table):
        assert len({len(array) for array in call.data.arrays}) == 1
        output: Any = TableOutput(call.data)
    elif isinstance(call.data, TensorInput):
        output = ArrayOutput(call.data.array)
    else:
        return
    answer = encode_answer(output, "application/json", model="m", version="1", request_id="r", limits=LIMITS)
    json.loads(answer.body)


anything: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**65), 2**65)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
    | st.sampled_from(["2024-01-01", "aGk=", "a", "b"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["a", "b", "c", "k", "X"]),
     inner, max_size=4),
    max_leaves=12,
)  # fmt: skip
forms = st.sampled_from(["dataframe_split", "dataframe_records", "instances", "inputs"])
splits = st.fixed_dictionaries({"data": anything}, optional={"columns": anything, "index": anything})
requests = st.one_of(
    st.builds(lambda form, value, params: {form: value, "params": params}, forms, anything, anything),
    st.builds(lambda form, value: {form: value}, forms, anything),
    st.builds(lambda value: {"dataframe_split": value}, splits),
)


@settings(max_examples=300)
@given(requests, st.sampled_from(SIGNATURES), st.sampled_from(GRAPHS))
def test_any_request_is_shaped_or_refused(request: Any, signature: Signature, graph: Schema | None) -> None:
    """Any JSON in one of the forms meets any signature without another exception than ours."""
    serve(JSON, body(request), signature, graph)


@settings(max_examples=200)
@given(st.binary(max_size=200) | st.text("[]{}\":,\\ tfn0123456789.eE-+ua", max_size=80).map(str.encode),
 st.sampled_from([None, JSON, CSV]))  # fmt: skip
def test_any_bytes_are_read_or_refused(raw: bytes, content_type: str | None) -> None:
    """Any bytes that are said to be text come to an input or to one of our errors."""
    for signature in SIGNATURES[:3]:
        serve(content_type, raw, signature, None)


csv_text = st.text('ab,"\n\r\t 0123456789.-+eNaTruefls', max_size=60)


@settings(max_examples=200)
@given(csv_text, st.sampled_from(SIGNATURES))
def test_any_csv_is_read_or_refused(text: str, signature: Signature) -> None:
    """CSV out of the characters that matter meets any signature."""
    serve(CSV, ("a,b\n" + text).encode(), signature, None)


@given(st.lists(st.lists(st.floats(allow_nan=False, allow_infinity=False, width=64), min_size=2, max_size=2),
 min_size=1, max_size=5))  # fmt: skip
def test_floats_arrive_bit_for_bit(rows: list[list[float]]) -> None:
    """Every float that was sent is the float that the model gets, in every form."""
    signature = SIGNATURES[1]
    requests = (
        {"dataframe_split": {"columns": ["a", "b"], "data": rows}},
        {"dataframe_records": [{"b": row[1], "a": row[0]} for row in rows]},
        {"inputs": {"a": [row[0] for row in rows], "b": [row[1] for row in rows]}},
    )
    for request in requests:
        shaped = data(request, signature)
        assert isinstance(shaped, Table)
        assert np.stack(shaped.arrays, axis=1).tolist() == rows


@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=5))
def test_integers_arrive_exactly(values: list[int]) -> None:
    """Every 64-bit integer arrives as itself, signed or not, with a signature or without."""
    for signature in (NOTHING, signed(tensor(None, "int64", -1))):
        shaped = data({"inputs": values}, signature)
        assert isinstance(shaped, TensorInput)
        assert shaped.array.tolist() == values
