"""Values of the wrong type that mean exactly one value of the right one: 2.0 where an integer is asked for. Pure.

MLflow's server casts whatever numpy casts: 2.5 to 2, ``"5"`` to 5, a missing boolean to true. Callers of it count on
the harmless half without knowing: a DataFrame whose integers became floats, flags that are 0 and 1. So an input that
does not fit is looked at once more, and where nothing is lost it is taken. Not here: fitting (``native``), and tables,
whose types are their own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from registry.errors import InvalidRequest
from registry.signature import Schema
from serving.exchange import Input
from serving.protocols.kinds import EXACT, Kind, column_kind, tensor_kind
from serving.protocols.limits import Limits
from serving.protocols.native import Parsed, fit
from serving.values import value

_EASED = ("int", "float", "bool")


@value
class _Kinds:
    """What each column is asked to be: by name, and by position; ``only`` where there is one tensor without a name."""

    named: Mapping[str, Kind | None]
    placed: Sequence[Kind | None]
    only: Kind | None


def fit_easily(parsed: Parsed, schema: Schema | None, limits: Limits) -> Input:
    """Fit a body as ``native.fit`` does, or with values eased where that is what it takes; raise as it does."""
    try:
        return fit(parsed, schema, limits)
    except InvalidRequest as error:
        if schema is None or parsed.is_table or error.details.get("reason") != "wrong_type":
            raise
        told = error
    kinds, body = _kinds_of(schema), parsed.value
    split = parsed.form == "dataframe_split" and type(body) is dict
    body = _eased_split(body, kinds) if split else _eased(body, kinds)
    eased = Parsed(parsed.form, body, None, parsed.spare_strings, True, parsed.drops_unknown)
    try:
        return fit(eased, schema, limits)
    except InvalidRequest:
        raise told from None


def _kinds_of(schema: Schema) -> _Kinds:
    if schema.tensors:
        kinds = [tensor_kind(tensor.dtype) for tensor in schema.tensors]
        names = [tensor.name for tensor in schema.tensors]
    else:
        kinds = [column_kind(column.type) for column in schema.columns]
        names = [column.name for column in schema.columns]
    eased = [kind if kind is not None and kind.family in _EASED else None for kind in kinds]
    named = {str(name): kind for name, kind in zip(names, eased, strict=True) if name is not None}
    return _Kinds(named, eased, eased[0] if len(eased) == 1 else None)


def _eased_split(body: Mapping[str, Any], kinds: _Kinds) -> Any:
    columns, rows = body.get("columns"), body.get("data")
    if type(rows) is not list:
        return body
    by_name = type(columns) is list and kinds.named
    placed = [kinds.named.get(str(name)) for name in columns or ()] if by_name else kinds.placed
    return {**body, "data": _rows(rows, placed, None if by_name else kinds.only)}


def _eased(body: Any, kinds: _Kinds) -> Any:
    if type(body) is dict:
        return {name: _cell(cells, kinds.named.get(name)) for name, cells in body.items()}
    if type(body) is not list:
        return _cell(body, kinds.only)
    if body and type(body[0]) is dict:
        return [_eased(row, kinds) if type(row) is dict else row for row in body]
    return _rows(body, kinds.placed, kinds.only)


def _rows(rows: list[Any], placed: Sequence[Kind | None], only: Kind | None) -> list[Any]:
    if only is not None:
        return [_cell(row, only) for row in rows]
    return [
        [_cell(cell, kind) for cell, kind in zip(row, placed, strict=True)]
        if type(row) is list and len(row) == len(placed)
        else row
        for row in rows
    ]


def _cell(cell: Any, kind: Kind | None) -> Any:
    if kind is None:
        return cell
    if type(cell) is list:
        return [_cell(part, kind) for part in cell]
    found = type(cell)
    if kind.family == "int" and ((found is float and cell.is_integer() and abs(cell) <= EXACT) or found is bool):
        return int(cell)
    if kind.family == "float" and found is bool:
        return float(cell)
    if kind.family == "bool" and found in (int, float) and cell in (0, 1):
        return bool(cell)
    return cell
