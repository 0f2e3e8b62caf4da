"""Values as JSON has them, made into one typed array, strictly. Pure.

No silent casts: 0.1 and 1.0 are no integers, ``"5"`` is no number, ``true`` is no number. A JSON integer is a float
where the float is exact (up to 2**53 in size), and null is a missing float, string or date. Where MLflow's scoring
server would cast instead (0.1 to 0, ``"5"`` to 5), this refuses.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from registry.errors import InvalidRequest
from serving.exchange import Array
from serving.protocols.kinds import EXACT, Kind
from serving.protocols.refusals import Where, wrong_value

_ISO = re.compile(r"([0-9]{4})-[0-9]{2}(?:-[0-9]{2}(?:[T ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,9})?)?)?)?")
_OFFSET = re.compile(r".*[0-9](?:Z|[+-][0-9]{2}:?[0-9]{2})", re.IGNORECASE)
# The years that 64 bits of nanoseconds reach whole; numpy wraps around silently beyond them.
_FIRST_YEAR, _LAST_YEAR = 1678, 2261
_NAT = np.iinfo(np.int64).min
_NONE = type(None)


def objects(values: Sequence[Any]) -> Array:
    """Return a 1-D object array of the values as they are, lists included."""
    return np.fromiter(values, dtype=object, count=len(values))


def convert(values: Sequence[Any], kind: Kind, where: Where, *, required: bool = True) -> Array:
    """Return the values as a 1-D array of ``kind.dtype``.

    Where ``required`` is False, null is also let into booleans and binaries: the array is then one of objects, as
    MLflow leaves it. Integers have no null, as in MLflow.

    Raises InvalidRequest ``invalid_input`` naming the first row that does not fit.
    """
    types = set(map(type, values))
    if kind.family == "float":
        return _floats(values, types, kind, where)
    if kind.family == "int":
        return _integers(values, types, kind, where)
    if kind.family == "bool":
        return _booleans(values, kind, where, required)
    if kind.family == "string":
        if not types <= {str, _NONE}:
            raise _misfit(values, {str, _NONE}, kind, where)
        return objects(values)
    if kind.family == "binary":
        return _binaries(values, kind, where, required)
    return _datetimes(values, types, kind, where)


def _misfit(values: Sequence[Any], allowed: set[type], kind: Kind, where: Where) -> InvalidRequest:
    row = next(row for row, value in enumerate(values) if type(value) not in allowed)
    return wrong_value(where, row, expected=kind.noun, value=values[row])


def _floats(values: Sequence[Any], types: set[type], kind: Kind, where: Where) -> Array:
    if not types <= {float, int, _NONE}:
        raise _misfit(values, {float, int, _NONE}, kind, where)
    if int in types:
        for row, value in enumerate(values):
            if type(value) is int and abs(value) > EXACT and int(float(value)) != value:
                expected = f"{kind.noun}; this integer has no exact float"
                raise wrong_value(where, row, expected=expected, value=value, reason="out_of_range")
    array = np.array(values, dtype=np.float64)
    if kind.dtype == array.dtype:
        return array
    with np.errstate(over="ignore"):
        narrow = array.astype(kind.dtype)
    lost = np.isinf(narrow) & np.isfinite(array)
    if lost.any():
        row = int(lost.argmax())
        raise wrong_value(where, row, expected=kind.noun, value=values[row], reason="out_of_range")
    return narrow


def _integers(values: Sequence[Any], types: set[type], kind: Kind, where: Where) -> Array:
    if not types <= {int}:
        row = next(row for row, value in enumerate(values) if type(value) is not int)
        value = values[row]
        expected, reason = kind.noun, "wrong_type"
        if value is None:
            expected = f"{kind.noun}; integers have no missing value (declare the column a double to allow null)"
        elif type(value) is float and not kind.low < value < kind.high:
            expected, reason = f"{kind.noun} from {kind.low} to {kind.high}", "out_of_range"
        raise wrong_value(where, row, expected=expected, value=value, reason=reason)
    try:
        array = np.array(values, dtype=kind.dtype)
    except OverflowError:
        row = next(row for row, value in enumerate(values) if not kind.low <= value <= kind.high)
        expected = f"{kind.noun} from {kind.low} to {kind.high}"
        raise wrong_value(where, row, expected=expected, value=values[row], reason="out_of_range") from None
    return array


def _booleans(values: Sequence[Any], kind: Kind, where: Where, required: bool) -> Array:
    types = set(map(type, values))
    allowed: set[type] = {bool} if required else {bool, _NONE}
    if not types <= allowed:
        raise _misfit(values, allowed, kind, where)
    return objects(values) if _NONE in types else np.array(values, dtype=bool)


def _binaries(values: Sequence[Any], kind: Kind, where: Where, required: bool) -> Array:
    array = np.empty(len(values), dtype=object)
    for row, value in enumerate(values):
        if type(value) is str:
            array[row] = decode_base64(value, where, row)
        elif value is not None or required:
            raise wrong_value(where, row, expected=kind.noun, value=value)
    return array


def decode_base64(text: str, where: Where, row: int) -> bytes:
    """Return the bytes of standard base64; line breaks are let pass, since MLflow's own clients write them."""
    try:
        return base64.b64decode(text.replace("\n", "").replace("\r", ""), validate=True)
    except (binascii.Error, ValueError):
        raise wrong_value(
            where, row, expected="base64 text (standard alphabet, padded)", value=text, reason="bad_base64"
        ) from None


