"""What a version takes and answers, as JSON Schema (2020-12) of the native predict body. Pure.

What a schema lets through, ``native.shape`` takes, as far as JSON Schema can say it. A signature is whatever came with
the model: any name, any depth, any default. Not here: the OpenAPI document around it (``serving/http/described.py``).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from registry.signature import Column, Param, Schema, Tensor
from serving.protocols.kinds import Kind, column_kind, tensor_kind

Json = dict[str, Any]
FORMS = ("dataframe_split", "dataframe_records", "instances", "inputs")
MOST_DEPTH = 16
"""How deep nested types and tensors are described; what lies deeper is anything."""

_REF = "#/components/schemas/"
_ROW, _COLUMNS = {"$ref": f"{_REF}Row"}, {"$ref": f"{_REF}Columns"}
_LIST: Json = {"type": "array", "minItems": 1}
_FORMATS = {"int32": "int32", "int64": "int64", "float32": "float", "float64": "double"}


def body_schemas(inputs: Schema | None, params: Sequence[Param] | None) -> dict[str, Json]:
    """Return the schemas of a predict body by name: ``Request``, and what it refers to.

    Args:
        inputs: What the version takes; None where nothing is known.
        params: Its inference parameters.
    """
    forms, parts = _forms(inputs)
    request: Json = {
        "type": "object",
        "properties": {form: forms[form] for form in FORMS},
        "oneOf": [{"required": [form]} for form in FORMS],
        "additionalProperties": False,
    }
    request["properties"]["params"] = {"type": ["object", "null"], "maxProperties": 0}
    if params:
        request["properties"]["params"] = {"$ref": f"{_REF}Params"}
        parts["Params"] = _params(params)
    return {"Request": request, **parts}


def predictions_schema(outputs: Schema | None) -> Json:
    """Return the schema of ``predictions``: what the signature promises, which no server can enforce on a model."""
    if outputs is not None and outputs.tensors:
        if outputs.tensors[0].name is None:
            return _answered(_tensor(outputs.tensors[0]))
        return {"type": "object", "properties": {str(t.name): _answered(_tensor(t)) for t in outputs.tensors}}
    if outputs is not None and outputs.columns:
        cells = [(column.name, _column(column)) for column in outputs.columns]
        named = {str(name): _nullable(cell) for name, cell in cells if name is not None}
        records: Json = {"type": "array", "items": {"type": "object", "properties": named}}
        if len(cells) == 1:
            # A Series and a list have one unnamed column alike; only the model's code knows which it gives.
            return {"anyOf": [{"type": "array", "items": _nullable(cells[0][1])}, records]}
        return records if named else {"type": "array"}
    return {"description": "As the model answers: nested lists, a list of records, or any JSON value."}


def type_of(column: Column) -> str:
    """Return a column's type in words, such as ``double`` or ``array of string``."""
    return _type_words(column.spec, 0)


def plain(value: Any, depth: int = 0) -> Any:
    """Return a JSON value that every JSON reader takes: NaN and infinities, and what is very deep, are null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return None if depth > MOST_DEPTH else {str(k): plain(v, depth + 1) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return None if depth > MOST_DEPTH else [plain(item, depth + 1) for item in value]
    return value if value is None or isinstance(value, (str, bool, int)) else str(value)


def _forms(inputs: Schema | None) -> tuple[dict[str, Json], dict[str, Json]]:
    if inputs is not None and inputs.tensors:
        return _tensor_forms(inputs.tensors), {}
    if inputs is not None and inputs.columns and inputs.columns[0].name is not None:
        return _named_forms(inputs.columns)
    if inputs is not None and inputs.columns:
        return _unnamed_forms(inputs.columns), {}
    anything: Json = {"description": "One array, or an object of named arrays; nothing more is known of this version."}
    return {**_generic_tables(), "inputs": anything, "instances": anything}, {}


def _generic_tables() -> dict[str, Json]:
    return {
        "dataframe_split": _split({"type": "array"}, _LIST),
        "dataframe_records": {**_LIST, "items": {"type": "object"}},
    }


def _split(columns: Json, data: Json) -> Json:
    return {
        "type": "object",
        "required": ["data"],
        "properties": {"columns": columns, "index": {"type": ["array", "null"]}, "data": data},
        "additionalProperties": False,
    }


def _named_forms(columns: Sequence[Column]) -> tuple[dict[str, Json], dict[str, Json]]:
    cells = {str(column.name): _column(column) for column in columns}
    required = [str(column.name) for column in columns if column.required]
    several: Json = {"type": "object", "required": required, "additionalProperties": False}
    parts: dict[str, Json] = {
        "Row": {"description": "One row.", **several, "properties": cells},
        "Columns": {
            "description": "All rows, a list for each column; the lists are of one length.",
            **several,
            "properties": {name: {**_LIST, "items": cell} for name, cell in cells.items()},
        },
    }
    # MLflow writes the names of a DataFrame without names as numbers, and clients send them so.
    raw: list[object] = [column.name for column in columns]
    known = [*cells, *(name for name in raw if type(name) is int)]
    names: Json = {"type": "array", "items": {"enum": known}, "minItems": len(required), "uniqueItems": True}
    rows = {**_LIST, "description": "Rows; each has one value a column, in the order of `columns`."}
    records = {**_LIST, "items": _ROW}
    loose: Json = {"anyOf": [records, _COLUMNS, _ROW, {**_LIST, "description": "Rows in the signature's order."}]}
    forms = {
        "dataframe_split": _split(names, rows),
        "dataframe_records": records,
        "instances": loose,
        "inputs": loose,
    }
    return forms, parts


def _unnamed_forms(columns: Sequence[Column]) -> dict[str, Json]:
    cells = [_column(column) for column in columns]
    row: Json = {"type": "array", "prefixItems": cells, "minItems": len(cells), "maxItems": len(cells)}
    rows: Json = {**_LIST, "items": row}
    if len(cells) == 1:
        rows = {"anyOf": [rows, {**_LIST, "items": cells[0]}]}
    return {**_generic_tables(), "dataframe_split": _split({"type": "array"}, rows), "inputs": rows, "instances": rows}


def _tensor_forms(tensors: Sequence[Tensor]) -> dict[str, Json]:
    if tensors[0].name is None:
        whole = _tensor(tensors[0])
        return {**_generic_tables(), "inputs": whole, "instances": whole}
    by_name: Json = {
        "type": "object",
        "required": [str(tensor.name) for tensor in tensors],
        "properties": {str(tensor.name): _tensor(tensor) for tensor in tensors},
        "additionalProperties": False,
    }
    records: Json = {**_LIST, "items": {"type": "object"}, "description": "One object a row."}
    choices = [by_name, records]
    if len(tensors) == 1:
        choices.append(_tensor(tensors[0]))
    return {**_generic_tables(), "inputs": {"anyOf": choices}, "instances": {"anyOf": choices}}


def _column(column: Column) -> Json:
    return _cell(column.spec, column.required, 0)


def _cell(spec: Mapping[str, Any], required: bool, depth: int) -> Json:
    """Return the schema of one cell of a type as MLflow writes it."""
    name = str(spec.get("type")).lower()
    kind = column_kind(name)
    if kind is not None:
        scalar = _scalar(kind)
        return scalar if required or kind.family == "int" else _nullable(scalar)
    if depth >= MOST_DEPTH:
        return {}
    cell: Json = {}
    if name == "sparkml_vector":
        cell = {"type": "array", "items": {"type": ["number", "null"]}}
    elif name == "array":
        cell = {"type": "array", "items": _cell(part_of(spec, "items"), True, depth + 1)}
    elif name == "map":
        cell = {"type": "object", "additionalProperties": _cell(part_of(spec, "values"), True, depth + 1)}
    elif name == "object":
        parts = {str(key): part for key, part in part_of(spec, "properties").items() if isinstance(part, Mapping)}
        cell = {
            "type": "object",
            "properties": {k: _cell(p, bool(p.get("required", True)), depth + 1) for k, p in parts.items()},
            "required": [key for key, part in parts.items() if part.get("required", True)],
            "additionalProperties": False,
        }
    return cell if required or not cell else _nullable(cell)


def part_of(spec: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """Return what a column's type says of its parts; nothing where that is no object."""
    part = spec.get(key)
    return part if isinstance(part, Mapping) else {}


