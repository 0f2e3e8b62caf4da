"""Output as a table: an Arrow IPC stream, or CSV. Pure; pyarrow without pandas.

A one-dimensional array is the column ``predictions``; a two-dimensional one has the columns ``0``, ``1`` …; a table
is itself; named arrays of one dimension and equal length are its columns. In Arrow, numbers keep their types and NaN
stays NaN; in CSV a missing value is an empty field. Other output is no table: JSON can say it.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.ipc

from registry.errors import InvalidRequest
from serving.exchange import Array, ArrayOutput, Output, Table, TableOutput, TensorsOutput
from serving.protocols.answer_json import check_size, invalid, iso_times
from serving.protocols.limits import MAX_COLUMNS, Limits

_NATIVE = ["f8", "f4", "f2", "i8", "i4", "i2", "i1", "u8", "u4", "u2", "u1"]
_ARROW_TYPES = {np.dtype(name): kind for name, kind in zip(
    _NATIVE,
    (pa.float64(), pa.float32(), pa.float16(), pa.int64(), pa.int32(), pa.int16(), pa.int8(),
     pa.uint64(), pa.uint32(), pa.uint16(), pa.uint8()),
    strict=True,
)}  # fmt: skip


def write_arrow(output: Output, limits: Limits) -> bytes:
    """Write an Arrow IPC stream; raise InvalidRequest ``not_acceptable`` where the output is no table."""
    return _stream(_batch(_table(output), limits, text=False))


def write_csv(output: Output, limits: Limits) -> bytes:
    """Write CSV with a header; raise InvalidRequest ``not_acceptable`` where the output is no table."""
    sink = io.BytesIO()
    try:
        pyarrow.csv.write_csv(_batch(_table(output), limits, text=True), sink)
    except pa.ArrowException:
        raise _no_table("its values") from None
    return sink.getvalue()


def _stream(batch: Any) -> bytes:
    sink = io.BytesIO()
    with pyarrow.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return sink.getvalue()


def _no_table(what: str) -> InvalidRequest:
    return InvalidRequest(
        "not_acceptable",
        f"the model's answer is no table ({what}); ask for application/json",
        {"supported": ["application/json"]},
    )


def _table(output: Output) -> Table:
    if isinstance(output, TableOutput):
        return output.table
    if isinstance(output, ArrayOutput):
        array = output.array
        if array.ndim == 1:
            return Table(("predictions",), (array,))
        if array.ndim == 2:
            if array.shape[1] > MAX_COLUMNS:
                raise _no_table(f"{array.shape[1]:,} columns; a table has at most {MAX_COLUMNS:,}")
            return Table(tuple(map(str, range(array.shape[1]))), tuple(array.T))
        raise _no_table(f"an array of {array.ndim} dimensions")
    if isinstance(output, TensorsOutput):
        arrays = output.arrays
        if arrays and all(a.ndim == 1 for a in arrays.values()) and len({len(a) for a in arrays.values()}) == 1:
            return Table(tuple(map(str, arrays)), tuple(arrays.values()))
        raise _no_table("named arrays that are not columns of one length")
    raise _no_table("a JSON value")


def _batch(table: Table, limits: Limits, *, text: bool) -> Any:
    check_size(table.rows * len(table.names), limits)
    if len(table.names) > MAX_COLUMNS:  # each costs a thousand bytes and more, whatever it holds
        raise invalid(
            f"{len(table.names):,} columns are more than the {MAX_COLUMNS:,} that a table may have; ask for JSON"
        )
    columns = [_column(array, text=text) for array in table.arrays]
    return pa.RecordBatch.from_arrays(columns, list(table.names))


def _column(array: Array, *, text: bool) -> Any:
    kind = array.dtype.kind
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    if array.dtype in _ARROW_TYPES:
        missing = np.isnan(array) if text and kind == "f" else None
        if text and array.dtype == np.float16:
            array = array.astype(np.float32)
        return _primitive(_ARROW_TYPES[array.dtype], array, missing)
    if kind == "b":
        return pa.Array.from_buffers(pa.bool_(), len(array), [None, pa.py_buffer(_packed(array))])
    if kind == "M":
        times = array.astype("datetime64[ns]")
        if text:
            return _strings(iso_times(times))
        return _primitive(pa.timestamp("ns"), times.view(np.int64), np.isnat(times))
    if kind in "UOS":
        return _objects(array.tolist(), text=text)
    raise invalid(f"an array of {array.dtype} is no column")


def _packed(flags: Array) -> bytes:
    return np.packbits(flags, bitorder="little").tobytes()


def _primitive(kind: Any, array: Array, missing: Array | None) -> Any:
    valid = None if missing is None or not missing.any() else pa.py_buffer(_packed(~missing))
    return pa.Array.from_buffers(kind, len(array), [valid, pa.py_buffer(np.ascontiguousarray(array))])


def _objects(values: Sequence[Any], *, text: bool) -> Any:
    """Make a column of objects of one type; None is missing."""
    values = [value.item() if isinstance(value, np.generic) else value for value in values]
    types = {type(value) for value in values} - {type(None)}
    if types <= {str}:
        return _strings(values)
    if types == {bytes}:
        if text:
            return _strings([None if v is None else base64.b64encode(v).decode() for v in values])
        return _binary(pa.large_binary(), values)
    missing = np.array([value is None for value in values])
    if types == {bool}:
        flags = np.array([bool(value) for value in values])
        return pa.Array.from_buffers(
            pa.bool_(), len(values), [pa.py_buffer(_packed(~missing)), pa.py_buffer(_packed(flags))]
        )
    try:
        if types == {int}:
            return _primitive(pa.int64(), np.array([value or 0 for value in values], dtype=np.int64), missing)
        if types <= {int, float}:
            return _primitive(pa.float64(), np.array([value or 0 for value in values], dtype=np.float64), missing)
    except OverflowError:
        raise _no_table("an integer of more than 64 bits") from None
    raise _no_table("a column of lists, objects or mixed types")


def _strings(values: Sequence[str | None]) -> Any:
    try:
        return _binary(pa.large_string(), [None if value is None else value.encode() for value in values])
    except UnicodeEncodeError:
        raise invalid("a string is not valid Unicode") from None


def _binary(kind: Any, values: Sequence[bytes | None]) -> Any:
    lengths = np.array([0 if value is None else len(value) for value in values], dtype=np.int64)
    offsets = np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)
    missing = np.array([value is None for value in values], dtype=bool)
    valid = pa.py_buffer(_packed(~missing)) if missing.any() else None
    data = pa.py_buffer(b"".join(value for value in values if value is not None))
    return pa.Array.from_buffers(kind, len(values), [valid, pa.py_buffer(offsets), data])
