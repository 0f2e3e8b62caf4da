"""What an answer's values tell: whether they are values at all, and what was predicted. Pure.

Of a long answer its first values speak for the rest. Not here: how an answer is taken apart (``serving/outputs.py``),
and who is counted for what (``windows.py``).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from registry.columns import LARGEST_WHOLE
from serving.exchange import Array, ArrayOutput, JsonOutput, Output, TableOutput
from serving.outputs import MOST_VALUES, arrays_of, beginning, leaves, share_of_values

_INTEGERS = range(-LARGEST_WHOLE, LARGEST_WHOLE)


def misses_rows(output: Output, rows: int) -> bool:
    """Tell whether an answer has another number of rows than were asked about (0: not known).

    Only arrays and tables have rows; a scalar is one. Named arrays and JSON say what they like: a list of boxes found
    in one picture is no mistake.
    """
    if not rows:
        return False
    if isinstance(output, ArrayOutput):
        return rows != (output.array.shape[0] if output.array.ndim else 1)
    return isinstance(output, TableOutput) and output.table.rows != rows


def is_finite(output: Output) -> bool:
    """Tell whether no value of any part of an answer is NaN or infinite. What is missing (null) is not."""
    if isinstance(output, JsonOutput):
        return _finite(leaves(output.value))
    parts = arrays_of(output)
    each = share_of_values(len(parts))
    return all(_all_finite(array, each) for array in parts)


def predicted(output: Output) -> Array | list[Any]:
    """Return the values of the first output, flat: an array of numbers, or a list of anything else (``by_type``).

    The first output is the array, the first column of a table, the first of named arrays; in JSON it is every value,
    and of each object what its first key says.
    """
    if isinstance(output, JsonOutput):
        return leaves(output.value, first=True)
    parts = arrays_of(output)
    if not parts:
        return []
    flat = beginning(parts[0], MOST_VALUES)
    return flat if flat.dtype.kind in "iuf" else leaves(flat.tolist(), first=True)


def by_type(values: list[Any]) -> list[Array]:
    """Return numbers as arrays of their type, and the rest as one of objects."""
    floats = [v for v in values if isinstance(v, float)]
    integers = [v for v in values if _is_integer(v)]
    words = [v for v in values if not isinstance(v, float) and not _is_integer(v)]
    typed: list[Array] = [np.array(floats, dtype=np.float64), np.array(integers, dtype=np.int64)]
    typed.append(np.fromiter(words, dtype=object, count=len(words)))
    return [array for array in typed if array.size]


def _all_finite(array: Array, most: int) -> bool:
    if array.dtype.kind in "fc":
        return bool(np.isfinite(beginning(array, most)).all())
    if array.dtype.kind == "O":
        return _finite(leaves(beginning(array, most).tolist()))
    return True


def _finite(values: Iterable[Any]) -> bool:
    return all(math.isfinite(value) for value in values if isinstance(value, float))


def _is_integer(value: object) -> bool:
    return type(value) is int and value in _INTEGERS
