"""Input of a version without a signature, shaped as MLflow would shape it with no schema to go by. Pure.

``dataframe_*`` and tables become a Table, with each column of the type that pandas would find; ``inputs`` and
``instances`` become one array, or named ones. Unlike numpy, lists that mix numbers with strings or booleans are
refused rather than cast; unlike pandas' JSON path, null in a list of numbers makes a float with NaN, not an array of
objects. What is no array at all (``inputs`` with objects inside) is handed on as it is.

Source: ``_cast_schema_type`` and ``parse_instances_data`` of MLflow's ``utils/proto_json_utils.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from registry.errors import quote
from serving.exchange import Array, Input, JsonInput, Table, TensorInput, TensorsInput
from serving.protocols.blocks import within_exact
from serving.protocols.cells import convert, flatten, objects
from serving.protocols.frames import Frame
from serving.protocols.kinds import BOOLEAN, STRING, Kind, column_kind, tensor_kind
from serving.protocols.refusals import Where, describe, wrong_input

_NONE = type(None)
_LONG: Kind = column_kind("long")  # type: ignore[assignment]
_DOUBLE: Kind = column_kind("double")  # type: ignore[assignment]
_UNSIGNED: Kind = tensor_kind("uint64")  # type: ignore[assignment]


def table_as_is(frame: Frame) -> Table:
    """Return the frame as a table, each column of the type that its values have."""
    columns = frame.by_columns()
    names = frame.names if frame.names is not None else tuple(map(str, range(frame.width)))
    if not columns:
        raise _empty(frame.base)
    return Table(names, tuple(_infer(column) for column in columns), frame.named)


def tensors_as_is(value: Any, path: str, plain: bool) -> Input:
    """Return an ``inputs`` or ``instances`` value as an array, as named arrays, or as it is."""
    if type(value) is dict:
        if not value:
            raise _empty(path)
        if any(_has_object(part) for part in value.values()):
            return JsonInput(value)
        return TensorsInput({name: _array(part, f"{path}.{quote(name)}", plain) for name, part in value.items()})
    if type(value) is list and value and all(type(part) is dict for part in value):
        return JsonInput(value)
    return TensorInput(_array(value, path, plain))


def _has_object(value: Any) -> bool:
    waiting = [value]
    while waiting:
        current = waiting.pop()
        if type(current) is dict:
            return True
        if type(current) is list:
            waiting.extend([part for part in current if type(part) is list or type(part) is dict])
    return False


def _array(value: Any, path: str, plain: bool) -> Array:
    if plain and type(value) is list:
        try:
            block = np.array(value)
        except (ValueError, TypeError, OverflowError):
            pass  # ragged, perhaps: found out below
        else:
            # numpy makes floats of integers beyond 63 bits: those go the slow way.
            if block.size and (block.dtype.kind in "iu" or (block.dtype.kind == "f" and within_exact(block))):
                return block
    leaves, shape = flatten(value, path) if type(value) is list else ([value], ())
    if not leaves:
        raise _empty(path)
    where = Where("tensor", path, shape=shape)
    types = set(map(type, leaves))
    if types == {_NONE}:
        got = describe(value)
        raise wrong_input(f"{path}: expected an array, got {got}", path=path, expected="an array", got=got)
    return _typed(leaves, types, where).reshape(shape)


def _typed(leaves: Sequence[Any], types: set[type], where: Where) -> Array:
    if types == {int}:
        return convert(leaves, _LONG if min(leaves) < 0 or max(leaves) <= _LONG.high else _UNSIGNED, where)
    if types <= {int, float, _NONE}:
        return convert(leaves, _DOUBLE, where)
    # Whatever the first value is, the others must be like it.
    first = next((leaf for leaf in leaves if leaf is not None), None)
    kind = BOOLEAN if type(first) is bool else STRING if type(first) is str else _DOUBLE
    return convert(leaves, kind, where)


def _infer(values: Sequence[Any] | Array) -> Array:
    """Return a column as pandas would type it."""
    if isinstance(values, np.ndarray) and values.dtype != object:
        return values
    return infer_column(values.tolist() if isinstance(values, np.ndarray) else values)


def infer_column(values: Sequence[Any]) -> Array:
    """Return JSON values as the column that pandas would make of them."""
    types = set(map(type, values))
    if types == {float}:
        return np.array(values, dtype=np.float64)
    if types == {int}:
        kind = _LONG if min(values) < 0 or max(values) <= _LONG.high else _UNSIGNED
        return np.array(values, dtype=kind.dtype) if min(values) >= kind.low else objects(values)
    if types == {bool}:
        return np.array(values, dtype=bool)
    if types <= {int, float, _NONE} and types != {_NONE}:
        try:
            return np.array(values, dtype=np.float64)
        except OverflowError:
            return objects(values)
    return objects(values)


def _empty(path: str) -> Exception:
    return wrong_input(
        f"{path or 'the input'} holds no values; send at least one row",
        path=path,
        expected="at least one value",
        got="none",
        reason="empty",
    )
