"""Frames as the node speaks them with a host: calls out, answers in. The host's end is ``child/wire.py``.

A host runs a stranger's code, so nothing that it sends is believed: every length, type and shape is checked before
memory is made for it, and what does not fit raises FrameError. Never pickle. The layout is drawn in ``child/wire.py``.
Not here: sockets, and what a broken host costs (``process.py``).
"""

from __future__ import annotations

import base64
import datetime
import json
import math
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson

from serving.exchange import (
    Array,
    ArrayOutput,
    Call,
    JsonOutput,
    Output,
    Table,
    TableOutput,
    TensorInput,
    TensorsInput,
    TensorsOutput,
)

ALIGNMENT = 16
HEADER_LIMIT = 16 << 20
BUFFER_LIMIT = 65_536
BODY_LIMIT = 512 << 20
DIMENSION_LIMIT = 32
EMPTY_LIMIT = 1_000_000
LARGE_BYTES = 64 * 1024
_PREFIX = struct.Struct("<IIQ")
_DTYPES = {np.dtype(d).str: np.dtype(d) for d in ("?", "i1", "u1", "<i2", "<u2", "<i4", "<u4", "<i8", "<u8")}
_DTYPES |= {np.dtype(d).str: np.dtype(d) for d in ("<f2", "<f4", "<f8", "<M8[ns]")}

Header = dict[str, Any]


class FrameError(Exception):
    """The other end sent what no frame is."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame as it came: the request that it is about, its header, and its buffers as views of one piece of
    memory."""

    number: int
    header: Header
    buffers: tuple[memoryview, ...]


Buffer = bytes | memoryview


def pack(number: int, header: Mapping[str, Any], buffers: Sequence[Buffer]) -> list[Buffer]:
    """Return a frame's bytes in pieces, large buffers as they are."""
    lengths = struct.pack(f"<{len(buffers)}Q", *[len(b) for b in buffers])
    text = orjson.dumps(header)
    text += b" " * (-(_PREFIX.size + len(lengths) + len(text)) % ALIGNMENT)
    parts: list[Buffer] = [_PREFIX.pack(len(text), len(buffers), number), lengths, text]
    for buffer in buffers:
        parts += [buffer, bytes(-len(buffer) % ALIGNMENT)]
    return parts


