"""What requests may share a batch, how they are joined, and how the answer is taken apart again. Pure.

Requests are joined only where nobody can tell the difference: same kind, names, types and trailing shape, same params.
Not here: when, and how many (``line.py``); whether a model may be given batches at all (its host finds out).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate, pairwise
from typing import Any

import numpy as np

from serving.exchange import (
    Array,
    ArrayOutput,
    Call,
    Input,
    JsonOutput,
    Output,
    Table,
    TableOutput,
    TensorInput,
    TensorsInput,
    TensorsOutput,
)

BATCH_BYTES = 1 << 20
"""A request with more than this goes alone: joining it with others would hold up the loop for nothing."""
_PLAIN = (str, int, float, bool, type(None))

Key = tuple[object, ...]


def key_of(call: Call) -> Key | None:
    """Return what must be equal for two calls to share a batch; None for a call that shares with none."""
    params: Key | None = _params_key(call.params) if call.params else ()
    data = call.data
    if params is None:
        return None
    if type(data) is TensorInput:
        array = data.array
        if not array.ndim or not len(array) or array.nbytes > BATCH_BYTES:
            return None
        return ("tensor", array.dtype, array.shape[1:], params)
    if type(data) is Table:
        rows = data.rows
        if not rows or 8 * rows * len(data.arrays) > BATCH_BYTES:
            return None
        return ("table", data.names, data.named, [a.dtype for a in data.arrays], params)
    if type(data) is TensorsInput:
        return _tensors_key(data.arrays, params)
    return None


def _tensors_key(arrays: Mapping[str, Array], params: Key) -> Key | None:
    lengths = {len(a) if a.ndim else 0 for a in arrays.values()}
    if len(lengths) != 1 or 0 in lengths or sum(a.nbytes for a in arrays.values()) > BATCH_BYTES:
        return None
    return ("tensors", [(name, a.dtype, a.shape[1:]) for name, a in arrays.items()], params)


def _params_key(params: Mapping[str, Any]) -> Key | None:
    # By type and spelling: 1, 1.0 and True are equal to Python and not to a model.
    key: list[object] = []
    for name in sorted(params):
        value = params[name]
        inner = value if isinstance(value, list) else [value]
        if not all(type(v) in _PLAIN for v in inner):
            return None
        key.append((name, repr(value)))
    return tuple(key)


def merge(calls: Sequence[Call]) -> Call:
    """Return one call with the rows of all, in order; their keys are equal, so the first one's params hold."""
    return Call(_merge([call.data for call in calls]), calls[0].params)


def _merge(parts: Sequence[Input]) -> Input:
    first: Any = parts[0]
    alike: Sequence[Any] = parts
    if type(first) is TensorInput:
        return TensorInput(np.concatenate([p.array for p in alike]))
    if type(first) is TensorsInput:
        return TensorsInput({name: np.concatenate([p.arrays[name] for p in alike]) for name in first.arrays})
    return Table(first.names, _merge_columns([p.arrays for p in alike]), first.named)


def _merge_columns(tables: Sequence[tuple[Array, ...]]) -> tuple[Array, ...]:
    first = tables[0]
    if any(a.dtype != first[0].dtype for a in first):
        return tuple(np.concatenate(column) for column in zip(*tables, strict=True))
    # All in one go: three times cheaper than column by column, and what a host is sent lies in one piece already.
    pieces = [column for columns in zip(*tables, strict=True) for column in columns]
    return tuple(np.concatenate(pieces).reshape(len(first), -1))


def form_of(output: Output) -> Key:
    """Return what two answers must have in common for one to pass as part of the other: kind, names, types, trailing
    shape. A neighbour's row must not change how mine is answered, as a missing value makes floats of integers."""
    if type(output) is ArrayOutput:
        return ("array", output.array.dtype, output.array.shape[1:])
    if type(output) is TableOutput:
        return ("table", output.table.names, *[a.dtype for a in output.table.arrays])
    if type(output) is TensorsOutput:
        return ("tensors", *[(name, a.dtype, a.shape[1:]) for name, a in output.arrays.items()])
    return ("json",)


def split(output: Output, rows: Sequence[int]) -> list[Output] | None:
    """Return each request's part of an answer, as views; None for an answer that has not one item for each row."""
    total = sum(rows)
    spans = list(pairwise(accumulate(rows, initial=0)))
    each = output.size // total
    if type(output) is ArrayOutput:
        array = output.array
        if not array.ndim or len(array) != total:
            return None
        return [ArrayOutput(array[a:b], each * (b - a)) for a, b in spans]
    if type(output) is TableOutput:
        table = output.table
        if table.rows != total:
            return None
        columns, names, named = table.arrays, table.names, table.named
        return [TableOutput(Table(names, tuple(c[a:b] for c in columns), named), each * (b - a)) for a, b in spans]
    if type(output) is TensorsOutput:
        if any(not a.ndim or len(a) != total for a in output.arrays.values()):
            return None
        arrays = output.arrays
        return [TensorsOutput({k: v[a:b] for k, v in arrays.items()}, each * (b - a)) for a, b in spans]
    assert isinstance(output, JsonOutput)
    if not isinstance(output.value, list) or len(output.value) != total:
        return None
    return [JsonOutput(output.value[a:b], each * (b - a), output.raw[a:b]) for a, b in spans]
