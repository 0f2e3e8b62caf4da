"""Reads protobuf's wire format strictly, in place, without the schema's own library. Pure.

A graph comes from anybody, and the process that judges it must survive that: nothing here recurses, copies more than it
returns, or believes a length. Repeated numbers, of which a forest has millions, are taken a run at a time by regular
expressions that cannot backtrack. Not here: what the fields mean (``onnx_file.py``).
Source: https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
_MAX_FIELDS = 500_000
WINDOW_BYTES = 1 << 16
"""How much one regular expression reads: nothing else in the process turns meanwhile."""
_PACKED = re.compile(rb"[\x80-\xff]{0,9}[\x00-\x7f]")


class Unfit(Exception):
    """Why a graph may not run in the serving process, in words."""


@dataclass(slots=True)
class Budget:
    """How many fields may still be read; reading one costs the same whoever wrote it."""

    left: int = _MAX_FIELDS


@dataclass(frozen=True, slots=True)
class Field:
    """One field: its number, its wire type, and either its number or where its bytes lie."""

    number: int
    kind: int
    value: int = 0
    start: int = 0
    end: int = 0


class Message:
    """The bytes of one message, and its fields in the order they came."""

    def __init__(self, data: bytes, start: int, end: int, budget: Budget) -> None:
        self.data, self.start, self.end, self.budget = data, start, end, budget

    def fields(self) -> Iterator[Field]:
        """Yield the fields; raise Unfit as soon as one is damaged."""
        at = self.start
        while at < self.end:
            field, at = self.field_at(at)
            yield field

    def field_at(self, at: int) -> tuple[Field, int]:
        """Return the field that begins at ``at``, and where the next one does."""
        self.budget.left -= 1
        if self.budget.left < 0:
            raise Unfit("it consists of too many parts")
        tag, at = self._varint(at)
        number, kind = tag >> 3, tag & 7
        if number == 0 or number > 0x1FFFFFFF:
            raise Unfit("it is no ONNX file")
        if kind == VARINT:
            value, at = self._varint(at)
            return Field(number, kind, value), at
        if kind == BYTES:
            length, at = self._varint(at)
        else:
            length = {FIXED64: 8, FIXED32: 4}.get(kind, self.end + 1)
        if length > self.end - at:
            raise Unfit("it is damaged or cut off")
        return Field(number, kind, 0, at, at + length), at + length

    def inner(self, field: Field) -> Message:
        """Return the message that a field holds."""
        if field.kind != BYTES:
            raise Unfit("it is no ONNX file")
        return Message(self.data, field.start, field.end, self.budget)

    def text(self, field: Field) -> str:
        """Return a field's text."""
        try:
            return self.bytes(field).decode()
        except UnicodeDecodeError:
            raise Unfit("it holds text that is not UTF-8") from None

    def bytes(self, field: Field) -> bytes:
        """Return a field's bytes."""
        if field.kind != BYTES:
            raise Unfit("it is no ONNX file")
        return self.data[field.start : field.end]

    def _varint(self, at: int) -> tuple[int, int]:
        value = shift = 0
        while at < self.end and shift < 70:
            byte = self.data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value & 0xFFFFFFFFFFFFFFFF, at
            shift += 7
        raise Unfit("it is damaged or cut off")


def number(field: Field) -> int:
    """Return a field's number as the signed 64-bit integer that it stands for."""
    if field.kind != VARINT:
        raise Unfit("it is no ONNX file")
    return signed(field.value)


def signed(value: int) -> int:
    """Return an unsigned 64-bit number as two's complement."""
    return value - (1 << 64) if value >> 63 else value


def packed(data: bytes) -> Iterator[list[bytes]]:
    """Yield the encodings of packed integers, each as it lies there; raise Unfit where one is damaged."""
    at = 0
    while at < len(data):
        end = min(at + WINDOW_BYTES, len(data))
        while end > at and data[end - 1] >= 0x80:  # not within a number
            end -= 1
        found = _PACKED.findall(data, at, end)
        if not found or sum(map(len, found)) != end - at:
            raise Unfit("it is damaged or cut off")
        yield found
        at = end


def decode(encoded: bytes) -> int:
    """Return the signed integer of one encoding."""
    value = 0
    for shift, byte in enumerate(encoded):
        value |= (byte & 0x7F) << (7 * shift)
    return signed(value & 0xFFFFFFFFFFFFFFFF)
