"""Cells that are lists and objects: MLflow's array, object, map and any types, enforced by recursion. Pure.

The answer is made of plain lists, dicts, strings, numbers, booleans and None. Dates and binaries inside stay the text
that they are in JSON, after a check. The recursion is as deep as the model's own signature, which no caller writes.

Source: ``_enforce_array``, ``_enforce_object`` and ``_enforce_map`` of MLflow's ``models/utils.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from serving.protocols.cells import convert
from serving.protocols.kinds import column_kind
from serving.protocols.refusals import Where, describe, name_some, wrong_input


def enforce_nested(value: Any, spec: Mapping[str, Any], path: str, *, required: bool = True) -> Any:
    """Return the value as the type in ``spec`` asks for it; raise InvalidRequest ``invalid_input``."""
    name = str(spec.get("type")).lower()
    kind = column_kind(name)
    if kind is not None:
        if value is None and not required:
            return None
        array = convert([value], kind, Where("tensor", path), required=required)
        return value if kind.family in ("binary", "datetime") else array.tolist()[0]
    if name == "sparkml_vector":
        return _array(value, {"items": {"type": "double"}}, path, required)
    if name == "array":
        return _array(value, spec, path, required)
    if name == "object":
        return _object(value, spec, path, required)
    if name == "map":
        return _map(value, spec, path, required)
    return value


def _array(value: Any, spec: Mapping[str, Any], path: str, required: bool) -> Any:
    items: Mapping[str, Any] = spec["items"]
    anything = str(items.get("type")).lower() == "any"
    if (not required or anything) and (value is None or value == []):
        return value
    if type(value) is not list:
        raise _wrong(path, "a list", value)
    kind = column_kind(str(items.get("type")).lower())
    if kind is None:
        return [enforce_nested(item, items, f"{path}[{at}]", required=required) for at, item in enumerate(value)]
    array = convert(value, kind, Where("tensor", path, shape=(len(value),)), required=required)
    return value if kind.family in ("binary", "datetime") else array.tolist()


def _object(value: Any, spec: Mapping[str, Any], path: str, required: bool) -> Any:
    if not required and (value is None or value == {}):
        return value
    if type(value) is not dict:
        raise _wrong(path, "an object", value)
    properties: Mapping[str, Mapping[str, Any]] = spec["properties"]
    missing = [key for key, part in properties.items() if part.get("required", True) and key not in value]
    if missing:
        message = f"{path} lacks {name_some(missing)}"
        raise wrong_input(message, path=path, expected=name_some(missing), got="nothing", reason="missing")
    unknown = [key for key in value if key not in properties]
    if unknown:
        message = f"{path} has {name_some(unknown)}, which the model's signature does not"
        raise wrong_input(message, path=path, expected=name_some(list(properties)), got=name_some(unknown))
    return {
        key: enforce_nested(
            part, properties[key], f"{path}.{key[:64]}", required=bool(properties[key].get("required", True))
        )
        for key, part in value.items()
    }


def _map(value: Any, spec: Mapping[str, Any], path: str, required: bool) -> Any:
    values: Mapping[str, Any] = spec["values"]
    anything = str(values.get("type")).lower() == "any"
    if (not required or anything) and (value is None or value == {}):
        return value
    if type(value) is not dict:
        raise _wrong(path, "an object", value)
    return {key: enforce_nested(part, values, f"{path}.{key[:64]}", required=required) for key, part in value.items()}


def _wrong(path: str, expected: str, value: object) -> Exception:
    got = describe(value)
    return wrong_input(f"{path}: expected {expected}, got {got}", path=path, expected=expected, got=got)
