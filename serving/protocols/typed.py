"""Arrays that have a type already (Parquet, Arrow), fitted to the type that a signature asks for. Pure.

Types widen freely and narrow only where every value stays what it is: 64-bit integers that fit 32 bits do, 0.1 does not
become a 32-bit float. Integers become floats where exact. Nothing else converts.
"""

from __future__ import annotations

import numpy as np

from serving.exchange import Array
from serving.protocols.cells import convert
from serving.protocols.kinds import Kind
from serving.protocols.refusals import Where, wrong_value


def convert_typed(array: Array, kind: Kind, where: Where, *, required: bool = True) -> Array:
    """Return a 1-D array as one of ``kind.dtype``; raise InvalidRequest ``invalid_input`` naming the first misfit."""
    if array.dtype == object:
        return _objects(array, kind, where, required)
    if kind.family in ("float", "int") and array.dtype.kind in "fiu":
        return _numbers(array, kind, where)
    if (kind.family == "bool" and array.dtype.kind == "b") or (kind.family == "datetime" and array.dtype.kind == "M"):
        return array.astype(kind.dtype, copy=False)
    raise wrong_value(where, 0, expected=kind.noun, value=_item(array, 0))


def _item(array: Array, row: int) -> object:
    value = array[row]
    return value.item() if array.dtype.kind in "fiub" else str(value)


def _objects(array: Array, kind: Kind, where: Where, required: bool) -> Array:
    if kind.family == "binary":
        for row, value in enumerate(array):
            if not isinstance(value, bytes | str) and (value is not None or required):
                raise wrong_value(where, row, expected="bytes", value=value)
        if not any(isinstance(value, str) for value in array):
            return array
    values = array.tolist()
    return convert(values, kind, where, required=required)


def _numbers(array: Array, kind: Kind, where: Where) -> Array:
    if array.dtype == kind.dtype:
        return array
    if kind.family == "int" and array.dtype.kind == "f":
        raise wrong_value(where, 0, expected=kind.noun, value=_item(array, 0))
    if np.can_cast(array.dtype, kind.dtype, "safe") and not (array.dtype.kind in "iu" and array.dtype.itemsize == 8):
        return array.astype(kind.dtype)
    with np.errstate(over="ignore", invalid="ignore"):
        narrow = array.astype(kind.dtype)
        back = narrow.astype(array.dtype)
    changed = back != array
    if array.dtype.kind == "f":
        changed &= ~np.isnan(array)  # NaN stays NaN, though it equals nothing
    if kind.family == "int":
        info = np.iinfo(array.dtype)
        changed |= (array < max(kind.low, info.min)) | (array > min(kind.high, info.max))
    elif array.dtype.kind in "iu":
        # 2**63 - 1 becomes 2.0**63, and numpy brings that back as something else on every machine.
        changed |= np.abs(narrow) >= 2.0**63
    if changed.any():
        row = int(changed.argmax())
        raise wrong_value(
            where, row, expected=f"{kind.noun}, without loss", value=_item(array, row), reason="out_of_range"
        )
    return narrow
