"""What a Parquet file's pages claim, read from their own headers before anything is decompressed. Pure.

The footer's sizes are only what a writer said; a reader allocates by each page's header. So the headers are walked,
which costs nothing against reading the data, and their sums are held against the limits.

Source: Apache Parquet's ``parquet.thrift`` (PageHeader) and Thrift's compact protocol.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

_DELTA_BYTE_ARRAY = 7
_DICTIONARY_PAGE = 2
_BOOL_TRUE, _BOOL_FALSE, _BYTE, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = 1, 2, 3, 7, 8, 9, 10, 11, 12
_DEEPEST = 8

Fields = dict[int, "int | Fields"]


@dataclass(frozen=True, slots=True)
class Page:
    """One page: whether it is a dictionary, its size when decompressed, its values, whether it shares prefixes."""

    dictionary: bool
    size: int
    values: int
    prefixed: bool


def pages(body: bytes, start: int, length: int) -> Iterator[Page]:
    """Yield the pages of a column chunk; raise ValueError or IndexError where it is damaged."""
    at, end = start, start + length
    if start < 0 or length < 0 or end > len(body):
        raise ValueError("a column chunk lies outside of the file")
    while at < end:
        header, at = _struct(body, at, 0)
        size, stored = header.get(2), header.get(3)
        if not isinstance(size, int) or not isinstance(stored, int) or size < 0 or stored < 0:
            raise ValueError("a page has no size")
        inner = header.get(7) or header.get(5) or header.get(8) or {}
        if not isinstance(inner, dict):
            raise ValueError("a page header is damaged")
        values = inner.get(1, 0)
        # The encoding is field 2 of a data page, but field 4 of its second version.
        encoding = inner.get(4 if 8 in header else 2)
        if not isinstance(values, int) or values < 0:
            raise ValueError("a page has a negative number of values")
        yield Page(header.get(1) == _DICTIONARY_PAGE, size, values, encoding == _DELTA_BYTE_ARRAY)
        at += stored


def _varint(body: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = body[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise ValueError("a number is too long")


def _struct(body: bytes, at: int, depth: int) -> tuple[Fields, int]:
    if depth > _DEEPEST:
        raise ValueError("a header nests too deep")
    fields: Fields = {}
    number = 0
    while True:
        head = body[at]
        at += 1
        if head == 0:
            return fields, at
        if head >> 4:
            number += head >> 4
        else:
            number, at = _zigzag(body, at)
        value, at = _value(body, at, head & 0x0F, depth)
        if value is not None:
            fields[number] = value


def _zigzag(body: bytes, at: int) -> tuple[int, int]:
    raw, at = _varint(body, at)
    return (raw >> 1) ^ -(raw & 1), at


def _value(body: bytes, at: int, kind: int, depth: int) -> tuple[int | Fields | None, int]:
    """Return a field's value where it is an integer or a struct, and where the next one begins."""
    if kind in (_BOOL_TRUE, _BOOL_FALSE):
        return int(kind == _BOOL_TRUE), at
    if kind == _BYTE:
        return body[at], at + 1
    if kind in (4, 5, 6):
        return _zigzag(body, at)
    if kind == _DOUBLE:
        return None, at + 8
    if kind == _BINARY:
        length, at = _varint(body, at)
        return None, at + length
    if kind == _STRUCT:
        return _struct(body, at, depth + 1)
    # Lists, sets and maps occur in no page header.
    raise ValueError("a page header is damaged")
