"""Tensors of every datatype, there and back: as JSON, as binary, and from one form to the other."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from registry.signature import Signature
from serving.exchange import Array, ArrayOutput, TensorInput
from serving.protocols.limits import Limits
from serving.protocols.oip.body import HEADER_LENGTH
from serving.protocols.oip.datatypes import BF16, BYTES, DATATYPES, bf16_as_floats
from serving.protocols.oip.elements import elements
from serving.protocols.oip.outputs import outputs_of, raw_of
from serving.protocols.oip.request import read_oip
from serving.protocols.oip.values import Inference, InferTensor, OutputTensor
from serving.protocols.request import Head, Told

LIMITS = Limits()
NONE = Signature()
SHAPES = npst.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=4)
NUMERIC = [name for name in DATATYPES if name not in (BYTES, BF16)]
IN_JSON = [name for name in [*NUMERIC, BYTES] if name != "FP16"]
TEXT = st.text('aé€😀\0 "\\\n', max_size=8)


def arrays(name: str) -> st.SearchStrategy[Array]:
    """Return arrays of a datatype, without NaN, which equals nothing."""
    dtype = DATATYPES[name].dtype
    if name == BYTES:
        return npst.arrays(dtype, SHAPES, elements=TEXT)
    finite = {"allow_nan": False, "allow_infinity": False} if dtype.kind == "f" else {}
    return npst.arrays(dtype, SHAPES, elements=npst.from_dtype(dtype, **finite))  # type: ignore[arg-type]


def equal(a: Array, b: Array) -> bool:
    """Tell whether two arrays are the same, type and shape included."""
    return (a.dtype, a.shape, a.tolist()) == (b.dtype, b.shape, b.tolist())


def sent(name: str, array: Array, *, binary: bool) -> TensorInput:
    """Send an array as a request to a model without a signature, and return what it gets."""
    tensor: dict[str, Any] = {"name": "x", "shape": array.shape, "datatype": name}
    blob = bytes(raw_of(OutputTensor("x", name, array)))
    if binary:
        tensor["parameters"] = {"binary_data_size": len(blob)}
    else:
        tensor["data"] = array.tolist()
    header = json.dumps({"inputs": [tensor]}).encode()
    fields = {HEADER_LENGTH: b"%d" % len(header)} if binary else {}
    request = read_oip(header + blob * binary, Head(None, None, fields), LIMITS)
    data = request.shape(NONE, None, LIMITS).data
    assert isinstance(data, TensorInput)
    return data


@given(st.sampled_from([*NUMERIC, BYTES]), st.data())
def test_binary_tensors_arrive_as_they_were(name: str, data: st.DataObject) -> None:
    """What is laid out in binary is read as the same array."""
    array = data.draw(arrays(name))
    assert equal(sent(name, array, binary=True).array, array)


@given(st.sampled_from(IN_JSON), st.data())
def test_json_and_binary_say_the_same(name: str, data: st.DataObject) -> None:
    """A tensor means the same in both forms: its datatype says what a number is."""
    array = data.draw(arrays(name))
    assert equal(sent(name, array, binary=False).array, array)


@given(st.lists(st.floats(width=16), max_size=8))
def test_bf16_is_the_upper_half_of_a_float(values: list[float]) -> None:
    """Its bytes, put above two zero bytes, are the 32-bit float."""
    floats = np.array(values, dtype="<f4")
    halves = floats.view("<u4") & np.uint32(0xFFFF0000)
    tensor = InferTensor("x", BF16, (len(values),), memoryview((halves >> 16).astype("<u2").tobytes()), raw=True)
    assert elements(tensor, LIMITS).tobytes() == halves.view("<f4").tobytes()


def test_bf16_one() -> None:
    """1.0 is 80 3f."""
    assert bf16_as_floats(np.frombuffer(b"\x80\x3f", "<u2")).tolist() == [1.0]


@given(st.sampled_from([*NUMERIC, BYTES]), st.data())
def test_answers_can_be_read_as_requests(name: str, data: st.DataObject) -> None:
    """An output's bytes, sent back as an input, are the same array."""
    array = data.draw(arrays(name))
    (tensor,) = outputs_of(ArrayOutput(array), Inference(()), NONE, LIMITS)
    assert tensor.datatype == name
    back = InferTensor("x", tensor.datatype, tensor.array.shape, memoryview(raw_of(tensor)), raw=True)
    found = elements(back, LIMITS)
    if name == BYTES:
        assert [each.decode() for each in found.reshape(-1)] == array.reshape(-1).tolist()
    else:
        assert equal(found, array)


@given(st.sampled_from(IN_JSON), st.data())
def test_answers_as_json_hold_every_value(name: str, data: st.DataObject) -> None:
    """The JSON of an answer, read by anybody's parser, has the values, flat."""
    array = data.draw(arrays(name))
    body = json.dumps({"inputs": [{"name": "x", "shape": [1], "datatype": "BOOL", "data": [True]}]}).encode()
    request = read_oip(body, Head(), LIMITS)
    encoded = request.encode(ArrayOutput(array), Told("m", "1", "r", "stable", 1, NONE), LIMITS)
    (output,) = json.loads(encoded.body)["outputs"]
    assert (output["shape"], output["data"]) == (list(array.shape), array.reshape(-1).tolist())


def test_large_answers_are_written_alike() -> None:
    """Arrays that are written from their memory have the digits of those that are written as lists."""
    for name in NUMERIC:
        if name == "FP16":
            continue
        dtype = DATATYPES[name].dtype
        array = (np.arange(1000) / 7).astype(dtype)
        request = read_oip(b'{"inputs":[{"name":"x","shape":[1],"datatype":"BOOL","data":[true]}]}', Head(), LIMITS)
        told = Told("m", "1", "r", "stable", 1, NONE)
        large = json.loads(request.encode(ArrayOutput(array), told, LIMITS).body)["outputs"][0]["data"]
        assert large == array.tolist()


def test_binary_numbers_are_not_copied() -> None:
    """What the model gets is a view of the body, up to the reshaping."""
    body = memoryview(np.arange(1000.0).tobytes())
    found = elements(InferTensor("x", "FP64", (10, 100), body, raw=True), LIMITS)
    assert np.shares_memory(found, np.frombuffer(body, np.uint8))


def test_a_32_bit_float_keeps_its_value_in_64_bits() -> None:
    """0.1 as FP32 is the 32-bit float, in JSON as in binary, whatever the model takes."""
    assert sent("FP32", np.array([0.1], "f4"), binary=False).array.astype(float).tolist() == [0.10000000149011612]
