"""One tensor as its caller sent it, made an array of its declared datatype and shape. Pure.

What a number is, its datatype says: 0.1 sent as FP32 is the 32-bit float next to it, whether it came as JSON, as binary
or as protobuf. Binary numbers are not copied: the array is a view of the body. Not here: what the model takes of it
(``inputs.py``).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from registry.errors import InvalidRequest, quote
from serving.exchange import Array
from serving.protocols.blocks import numeric_block
from serving.protocols.cells import convert, decode_base64, flatten
from serving.protocols.limits import Limits
from serving.protocols.oip.byte_strings import objects_of, read_byte_strings
from serving.protocols.oip.datatypes import BF16, BYTES, Datatype, bf16_as_floats, datatype
from serving.protocols.oip.values import InferTensor
from serving.protocols.refusals import Where, describe, too_many_values, wrong_input, wrong_value

MOST_DIMENSIONS = 32
_BASE64 = "base64"
_NUMBERS = frozenset((int, float))


def elements(tensor: InferTensor, limits: Limits) -> Array:
    """Return a tensor's elements in its shape.

    BYTES become objects: bytes where they came as such, else str, or None for null. Raises InvalidRequest
    ``invalid_input`` naming the tensor, or ``too_many_values``.
    """
    kind = datatype(tensor.datatype, tensor.name)
    count = _count(tensor, limits)
    if tensor.raw:
        return _from_bytes(tensor, kind, count)
    return _from_values(tensor, kind, count)


def label(tensor: InferTensor) -> str:
    """Return how messages call a tensor."""
    return f"inputs.{quote(tensor.name)}"


def misfit(tensor: InferTensor, problem: str, *, expected: str, got: str, reason: str) -> InvalidRequest:
    """Return the refusal of a tensor as a whole."""
    message = f"tensor '{quote(tensor.name)}': {problem}"
    return wrong_input(message, path=label(tensor), expected=expected, got=got, reason=reason)


def _count(tensor: InferTensor, limits: Limits) -> int:
    shape = tensor.shape
    if len(shape) > MOST_DIMENSIONS:
        expected, got = f"at most {MOST_DIMENSIONS} dimensions", str(len(shape))
        raise misfit(tensor, f"has {got} dimensions; {expected} are read", expected=expected, got=got, reason="shape")
    count = math.prod(shape)
    # An empty array too must have a shape that numpy can hold.
    held = count or math.prod([d for d in shape if d])
    if held > limits.values:
        raise too_many_values(held, limits.values)
    return count


def _from_bytes(tensor: InferTensor, kind: Datatype, count: int) -> Array:
    data = tensor.data
    assert isinstance(data, memoryview)
    if not kind.size:
        return objects_of(read_byte_strings(data, count, tensor.name), tensor.shape)
    expected = count * kind.size
    if len(data) != expected:
        told = f"{expected} bytes ({kind.name} of shape {_shown(tensor.shape)})"
        raise misfit(
            tensor, f"expected {told}, got {len(data)}", expected=told, got=str(len(data)), reason="wrong_size"
        )
    if kind.name == BF16:
        return bf16_as_floats(np.frombuffer(data, "<u2")).reshape(tensor.shape)
    if kind.name == "BOOL":
        octets = np.frombuffer(data, np.uint8)
        if count and octets.max() > 1:
            at = int((octets > 1).argmax())
            where = Where("tensor", label(tensor), shape=tensor.shape)
            raise wrong_value(where, at, expected="0 or 1 (BOOL)", value=int(octets[at]))
        return octets.view(np.bool_).reshape(tensor.shape)
    array: Array = np.frombuffer(data, kind.dtype.newbyteorder("<")).reshape(tensor.shape)
    return array


def _from_values(tensor: InferTensor, kind: Datatype, count: int) -> Array:
    if not kind.in_json and type(tensor.data) is list:
        message = f"{kind.name} has no JSON form; send it as binary tensor data, or as FP32"
        raise misfit(tensor, message, expected="binary tensor data", got="JSON", reason="wrong_type")
    given: Any = tensor.data
    values: list[Any] = given if type(given) is list else list(given)
    if len(values) == count and _NUMBERS.issuperset(map(type, values)):
        array = numeric_block(values, kind.kind)
        if array is not None:
            return array.reshape(tensor.shape)
    path = label(tensor)
    shape = tensor.shape
    if values and type(values[0]) is list:
        values, found = flatten(values, path)
        if found != shape:
            told, got = f"shape {_shown(shape)}", f"shape {_shown(found)}"
            raise misfit(tensor, f"its data have {got}, declared is {told}", expected=told, got=got, reason="shape")
    elif len(values) != count:
        told, got = f"{count} values (shape {_shown(shape)})", str(len(values))
        if len(values) > count and any(type(value) is list for value in values):
            got = "nested lists"
        raise misfit(tensor, f"expected {told}, got {got}", expected=told, got=got, reason="shape")
    where = Where("tensor", path, shape=shape)
    if kind.name == BYTES:
        return objects_of(_texts(tensor, values, where), shape)
    return convert(values, kind.kind, where).reshape(shape)


def _texts(tensor: InferTensor, values: list[Any], where: Where) -> list[Any]:
    based = tensor.parameters.get("content_type") == _BASE64
    found = []
    for at, value in enumerate(values):
        if value is not None and type(value) is not str and type(value) is not bytes:
            raise wrong_value(where, at, expected="a string (BYTES)", value=value)
        found.append(decode_base64(value, where, at) if based and type(value) is str else value)
    return found


def _shown(shape: tuple[int, ...]) -> str:
    text = str(list(shape))
    return text if len(text) <= 64 else describe(shape)
