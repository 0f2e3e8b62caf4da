"""Frames: both ends speak the same, and nothing that a host sends is believed."""

from __future__ import annotations

import contextlib
import math
import socket
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from serving.exchange import (
    ArrayOutput,
    Call,
    Input,
    JsonInput,
    JsonOutput,
    Table,
    TableOutput,
    TensorInput,
    TensorsInput,
    TensorsOutput,
)
from serving.runtimes.host.calls import Calls, pack_call
from serving.runtimes.host.child import values, wire
from serving.runtimes.host.frames import BODY_LIMIT, Frame, FrameError, Frames, read_array, read_output

NUMBERS = st.sampled_from(["?", "i1", "<i8", "<u2", "<f4", "<f8", "<M8[ns]"])
CELLS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3) | st.just("$bytes"), inner, max_size=3)
    ),
    max_leaves=6,
)


def object_array(cells: list[Any]) -> np.ndarray[Any, Any]:
    """Return a one-dimensional array that holds ``cells`` as they are."""
    array = np.empty(len(cells), dtype=object)
    for i, cell in enumerate(cells):
        array[i] = cell
    return array


def at_the_host(data: Input, params: Mapping[str, Any] | None = None) -> tuple[dict[str, Any], list[memoryview]]:
    """Return the frame of a call as a host reads it."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(b"".join(pack_call(7, Call(data, params or {}))))
        frame = wire.Stream(theirs).read()
    assert frame is not None
    number, header, buffers = frame
    assert number == 7
    return header, buffers


def at_the_node(output: object) -> Any:
    """Return a model's answer as the node reads it."""
    buffers: list[wire.Buffer] = []
    spec = values.lay_output(output, buffers)
    (frame,) = Frames().feed(b"".join(wire.pack({"output": spec}, buffers, 7)))
    assert frame.number == 7
    return read_output(frame)


@settings(max_examples=60, deadline=None)
@given(hnp.arrays(NUMBERS, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)))
def test_a_tensor_arrives_bit_for_bit_aligned_and_writable(array: np.ndarray[Any, Any]) -> None:
    """Any numeric array reaches the model as it was, in memory that the model may write to."""
    header, buffers = at_the_host(TensorInput(array))
    there = values.take_input(header["input"], buffers)
    assert there.dtype == array.dtype
    assert there.shape == array.shape
    assert there.tobytes() == array.tobytes()
    assert there.flags.writeable
    assert there.flags.aligned


@settings(max_examples=60, deadline=None)
@given(st.lists(CELLS, max_size=4))
def test_object_cells_arrive_as_they_were(cells: list[Any]) -> None:
    """Text, bytes, numbers of any size and nested values keep their types."""
    header, buffers = at_the_host(TensorInput(object_array(cells)))
    assert values.take_input(header["input"], buffers).tolist() == cells


@settings(max_examples=30, deadline=None)
@given(st.lists(st.binary(), min_size=1, max_size=6))
def test_cells_of_bytes_travel_as_they_are(cells: list[bytes]) -> None:
    """Bytes arrive as bytes, without a word of JSON, at the host and at the node."""
    header, buffers = at_the_host(TensorInput(object_array(list(cells))))
    assert header["input"]["array"]["dtype"] == "S"
    assert values.take_input(header["input"], buffers).tolist() == cells
    assert read_array(header["input"]["array"], buffers).tolist() == cells


@pytest.mark.parametrize("lengths", [[1], [1, 2], [2, 2, -1], [3, "1"]])
def test_lengths_of_cells_that_do_not_fit_are_refused(lengths: list[Any]) -> None:
    """Bytes are cut only where the lengths fill the shape and the buffer."""
    spec = {"dtype": "S", "shape": [2], "buffer": 0, "lengths": lengths}
    with pytest.raises(FrameError):
        read_array(spec, [memoryview(b"abcd")])


@settings(max_examples=60, deadline=None)
@given(
    hnp.arrays(NUMBERS, hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=4)),
    st.sampled_from(["C", "F"]),
    st.sampled_from([{}, {"n": 1}]),
    st.lists(st.sampled_from(["a", "b", "c"]), min_size=3, max_size=3),
)
def test_headers_that_are_known_are_those_that_would_be_written(
    array: np.ndarray[Any, Any], order: Any, params: dict[str, Any], names: list[str]
) -> None:
    """A frame has the same bytes, however often its like was sent before, and whatever else was."""
    array = array.astype(array.dtype, order=order)
    columns = tuple(array.reshape(-1)[::2] for _ in range(3))
    mixed = (columns[0], np.zeros(len(columns[0]), "<f2"), columns[2])
    inputs: list[Input] = [TensorInput(array), TensorInput(array[::-1]), TensorInput(array.astype(array.dtype.str))]
    inputs += [Table(tuple(names), c, named) for c in (columns, mixed, columns[::-1]) for named in (True, False)]
    inputs += [Table(tuple(names[::-1]), columns), Table((), ())]
    calls = Calls()
    for data in inputs * 2:
        call = Call(data, params)
        assert b"".join(calls.pack(9, call)) == b"".join(pack_call(9, call))


