"""A model's answer as named outputs, which is what TensorFlow Serving's answers are made of. Pure.

An array is one output; a table has one for each column; named arrays are outputs as they are; lists of records, and
objects with a list for each name, are outputs too. Anything else that JSON can say has no names: None.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import numpy as np

from registry.signature import Signature
from serving.exchange import Array, ArrayOutput, JsonOutput, Output, TableOutput, TensorsOutput
from serving.protocols.answer_json import check_columns, check_size, invalid, jsonable
from serving.protocols.cells import objects
from serving.protocols.limits import Limits

BYTES_SUFFIX = "_bytes"
"""How the names of outputs end that hold bytes, by their convention."""

Named = Mapping[str, Array | list[Any]]


def named_outputs(output: Output, signature: Signature, rows: int | None) -> Named | None:
    """Return an answer's outputs by name, in the model's order; raise ModelFault ``model_output_invalid``.

    Args:
        output: What the model answered.
        signature: The version's, which may have a name for an array.
        rows: How many rows were asked about; None where the request does not say.
    """
    if isinstance(output, ArrayOutput):
        return {_only_name(signature): output.array}
    if isinstance(output, TensorsOutput):
        return output.arrays
    if isinstance(output, TableOutput):
        check_columns(output.table)
        return dict(zip(output.table.names, output.table.arrays, strict=True))
    return _of_json(output, signature, rows)


def listed(named: Named, limits: Limits) -> dict[str, Any]:
    """Return outputs as values that are written as JSON, bytes as ``{"b64": …}``; raise ModelFault."""
    arrays = {name: cells for name, cells in named.items() if isinstance(cells, np.ndarray)}
    check_size(sum([array.size for array in arrays.values()]), limits)
    return {name: listed_one(name, cells, limits) for name, cells in named.items()}


def listed_one(name: str, cells: Array | list[Any], limits: Limits) -> Any:
    """Return one output as values that are written as JSON."""
    as_bytes = name.endswith(BYTES_SUFFIX)
    if isinstance(cells, np.ndarray):
        if cells.dtype.kind not in "OSU":
            values = jsonable(ArrayOutput(cells), limits)
            return values.tolist() if isinstance(values, np.ndarray) else values
        check_size(cells.size, limits)
        cells = cells.tolist()
    elif not as_bytes:
        return cells  # came as JSON, which has no bytes
    try:
        return _with_bytes(cells, as_bytes)
    except RecursionError:
        raise invalid("it nests too deeply") from None


def is_plain(cells: Array | list[Any]) -> bool:
    """Tell whether an output is an array without text or bytes, which is written as our own protocol writes it."""
    return isinstance(cells, np.ndarray) and cells.dtype.kind not in "OSU"


def _only_name(signature: Signature) -> str:
    schema = signature.outputs
    outputs = () if schema is None else schema.tensors or schema.columns
    return str(outputs[0].name or "") if len(outputs) == 1 else ""


def _of_json(output: JsonOutput, signature: Signature, rows: int | None) -> Named | None:
    value = output.value
    if output.raw:
        raw = objects(output.raw)
        return {_only_name(signature): raw if isinstance(value, list) else raw.reshape(())}
    if isinstance(value, dict):
        same = {len(cells) if isinstance(cells, list) else -1 for cells in value.values()}
        return value if rows is not None and same == {rows} else None
    if not isinstance(value, list) or not value:
        return None
    if isinstance(value[0], dict):
        names = value[0].keys()
        if names and all(isinstance(row, dict) and row.keys() == names for row in value):
            return {name: [row[name] for row in value] for name in names}
        return None
    return {_only_name(signature): value}


def _with_bytes(value: Any, as_bytes: bool) -> Any:
    if isinstance(value, list):
        return [_with_bytes(part, as_bytes) for part in value]
    if isinstance(value, str):
        return {"b64": base64.b64encode(value.encode("utf-8", "surrogatepass")).decode()} if as_bytes else value
    if isinstance(value, bytes | bytearray):
        return {"b64": base64.b64encode(value).decode()}
    return value
