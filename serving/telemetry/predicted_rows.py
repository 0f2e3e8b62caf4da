"""An answer as one prediction a row: what a label can be compared with. Pure.

    array (n,), or (n, 1)               each value
    array (n, k), k up to 64            its k numbers: the probabilities of classes
    table                               its first column; several of numbers that add up to 1 in each row: all of them
    named arrays                        the first
    JSON: a list of n, or one value     each; of objects what their first key says

Anything else (a picture, text without rows) has no rows that a label could name. NaN and infinities are missing. Not
here: which answers are kept (``answered.py``).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from registry.columns import LARGEST_WHOLE, WORD_LETTERS
from registry.observed import MOST_ANSWERED, MOST_ROW_VALUES, PredictedRow
from serving.exchange import Array, ArrayOutput, JsonOutput, Output, TableOutput
from serving.outputs import arrays_of

_NEARLY = 1e-2


def predicted_rows(output: Output, rows: int) -> tuple[PredictedRow, ...] | None:
    """Return the prediction of each of ``rows`` rows; None where the answer does not have so many, or too many."""
    if not 0 < rows <= MOST_ANSWERED:
        return None
    if isinstance(output, JsonOutput):
        found = _of_json(output.value)
    else:
        arrays = arrays_of(output)
        if isinstance(output, TableOutput) and len(arrays) > 1:
            found = _of_array(_probabilities(arrays))
        else:
            found = _of_array(arrays[0]) if arrays else None
        if found is None and isinstance(output, ArrayOutput) and output.array.ndim == 0:
            found = (_scalar(output.array.item()),)
    return found if found is not None and len(found) == rows else None


def values_of(rows: tuple[PredictedRow, ...]) -> int:
    """Return about how many numbers' room rows take: a word counts for each eight of its letters."""
    return sum(len(row) if isinstance(row, tuple) else 1 + len(row) // 8 if isinstance(row, str) else 1 for row in rows)


def _probabilities(columns: tuple[Array, ...]) -> Array:
    """Return columns side by side if they are probabilities, else the first."""
    first = columns[0]
    if len(columns) > MOST_ROW_VALUES or any(one.dtype.kind != "f" or one.ndim != 1 for one in columns):
        return first
    together: Array = np.stack(columns, axis=1)
    whole = np.abs(together.sum(axis=1) - 1) <= _NEARLY
    return together if bool(whole.all() and (together >= 0).all()) else first


def _of_array(array: Array) -> tuple[PredictedRow, ...] | None:
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim == 1 and len(array) <= MOST_ANSWERED:
        values = array.tolist()
        if array.dtype.kind in "iub" and array.dtype.itemsize < 8:
            return tuple(values)
        return tuple(map(_scalar, values))
    if array.ndim == 2 and array.dtype.kind == "f" and len(array) <= MOST_ANSWERED:
        if not 1 < array.shape[1] <= MOST_ROW_VALUES:
            return None
        return tuple(tuple(row) if all(map(math.isfinite, row)) else None for row in array.tolist())
    return None


def _of_json(value: Any) -> tuple[PredictedRow, ...] | None:
    if isinstance(value, dict):
        value = next(iter(value.values()), None)
    if not isinstance(value, list):
        return (_scalar(value),) if _is_scalar(value) else None
    if len(value) > MOST_ANSWERED:
        return None
    found = [next(iter(one.values()), None) if isinstance(one, dict) else one for one in value]
    return tuple(map(_scalar, found)) if all(map(_is_scalar, found)) else None


def _is_scalar(value: object) -> bool:
    return value is None or isinstance(value, (str, bool, int, float))


def _scalar(value: object) -> PredictedRow:
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int):
        return value if -LARGEST_WHOLE <= value < LARGEST_WHOLE else None
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if not isinstance(value, str):
        return None
    # Half a pair of surrogates is no text that a report could say, and would cost all of it.
    return value[:WORD_LETTERS].encode("utf-8", "replace").decode()
