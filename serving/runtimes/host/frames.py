"""Frames as the node speaks them with a host, and the answers in them. The host's end is ``child/wire.py``.

A host runs a stranger's code, so nothing that it sends is believed: every length, type and shape is checked before
memory is made for it, and what does not fit raises FrameError. Never pickle. The layout is drawn in ``child/wire.py``.
Not here: sockets, and what a broken host costs (``process.py``); what calls look like
(``calls.py``); memory that is shared with a host (``shared.py``).
"""

from __future__ import annotations

import base64
import json
import math
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import orjson

from serving.exchange import (
    Array,
    ArrayOutput,
    JsonOutput,
    Output,
    Table,
    TableOutput,
    TensorsOutput,
)
from serving.values import value

ALIGNMENT = 16
HEADER_LIMIT = 16 << 20
BUFFER_LIMIT = 65_536
BODY_LIMIT = 512 << 20
DIMENSION_LIMIT = 32
EMPTY_LIMIT = 1_000_000
SHARED_FROM = 64 * 1024
SHARED_BYTES = 32 << 20
_ELSEWHERE, MAY_SHARE = 1 << 31, 1 << 30
PREFIX = struct.Struct("<IIQ")
DTYPES = {np.dtype(d).str: np.dtype(d) for d in ("?", "i1", "u1", "<i2", "<u2", "<i4", "<u4", "<i8", "<u8")}
DTYPES |= {np.dtype(d).str: np.dtype(d) for d in ("<f2", "<f4", "<f8", "<M8[ns]")}

Header = dict[str, Any]


class FrameError(Exception):
    """The other end sent what no frame is."""


Buffer = bytes | memoryview


@value
class Frame:
    """One frame as it came: the request that it is about, its header, and its buffers as views of one piece of
    memory, or the lengths of those that lie ``elsewhere``: in shared memory."""

    number: int
    header: Header
    buffers: tuple[memoryview, ...]
    elsewhere: tuple[int, ...] = ()

    @property
    def size(self) -> int:
        """How many bytes its buffers have."""
        return sum(self.elsewhere) if self.elsewhere else sum(map(len, self.buffers))

    def fetched(self, take: Callable[[int], memoryview]) -> Frame:
        """Return the frame with its buffers, of which ``take`` gives so many bytes that nobody else can change."""
        if not self.elsewhere:
            return self
        return Frame(self.number, self.header, _cut(take(sum(map(padded, self.elsewhere))), 0, self.elsewhere))


class Room(Protocol):
    """Where buffers may be put that need not go over the socket."""

    def put(self, buffers: Sequence[Buffer]) -> bool:
        """Take buffers, each padded; False, and nothing is taken, where the socket is better or there is no room."""
        ...


def padded(length: int) -> int:
    """Return the room that a buffer takes."""
    return length + -length % ALIGNMENT


def pack(
    number: int, header: Mapping[str, Any], buffers: Sequence[Buffer], *, room: Room | None = None
) -> list[Buffer]:
    """Return a frame's bytes in pieces, large buffers as they are, or put into ``room``; the answer may use it too."""
    flags = 0
    lengths = struct.pack(f"<{len(buffers)}Q", *[len(b) for b in buffers])
    text = orjson.dumps(header)
    text += b" " * (-(PREFIX.size + len(lengths) + len(text)) % ALIGNMENT)
    count = len(buffers)
    if room is not None:
        flags = MAY_SHARE
        if room.put(buffers):
            flags, buffers = MAY_SHARE | _ELSEWHERE, ()
    parts: list[Buffer] = [PREFIX.pack(len(text), count | flags, number), lengths, text]
    for buffer in buffers:
        parts += [buffer, bytes(-len(buffer) % ALIGNMENT)]
    return parts