def test_columns_of_one_type_travel_as_one_block() -> None:
    """A table becomes a DataFrame with its names, order and types, in as few blocks as may be."""
    x, text = np.array([1.5, 2.5]), object_array(["a", None])
    table = Table(("p", "q", "name", "r"), (x, x + 1, text, np.array([1, 2])))
    header, buffers = at_the_host(table)
    frame = values.take_input(header["input"], buffers)
    assert len(buffers) == 3
    assert list(frame.columns) == ["p", "q", "name", "r"]
    assert [str(d) for d in frame.dtypes.drop("name")] == ["float64", "float64", "int64"]
    assert frame["q"].tolist() == [2.5, 3.5]
    assert frame["name"].tolist()[0] == "a"
    assert frame["name"].isna().tolist() == [False, True]


def test_a_table_without_names_gets_numbered_columns() -> None:
    """Columns that nobody named are 0, 1, … as pandas numbers them."""
    header, buffers = at_the_host(Table(("0", "1"), (np.ones(3), np.zeros(3)), named=False))
    frame = values.take_input(header["input"], buffers)
    assert list(frame.columns) == [0, 1]
    assert frame.shape == (3, 2)


def test_dicts_of_arrays_plain_values_and_params_arrive() -> None:
    """The other two kinds of input arrive as dict and value; params only where there are some."""
    header, buffers = at_the_host(
        TensorsInput({"a": np.ones(2), "b": np.array([["x"]], dtype=object)}), {"n": 3, "b": b"\0"}
    )
    there = values.take_input(header["input"], buffers)
    assert {k: v.tolist() for k, v in there.items()} == {"a": [1.0, 1.0], "b": [["x"]]}
    assert values.take_json(buffers[header["params"]]) == {"n": 3, "b": b"\0"}
    header, buffers = at_the_host(JsonInput({"messages": ["hi", math.inf]}))
    assert "params" not in header
    assert values.take_input(header["input"], buffers) == {"messages": ["hi", math.inf]}


@settings(max_examples=60, deadline=None)
@given(hnp.arrays(NUMBERS, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)))
def test_an_answered_array_arrives_bit_for_bit(array: np.ndarray[Any, Any]) -> None:
    """Any numeric array that a model answers reaches the caller as it was."""
    output = at_the_node(array)
    assert isinstance(output, ArrayOutput)
    assert output.array.dtype == array.dtype
    assert output.array.shape == array.shape
    assert output.array.tobytes() == array.tobytes()


@settings(max_examples=60, deadline=None)
@given(st.lists(CELLS, min_size=1, max_size=4))
def test_answered_objects_arrive_as_they_were(cells: list[Any]) -> None:
    """An array of objects keeps text, bytes and nested values."""
    output = at_the_node(object_array(cells))
    assert isinstance(output, ArrayOutput)
    assert output.array.tolist() == cells


def test_frames_may_come_in_any_pieces() -> None:
    """Frames cut anywhere, or glued together, come out whole and in order."""
    stream = b"".join(part for n in range(5) for part in wire.pack({}, [bytes(n), b"xyz"], n))
    for size in (1, 7, 64, len(stream)):
        frames = Frames()
        seen = [f for i in range(0, len(stream), size) for f in frames.feed(stream[i : i + size])]
        assert [f.number for f in seen] == [0, 1, 2, 3, 4]
        assert [bytes(f.buffers[0]) for f in seen] == [bytes(n) for n in range(5)]


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_frames_or_refused(data: bytes) -> None:
    """Arbitrary bytes give frames, nothing yet, or FrameError; never another exception."""
    frames = Frames()
    try:
        for frame in frames.feed(data):
            read_output(frame)
    except FrameError:
        pass


@settings(max_examples=300, deadline=None)
@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-3, 1 << 62)
        | st.text(max_size=5)
        | st.sampled_from(["table", "array", "O"]),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["kind", "array", "arrays", "names", "rows", "dtype", "shape", "buffer"]),
                inner,
                max_size=6,
            )
        ),
        max_leaves=15,
    ),
    st.lists(st.binary(max_size=16), max_size=2),
)
def test_any_header_is_an_output_or_refused(spec: Any, buffers: list[bytes]) -> None:
    """A header of the right words in the wrong places is refused, never trusted."""
    with contextlib.suppress(FrameError):
        read_output(Frame(1, {"output": spec}, tuple(memoryview(b) for b in buffers)))


