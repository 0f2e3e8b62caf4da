"""A body of ``multipart/form-data`` (RFC 7578), taken apart within bounds. Pure.

What a file was called on its sender's machine is never looked at. Not here: what the parts are for (``media``).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from registry.errors import InvalidRequest, quote
from serving.values import value

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

MOST_PARTS = 16
MOST_HEADERS = 8
HEADER_BYTES = 1024
BOUNDARY_LENGTH = 70
NAME_LENGTH = 256

# RFC 2046 §5.1.1: it may hold spaces, but not end with one.
_BOUNDARY = re.compile(rb"[0-9A-Za-z'()+_,\-./:=? ]*[0-9A-Za-z'()+_,\-./:=?]")
_AS_THEY_ARE = (b"", b"binary", b"8bit", b"7bit")


@value
class Part:
    """One part: its name (None for a body that is no form), its media type in lower case (empty where it does not say),
    its bytes."""

    name: str | None
    media: str
    data: bytes


def split_form(content_type: str, body: bytes) -> tuple[Part, ...]:
    """Return the parts of a form; raise InvalidRequest ``invalid_argument`` for what is none, or too much of one."""
    reading = _Reading()
    try:
        parser = MultipartParser(
            _boundary(content_type),
            reading.callbacks(),
            max_header_count=MOST_HEADERS,
            max_header_size=HEADER_BYTES,
        )
        parser.write(body)
        parser.finalize()
    except FormParserError as error:
        raise _wrong(quote(error, 200)) from None
    if not reading.ended:
        raise _wrong("it is cut short: the last boundary is missing")
    return tuple(reading.parts)


def _boundary(content_type: str) -> bytes:
    if len(content_type) > HEADER_BYTES:
        raise _wrong(f"its Content-Type has more than {HEADER_BYTES} characters")
    _, options = parse_options_header(content_type)
    boundary = options.get(b"boundary", b"")
    if not boundary:
        raise _wrong("its Content-Type names no boundary")
    if len(boundary) > BOUNDARY_LENGTH or not _BOUNDARY.fullmatch(boundary):
        raise _wrong(f"a boundary has at most {BOUNDARY_LENGTH} characters of those that RFC 2046 allows")
    return boundary


class _Reading:
    """What the parser has told so far."""

    def __init__(self) -> None:
        self.parts: list[Part] = []
        self.ended = False
        self._headers: dict[bytes, bytes] = {}
        self._field: list[bytes] = []
        self._value: list[bytes] = []
        self._data: list[bytes] = []

    def callbacks(self) -> MultipartCallbacks:
        """Return what the parser calls."""
        return {
            "on_part_begin": self._begin,
            "on_header_field": lambda data, start, end: self._field.append(data[start:end]),
            "on_header_value": lambda data, start, end: self._value.append(data[start:end]),
            "on_header_end": self._end_header,
            "on_part_data": lambda data, start, end: self._data.append(data[start:end]),
            "on_part_end": self._end_part,
            "on_end": self._end,
        }

    def _begin(self) -> None:
        if len(self.parts) >= MOST_PARTS:
            raise _wrong(f"it has more than {MOST_PARTS} parts")
        self._headers, self._data = {}, []

    def _end_header(self) -> None:
        field = b"".join(self._field).lower()
        if field in self._headers:
            raise _wrong("a part has one header twice")
        self._headers[field] = b"".join(self._value)
        self._field, self._value = [], []

    def _end_part(self) -> None:
        headers = self._headers
        if headers.get(b"content-transfer-encoding", b"").strip().lower() not in _AS_THEY_ARE:
            raise _wrong("a part has a Content-Transfer-Encoding; send bytes as they are")
        media = headers.get(b"content-type", b"").partition(b";")[0].strip().lower().decode("latin-1")
        self.parts.append(Part(_name(headers), media, b"".join(self._data)))
        self._data = []

    def _end(self) -> None:
        self.ended = True


def _name(headers: dict[bytes, bytes]) -> str:
    kind, options = parse_options_header(headers.get(b"content-disposition", b""))
    if kind != b"form-data" or not options.get(b"name"):
        raise _wrong('each part needs a header such as Content-Disposition: form-data; name="image"')
    try:
        name = options[b"name"].decode()
    except UnicodeDecodeError:
        raise _wrong("a part's name is not UTF-8") from None
    if len(name) > NAME_LENGTH:
        raise _wrong(f"a part's name has more than {NAME_LENGTH} characters")
    return name


def _wrong(why: str) -> InvalidRequest:
    return InvalidRequest("invalid_argument", f"the body cannot be read as multipart/form-data: {why}", {})
