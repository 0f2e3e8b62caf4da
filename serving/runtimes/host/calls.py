"""A predict as a frame: what a host is sent. Not here: the frame itself, and what comes back (``frames.py``)."""

from __future__ import annotations

import base64
import datetime
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from serving.exchange import Array, Call, Input, Table, TensorInput, TensorsInput
from serving.runtimes.host.frames import ALIGNMENT, DTYPES, MAY_SHARE, PREFIX, Buffer, Header, Room, pack

LARGE_BYTES = 64 * 1024
_PLAIN = frozenset(d for d in DTYPES.values() if d.kind != "M" and d.isnative)
_KNOWN_HEADERS, _KNOWN_BYTES = 256, 1 << 12
MOST_RAW_CELLS = 65_536
"""Cells of bytes that travel as they are, one after another; more go as text, for the header has bounds."""


def pack_call(number: int, call: Call, room: Room | None = None, *, ahead: int = 0) -> list[Buffer]:
    """Return the frame of one predict, as ``pack`` does; raise TypeError or ValueError for what cannot travel.

    ``ahead`` asks for a stream, of which so many pieces may be on their way; 0 for an answer at once.
    """
    buffers: list[Buffer] = []
    header: Header = {"input": _lay_input(call, buffers)}
    if ahead:
        header["stream"] = ahead
    if call.params:
        header["params"] = _lay_json(dict(call.params), buffers)
    return pack(number, header, buffers, room=room)


class Calls:
    """Packs calls as ``pack_call`` does; for small ones of numbers of one type, the header is written once for all that
    are equal in everything but their numbers."""

    def __init__(self) -> None:
        self._known: dict[tuple[object, ...], tuple[int, bytes]] = {}

    def pack(self, number: int, call: Call, room: Room | None = None) -> list[Buffer]:
        """Return the frame of one predict; see ``pack_call``."""
        key = None if call.params else _form_of(call.data)
        if key is None:
            return pack_call(number, call, room)
        known = self._known.get(key)
        if known is None:
            _, lengths, text, _, _ = pack_call(number, call)
            known = len(text), bytes(lengths) + bytes(text)
            if len(known[1]) <= _KNOWN_BYTES:
                if len(self._known) >= _KNOWN_HEADERS:
                    self._known.clear()
                self._known[key] = known
        text_length, head = known
        data: Any = call.data
        body = data.array if type(data) is TensorInput else np.concatenate(data.arrays)
        prefix = PREFIX.pack(text_length, 1 if room is None else 1 | MAY_SHARE, number)
        return [b"".join((prefix, head, body.tobytes(), bytes(-body.nbytes % ALIGNMENT)))]


def weight_of(call: Call) -> int:
    """Return about how many bytes an input has; 0 for JSON values."""
    data: Any = call.data
    if type(data) is Table:
        return 8 * data.rows * len(data.arrays)
    if isinstance(data, TensorsInput):
        return sum(a.nbytes for a in data.arrays.values())
    return data.array.nbytes if isinstance(data, TensorInput) else 0


def _form_of(data: Input) -> tuple[object, ...] | None:
    """Return what two inputs share whose headers are equal; None for what is large, or not all numbers of one type."""
    if type(data) is TensorInput:
        array = data.array
        return (array.dtype, array.shape) if array.dtype in _PLAIN and array.nbytes <= LARGE_BYTES else None
    if type(data) is not Table or not data.arrays:
        return None
    arrays = data.arrays
    rows, dtype = len(arrays[0]), arrays[0].dtype
    if dtype not in _PLAIN or rows * len(arrays) * dtype.itemsize > LARGE_BYTES:
        return None
    for array in arrays:
        if array.dtype is not dtype:
            return None
    return data.names, data.named, rows, dtype


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
        cells = array.ravel().tolist()
        if cells and len(cells) <= MOST_RAW_CELLS and all(type(cell) is bytes for cell in cells):
            return {
                "dtype": "S",
                "shape": array.shape,
                "buffer": _lay_bytes(cells, buffers),
                "lengths": [*map(len, cells)],
            }
        return {"dtype": "O", "shape": array.shape, "buffer": _lay_json(cells, buffers)}
    dtype = np.dtype("<M8[ns]") if array.dtype.kind == "M" else array.dtype.newbyteorder("<")
    if dtype.str not in DTYPES:
        raise TypeError(f"arrays of {array.dtype} cannot be sent to a host")
    little = array.astype(dtype, copy=False)
    if dtype.kind == "M" and not ((little.astype(array.dtype) == array) | np.isnat(array)).all():
        raise ValueError("a date lies beyond the years 1678 to 2262")  # numpy would overflow in silence
    large = little.nbytes > LARGE_BYTES and little.flags.c_contiguous
    buffers.append(little.data.cast("B") if large else little.tobytes())
    return {"dtype": dtype.str, "shape": array.shape, "buffer": len(buffers) - 1}


def _lay_bytes(cells: Sequence[bytes], buffers: list[Buffer]) -> int:
    buffers.append(cells[0] if len(cells) == 1 else b"".join(cells))  # a picture is sent as it lies
    return len(buffers) - 1


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
