"""A predict body made up from a signature, for versions that were saved without an example. Pure.

It says which shape a request has, nothing of what the model was trained on. Not here: the example that was saved, which
is better (``serving/sources/examples.py``).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from registry.signature import Schema, Tensor
from serving.protocols.kinds import column_kind, tensor_kind
from serving.protocols.schemas import part_of

MOST_CELLS = 4096
"""What a made-up tensor may have; a larger one helps nobody to see its shape."""
MOST_DEPTH = 8

_SAMPLES: Mapping[str, Any] = {
    "float": 0.5,
    "int": 1,
    "bool": True,
    "string": "text",
    "binary": "AA==",
    "datetime": "2026-01-31T12:00:00",
}


def made_up_body(inputs: Schema | None) -> dict[str, Any] | None:
    """Return a body of one row that fits ``inputs``; None where nothing is known, or it would be too large to read."""
    if inputs is not None and inputs.tensors:
        return _tensors(inputs.tensors)
    if inputs is not None and inputs.columns:
        row = [_cell(column.spec, 0) for column in inputs.columns]
        if inputs.columns[0].name is None:
            return {"dataframe_split": {"data": [row]}}
        return {"dataframe_split": {"columns": [column.name for column in inputs.columns], "data": [row]}}
    return None


def _tensors(tensors: tuple[Tensor, ...]) -> dict[str, Any] | None:
    if sum(_size(tensor) for tensor in tensors) > MOST_CELLS:
        return None
    if tensors[0].name is None:
        return {"inputs": _tensor(tensors[0])}
    return {"inputs": {str(tensor.name): _tensor(tensor) for tensor in tensors}}


def _size(tensor: Tensor) -> int:
    if len(tensor.shape) > MOST_DEPTH:
        return MOST_CELLS + 1
    return math.prod(1 if length < 0 else length for length in tensor.shape)


def _tensor(tensor: Tensor) -> Any:
    kind = tensor_kind(tensor.dtype)
    value: Any = None if kind is None else _SAMPLES[kind.family]
    for length in reversed(tensor.shape):
        value = [value] * (1 if length < 0 else length)
    return value


def _cell(spec: Mapping[str, Any], depth: int) -> Any:
    name = str(spec.get("type")).lower()
    kind = column_kind(name)
    if kind is not None:
        return _SAMPLES[kind.family]
    if depth >= MOST_DEPTH:
        return None
    if name == "sparkml_vector":
        return [0.5]
    if name == "array":
        return [_cell(part_of(spec, "items"), depth + 1)]
    if name == "map":
        return {"key": _cell(part_of(spec, "values"), depth + 1)}
    if name == "object":
        parts = part_of(spec, "properties")
        return {str(key): _cell(part, depth + 1) for key, part in parts.items() if isinstance(part, Mapping)}
    return "text"
