"""Frames between node and table reader: what is sent arrives, and nothing that a reader sends is believed."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from registry.errors import Internal, InvalidRequest
from registry.signature import Schema, Signature
from serving.exchange import Input, Table, TensorInput, TensorsInput
from serving.protocols.limits import Limits
from serving.protocols.native import CSV, PARQUET, fit, parse_body
from serving.reader import wire
from serving.reader.child import answer
from serving.runtimes.host.frames import Frame, FrameError, Frames
from tests.unit.protocols.signatures import LIMITS, column, signed, tensor

CELLS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


def opened(pieces: wire.Pieces) -> Frame:
    """Return a frame as the node gets it."""
    (frame,) = Frames().feed(b"".join(pieces))
    return frame


def there_and_back(data: Input) -> Any:
    """Return an input after its way from the reader to the node."""
    return wire.read_reply(opened(wire.pack_input(data)))


@given(
    st.lists(hnp.arrays(st.sampled_from(["?", "i1", "u8", "f2", "f4", "f8", "M8[ns]"]), 3), min_size=1, max_size=6),
    st.lists(CELLS, min_size=3, max_size=3),
    st.booleans(),
)
def test_a_table_arrives_as_it_was(columns: list[Any], cells: list[Any], named: bool) -> None:
    """Names, order, types and values of every column survive."""
    objects = np.empty(3, dtype=object)
    for at, cell in enumerate(cells):
        objects[at] = cell
    arrays = (*columns[:2], objects, *columns[2:])
    sent = Table(tuple(f"c{at}é" for at in range(len(arrays))), arrays, named)
    got = there_and_back(sent)
    assert (got.names, got.named, got.rows) == (sent.names, named, 3)
    for ours, theirs in zip(got.arrays, arrays, strict=True):
        assert ours.dtype == theirs.dtype
        assert ours.tolist() == theirs.tolist() if ours.dtype == object else ours.tobytes() == theirs.tobytes()


@given(hnp.arrays(st.sampled_from(["i4", "f8"]), hnp.array_shapes(max_dims=3, max_side=4)))
def test_tensors_arrive_as_they_were(array: Any) -> None:
    """One array or several by name: dtype, shape and bytes."""
    one, several = there_and_back(TensorInput(array)), there_and_back(TensorsInput({"x": array, "y": array}))
    assert list(several.arrays) == ["x", "y"]
    for got in (one.array, *several.arrays.values()):
        assert (got.dtype, got.shape, got.tobytes()) == (array.dtype, array.shape, array.tobytes())


@pytest.mark.parametrize(
    "signature",
    [Signature(), signed(column("a", "double"), column(0, "array", items={"type": "string"}, required=False)),
     signed(column(None, "long")), signed(tensor(None, "float32", -1, 2)), signed(tensor("x", "str", -1))],
)  # fmt: skip
def test_a_request_arrives_as_it_was(signature: Signature) -> None:
    """Form, bytes, limits and schema are those that were asked with."""
    limits, schema = Limits(depth=5, values=7), signature.inputs
    frame = opened(wire.pack_request(parse_body(PARQUET, b"PAR1", LIMITS), schema, limits))
    parsed, got, there = wire.read_request(frame.header, frame.buffers)
    assert (parsed.form, parsed.value, there) == ("parquet", b"PAR1", limits)
    if schema is None:
        assert got is None
        return
    assert got is not None
    assert got.tensors == schema.tensors
    assert [(c.name, c.type, c.required) for c in got.columns] == [(c.name, c.type, c.required) for c in schema.columns]
    assert [c.spec.get("items") for c in got.columns] == [c.spec.get("items") for c in schema.columns]


def test_json_arrives_parsed_with_its_parameters() -> None:
    """The child finds the form, and sends the parameters back beside the input."""
    schema = signed(column("a", "double")).inputs
    body = b'{"inputs": {"a": [1.5]}, "params": {"$x": [1, null]}}'
    request = opened(wire.pack_json(body, schema, LIMITS))
    reply = opened(answer(request.header, request.buffers))
    found = wire.read_reply(reply)
    assert isinstance(found, Table)
    assert (found.arrays[0].tolist(), wire.read_given(reply)) == ([1.5], {"$x": [1, None]})
    bare = opened(wire.pack_json(b'{"inputs": {"a": [1.5]}}', schema, LIMITS))
    assert wire.read_given(opened(answer(bare.header, bare.buffers))) is None


@pytest.mark.parametrize(
    ("body", "code"),
    [(b'{"inputs": ', "malformed_json"), (b'{"inputs": {"b": [1]}}', "invalid_input"), (b"[1]", "invalid_argument")],
)
def test_json_is_refused_as_here(body: bytes, code: str) -> None:
    """What cannot be read, or does not fit, is the request's error."""
    request = opened(wire.pack_json(body, signed(column("a", "double")).inputs, LIMITS))
    with pytest.raises(InvalidRequest) as caught:
        wire.read_reply(opened(answer(request.header, request.buffers)))
    assert caught.value.code == code