class Frames:
    """Takes bytes as they come, in any pieces, and gives whole frames."""

    def __init__(self) -> None:
        self._held = bytearray()

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Add bytes and yield the frames that are complete; raise FrameError as soon as one cannot be one."""
        if not self._held and (size := self._measure(data)) == len(data) and size:
            yield _open(data)  # the usual case, without a copy
            return
        self._held += data
        while (size := self._measure(self._held)) and len(self._held) >= size:
            if len(self._held) == size:
                frame, self._held = self._held, bytearray()
            else:  # bytes of its own: arrays are made of it, and the rest must be free to grow
                frame, self._held = self._held[:size], self._held[size:]
            yield _open(frame)

    @staticmethod
    def _measure(held: bytes | bytearray) -> int:
        # The size of the first frame; 0 while it cannot be known.
        if len(held) < _PREFIX.size:
            return 0
        text, count, _ = _PREFIX.unpack_from(held)
        if text > HEADER_LIMIT or count > BUFFER_LIMIT or (_PREFIX.size + 8 * count + text) % ALIGNMENT:
            raise FrameError("a frame's header is out of bounds")
        if len(held) < _PREFIX.size + 8 * count:
            return 0
        lengths = struct.unpack_from(f"<{count}Q", held, _PREFIX.size)
        body = sum(n + -n % ALIGNMENT for n in lengths)
        if body > BODY_LIMIT + count * ALIGNMENT:
            raise FrameError("a frame's buffers are out of bounds")
        return int(_PREFIX.size + 8 * count + text + body)


def _open(frame: bytes | bytearray) -> Frame:
    view = memoryview(frame)
    text, count, number = _PREFIX.unpack_from(view)
    position = _PREFIX.size + 8 * count
    try:
        header = orjson.loads(view[position : position + text])
    except orjson.JSONDecodeError as error:
        raise FrameError("a frame's header is not JSON") from error
    if not isinstance(header, dict):
        raise FrameError("a frame's header is no object")
    position += text
    buffers = []
    for length in struct.unpack_from(f"<{count}Q", view, _PREFIX.size):
        buffers.append(view[position : position + length])
        position += length + -length % ALIGNMENT
    return Frame(number, header, tuple(buffers))


# ---- calls, going out ---------------------------------------------------------------------------------------------


def pack_call(number: int, call: Call) -> list[Buffer]:
    """Return the frame of one predict, in pieces; raise TypeError or ValueError for what cannot travel."""
    buffers: list[Buffer] = []
    header: Header = {"input": _lay_input(call, buffers)}
    if call.params:
        header["params"] = _lay_json(dict(call.params), buffers)
    return pack(number, header, buffers)


def _lay_input(call: Call, buffers: list[Buffer]) -> Header:
    data = call.data
    if isinstance(data, Table):
        blocks = [_lay_array(block, buffers) for block in _blocks(data.arrays)]
        return {"kind": "table", "names": data.names, "named": data.named, "rows": data.rows, "blocks": blocks}
    if isinstance(data, TensorInput):
        return {"kind": "tensor", "array": _lay_array(data.array, buffers)}
    if isinstance(data, TensorsInput):
        arrays = [_lay_array(a, buffers) for a in data.arrays.values()]
        return {"kind": "tensors", "names": list(data.arrays), "arrays": arrays}
    return {"kind": "json", "buffer": _lay_json(data.value, buffers)}


def _blocks(arrays: Sequence[Array]) -> Iterator[Array]:
    """Yield runs of columns of one dtype as arrays (columns, rows)."""
    start = 0
    for end in range(1, len(arrays) + 1):
        if end == len(arrays) or arrays[end].dtype != arrays[start].dtype:
            yield np.concatenate(arrays[start:end]).reshape(end - start, -1)  # np.stack would take cells apart
            start = end


def _lay_array(array: Array, buffers: list[Buffer]) -> Header:
    if array.dtype.kind in "US":
        array = array.astype(object)
    if array.dtype.kind == "O":
        return {"dtype": "O", "shape": array.shape, "buffer": _lay_json(array.ravel().tolist(), buffers)}
    dtype = np.dtype("<M8[ns]") if array.dtype.kind == "M" else array.dtype.newbyteorder("<")
    if dtype.str not in _DTYPES:
        raise TypeError(f"arrays of {array.dtype} cannot be sent to a host")
    little = array.astype(dtype, copy=False)
    if dtype.kind == "M" and not ((little.astype(array.dtype) == array) | np.isnat(array)).all():
        raise ValueError("a date lies beyond the years 1678 to 2262")  # numpy would overflow in silence
    large = little.nbytes > LARGE_BYTES and little.flags.c_contiguous
    buffers.append(little.data.cast("B") if large else little.tobytes())
    return {"dtype": dtype.str, "shape": array.shape, "buffer": len(buffers) - 1}


def _lay_json(value: object, buffers: list[Buffer]) -> int:
    # Not orjson: numbers of any size, NaN and lone surrogates are to arrive as they are.
    buffers.append(json.dumps(_tag(value)).encode())
    return len(buffers) - 1


def _tag(value: object) -> object:
    kind = type(value)
    if value is None or kind in (str, int, float, bool):
        return value
    if isinstance(value, np.generic):
        return {"$datetime": str(value)} if isinstance(value, np.datetime64) else _tag(value.item())
    if isinstance(value, datetime.datetime | datetime.date):
        return {"$datetime": value.isoformat()}
    if isinstance(value, bytes | bytearray):
        return {"$bytes": base64.b64encode(value).decode()}
    if isinstance(value, Mapping):
        pairs = [(str(k), _tag(v)) for k, v in value.items()]
        return {"$dict": pairs} if any(k.startswith("$") for k, _ in pairs) else dict(pairs)
    if isinstance(value, list | tuple | np.ndarray):
        return [_tag(v) for v in value]
    raise TypeError(f"a {kind.__name__} cannot be sent to a host")


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
    if spec["dtype"] != "O":
        dtype = _DTYPES[spec["dtype"]]
        if count * dtype.itemsize != len(buffer):
            raise FrameError("an array's bytes do not fill its shape")
        return np.frombuffer(buffer, dtype=dtype).reshape(shape)
    cells = json.loads(bytes(buffer))
    if not isinstance(cells, list) or len(cells) != count:
        raise FrameError("an array's cells do not fill its shape")
    flat = np.empty(count, dtype=object)
    for i, cell in enumerate(cells):
        flat[i] = _untag(cell)
    return flat.reshape(shape)


def _untag(value: Any) -> Any:
    if isinstance(value, list):
        return [_untag(v) for v in value]
    if not isinstance(value, dict):
        return value
    if set(value) == {"$bytes"}:
        return base64.b64decode(value["$bytes"])
    if set(value) == {"$dict"}:
        return {_text(k): _untag(v) for k, v in value["$dict"]}
    return {k: _untag(v) for k, v in value.items()}
