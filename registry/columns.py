"""What is watched of a column or a tensor: its values, or a few numbers that stand for them. Pure.

Every watched feature is one number or one word a row. A column of numbers, booleans or short words is that itself. Of
longer things only a measure is watched:

    text, bytes, lists            length: characters, bytes, elements
    tensor (n, k), k ≤ 1,000      each of its k columns
    tensor (n, …, c), c ≤ 16      mean and deviation of each channel: the last axis
    any other tensor              mean and deviation of the whole row
    JSON handed over as it is     length: the characters of all its texts, and its numbers as one each

Registry and nodes share these, so that a training table and live rows are measured alike. Not here: which features a
version has (``baselines.py``), and counting them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Numbers = npt.NDArray[np.float64]
MOST_COLUMNS = 1000
MOST_CHANNELS = 16
WORD_LETTERS = 64
MISSING_WORDS = frozenset({"nan", "NaN", "NaT", "<NA>"})
LARGEST_WHOLE = 2**63
"""Whole numbers are kept from its negative up to one below it: what 64 bits hold."""
CSV_MISSING = (
    *("", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A", "NA"),
    *("NULL", "NaN", "None", "n/a", "nan", "null"),
)
"""Cells of CSV that say that a value is missing: pandas's list."""
CSV_TRUTH = {"True": True, "TRUE": True, "true": True, "False": False, "FALSE": False, "false": False}
"""Cells of CSV that are truths, as pandas reads them."""


class Measure(StrEnum):
    """What is taken of each row."""

    VALUE = "value"
    LENGTH = "length"
    MEAN = "mean"
    DEVIATION = "deviation"


def channels_of(shape: tuple[int, ...]) -> tuple[tuple[Measure, int | None], ...]:
    """Return what is watched of an array of this shape, axis 0 being rows: each measure with its channel.

    No channel means: of the whole row. A 1-D array is a column: its values.
    """
    if len(shape) <= 1:
        return ((Measure.VALUE, None),)
    if len(shape) == 2 and shape[1] <= MOST_COLUMNS:
        return tuple((Measure.VALUE, number) for number in range(shape[1]))
    if len(shape) > 2 and shape[-1] <= MOST_CHANNELS:
        numbers = range(shape[-1])
        return tuple((measure, number) for number in numbers for measure in (Measure.MEAN, Measure.DEVIATION))
    return ((Measure.MEAN, None), (Measure.DEVIATION, None))


def feature_name(source: str, measure: Measure, channel: int | None = None) -> str:
    """Return what a watched feature is called: ``age``, ``comment.length``, ``image[0].mean``.

    ``source`` is the column's or tensor's name; an unnamed tensor is ``input``.
    """
    place = source if channel is None else f"{source}[{channel}]"
    return place if measure is Measure.VALUE else f"{place}.{measure.value}"


def numbers(array: Array, measure: Measure, channel: int | None = None) -> Numbers:
    """Return one number a row; NaN is a missing one. Moments are seconds since 1970, booleans 0 and 1.

    Raises ValueError where the array has no such channel. What is no number has the value NaN.
    """
    if measure is Measure.LENGTH:
        return np.fromiter(map(_length, array.reshape(len(array), -1)[:, 0].tolist()), np.float64, len(array))
    if channel is not None:
        if array.ndim < 2 or array.shape[-1] <= channel:
            raise ValueError("the array has no such channel")
        array = array[..., channel]
    if measure is Measure.VALUE:
        return _plain(array if array.ndim == 1 else array.reshape(len(array), -1)[:, 0])
    flat = _plain(array).reshape(len(array), -1)
    taken: Numbers = flat.mean(axis=1) if measure is Measure.MEAN else flat.std(axis=1)
    return taken


def words(array: Array) -> list[str | None]:
    """Return one word a row, of at most ``WORD_LETTERS`` letters; None is a missing one."""
    if array.dtype.kind == "b":
        return ["true" if one else "false" for one in array.reshape(-1).tolist()]
    return [word(one) for one in array.reshape(-1).tolist()]


def word(value: object) -> str | None:
    """Return the word that a value is counted as; None where it is missing."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    said = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    return None if said in MISSING_WORDS else said[:WORD_LETTERS]


def is_wordy(array: Array) -> bool:
    """Tell whether a column's values are words (texts, booleans) rather than numbers; by the first that is there."""
    if array.dtype.kind in "bSU":
        return True
    first = _first(array)
    return array.dtype.kind == "O" and isinstance(first, (str, bool))


def is_long(array: Array) -> bool:
    """Tell whether only the length of a column's values can be watched: bytes, lists and mappings."""
    return array.dtype.kind == "O" and isinstance(_first(array), (bytes, bytearray, list, tuple, dict, np.ndarray))


def _first(array: Array) -> object:
    for value in array.reshape(-1):
        if value is not None and not (isinstance(value, float) and math.isnan(value)):
            return value
    return None


def _plain(array: Array) -> Numbers:
    if array.dtype.kind == "M":
        seconds = array.astype("datetime64[ns]").astype(np.int64) / 1e9
        return np.where(np.isnat(array), np.nan, seconds)
    if array.dtype.kind in "iufb":
        return array.astype(np.float64, copy=False)
    flat = np.fromiter(map(_number, array.reshape(-1).tolist()), np.float64, array.size)
    return flat.reshape(array.shape)


def _number(value: object) -> float:
    try:
        return float(value) if isinstance(value, (int, float, np.number)) else math.nan
    except OverflowError:
        return math.inf


def _length(value: object) -> float:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return math.nan
    if isinstance(value, (str, bytes, bytearray, list, tuple, np.ndarray)):
        return float(len(value))
    return float(sum(_sizes(value)))


def _sizes(value: object) -> Iterator[int]:
    """Yield what each leaf of a JSON value counts: a text its characters, anything else one."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            waiting.extend(one.values())
        elif isinstance(one, (list, tuple)):
            waiting.extend(one)
        else:
            yield len(one) if isinstance(one, str) else 1
