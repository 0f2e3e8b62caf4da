"""How a shadow's answer differs from the primary's, value by value. Pure.

Columns are compared that have the same names and shapes; else the answers are incomparable, as a caller would find
them. NaN equals NaN, and what is missing equals what is missing. Not here: how an answer is taken apart into columns
(``serving/outputs.py``), counting (``counting.py``).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from serving.exchange import Output
from serving.outputs import columns

PIECE_VALUES = 256
"""How many values are compared at a time; what lies between is somebody else's turn."""
TOLERANCE = 1e-6
MOST_LABEL = 1000
"""Whole numbers up to this are labels, as ``registry/windows.py`` counts them."""
WORD_LETTERS = 64


class Incomparable(Exception):
    """The answers have not the same outputs, or not the same shapes."""


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
