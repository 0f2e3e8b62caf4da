"""Arrow columns as numpy arrays, without pandas. Pure.

pyarrow's own ``to_numpy`` and ``pa.array`` import pandas where it is installed, which costs a serving node 100 MB, so
buffers are read here directly. The arrays may be read-only views of the request's bytes.

Not here: whether the bytes may be trusted that far (``arrow_stream``, ``parquet_table``), which comes first.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from registry.errors import InvalidRequest, quote
from serving.exchange import Array
from serving.protocols.limits import EXPANDED_BYTES

# Arrow's "float" has 32 bits, numpy's has 64; the integers are called alike.
_FLOATS = {"halffloat": "float16", "float": "float32", "double": "float64"}
_NAT = np.iinfo(np.int64).min
# As deep as JSON may nest unless an operator says otherwise; what is deeper is no table.
_DEEPEST = 64


def column_array(column: Any) -> Array:
    """Return a column (a ChunkedArray) as one 1-D array.

    Numbers and booleans keep their type; with missing values, floats get NaN and the others become objects with None.
    Times become ``datetime64[ns]``; strings, bytes and nested values objects; dictionaries are decoded.

    Its type has passed ``check_types``. Raises InvalidRequest ``invalid_input`` for times that no model takes.
    """
    parts = [_chunk(chunk) for chunk in column.chunks if len(chunk)]
    if not parts:
        return np.empty(0, dtype=object)
    if len({part.dtype for part in parts}) > 1:  # one chunk has missing values and another has none
        parts = [part.astype(object) for part in parts]
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def check_types(schema: Any) -> None:
    """Refuse columns of types that no model takes; raise InvalidRequest ``invalid_input``."""
    for name, kind in zip(schema.names, schema.types, strict=True):
        if not _supported(kind):
            raise InvalidRequest(
                "invalid_input",
                f"column '{quote(name)}' is of the Arrow type {quote(kind)}, which is not supported; "
                "send numbers, booleans, strings, bytes, times, or lists and structs of these",
                {"column": quote(name), "got": quote(kind), "reason": "wrong_type"},
            )


def _supported(kind: Any, depth: int = 0) -> bool:
    types, nested = pa.types, depth > 0
    if depth > _DEEPEST:
        return False
    if types.is_dictionary(kind):
        return not nested and _supported(kind.value_type) and not types.is_nested(kind.value_type)
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        return _supported(kind.value_type, depth + 1)
    if types.is_struct(kind):
        return all(_supported(kind.field(at).type, depth + 1) for at in range(kind.num_fields))
    if types.is_boolean(kind) or types.is_integer(kind) or types.is_floating(kind) or types.is_null(kind):
        return True
    if types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind):
        return True
    return not nested and (
        types.is_binary(kind)
        or types.is_large_binary(kind)
        or types.is_binary_view(kind)
        or types.is_fixed_size_binary(kind)
        or types.is_timestamp(kind)
        or types.is_date(kind)
        or types.is_decimal(kind)
    )


def _chunk(chunk: Any) -> Array:
    types, kind = pa.types, chunk.type
    if types.is_dictionary(kind):
        return _decoded(chunk)
    if types.is_decimal(kind):
        chunk = pc.cast(chunk, pa.float64())
        kind = chunk.type
    if types.is_timestamp(kind) or types.is_date(kind):
        return _times(chunk)
    if types.is_boolean(kind):
        return _booleans(chunk)
    if types.is_integer(kind) or types.is_floating(kind):
        return _numbers(chunk)
    return np.fromiter(chunk.to_pylist(), dtype=object, count=len(chunk))


def _numbers(chunk: Any) -> Array:
    name = str(chunk.type)
    dtype = np.dtype(_FLOATS.get(name, name))
    values: Array = np.frombuffer(chunk.buffers()[1] or b"", dtype, len(chunk), chunk.offset * dtype.itemsize)
    if not chunk.null_count:
        return values
    missing = _missing(chunk)
    if dtype.kind == "f":
        values = values.copy()
        values[missing] = np.nan
        return values
    values = values.astype(object)
    values[missing] = None
    return values


def _booleans(chunk: Any) -> Array:
    values = _bits(chunk.buffers()[1], chunk.offset, len(chunk))
    if not chunk.null_count:
        return values
    mixed = values.astype(object)
    mixed[_missing(chunk)] = None
    return mixed


def _bits(buffer: Any, offset: int, length: int) -> Array:
    packed = np.frombuffer(buffer, np.uint8)
    bits: Array = np.unpackbits(packed, count=offset + length, bitorder="little")[offset:].view(bool)
    return bits


def _missing(chunk: Any) -> Array:
    if chunk.buffers()[0] is None:  # all of it is missing, or the type says so without bits
        return np.ones(len(chunk), dtype=bool)
    return ~_bits(chunk.buffers()[0], chunk.offset, len(chunk))


def _times(chunk: Any) -> Array:
    kind = chunk.type
    if pa.types.is_timestamp(kind) and kind.tz is not None:
        raise InvalidRequest(
            "invalid_input",
            f"a column holds times in the zone '{quote(kind.tz)}'; the model's times have no zone: convert them first",
            {"got": quote(kind), "expected": "timestamp without zone", "reason": "wrong_type"},
        )
    if not pa.types.is_timestamp(kind):
        chunk = pc.cast(chunk, pa.timestamp("s" if pa.types.is_date32(kind) else "ms"))
    try:
        chunk = pc.cast(chunk, pa.timestamp("ns"))
    except pa.ArrowInvalid:
        raise InvalidRequest(
            "invalid_input",
            "a time lies outside of the years 1678 to 2261, which 64 bits of nanoseconds reach",
            {"expected": "a year from 1678 to 2261", "reason": "out_of_range"},
        ) from None
    values = np.frombuffer(chunk.buffers()[1] or b"", np.int64, len(chunk), chunk.offset * 8)
    if chunk.null_count:
        values = values.copy()
        values[_missing(chunk)] = _NAT
    return values.view("datetime64[ns]")


def _decoded(chunk: Any) -> Array:
    """Decode a dictionary column; equal strings stay one Python object, so that nothing is multiplied in memory."""
    values = column_array(pa.chunked_array([chunk.dictionary]))
    indices = _chunk(chunk.indices)
    if indices.dtype == object:  # with missing values
        out = np.full(len(indices), None, dtype=object)
        present = ~_missing(chunk.indices)
        if present.any():
            out[present] = values.astype(object)[indices[present].astype(np.int64)]
        return _floats_again(out, values.dtype)
    return values[indices.astype(np.int64)]


def _floats_again(out: Array, dtype: np.dtype[Any]) -> Array:
    if dtype.kind != "f":
        return out
    return np.array([np.nan if value is None else value for value in out], dtype=dtype)


def check_text(arrays: list[Array]) -> None:
    """Refuse columns whose strings add up to more than may be handed on.

    A dictionary column is small here, but is written out where it leaves the process.
    """
    total = 0
    for array in arrays:
        if array.dtype == object:
            total += sum(len(value) for value in array if isinstance(value, str | bytes))
    if total > EXPANDED_BYTES:
        raise InvalidRequest(
            "body_too_large",
            f"the table's text expands to {total >> 20} MiB; at most {EXPANDED_BYTES >> 20} MiB are accepted",
            {"limit": EXPANDED_BYTES},
        )
