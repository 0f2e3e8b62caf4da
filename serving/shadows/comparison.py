"""How a shadow's answer differs from the primary's, value by value. Pure.

Answers are taken apart into *columns*: an array is one without a name; tables, dicts of arrays and JSON objects have
one for each name. Columns are compared that have the same names and shapes; else the answers are incomparable, as a
caller would find them. NaN equals NaN, and what is missing equals what is missing. Not here: counting
(``counting.py``).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np

from serving.exchange import Array, ArrayOutput, JsonOutput, Output, TableOutput

MOST_VALUES = 10_000
"""How many values of an answer are looked at: the first ones."""
PIECE_VALUES = 256
"""How many values are compared at a time; what lies between is somebody else's turn."""
TOLERANCE = 1e-6
MOST_LABEL = 1000
"""Whole numbers up to this are labels, as ``registry/windows.py`` counts them."""
WORD_LETTERS = 64


class Incomparable(Exception):
    """The answers have not the same outputs, or not the same shapes."""


@dataclass(frozen=True, slots=True)
class Column:
    """One output: its name (empty without one), its shape, and its first values in row-major order."""

    name: str
    shape: tuple[object, ...]
    values: Sequence[Any]


@dataclass(slots=True)
class Piece:
    """Some values of one output, compared; the fields are those of ``registry.windows.Difference``, not yet counted."""

    name: str
    compared: int = 0
    differed: int = 0
    absolute: list[float] = field(default_factory=list)
    relative: list[float] = field(default_factory=list)
    pairs: list[tuple[str, str]] = field(default_factory=list)


def pieces(primary: Output, shadow: Output) -> Iterator[Piece]:
    """Yield the comparison of two answers, piece by piece; raise Incomparable before the first."""
    ours, theirs = columns(primary), columns(shadow)
    if [(c.name, c.shape) for c in ours] != [(c.name, c.shape) for c in theirs]:
        raise Incomparable
    for one, other in zip(ours, theirs, strict=True):
        for start in range(0, len(one.values), PIECE_VALUES):
            end = start + PIECE_VALUES
            yield _compare(one.name, one.values[start:end], other.values[start:end])


def columns(output: Output) -> list[Column]:
    """Take an answer apart; columns are in the order of their names."""
    if isinstance(output, ArrayOutput):
        return [Column("", output.array.shape, _first(output.array, MOST_VALUES))]
    if isinstance(output, JsonOutput):
        return _of_json(output.value)
    if isinstance(output, TableOutput):
        named = list(zip(output.table.names, output.table.arrays, strict=True))
    else:
        named = list(output.arrays.items())
    named.sort(key=lambda pair: pair[0])
    each = _share(len(named))
    return [Column(name, array.shape, _first(array, each)) for name, array in named]


def _share(outputs: int) -> int:
    return max(1, MOST_VALUES // max(1, outputs))


def _first(array: Array, most: int) -> Sequence[Any]:
    flat: Array = array.reshape(-1)[:most] if array.flags.c_contiguous else array.flat[:most]
    if flat.dtype.kind in "Mm":  # as seconds: a difference then means something
        seconds = flat.astype(f"{flat.dtype.kind}8[ns]").astype(np.float64) / 1e9
        flat = np.where(np.isnat(flat), np.nan, seconds)
    if flat.dtype.kind == "f" and flat.dtype.itemsize > 8:
        flat = flat.astype(np.float64)
    values: list[Any] = flat.tolist()
    return values


# ---- JSON -----------------------------------------------------------------------------------------------------------


def _of_json(value: Any) -> list[Column]:
    if isinstance(value, Mapping):
        each = _share(len(value))
        return [Column(name, *_flattened(part, each)) for name, part in sorted(_texts(value).items())]
    if isinstance(value, list) and value and isinstance(value[0], Mapping):
        first = value[: _share(len(value[0]))]
        if all(isinstance(row, Mapping) and row.keys() == value[0].keys() for row in first):
            return [
                _of_records(str(name), [row[name] for row in first], len(value)) for name in sorted(value[0], key=str)
            ]
    return [Column("", *_flattened(value, MOST_VALUES))]


def _of_records(name: str, part: list[Any], rows: int) -> Column:
    shape, values = _flattened(part, MOST_VALUES)
    return Column(name, (rows, *shape[1:]), values)


def _texts(value: Mapping[Any, Any]) -> dict[str, Any]:
    return {str(name): part for name, part in value.items()}


def _flattened(value: Any, most: int) -> tuple[tuple[object, ...], list[Any]]:
    """Return the shape of nested lists, and their first leaves. Where lists of one level differ in length, the shape is
    the lengths of all that were walked."""
    if not isinstance(value, list):
        return (), [value][:most]
    shape: list[int] = []
    level: Any = value
    while isinstance(level, list):
        shape.append(len(level))
        level = level[0] if level else None
    lengths: list[object] = ["ragged"]
    leaves = list(islice(_leaves(value, 0, shape, lengths), most))
    return (tuple(shape) if len(lengths) == 1 else tuple(lengths)), leaves


def _leaves(value: list[Any], depth: int, shape: list[int], lengths: list[object]) -> Iterator[Any]:
    if depth >= len(shape) or len(value) != shape[depth]:
        lengths.append((depth, len(value)))
    for part in value:
        if isinstance(part, list):
            yield from _leaves(part, depth + 1, shape, lengths)
        else:
            if depth != len(shape) - 1:
                lengths.append(depth)
            yield part


# ---- values ---------------------------------------------------------------------------------------------------------


def _compare(name: str, ours: Sequence[Any], theirs: Sequence[Any]) -> Piece:
    piece = Piece(name, len(ours))
    for one, other in zip(ours, theirs, strict=True):
        if _is_real(one) and _is_real(other):
            piece.differed += _compare_numbers(one, other, piece)
        elif _missing(one) and _missing(other):
            piece.pairs.append(("nan", "nan"))
        else:
            piece.pairs.append((word(one), word(other)))
            piece.differed += not (type(one) is type(other) and _same(one, other))
    return piece


def _compare_numbers(one: float, other: float, piece: Piece) -> bool:
    """Note how two numbers differ; tell whether they do."""
    if type(one) is int and type(other) is int and abs(one) <= MOST_LABEL and abs(other) <= MOST_LABEL:
        piece.pairs.append((str(one), str(other)))
        return one != other
    size = _real(abs(one))
    if one == other or (one != one and other != other):  # noqa: PLR0124 -- only NaN is unlike itself
        piece.absolute.append(0.0)
        if size > 0:
            piece.relative.append(0.0)
        return False
    distance = _real(abs(other - one))
    piece.absolute.append(distance)
    if size != 0:
        piece.relative.append(distance / size)
    return not distance <= TOLERANCE * max(size, _real(abs(other))) or math.isinf(distance)


def _is_real(value: object) -> bool:
    return type(value) is float or type(value) is int


def _real(value: float) -> float:
    try:
        return float(value)
    except OverflowError:  # a whole number of more than 308 digits
        return math.inf


def _missing(value: object) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _same(one: Any, other: Any) -> bool:
    """Tell whether two values of one type are alike, NaN inside of them too."""
    if isinstance(one, Mapping):
        return one.keys() == other.keys() and all(_same(part, other[name]) for name, part in one.items())
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(_same, one, other))
    return bool(one == other) or (_missing(one) and _missing(other))


def word(value: object) -> str:
    """Return what a value that is no number is counted as."""
    if _missing(value):
        return "nan"
    if isinstance(value, Mapping | list | tuple):
        return "{…}" if isinstance(value, Mapping) else "[…]"
    return str(value)[:WORD_LETTERS]
