"""What an Arrow IPC stream claims, read from its own headers before pyarrow believes them. Pure, standard library.

A stream of 200 bytes may claim a thousand million rows (columns of the null type need no bytes for them), compressed
buffers may expand a thousandfold, and buffers may overlap. So: rows and columns are bounded, compressed buffers refused
(a caller compresses the body instead: ``Content-Encoding: gzip``), and buffers must fit their message.

Source: Arrow's ``format/Message.fbs`` and ``Schema.fbs``, and the FlatBuffers internals that encode them.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from registry.errors import InvalidRequest
from serving.protocols.limits import MAX_COLUMNS, Limits
from serving.protocols.refusals import too_many_values

_CONTINUATION = 0xFFFFFFFF
_SCHEMA, _DICTIONARY, _RECORDS = 1, 2, 3
_NODE = struct.Struct("<qq")


@dataclass(frozen=True, slots=True)
class _Table:
    """A FlatBuffers table: where its fields lie in ``data``."""

    data: bytes
    start: int

    def field(self, number: int) -> int | None:
        """Return the position of a field's value, or None where it is absent."""
        (back,) = struct.unpack_from("<i", self.data, self.start)
        vtable = self.start - back
        if vtable < 0:
            raise ValueError("a table lies outside of its message")
        (size,) = struct.unpack_from("<H", self.data, vtable)
        if 4 + 2 * number >= size:
            return None
        (offset,) = struct.unpack_from("<H", self.data, vtable + 4 + 2 * number)
        return self.start + offset if offset else None

    def integer(self, number: int, layout: str) -> int:
        """Return an integer field, 0 where it is absent."""
        at = self.field(number)
        return 0 if at is None else int(struct.unpack_from(layout, self.data, at)[0])

    def table(self, number: int) -> _Table | None:
        """Return a table that a field points to."""
        at = self.field(number)
        return None if at is None else _Table(self.data, at + int(struct.unpack_from("<I", self.data, at)[0]))

    def pairs(self, number: int) -> Iterator[tuple[int, int]]:
        """Yield a vector of structs of two 64-bit integers."""
        at = self.field(number)
        if at is None:
            return
        start = at + int(struct.unpack_from("<I", self.data, at)[0])
        (length,) = struct.unpack_from("<I", self.data, start)
        if start + 4 + length * _NODE.size > len(self.data):
            raise ValueError("a vector is longer than its message")
        yield from _NODE.iter_unpack(self.data[start + 4 : start + 4 + length * _NODE.size])


def check_stream(body: bytes, limits: Limits) -> None:
    """Refuse a stream that claims too much.

    Raises InvalidRequest ``invalid_argument``, ``too_many_values``, ``unsupported_media_type``.
    """
    values = 0
    try:
        for kind, header, size in _messages(body):
            if kind not in (_DICTIONARY, _RECORDS):
                continue
            batch = header.table(1) if header is not None and kind == _DICTIONARY else header
            if batch is None:
                raise ValueError("a message has no header")
            values += _check_batch(batch, size)
            if values > limits.values:
                raise too_many_values(values, limits.values)
    except (struct.error, ValueError, OverflowError):
        raise unreadable() from None


def unreadable() -> InvalidRequest:
    """Return the refusal of bytes that are no stream."""
    return InvalidRequest(
        "invalid_argument", "the body is not a valid Arrow IPC stream; write it with pyarrow.ipc.new_stream"
    )


def _messages(body: bytes) -> Iterator[tuple[int, _Table | None, int]]:
    """Yield each message's header type, header, and the length of its body."""
    at = 0
    while at < len(body):
        (size,) = struct.unpack_from("<I", body, at)
        at += 4
        if size == _CONTINUATION:
            (size,) = struct.unpack_from("<I", body, at)
            at += 4
        if size == 0:
            return
        metadata = body[at : at + size]
        if len(metadata) < size:
            raise ValueError("the stream ends inside a message")
        message = _Table(metadata, int(struct.unpack_from("<I", metadata, 0)[0]))
        length = message.integer(3, "<q")
        at += size
        if not 0 <= length <= len(body) - at:
            raise ValueError("the stream ends inside a message's body")
        yield message.integer(1, "<B"), message.table(2), length
        at += length


def _check_batch(batch: _Table, size: int) -> int:
    """Return how many values a record batch holds, nested ones counted too."""
    if batch.field(3) is not None:
        raise InvalidRequest(
            "unsupported_media_type",
            "the Arrow stream's buffers are compressed, which is not accepted; write it uncompressed, "
            "and compress the body if you like (Content-Encoding: gzip)",
        )
    rows = batch.integer(0, "<q")
    lengths = [length for length, _ in batch.pairs(1)]
    if rows < 0 or any(length < 0 for length in lengths):
        raise ValueError("a batch has a negative length")
    if len(lengths) > 2 * MAX_COLUMNS:
        raise ValueError("a batch has too many columns")
    if sum(length for _, length in batch.pairs(2)) > size:
        raise ValueError("a batch's buffers overlap")
    return max(rows, sum(lengths))