@pytest.mark.parametrize(
    "prefix",
    [
        struct.pack("<IIQ", 1 << 30, 0, 0),
        struct.pack("<IIQ", 16, 1 << 30, 0),
        struct.pack("<IIQ", 3, 0, 0),
        struct.pack("<IIQQ", 8, 1, 0, BODY_LIMIT * 2),
        struct.pack("<IIQQQ", 16, 2, 0, BODY_LIMIT, BODY_LIMIT),
        struct.pack("<IIQ", 16, 0, 0) + b"nonsense nonsense"[:16],
        struct.pack("<IIQ", 16, 0, 0) + b"[]".ljust(16),
    ],
)
def test_absurd_lengths_are_refused_before_they_are_waited_for(prefix: bytes) -> None:
    """Lengths beyond the bounds, and headers that are no objects, end the conversation at once."""
    with pytest.raises(FrameError):
        list(Frames().feed(prefix))


@pytest.mark.parametrize(
    "array",
    [
        {"dtype": "<f8", "shape": [2], "buffer": 0},
        {"dtype": "<f8", "shape": [-1], "buffer": 0},
        {"dtype": "<f8", "shape": [1], "buffer": 3},
        {"dtype": "<f8", "shape": [1], "buffer": -1},
        {"dtype": "<f8", "shape": [1 << 40, 0], "buffer": 1},
        {"dtype": "<f8", "shape": [1] * 40, "buffer": 0},
        {"dtype": "|O", "shape": [1], "buffer": 0},
        {"dtype": "V8", "shape": [1], "buffer": 0},
        {"dtype": "<f8", "shape": [True], "buffer": 0},
        {"dtype": "O", "shape": [3], "buffer": 2},
    ],
)
def test_an_array_that_does_not_fit_its_bytes_is_refused(array: dict[str, Any]) -> None:
    """Shapes, types and buffer numbers that do not fit are refused."""
    frame = Frame(
        1, {"output": {"kind": "array", "array": array}}, (memoryview(bytes(8)), memoryview(b""), memoryview(b"[1,2]"))
    )
    with pytest.raises(FrameError):
        read_output(frame)


def test_deep_json_is_refused() -> None:
    """JSON that nests without end is an error, not a crash."""
    frame = Frame(1, {"output": {"kind": "json", "buffer": 0}}, (memoryview(b"[" * 200_000),))
    with pytest.raises(FrameError):
        read_output(frame)


def test_tables_dicts_and_values_come_back_as_such() -> None:
    """A DataFrame is a table, a dict of arrays tensors, anything else JSON."""
    import pandas as pd

    table = at_the_node(pd.DataFrame({"a": [1, 2], 5: ["x", None]}))
    assert isinstance(table, TableOutput)
    assert table.table.names == ("a", "5")
    assert [c.tolist() for c in table.table.arrays] == [[1, 2], ["x", None]]
    tensors = at_the_node({"m": np.array([1.5]), "n": np.array(["u"])})
    assert isinstance(tensors, TensorsOutput)
    assert {k: v.tolist() for k, v in tensors.arrays.items()} == {"m": [1.5], "n": ["u"]}
    assert at_the_node([{"score": np.float32(0.5)}]) == JsonOutput([{"score": 0.5}])


@pytest.mark.parametrize("output", [np.zeros(1000), ["x" * 8000], {"a": np.zeros(1000)}])
def test_an_output_tells_how_large_it_was(output: object) -> None:
    """Whoever writes an output knows what that will cost, without walking it."""
    assert at_the_node(output).size >= 8000


def test_half_a_pair_of_surrogates_costs_nobody_the_process() -> None:
    """A model's message, or a name, may hold what no UTF-8 has: it arrives with a mark in its place."""
    (frame,) = Frames().feed(b"".join(wire.pack({"error": {"message": "a\ud800é"}})))
    assert frame.header == {"error": {"message": "a?é"}}


@pytest.mark.parametrize("output", [np.zeros((1,) * 32), np.zeros((0, 1_000_000))])
def test_what_a_host_sends_at_most_is_taken(output: Any) -> None:
    """The bounds of both ends are the same."""
    answer = at_the_node(output)
    assert isinstance(answer, ArrayOutput)
    assert answer.array.shape == output.shape
