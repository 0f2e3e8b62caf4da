"""Cuts raw tensors out of a request's bytes and writes them into an answer's, without protobuf's copies of them.

Protobuf reads a message into memory of its own, and hands each ``bytes`` field out as one more copy: of a tensor of 16
MB, 32. Here the outermost fields are walked by their lengths, raw tensors stay views of the bytes that came, and only
what is left goes to protobuf. Pure. Not here: what the fields mean.

Source: protobuf's encoding, https://protobuf.dev/programming-guides/encoding/.
"""

from __future__ import annotations

from collections.abc import Sequence

from registry.errors import InvalidRequest
from serving.protocols.limits import MAX_COLUMNS
from serving.values import value

MODEL_NAME, MODEL_VERSION, ID, PARAMETERS, RAW_INPUTS = 1, 2, 3, 4, 7
MAX_FIELDS = 4 * MAX_COLUMNS
"""How many outermost fields are walked: an input, its tensor and an output for each column, and room for the rest."""
QUICK_FIELDS = 4096
"""How many are walked on the event loop: a few milliseconds."""
EMPTY_FINAL = "triton_enable_empty_final_response"
_RAW_OUTPUTS, _INFER_RESPONSE = 6, 2
_VARINT, _EIGHT_BYTES, _LENGTH, _FOUR_BYTES = 0, 1, 2, 5
_LONGEST_VARINT = 10
_EMPTY_FINAL = EMPTY_FINAL.encode()


@value
class Cut:
    """A ModelInferRequest in parts.

    Attributes:
        model: ``model_name``.
        version: ``model_version``; empty where it was not given.
        rest: The message without its raw tensors.
        raw: Those, in their order: views of the bytes that came.
        id: What the caller calls the request; empty for nothing.
        empty_final: The parameter of that name as a message of its own; empty where it was not given.
    """

    model: str
    version: str
    rest: bytes
    raw: tuple[memoryview, ...]
    id: str = ""
    empty_final: bytes = b""


def cut(body: bytes, most: int = MAX_FIELDS) -> Cut:
    """Return a ModelInferRequest in parts.

    Raises InvalidRequest ``invalid_argument`` for what is no message, and ``too_many_values`` for one of more than
    ``most`` fields.
    """
    try:
        return _cut(body, most)
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


def _cut(body: bytes, most: int) -> Cut:
    at, kept, size, fields = 0, 0, len(body), 0
    texts, empty_final = [b""] * (ID + 1), b""
    raw: list[memoryview] = []
    rest: list[memoryview] = []
    view = memoryview(body)
    while at < size:
        begin, tag = at, body[at]
        fields += 1
        if fields > most:
            raise _too_many(most)
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
                if begin > kept:
                    rest.append(view[kept:begin])
                kept = at
            elif number <= ID:
                texts[number] = body[start:at]
            elif number == PARAMETERS and body.find(_EMPTY_FINAL, start, at) >= 0:
                empty_final = body[begin:at]
        else:
            at = _skip(body, at, kind)
    if raw:
        rest.append(view[kept:])
        body = b"".join(rest)
    model, version, request_id = [text.decode() for text in texts[MODEL_NAME:]]
    return Cut(model, version, body, tuple(raw), request_id, empty_final)


def _too_many(most: int) -> InvalidRequest:
    message = f"the request has more than {most:,} fields beside those within its inputs; send fewer tensors"
    return InvalidRequest("too_many_values", message, {"limit": most})


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