@pytest.mark.parametrize("params", [5, -1, "0", None, 0])
def test_damaged_parameters_are_a_frame_error(params: Any) -> None:
    """A number of no buffer, or a buffer that holds no object."""
    frame = Frame(0, {"params": params}, (memoryview(b"[1]"),))
    if params is None:
        assert wire.read_given(frame) is None
        return
    with pytest.raises(FrameError):
        wire.read_given(frame)


def test_a_refusal_arrives_as_it_was() -> None:
    """Code, message and details, numbers beyond 64 bits included."""
    sent = InvalidRequest("too_many_values", "é" * 10, {"got": 2**80, "columns": ["a"]})
    with pytest.raises(InvalidRequest) as caught:
        wire.read_reply(opened(wire.pack_error(sent)))
    assert (caught.value.code, caught.value.message, caught.value.details) == (sent.code, sent.message, sent.details)


def test_a_reader_can_blame_nobody_but_the_request() -> None:
    """An error that no request causes counts as our own fault, in our own words."""
    for code in ("internal", "model_error", "anything"):
        frame = Frame(
            0, {"op": "refused"}, (memoryview(b'{"code": "%s", "message": "x", "details": {}}' % code.encode()),)
        )
        with pytest.raises(Internal, match="fault of the platform"):
            wire.read_reply(frame)


@pytest.mark.parametrize(
    "change",
    [{"kind": "json", "buffer": 0}, {"kind": "pickle"}, {"rows": 3}, {"rows": "2"}, {"names": ["a"]}, {"names": [1, 2]},
     {"names": []}, {"named": 1}, {"blocks": []}, {"blocks": [{"dtype": "<f8", "shape": [2, 2], "buffer": 9}]},
     {"blocks": [{"dtype": "<f8", "shape": [4], "buffer": 0}]},
     {"blocks": [{"dtype": "<f8", "shape": [2, 3], "buffer": 0}]},
     {"blocks": [{"dtype": "<f8", "shape": [1000000, 0], "buffer": 0}], "rows": 0}, {"kind": "tensors", "arrays": 5}],
)  # fmt: skip
def test_a_damaged_answer_is_a_frame_error(change: dict[str, Any]) -> None:
    """Whatever does not fit together is refused before anything is made of it."""
    frame = opened(wire.pack_input(Table(("a", "b"), (np.zeros(2), np.zeros(2)))))
    damaged = Frame(0, {**frame.header, "input": {**frame.header["input"], **change}}, frame.buffers)
    with pytest.raises(FrameError):
        wire.read_reply(damaged)


@given(st.dictionaries(st.sampled_from(["op", "input", "x"]), st.recursive(st.none() | st.integers() | st.text(),
 lambda inner: st.dictionaries(st.sampled_from(["kind", "array", "names", "shape", "dtype", "buffer"]), inner))),
 st.lists(st.binary(max_size=20), max_size=2))  # fmt: skip
def test_any_frame_is_an_input_or_an_error(header: dict[str, Any], buffers: list[bytes]) -> None:
    """No frame, however odd, raises anything else."""
    with contextlib.suppress(FrameError, InvalidRequest, Internal):
        wire.read_reply(Frame(0, header, tuple(memoryview(buffer) for buffer in buffers)))


def test_the_child_answers_requests() -> None:
    """A table is answered with its columns, a wrong one with why, and a broken request as our fault."""
    schema = signed(column("a", "double")).inputs

    def ask(body: bytes, schema: Schema | None) -> Any:
        frame = opened(wire.pack_request(parse_body(CSV, body, LIMITS), schema, LIMITS))
        return wire.read_reply(opened(answer(frame.header, frame.buffers)))

    expected = fit(parse_body(CSV, b"a\n1\n", LIMITS), schema, LIMITS)
    assert isinstance(expected, Table)
    assert ask(b"a\n1\n", schema).arrays[0].tobytes() == expected.arrays[0].tobytes()
    with pytest.raises(InvalidRequest, match="missing column 'a'"):
        ask(b"b\n1\n", schema)
    with pytest.raises(Internal):
        wire.read_reply(opened(answer({}, ())))
