"""What an answer's values tell: whether they are values at all, and what was predicted. Pure.

Of a long answer the first ``MOST_VALUES`` values speak for the rest, so that no answer is dear to look at. Not here:
who is counted for what (``windows.py``).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

import numpy as np

from serving.exchange import Array, ArrayOutput, JsonOutput, Output, TableOutput, TensorsOutput

MOST_VALUES = 10_000
_INTEGERS = range(-(2**63), 2**63)
_END = object()
_FLAT = {float, int, bool, str, bytes, type(None)}


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
        return _finite(_leaves(output.value))
    parts = arrays_of(output)
    each = max(1, MOST_VALUES // max(1, len(parts)))
    return all(_all_finite(array, each) for array in parts)


def predicted(output: Output) -> Array | list[Any]:
    """Return the values of the first output, flat: an array of numbers, or a list of anything else (``by_type``).

    The first output is the array, the first column of a table, the first of named arrays; in JSON it is every value,
    and of each object what its first key says.
    """
    if isinstance(output, JsonOutput):
        return _leaves(output.value, first=True)
    parts = arrays_of(output)
    if not parts:
        return []
    flat = _beginning(parts[0], MOST_VALUES)
    return flat if flat.dtype.kind in "iuf" else _leaves(flat.tolist(), first=True)


def by_type(values: list[Any]) -> list[Array]:
    """Return numbers as arrays of their type, and the rest as one of objects."""
    floats = [v for v in values if isinstance(v, float)]
    integers = [v for v in values if _is_integer(v)]
    words = [v for v in values if not isinstance(v, float) and not _is_integer(v)]
    typed: list[Array] = [np.array(floats, dtype=np.float64), np.array(integers, dtype=np.int64)]
    typed.append(np.fromiter(words, dtype=object, count=len(words)))
    return [array for array in typed if array.size]


def arrays_of(output: ArrayOutput | TableOutput | TensorsOutput) -> tuple[Array, ...]:
    """Return an answer's arrays, the first output first."""
    if isinstance(output, ArrayOutput):
        return (output.array,)
    if isinstance(output, TableOutput):
        return tuple(output.table.arrays)
    return tuple(output.arrays.values())


def weight(output: Output) -> int:
    """Return about how many bytes an answer holds on to; at once, whatever it holds."""
    if isinstance(output, ArrayOutput):
        return output.size or output.array.nbytes
    if isinstance(output, JsonOutput):
        return 8 * output.size  # as Python's own objects
    if isinstance(output, TensorsOutput) and not output.size:
        return sum(array.nbytes for array in output.arrays.values())
    return output.size


def _beginning(array: Array, most: int) -> Array:
    if array.flags.c_contiguous:
        return array.reshape(-1)[:most]
    return np.asarray(array.flat[:most])  # reshape would copy it all


def _all_finite(array: Array, most: int) -> bool:
    if array.dtype.kind in "fc":
        return bool(np.isfinite(_beginning(array, most)).all())
    if array.dtype.kind == "O":
        return _finite(_leaves(_beginning(array, most).tolist()))
    return True


def _finite(values: Iterable[Any]) -> bool:
    return all(math.isfinite(value) for value in values if isinstance(value, float))


def _leaves(value: Any, *, first: bool = False) -> list[Any]:
    """Return what lists and objects hold in the end; with ``first``, of objects only what their first key says."""
    if type(value) is list and len(value) <= MOST_VALUES and _FLAT.issuperset(map(type, value)):
        return value  # most are
    found: list[Any] = []
    open_ones: list[Iterator[Any]] = [iter((value,))]
    looked = 0
    while open_ones and looked < MOST_VALUES:  # counts lists too: a thousand empty ones are work as well
        each = next(open_ones[-1], _END)
        looked += 1
        if each is _END:
            open_ones.pop()
            looked -= 1
        elif isinstance(each, dict):
            open_ones.append(islice(each.values(), 1) if first else iter(each.values()))
        elif isinstance(each, list | tuple):
            open_ones.append(iter(each))
        elif isinstance(each, np.ndarray):
            open_ones.append(iter(_beginning(each, MOST_VALUES).tolist()))
        else:
            found.append(each.item() if isinstance(each, np.generic) else each)
    return found


def _is_integer(value: object) -> bool:
    return type(value) is int and value in _INTEGERS
