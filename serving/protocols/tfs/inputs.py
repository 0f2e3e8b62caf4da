"""``instances`` and ``inputs`` where TensorFlow Serving means something else by them than MLflow does. Pure.

Most bodies mean the same in both, and are fitted as our own protocol fits them (``native.shape``). What differs is put
into our words here: bytes as ``{"b64": …}``, a plain string for an input of bytes (its UTF-8), and lists for columns
whose cells are lists: always one entry a row here, where MLflow may take them for one row's cell.

Tensors of objects hold text and bytes alike: there ``{"b64": …}`` becomes bytes, which no value of our own protocol can
be. So they go through it as text behind a mark that no JSON can spell, and become bytes afterwards.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from registry.errors import InvalidRequest, quote
from registry.signature import Column, Schema, Signature, Tensor
from serving.exchange import Array, Call, TensorInput, TensorsInput
from serving.protocols.cells import objects
from serving.protocols.kinds import STRING, column_kind, tensor_kind
from serving.protocols.limits import Limits
from serving.protocols.native import Parsed, schema_for, shape
from serving.protocols.refusals import describe, wrong_input
from serving.protocols.tfs.body import is_base64

_LISTS = ("array", "object", "sparkml_vector")


_MARK = "\udcb6"
"""Half of a surrogate pair: readers of JSON refuse it, so that no caller's text begins with it."""
_TextKind = Literal["string", "binary", "object"]


def fit_call(
    parsed: Parsed, has_base64: bool, signature: Signature, graph_inputs: Schema | None, limits: Limits
) -> Call:
    """Fit a parsed body to what a model takes; raise as ``native.shape`` does.

    Args:
        parsed: Its input.
        has_base64: Whether ``{"b64": …}`` may be in it.
        signature: The version's; its parts may be None.
        graph_inputs: What an ONNX graph says that it takes; used where the signature declares no inputs.
        limits: The same as for reading.
    """
    schema = schema_for(signature, graph_inputs)
    call = shape(translate(parsed, schema, has_base64), signature, graph_inputs, limits)
    data = call.data
    if not has_base64 or schema is None or not schema.tensors:
        return call
    if isinstance(data, TensorInput):
        return replace(call, data=TensorInput(_unmarked(data.array)))
    if isinstance(data, TensorsInput):
        return replace(call, data=TensorsInput({name: _unmarked(array) for name, array in data.arrays.items()}))
    return call


def _unmarked(array: Array) -> Array:
    if array.dtype != object:
        return array
    cells = [
        cell[1:].encode("latin-1") if type(cell) is str and cell.startswith(_MARK) else cell for cell in array.flat
    ]
    return objects(cells).reshape(array.shape)


def translate(parsed: Parsed, schema: Schema | None, has_base64: bool) -> Parsed:
    """Return a parsed body in the words of our own protocol; raise InvalidRequest ``invalid_input``.

    A model of which nothing is known gets what was sent.
    """
    if schema is None:
        return parsed
    value = parsed.value
    if not parsed.plain:
        texts = _text_inputs(schema)
        if has_base64 or "binary" in texts.values():
            value = _with_texts(value, parsed.form == "instances", texts)
    if schema.columns and any(column.type in _LISTS for column in schema.columns):
        value, rows = _by_rows(value, parsed.form == "instances", schema.columns)
        if rows:
            return replace(parsed, form="instances", value=value)
    return parsed if value is parsed.value else replace(parsed, value=value)


def _text_inputs(schema: Schema) -> dict[str, _TextKind | None]:
    """Return, by name or else place, what each input is where it is text or bytes."""
    specs: tuple[Tensor | Column, ...] = schema.tensors or schema.columns
    return {str(at if spec.name is None else spec.name): _text_kind(spec) for at, spec in enumerate(specs)}


def _text_kind(spec: Tensor | Column) -> _TextKind | None:
    if isinstance(spec, Tensor):
        kind = tensor_kind(spec.dtype)
        if kind is STRING and np.dtype(spec.dtype) == object:
            return "object"
    else:
        items = spec.spec.get("items")
        kind = column_kind(str(items.get("type")).lower() if isinstance(items, Mapping) else spec.type)
    if kind is None:
        return None
    return "string" if kind.family == "string" else "binary" if kind.family == "binary" else None


def _with_texts(value: Any, by_row: bool, texts: Mapping[str, _TextKind | None]) -> Any:
    if by_row and type(value) is list:
        return [_one_row(item, texts, f"instances[{at}]") for at, item in enumerate(value)]
    if type(value) is list and len(texts) > 1:
        return [_one_row(item, texts, f"inputs[{at}]") for at, item in enumerate(value)]
    return _one_row(value, texts, "inputs")


def _one_row(value: Any, texts: Mapping[str, _TextKind | None], path: str) -> Any:
    """Translate what stands for one row, or for all columns at once: an object by names, a list by places."""
    if type(value) is dict and not is_base64(value):
        return {name: _text(cell, texts.get(name), f"{path}.{quote(name)}") for name, cell in value.items()}
    if len(texts) == 1:
        return _text(value, next(iter(texts.values())), path)
    if type(value) is list and len(value) == len(texts):
        cells = zip(value, texts.values(), strict=True)
        return [_text(cell, each, f"{path}[{at}]") for at, (cell, each) in enumerate(cells)]
    return value


def _text(value: Any, kind: _TextKind | None, path: str) -> Any:
    """Return text as our own protocol writes it: base64 for bytes, itself for strings."""
    if kind is None:
        return value
    if type(value) is list:
        return [_text(part, kind, path) for part in value]
    if type(value) is str:
        return base64.b64encode(value.encode()).decode() if kind == "binary" else value
    if not is_base64(value):
        return value
    text: str = value["b64"]
    if kind == "binary":
        return text
    try:
        decoded = base64.b64decode(text, validate=True)
        return decoded.decode() if kind == "string" else _MARK + decoded.decode("latin-1")
    except (binascii.Error, ValueError):
        expected, got = "base64" if kind == "object" else "base64 of UTF-8 text", describe(text)
        raise wrong_input(f"{path}: expected {expected}, got {got}", path=path, expected=expected, got=got) from None


def _by_rows(value: Any, by_row: bool, columns: tuple[Column, ...]) -> tuple[Any, bool]:
    """Return lists for columns of lists as records, one a row, and whether that is what they are now."""
    name = columns[0].name
    if type(value) is list and len(columns) == 1 and name is not None:
        if value and type(value[0]) is not dict:
            return [{name: cell} for cell in value], True
        return value, by_row
    if by_row or type(value) is not dict or not any(type(cells) is list for cells in value.values()):
        return value, by_row
    length = next(len(cells) for cells in value.values() if type(cells) is list)
    for key, cells in value.items():
        if type(cells) is not list or len(cells) != length:
            raise _uneven(key, length, cells)
    rows = zip(*value.values(), strict=True)
    return [dict(zip(value, row, strict=True)) for row in rows], True


def _uneven(name: str, length: int, cells: object) -> InvalidRequest:
    path, expected, got = f"inputs.{quote(name)}", f"a list of {length}, as the other inputs have", describe(cells)
    return wrong_input(f"{path}: expected {expected}, got {got}", path=path, expected=expected, got=got)