def _scalar(kind: Kind) -> Json:
    if kind.family == "float":
        return {"type": ["number", "null"], "format": _FORMATS.get(kind.dtype.name, "double")}
    if kind.family == "int":
        schema: Json = {"type": "integer", "minimum": kind.low, "maximum": kind.high}
        return schema | ({"format": _FORMATS[kind.dtype.name]} if kind.dtype.name in _FORMATS else {})
    if kind.family == "bool":
        return {"type": "boolean"}
    if kind.family == "binary":
        return {"type": "string", "contentEncoding": "base64"}
    if kind.family == "datetime":
        return {"type": ["string", "null"], "description": "ISO 8601 without an offset, such as 2026-01-31T12:00:00"}
    return {"type": ["string", "null"]}


def _nullable(schema: Json) -> Json:
    kind = schema.get("type")
    if kind is None or isinstance(kind, list):
        return schema
    return {**schema, "type": [kind, "null"]}


def _tensor(tensor: Tensor) -> Json:
    kind = tensor_kind(tensor.dtype)
    schema: Json = {} if kind is None else _scalar(kind)
    if len(tensor.shape) > MOST_DEPTH:
        schema = {"type": "array"}
    else:
        for length in reversed(tensor.shape):
            schema = {"type": "array", "items": schema}
            if length >= 0:
                schema |= {"minItems": length, "maxItems": length}
        if tensor.shape and tensor.shape[0] < 0:
            schema["minItems"] = 1
    return {**schema, "description": f"{tensor.dtype} of shape {shape_words(tensor.shape)}"}


def shape_words(shape: Sequence[int]) -> str:
    """Return a shape in words, such as ``(any, 28, 28)``."""
    return f"({', '.join('any' if length < 0 else str(length) for length in shape)})"


def _answered(schema: Json) -> Json:
    """Loosen an input's schema for an answer: a model may answer null for what is not finite, and no rows at all."""
    loose = {key: value for key, value in schema.items() if key not in ("minItems", "minimum", "maximum")}
    if isinstance(loose.get("items"), dict):
        loose["items"] = _answered(loose["items"])
    return loose


def _params(params: Sequence[Param]) -> Json:
    properties: dict[str, Json] = {}
    for param in params:
        kind = column_kind(param.type)
        one: Json = {"type": "object"} if kind is None else _scalar(kind)
        schema = _nullable(one if param.shape is None else {"type": "array", "items": _nullable(one)})
        properties[param.name] = {**schema, "default": plain(param.default)}
    return {"type": ["object", "null"], "properties": properties, "additionalProperties": False}


def _type_words(spec: Mapping[str, Any], depth: int) -> str:
    name = str(spec.get("type")).lower()
    if depth >= MOST_DEPTH:
        return "…"
    if name == "array":
        return f"array of {_type_words(part_of(spec, 'items'), depth + 1)}"
    if name == "map":
        return f"map of {_type_words(part_of(spec, 'values'), depth + 1)}"
    if name == "object":
        return f"object with {', '.join(map(str, part_of(spec, 'properties')))}"
    return name
