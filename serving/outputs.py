"""An answer taken apart: its arrays, its first values, its columns, and what it weighs. Pure.

Of a long answer the first ``MOST_VALUES`` values speak for the rest, so that no answer is dear to look at. Not here:
whether values are any good (``telemetry/answers.py``), and how two answers differ (``shadows/comparison.py``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np

from serving.exchange import Array, ArrayOutput, JsonOutput, Output, TableOutput, TensorsOutput

MOST_VALUES = 10_000
"""How many values of an answer are looked at: the first ones."""
AS_OBJECTS = 8
"""How much more memory values take that are objects of Python than their bytes on the way here."""
_END = object()
_FLAT = {float, int, bool, str, bytes, type(None)}


@dataclass(frozen=True, slots=True)
class Column:
    """One output: its name (empty without one), its shape, and its first values in row-major order."""

    name: str
    shape: tuple[object, ...]
    values: Sequence[Any]


def arrays_of(output: ArrayOutput | TableOutput | TensorsOutput) -> tuple[Array, ...]:
    """Return an answer's arrays, the first output first."""
    if isinstance(output, ArrayOutput):
        return (output.array,)
    if isinstance(output, TableOutput):
        return tuple(output.table.arrays)
    return tuple(output.arrays.values())


def weight(output: Output) -> int:
    """Return about how many bytes an answer holds on to. O(columns)."""
    if isinstance(output, JsonOutput):
        return AS_OBJECTS * output.size
    arrays = arrays_of(output)
    objects = any(array.dtype.hasobject for array in arrays)
    return (AS_OBJECTS * output.size if objects else 0) + sum(array.nbytes for array in arrays)


def share_of_values(outputs: int) -> int:
    """Return how many values are looked at of each of so many outputs."""
    return max(1, MOST_VALUES // max(1, outputs))


def beginning(array: Array, most: int) -> Array:
    """Return the first values of an array, flat, in row-major order."""
    if array.flags.c_contiguous:
        return array.reshape(-1)[:most]
    return np.asarray(array.flat[:most])  # reshape would copy it all


def leaves(value: Any, *, first: bool = False) -> list[Any]:
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
            open_ones.append(iter(beginning(each, MOST_VALUES).tolist()))
        else:
            found.append(each.item() if isinstance(each, np.generic) else each)
    return found


def columns(output: Output) -> list[Column]:
    """Return an answer's outputs in the order of their names: an array is one without a name; tables, dicts of arrays
    and JSON objects have one for each name."""
    if isinstance(output, ArrayOutput):
        return [Column("", output.array.shape, _first(output.array, MOST_VALUES))]
    if isinstance(output, JsonOutput):
        return _of_json(output.value)
    names = output.table.names if isinstance(output, TableOutput) else output.arrays
    named = sorted(zip(names, arrays_of(output), strict=True), key=lambda pair: pair[0])
    each = share_of_values(len(named))
    return [Column(name, array.shape, _first(array, each)) for name, array in named]


def _first(array: Array, most: int) -> Sequence[Any]:
    flat = beginning(array, most)
    if flat.dtype.kind in "Mm":  # as seconds: a difference then means something
        seconds = flat.astype(f"{flat.dtype.kind}8[ns]").astype(np.float64) / 1e9
        flat = np.where(np.isnat(flat), np.nan, seconds)
    if flat.dtype.kind == "f" and flat.dtype.itemsize > 8:
        flat = flat.astype(np.float64)
    values: list[Any] = flat.tolist()
    return values


def _of_json(value: Any) -> list[Column]:
    if isinstance(value, Mapping):
        each = share_of_values(len(value))
        return [Column(name, *_flattened(part, each)) for name, part in sorted(_texts(value).items())]
    if isinstance(value, list) and value and isinstance(value[0], Mapping):
        first = value[: share_of_values(len(value[0]))]
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
    leaves = list(islice(_walked(value, 0, shape, lengths), most))
    return (tuple(shape) if len(lengths) == 1 else tuple(lengths)), leaves


def _walked(value: list[Any], depth: int, shape: list[int], lengths: list[object]) -> Iterator[Any]:
    if depth >= len(shape) or len(value) != shape[depth]:
        lengths.append((depth, len(value)))
    for part in value:
        if isinstance(part, list):
            yield from _walked(part, depth + 1, shape, lengths)
        else:
            if depth != len(shape) - 1:
                lengths.append(depth)
            yield part
