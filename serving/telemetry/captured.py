"""Requests with their answers as Parquet: one row for each row that was asked about. Pure.

    request_id · time (UTC) · arm · row (its place in the request) · input.<name> … · output.<name> …

An unnamed tensor is ``input``, an unnamed answer ``output``; rows of several dimensions are lists. What has no rows of
its own (JSON, an answer of another length) stands as JSON text in the request's first row. A redacted column is there,
and null throughout; in JSON it is every value under that key. Requests of different forms go to different files, since
a file has one schema. Not here: which requests, and where the files go (``capture.py``).
"""

from __future__ import annotations

import base64
import io
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import orjson

from serving.exchange import Array, Table
from serving.telemetry.joined import Columns, Part, join_inputs
from serving.values import value

INPUT, OUTPUT = "input", "output"
_JSON = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS


@value
class Captured:
    """One request as it is kept: who, when (wall clock, seconds), by which arm, of how many rows, asked and answered
    what."""

    request_id: str
    at: float
    arm: str
    rows: int
    inputs: Part
    answer: Part


def parquet_files(requests: Sequence[Captured], redacted: Collection[str]) -> Iterator[tuple[bytes, int]]:
    """Yield a file for each form that requests have, and how many requests are in it; blocks."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    forms: dict[object, list[Captured]] = {}
    for one in requests:
        forms.setdefault((_form(one.inputs, one.rows), _form(one.answer, one.rows)), []).append(one)
    for alike in forms.values():
        columns = _who(pa, alike)
        for side, parts in ((INPUT, [one.inputs for one in alike]), (OUTPUT, [one.answer for one in alike])):
            columns |= _side(pa, side, parts, [one.rows for one in alike], redacted)
        sink = io.BytesIO()
        pq.write_table(pa.table(columns), sink, compression="zstd")
        yield sink.getvalue(), len(alike)


def without(value: Any, redacted: Collection[str]) -> Any:
    """Return a JSON value with null under every redacted key, however deep it is."""
    if isinstance(value, Mapping):
        return {key: None if str(key) in redacted else without(one, redacted) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [without(one, redacted) for one in value]
    return value


def _form(part: Part, rows: int) -> object:
    """Return what parts must have in common to stand in the same columns; None where one has no rows of its own."""
    if isinstance(part, list):
        return None
    if isinstance(part, tuple):
        return ("table", part[0], part[1].dtype.str) if part[1].shape[1] == rows else None
    if isinstance(part, np.ndarray):
        return ("array", part.dtype.str, part.shape[1:]) if part.ndim and len(part) == rows else None
    named = dict(zip(part.names, part.arrays, strict=True)) if isinstance(part, Table) else part
    if any(not array.ndim or len(array) != rows for array in named.values()):
        return None
    return ("named", *[(name, array.dtype.str, array.shape[1:]) for name, array in named.items()])


def _who(pa: Any, requests: Sequence[Captured]) -> dict[str, Any]:
    rows = [max(1, one.rows) for one in requests]
    at = np.array([one.at * 1e6 for one in requests]).astype("int64").astype("datetime64[us]")
    return {
        "request_id": pa.array(np.repeat(np.array([one.request_id for one in requests], object), rows), pa.string()),
        "time": pa.array(np.repeat(at, rows)).cast(pa.timestamp("us", "UTC")),
        "arm": pa.array(np.repeat(np.array([one.arm for one in requests], object), rows), pa.string()),
        "row": pa.array(np.concatenate([np.arange(count, dtype=np.int32) for count in rows])),
    }


def _side(pa: Any, side: str, parts: Sequence[Part], rows: Sequence[int], redacted: Collection[str]) -> dict[str, Any]:
    if _form(parts[0], rows[0]) is None:
        return {side: _texts(pa, parts, rows, side in redacted, redacted)}
    (columns,) = _joined(parts)
    found = {}
    for name, array in columns.items():
        arrow = _arrow(pa, array)
        if (name or side) in redacted:
            arrow = pa.nulls(len(array), arrow.type)
        found[f"{side}.{name}" if name else side] = arrow
    return found


def _joined(parts: Sequence[Part]) -> list[Columns]:
    # One form, so one group; answers are named here as they name themselves, like inputs.
    return list(join_inputs(parts))


def _texts(pa: Any, parts: Sequence[Part], rows: Sequence[int], hidden: bool, redacted: Collection[str]) -> Any:
    texts: list[str | None] = []
    for part, count in zip(parts, rows, strict=True):
        first = None if hidden else _text(without(_plain(part), redacted))
        texts += [first, *[None] * (max(1, count) - 1)]
    return pa.array(texts, pa.string())


def _plain(part: Part) -> Any:
    if isinstance(part, tuple):
        return dict(zip(part[0], part[1].tolist(), strict=True))
    if isinstance(part, np.ndarray):
        return part.tolist()
    if isinstance(part, Table):
        return {name: array.tolist() for name, array in zip(part.names, part.arrays, strict=True)}
    if isinstance(part, Mapping):
        return {name: array.tolist() for name, array in part.items()}
    return part[0] if len(part) == 1 else part


def _text(value: Any) -> str:
    return orjson.dumps(value, default=_said, option=_JSON).decode()


def _said(value: object) -> str:
    """Return what JSON has no word for: bytes as base64, everything else as Python says it."""
    return base64.b64encode(value).decode() if isinstance(value, bytes) else str(value)


def _arrow(pa: Any, array: Array) -> Any:
    """Return a column; what Arrow has no type for becomes JSON text, value by value."""
    shape = array.shape
    if array.dtype.kind in "iufbM" and 0 not in shape:
        if array.dtype == np.float16:
            array = array.astype(np.float32)
        column = pa.array(array.reshape(-1))
        for length in reversed(shape[1:]):
            column = pa.FixedSizeListArray.from_arrays(column, length)
        return column
    values = array.tolist()
    try:
        return pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError):
        return pa.array([None if value is None else _text(value) for value in values], pa.string())