class Frames:
    """Takes bytes as they come, in any pieces, and gives whole frames.

    Args:
        elsewhere: How long the memory is that is shared with whoever sends; 0 where there is none.
    """

    def __init__(self, elsewhere: int = 0) -> None:
        self._held = bytearray()
        self._elsewhere = elsewhere

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Add bytes and yield the frames that are complete; raise FrameError as soon as one cannot be one."""
        if not self._held and (head := self._measure(data)) and head.size == len(data):
            yield head.open(data)  # the usual case, without a copy
            return
        self._held += data
        while (head := self._measure(self._held)) and len(self._held) >= head.size:
            if len(self._held) == head.size:
                frame, self._held = self._held, bytearray()
            else:  # bytes of its own: arrays are made of it, and the rest must be free to grow
                frame, self._held = self._held[: head.size], self._held[head.size :]
            yield head.open(frame)

    def _measure(self, held: bytes | bytearray) -> _Head | None:
        # What the first frame's lengths are; None while they cannot be known.
        if len(held) < PREFIX.size:
            return None
        text, count, number = PREFIX.unpack_from(held)
        elsewhere = count & _ELSEWHERE
        count -= elsewhere
        start = PREFIX.size + 8 * count
        if text > HEADER_LIMIT or count > BUFFER_LIMIT or (start + text) % ALIGNMENT:
            raise FrameError("a frame's header is out of bounds")
        if len(held) < start:
            return None
        lengths = struct.unpack_from(f"<{count}Q", held, PREFIX.size)
        body = sum(map(padded, lengths))
        if body > (self._elsewhere if elsewhere else BODY_LIMIT + count * ALIGNMENT):
            raise FrameError("a frame's buffers are out of bounds")
        end = start + text
        return _Head(number, start, end, end if elsewhere else end + body, lengths, bool(elsewhere))


@value
class _Head:
    """A frame's number, where its header's text starts and ends, where the frame ends; the lengths of its buffers."""

    number: int
    start: int
    end: int
    size: int
    lengths: tuple[int, ...]
    elsewhere: bool

    def open(self, frame: bytes | bytearray) -> Frame:
        view = memoryview(frame)
        try:
            header = orjson.loads(view[self.start : self.end])
        except orjson.JSONDecodeError as error:
            raise FrameError("a frame's header is not JSON") from error
        if not isinstance(header, dict):
            raise FrameError("a frame's header is no object")
        if self.elsewhere:
            return Frame(self.number, header, (), self.lengths)
        return Frame(self.number, header, _cut(view, self.end, self.lengths))


def _cut(body: memoryview, position: int, lengths: Sequence[int]) -> tuple[memoryview, ...]:
    buffers = []
    for length in lengths:
        buffers.append(body[position : position + length])
        position += length + -length % ALIGNMENT
    return tuple(buffers)


# ---- answers, coming in -------------------------------------------------------------------------------------------


def read_output(frame: Frame) -> Output:
    """Return the output in an answer; raise FrameError where it is damaged."""
    try:
        return _read_output(frame.header["output"], frame.buffers)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, OverflowError, RecursionError) as error:
        raise FrameError(f"an answer is damaged: {type(error).__name__}") from error


def _read_output(spec: Header, buffers: Sequence[memoryview]) -> Output:
    kind = spec["kind"]
    size = sum(map(len, buffers))
    if kind == "array":
        return ArrayOutput(read_array(spec["array"], buffers), size)
    if kind == "json":
        return JsonOutput(json.loads(bytes(buffers[_index(spec["buffer"])])), size)
    if kind == "bytes":
        raw = tuple(map(bytes, buffers))
        texts = [base64.encodebytes(each).decode() for each in raw]  # as MLflow's scoring server says it
        return JsonOutput(texts if spec["listed"] else texts[0], size, raw)
    names = tuple(_text(n) for n in spec["names"])
    arrays = tuple(read_array(a, buffers) for a in spec["arrays"])
    if len(names) != len(arrays):
        raise FrameError("an answer has other names than arrays")
    if kind == "tensors":
        return TensorsOutput({name: arrays[i] for i, name in enumerate(names)}, size)
    if kind != "table" or any(a.shape != (spec["rows"],) for a in arrays):
        raise FrameError("an answer is of no known kind, or its columns differ in length")
    return TableOutput(Table(names, arrays), size)


def _index(value: object) -> int:
    if type(value) is not int or value < 0:
        raise FrameError("a buffer's number is none")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise FrameError("a name is no text")
    return value


def read_array(spec: Mapping[str, Any], buffers: Sequence[memoryview]) -> Array:
    """Return the array that ``spec`` describes; raise FrameError, or as damaged data does."""
    shape = [_index(d) for d in spec["shape"]]
    count = math.prod(shape)
    if len(shape) > DIMENSION_LIMIT or (count == 0 and math.prod(max(d, 1) for d in shape) > EMPTY_LIMIT):
        raise FrameError("an array's shape is out of bounds")
    buffer = buffers[_index(spec["buffer"])]
    if spec["dtype"] == "S":
        return _cells_of_bytes(bytes(buffer), [_index(length) for length in spec["lengths"]], shape)
    if spec["dtype"] != "O":
        dtype = DTYPES[spec["dtype"]]
        if count * dtype.itemsize != len(buffer):
            raise FrameError("an array's bytes do not fill its shape")
        return np.frombuffer(buffer, dtype=dtype).reshape(shape)
    cells = json.loads(bytes(buffer))
    if not isinstance(cells, list) or len(cells) != count:
        raise FrameError("an array's cells do not fill its shape")
    flat = np.empty(count, dtype=object)
    for i, cell in enumerate(cells):
        flat[i] = untag(cell)
    return flat.reshape(shape)


def _cells_of_bytes(data: bytes, lengths: Sequence[int], shape: Sequence[int]) -> Array:
    if len(lengths) != math.prod(shape) or sum(lengths) != len(data):
        raise FrameError("an array's bytes do not fill its shape")
    flat = np.empty(len(lengths), dtype=object)
    start = 0
    for i, length in enumerate(lengths):
        flat[i] = data[start : start + length]
        start += length
    return flat.reshape(shape)


def untag(value: Any) -> Any:
    """Return JSON as it was before it was tagged for the way; raise FrameError, or as damaged data does."""
    if isinstance(value, list):
        return [untag(v) for v in value]
    if not isinstance(value, dict):
        return value
    if set(value) == {"$bytes"}:
        return base64.b64decode(value["$bytes"])
    if set(value) == {"$dict"}:
        return {_text(k): untag(v) for k, v in value["$dict"]}
    return {k: untag(v) for k, v in value.items()}
