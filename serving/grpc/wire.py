"""Cuts raw tensors out of a request's bytes and writes them into an answer's, without protobuf's copies of them.

Protobuf reads a message into memory of its own, and hands each ``bytes`` field out as one more copy: of a tensor of 16
MB, 32. Here the outermost fields are walked by their lengths, raw tensors stay views of the bytes that came, and only
what is left goes to protobuf. Pure. Not here: what the fields mean.

Source: protobuf's encoding, https://protobuf.dev/programming-guides/encoding/.
"""

from __future__ import annotations

from collections.abc import Sequence

from registry.errors import InvalidRequest
from serving.values import value

MODEL_NAME, MODEL_VERSION, RAW_INPUTS = 1, 2, 7
_RAW_OUTPUTS, _INFER_RESPONSE = 6, 2
_VARINT, _EIGHT_BYTES, _LENGTH, _FOUR_BYTES = 0, 1, 2, 5
_LONGEST_VARINT = 10


@value
class Cut:
    """A ModelInferRequest in parts.

    Attributes:
        model: ``model_name``.
        version: ``model_version``; empty where it was not given.
        rest: The message without its raw tensors.
        raw: Those, in their order: views of the bytes that came.
    """

    model: str
    version: str
    rest: bytes
    raw: tuple[memoryview, ...]


def cut(body: bytes) -> Cut:
    """Return a ModelInferRequest in parts; raise InvalidRequest ``invalid_argument`` for what is no message."""
    try:
        return _cut(body)
    except IndexError:
        raise broken("it is cut short") from None
    except UnicodeDecodeError:
        raise broken("a name in it is not UTF-8") from None


def broken(why: str) -> InvalidRequest:
    """Return the refusal of bytes that are not the message that they should be."""
    return InvalidRequest("invalid_argument", f"the request cannot be read: {why}; see open_inference.proto")


def with_raw(head: bytes, tensors: Sequence[bytes | memoryview]) -> bytes:
    """Return a ModelInferResponse: ``head`` without raw tensors, and these."""
    if not tensors:
        return head
    parts: list[bytes | memoryview] = [head]
    for tensor in tensors:
        size = tensor.nbytes if isinstance(tensor, memoryview) else len(tensor)
        parts += (_begin(_RAW_OUTPUTS, size), tensor)
    return b"".join(parts)


def in_stream(response: bytes) -> bytes:
    """Return a ModelStreamInferResponse around a ModelInferResponse."""
    return b"%b%b" % (_begin(_INFER_RESPONSE, len(response)), response)


def _cut(body: bytes) -> Cut:
    at, kept, size = 0, 0, len(body)
    model = version = b""
    raw: list[memoryview] = []
    rest: list[memoryview] = []
    view = memoryview(body)
    while at < size:
        begin, tag = at, body[at]
        if tag < 0x80:
            at += 1
        else:
            tag, at = _varint(body, at)
        kind, number = tag & 7, tag >> 3
        if kind == _LENGTH:
            length = body[at]
            if length < 0x80:
                at += 1
            else:
                length, at = _varint(body, at)
            start, at = at, at + length
            if at > size:
                raise IndexError
            if number == RAW_INPUTS:
                raw.append(view[start:at])
                rest.append(view[kept:begin])
                kept = at
            elif number == MODEL_NAME:
                model = body[start:at]
            elif number == MODEL_VERSION:
                version = body[start:at]
        else:
            at = _skip(body, at, kind)
    if raw:
        rest.append(view[kept:])
        body = b"".join(rest)
    return Cut(model.decode(), version.decode(), body, tuple(raw))


def _skip(body: bytes, at: int, kind: int) -> int:
    if kind == _VARINT:
        return _varint(body, at)[1]
    if kind == _EIGHT_BYTES:
        return at + 8
    if kind == _FOUR_BYTES:
        return at + 4
    raise broken("one of its fields is of no known kind")


def _varint(body: bytes, at: int) -> tuple[int, int]:
    number = 0
    for shift in range(0, 7 * _LONGEST_VARINT, 7):
        byte = body[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, at
    raise broken("one of its numbers has no end")


def _begin(number: int, length: int) -> bytes:
    head = [number << 3 | _LENGTH]
    while length > 0x7F:
        head.append(length & 0x7F | 0x80)
        length >>= 7
    head.append(length)
    return bytes(head)
