"""Inference parameters, checked against the signature. Pure.

A parameter that the signature does not have is refused: MLflow ignores it with a warning in the server's log, which for
the caller is a misspelt parameter that silently has no effect. Absent ones get their default. Other systems' protocols
leave unknown ones out first (``declared_only``), because their servers do and their clients count on it.

Source: ``_enforce_params_schema`` and ``ParamSpec`` of MLflow.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from typing import Any

from registry.errors import quote
from registry.signature import Param
from serving.protocols.cells import convert
from serving.protocols.kinds import Kind, column_kind
from serving.protocols.refusals import Where, describe, name_some, wrong_columns, wrong_input


def enforce_params(given: Mapping[str, Any] | None, declared: Sequence[Param] | None) -> dict[str, Any]:
    """Return every declared parameter with its value.

    Values are JSON values, except that dates become ``datetime.datetime``. Raises InvalidRequest ``invalid_input``.
    """
    if not given and not declared:
        return {}
    given, declared = given or {}, declared or ()
    known = [param.name for param in declared]
    unknown = [name for name in given if name not in known]
    if unknown:
        has = f"it has {name_some(known)}" if known else "its signature has none"
        raise wrong_columns(f"unknown parameter {name_some(unknown)}; {has}", columns=unknown, reason="unknown")
    return {param.name: _value(param, given.get(param.name, param.default)) for param in declared}


def declared_only(given: Mapping[str, Any], declared: Sequence[Param] | None) -> dict[str, Any]:
    """Return those of the given values that the signature has parameters for."""
    known = {param.name for param in declared or ()}
    return {name: part for name, part in given.items() if name in known}


def _value(param: Param, value: Any) -> Any:
    path = f"params.{quote(param.name)}"
    if param.shape is not None:
        if type(value) is not list:
            raise _wrong(path, f"a list of {param.type} values", value)
        return [_scalar(param, item, f"{path}[{at}]") for at, item in enumerate(value)]
    return _scalar(param, value, path)


def _scalar(param: Param, value: Any, path: str) -> Any:
    if value is None:
        return None
    kind = column_kind(param.type)
    if kind is None:
        if type(value) is not dict:
            raise _wrong(path, "an object", value)
        return value
    if kind.family == "datetime":
        return _date(kind, value, path)
    if type(value) is float and kind.family == "float":
        return value  # whatever its type is called, a parameter is a Python float
    array = convert([value], kind, Where("tensor", path))
    return float(value) if kind.family == "float" else array.tolist()[0]


def _date(kind: Kind, value: Any, path: str) -> datetime.datetime:
    if type(value) is not str:
        raise _wrong(path, kind.noun, value)
    array = convert([value], kind, Where("tensor", path))
    date: datetime.datetime = array.astype("datetime64[us]").tolist()[0]
    return date


def _wrong(path: str, expected: str, value: object) -> Exception:
    got = describe(value)
    return wrong_input(f"{path}: expected {expected}, got {got}", path=path, expected=expected, got=got)
