"""``instances`` and ``inputs`` where TensorFlow Serving means something else by them than MLflow does. Pure.

Most bodies mean the same in both, and are fitted as our own protocol fits them (``native.shape``). What differs is put
into our words here: bytes as ``{"b64": …}``, a plain string for an input of bytes (its UTF-8), and lists for columns
whose cells are lists: always one entry a row here, where MLflow may take them for one row's cell.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from registry.errors import InvalidRequest, quote
from registry.signature import Column, Schema
from serving.protocols.kinds import Family, Kind, column_kind, tensor_kind
from serving.protocols.native import Parsed
from serving.protocols.refusals import describe, wrong_input
from serving.protocols.tfs.body import is_base64

_LISTS = ("array", "object", "sparkml_vector")


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


def _text_inputs(schema: Schema) -> dict[str, Family | None]:
    """Return, by name or else place, what each input is where it is text or bytes."""
    if schema.tensors:
        kinds = [tensor_kind(tensor.dtype) for tensor in schema.tensors]
        names = [tensor.name for tensor in schema.tensors]
    else:
        kinds = [_cell_kind(column) for column in schema.columns]
        names = [column.name for column in schema.columns]
    texts = [kind.family if kind is not None and kind.family in ("binary", "string") else None for kind in kinds]
    return {str(at if name is None else name): text for at, (name, text) in enumerate(zip(names, texts, strict=True))}


def _cell_kind(column: Column) -> Kind | None:
    items = column.spec.get("items")
    return column_kind(str(items.get("type")).lower() if isinstance(items, Mapping) else column.type)


def _with_texts(value: Any, by_row: bool, texts: Mapping[str, Family | None]) -> Any:
    if by_row and type(value) is list:
        return [_one_row(item, texts, f"instances[{at}]") for at, item in enumerate(value)]
    if type(value) is list and len(texts) > 1:
        return [_one_row(item, texts, f"inputs[{at}]") for at, item in enumerate(value)]
    return _one_row(value, texts, "inputs")


def _one_row(value: Any, texts: Mapping[str, Family | None], path: str) -> Any:
    """Translate what stands for one row, or for all columns at once: an object by names, a list by places."""
    if type(value) is dict and not is_base64(value):
        return {name: _text(cell, texts.get(name), f"{path}.{quote(name)}") for name, cell in value.items()}
    if len(texts) == 1:
        return _text(value, next(iter(texts.values())), path)
    if type(value) is list and len(value) == len(texts):
        cells = zip(value, texts.values(), strict=True)
        return [_text(cell, each, f"{path}[{at}]") for at, (cell, each) in enumerate(cells)]
    return value


def _text(value: Any, family: Family | None, path: str) -> Any:
    """Return text as our own protocol writes it: base64 for bytes, itself for strings."""
    if family is None:
        return value
    if type(value) is list:
        return [_text(part, family, path) for part in value]
    if type(value) is str:
        return base64.b64encode(value.encode()).decode() if family == "binary" else value
    if not is_base64(value):
        return value
    text: str = value["b64"]
    if family == "binary":
        return text
    try:
        return base64.b64decode(text, validate=True).decode()
    except (binascii.Error, ValueError):
        expected, got = "base64 of UTF-8 text", describe(text)
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
