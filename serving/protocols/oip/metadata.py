"""What a version says of its tensors: from its signature, else from its graph, else one generic input. Pure.

Columns are one tensor each, of shape [-1]. What the outputs are called is said here once, and ``outputs.py`` keeps to
it: an output without a name is ``output-1``, as MLServer calls it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from registry.signature import SCALAR_TYPES, Column, Schema, Signature, Tensor
from serving.protocols.native import schema_for
from serving.protocols.oip.datatypes import BYTES, name_of
from serving.protocols.oip.values import ModelMetadata, TensorMetadata

INPUT = "input-1"
OUTPUT = "output-1"
GENERIC = TensorMetadata(INPUT, "FP64", (-1, -1))
"""What is said of a model that nobody knows anything of; it takes any tensors."""

_COLUMNS = {
    "boolean": "BOOL",
    "integer": "INT32",
    "long": "INT64",
    "float": "FP32",
    "double": "FP64",
}


def describe(signature: Signature, graph_inputs: Schema | None, graph_outputs: Schema | None = None) -> ModelMetadata:
    """Return a version's metadata.

    Args:
        signature: The version's; its parts may be None.
        graph_inputs: What an ONNX graph says that it takes, where it is loaded.
        graph_outputs: What it says that it answers; used where the signature declares no outputs.
    """
    inputs = describe_schema(schema_for(signature, graph_inputs))
    return ModelMetadata(inputs or (GENERIC,), describe_schema(signature.outputs or graph_outputs, OUTPUT))


def output_names(signature: Signature) -> Sequence[str]:
    """Return the names of a version's outputs; none where its signature does not tell."""
    schema = signature.outputs
    if schema is None:
        return ()
    entry = _names.get(id(schema))
    if entry is None:
        if len(_names) >= _NAMES_KEPT:
            _names.clear()
        entry = _names[id(schema)] = schema, [tensor.name for tensor in describe_schema(schema, OUTPUT)]
    return entry[1]


# By the identity of their schema, which the entry keeps alive so that the identity stays its own.
_names: dict[int, tuple[Schema, Sequence[str]]] = {}
_NAMES_KEPT = 1024


def describe_schema(schema: Schema | None, unnamed: str = INPUT) -> tuple[TensorMetadata, ...]:
    """Return a schema as tensors; none where it is none. ``unnamed`` is what its only one is called without a name."""
    if schema is None:
        return ()
    if schema.tensors:
        return tuple(TensorMetadata(_name(t, unnamed), _datatype(t), t.shape) for t in schema.tensors)
    alone = len(schema.columns) == 1
    found = []
    for at, column in enumerate(schema.columns):
        name = (unnamed if alone else str(at)) if column.name is None else str(column.name)
        found.append(TensorMetadata(name, *_column(column)))
    return tuple(found)


def _column(column: Column) -> tuple[str, tuple[int, ...]]:
    if column.type == "sparkml_vector":
        return "FP64", (-1, -1)
    if column.type == "array":
        items = column.spec.get("items")
        item = str(items.get("type")).lower() if isinstance(items, Mapping) else ""
        if item in SCALAR_TYPES:
            return _COLUMNS.get(item, BYTES), (-1, -1)
    return _COLUMNS.get(column.type, BYTES), (-1,)


def _name(tensor: Tensor, unnamed: str) -> str:
    return unnamed if tensor.name is None else str(tensor.name)


def _datatype(tensor: Tensor) -> str:
    try:
        return name_of(np.dtype(tensor.dtype)) or BYTES
    except TypeError:
        return BYTES
