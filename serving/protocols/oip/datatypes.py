"""The protocol's datatypes: their names, what numpy calls them, and which numpy types are called so. Pure.

FP16 and BF16 have no JSON form. numpy has no BF16: its values become 32-bit floats, which hold every one of them.
Not here: the elements of a tensor (``elements.py``, ``byte_strings.py``).

Source: kserve/open-inference-protocol, ``inference_rest.md``, Tensor Data Types; BF16: Triton's data types.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from registry.errors import InvalidRequest, quote
from serving.exchange import Array
from serving.protocols.kinds import STRING, Kind, tensor_kind

BYTES = "BYTES"
BF16 = "BF16"


@dataclass(frozen=True, slots=True)
class Datatype:
    """One datatype.

    Attributes:
        name: As the protocol spells it.
        dtype: What its elements become.
        size: Bytes of one element in binary form; 0 for BYTES, whose elements say themselves how long they are.
        kind: Which JSON values it takes.
        in_json: Whether it has a JSON form at all.
    """

    name: str
    dtype: np.dtype[np.generic]
    size: int
    kind: Kind
    in_json: bool = True


_NUMPY = {
    "BOOL": "bool",
    "UINT8": "uint8",
    "UINT16": "uint16",
    "UINT32": "uint32",
    "UINT64": "uint64",
    "INT8": "int8",
    "INT16": "int16",
    "INT32": "int32",
    "INT64": "int64",
    "FP16": "float16",
    "FP32": "float32",
    "FP64": "float64",
}


def _numeric(name: str, numpy_name: str, size: int = 0) -> Datatype:
    kind = tensor_kind(numpy_name)
    assert kind is not None
    dtype = np.dtype(numpy_name)
    return Datatype(name, dtype, size or dtype.itemsize, kind, name not in ("FP16", BF16))


DATATYPES = {name: _numeric(name, numpy_name) for name, numpy_name in _NUMPY.items()}
DATATYPES[BF16] = _numeric(BF16, "float32", 2)
DATATYPES[BYTES] = Datatype(BYTES, np.dtype(object), 0, STRING)

_NAMES: dict[np.dtype[np.generic], str] = {np.dtype(numpy_name): name for name, numpy_name in _NUMPY.items()}


def datatype(name: str, tensor: str) -> Datatype:
    """Return the datatype of that name; raise InvalidRequest ``invalid_input`` naming the tensor."""
    found = DATATYPES.get(name)
    if found is None:
        known = ", ".join(DATATYPES)
        message = f"tensor '{quote(tensor)}': '{quote(name)}' is no datatype; use one of {known}"
        raise InvalidRequest("invalid_input", message, {"tensor": quote(tensor), "expected": known})
    return found


def name_of(dtype: np.dtype[np.generic]) -> str | None:
    """Return what the protocol calls arrays of a dtype, as they are sent: dates and text are BYTES; None for none."""
    name = _NAMES.get(dtype)
    if name is not None:
        return name
    if dtype.kind in "OUSM":
        return BYTES
    if dtype.kind == "f" and dtype.itemsize > 8:
        return "FP64"
    return _NAMES.get(dtype.newbyteorder("="))


def bf16_as_floats(words: Array) -> Array:
    """Return 32-bit floats from the upper halves of theirs, as 16-bit words of the machine's order."""
    return (words.astype(np.uint32) << np.uint32(16)).view(np.float32)
