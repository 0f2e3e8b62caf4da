"""BYTES in binary form: before each element its length, as four bytes little-endian. Pure.

Source: triton-inference-server, ``extension_binary_data.md``.
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Sequence

from registry.errors import InvalidRequest, ModelFault, quote
from serving.exchange import Array
from serving.protocols.cells import objects

_LENGTH = struct.Struct("<I")
_MOST = 2**32 - 1


def read_byte_strings(data: memoryview, count: int, tensor: str) -> list[bytes]:
    """Return ``count`` elements; raise InvalidRequest ``invalid_input`` where they are not exactly what is there."""
    found: list[bytes] = []
    at, end = 0, len(data)
    whole = bytes(data)
    for _ in range(count):
        begin = at + 4
        if begin > end:
            raise _cut_short(tensor, len(found), count)
        at = begin + _LENGTH.unpack_from(whole, at)[0]
        if at > end:
            raise _cut_short(tensor, len(found), count)
        found.append(whole[begin:at])
    if at != end:
        message = f"tensor '{quote(tensor)}': {end - at} bytes follow its last element; its shape says {count} elements"
        raise InvalidRequest("invalid_input", message, {"tensor": quote(tensor), "reason": "wrong_size"})
    return found


def write_byte_strings(values: Sequence[object]) -> bytes:
    """Return str (as UTF-8), bytes and None (as nothing) in binary form."""
    parts: list[bytes] = []
    for value in values:
        text = as_bytes(value)
        if len(text) > _MOST:
            raise ModelFault("model_output_invalid", "the model's answer holds an element of 4 GiB or more")
        parts.append(_LENGTH.pack(len(text)))
        parts.append(text)
    return b"".join(parts)


def as_bytes(value: object) -> bytes:
    """Return one element's bytes."""
    if type(value) is str:
        try:
            return value.encode()
        except UnicodeEncodeError:
            raise ModelFault("model_output_invalid", "the model's answer holds text that is not Unicode") from None
    return bytes(value) if isinstance(value, bytes | bytearray) else b""


def as_base64(value: object) -> str:
    """Return one element's bytes as base64, on one line."""
    return base64.b64encode(as_bytes(value)).decode()


def objects_of(values: Sequence[object], shape: tuple[int, ...]) -> Array:
    """Return values as an array of objects."""
    return objects(values).reshape(shape)


def _cut_short(tensor: str, found: int, count: int) -> InvalidRequest:
    message = (
        f"tensor '{quote(tensor)}' ends within element {found} of {count}; in binary form a BYTES element is "
        "its length (4 bytes, little-endian), then its bytes"
    )
    return InvalidRequest("invalid_input", message, {"tensor": quote(tensor), "reason": "wrong_size"})
