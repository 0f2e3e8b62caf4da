"""JSON that a model answered, as arrays: where it is even lists of one kind of value, numbers or text. Pure.

Whatever else it is becomes BYTES: one JSON text for each item of a list, or one for the whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import orjson

from registry.errors import ModelFault, quote
from serving.exchange import Array
from serving.protocols.answer_json import jsonable_text
from serving.protocols.cells import objects

_NONE = type(None)
_INT64 = np.iinfo(np.int64)
_UINT64_MOST = int(np.iinfo(np.uint64).max)


def array_of(value: Any) -> Array:
    """Return a JSON value as one array; a single value has shape [1]."""
    if type(value) is not list:
        return _flat([value])
    leaves, shape = _even(value)
    if shape is None:
        return _texts(value)
    return _flat(leaves).reshape(shape)


def columns_of(value: Any) -> dict[str, Array] | None:
    """Return an object of lists as one array a key; None for whatever is no such object."""
    if type(value) is not dict or not value:
        return None
    if not all(type(key) is str and type(part) is list for key, part in value.items()):
        return None
    return {key: array_of(part) for key, part in value.items()}


def column(values: Sequence[Any]) -> Array:
    """Return cells of any types as an array: of numbers where they are such, with NaN for what is missing."""
    return _flat(values)


def _even(value: list[Any]) -> tuple[list[Any], tuple[int, ...] | None]:
    """Return the leaves of evenly nested lists and their shape; None for uneven ones."""
    shape = [len(value)]
    level = value
    while level and type(level[0]) is list:
        width = len(level[0])
        if len(shape) == 32 or any(type(part) is not list or len(part) != width for part in level):
            return [], None
        shape.append(width)
        level = [leaf for part in level for leaf in part]
    return level, None if any(type(part) is list for part in level) else tuple(shape)


def _flat(values: Sequence[Any]) -> Array:
    types = set(map(type, values))
    if types == {bool}:
        return np.array(values, dtype=bool)
    if types == {int}:
        low, high = min(values), max(values)
        if _INT64.min <= low and high <= _INT64.max:
            return np.array(values, dtype=np.int64)
        if low >= 0 and high <= _UINT64_MOST:
            return np.array(values, dtype=np.uint64)
    elif types and types <= {int, float, _NONE} and types != {_NONE}:
        try:
            return np.array(values, dtype=np.float64)
        except OverflowError:
            return _texts(values)
    if types <= {str, bytes, _NONE}:
        return objects(values)
    return _texts(values)


def _texts(values: Sequence[Any]) -> Array:
    return objects([_json(value) for value in values])


def _json(value: Any) -> str:
    try:
        return jsonable_text(value)
    except (TypeError, ValueError, RecursionError, orjson.JSONEncodeError) as error:
        raise ModelFault(
            "model_output_invalid", f"the model's answer cannot be written: {quote(error)}", {"reason": quote(error)}
        ) from None