def _datetimes(values: Sequence[Any], types: set[type], kind: Kind, where: Where) -> Array:
    # No integers: seconds since 1970 would be taken for nanoseconds, and be a date that nobody meant.
    if not types <= {str, _NONE}:
        raise _misfit(values, {str, _NONE}, kind, where)
    if types == {str} and all(map(_is_plain_iso, values)):
        try:
            return np.array(values, dtype="datetime64[ns]")
        except ValueError:
            pass  # some date does not exist: look for it one by one
    array = np.empty(len(values), dtype=np.int64)
    for row, value in enumerate(values):
        array[row] = _NAT if value is None else _nanoseconds(value, where, row)
    return array.view("datetime64[ns]")


def _is_plain_iso(text: str) -> bool:
    match = _ISO.fullmatch(text)
    return match is not None and _FIRST_YEAR <= int(match[1]) <= _LAST_YEAR


def _nanoseconds(value: str, where: Where, row: int) -> int:
    expected, reason = "an ISO 8601 date or time such as 2026-01-31T12:00:00", "wrong_type"
    if _is_plain_iso(value):
        try:
            return int(np.datetime64(value, "ns").astype(np.int64))
        except ValueError:
            expected = "a date that exists"
    elif _ISO.fullmatch(value):
        expected, reason = f"a year from {_FIRST_YEAR} to {_LAST_YEAR}", "out_of_range"
    elif _OFFSET.fullmatch(value[:64]):
        # MLflow refuses these too: the model was trained on times without a zone.
        expected = "a time without offset or Z (the model's times have no zone)"
    raise wrong_value(where, row, expected=expected, value=value, reason=reason)


def flatten(value: list[Any], path: str) -> tuple[list[Any], tuple[int, ...]]:
    """Return the leaves of evenly nested lists, row-major, and their shape.

    Raises InvalidRequest ``invalid_input`` naming the first row whose length differs.
    """
    shape: list[int] = []
    level: list[Any] = value
    shape.append(len(level))
    while level and type(level[0]) is list:
        width = len(level[0])
        for at, part in enumerate(level):
            if type(part) is not list or len(part) != width:
                raise _ragged(shape, at, path, part=part, width=width)
        shape.append(width)
        level = [leaf for part in level for leaf in part]
    for at, part in enumerate(level):
        if type(part) is list:
            raise _ragged(shape, at, path, part=part, width=None)
    return level, tuple(shape)


def _ragged(shape: Sequence[int], at: int, path: str, *, part: object, width: int | None) -> InvalidRequest:
    where = Where("tensor", path, shape=tuple(shape))
    index, spot = where.index(at), where.path(at)
    expected = "a number like its neighbours" if width is None else f"a list of {width}, as the first one is"
    got = f"a list of {len(part)}" if isinstance(part, list) else "a single value"
    return InvalidRequest(
        "invalid_input",
        f"{spot} is ragged: expected {expected}, got {got}",
        {"path": spot, "row": index[0], "expected": expected, "got": got, "reason": "ragged"},
    )
