"""A frame, fitted to a signature of columns: names matched, every cell of its declared type. Pure.

As MLflow's ``_enforce_schema`` does it, but strictly: columns are matched by name in any order; a required column
that is missing is refused, and so is a column that the signature does not have (MLflow drops it with a warning, and
with it a misspelt optional column); values are never cast in silence (``cells``). Rows without names (``{"inputs":
[[…]]}``, or a ``dataframe_split`` without ``columns``) are taken by position where their width is the signature's,
also where the signature has names.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from registry.errors import InvalidRequest, quote
from registry.signature import Column, Schema
from serving.exchange import Array, Table
from serving.protocols.blocks import numeric_block
from serving.protocols.cells import convert, objects
from serving.protocols.frames import Frame
from serving.protocols.kinds import Kind, column_kind
from serving.protocols.nested import enforce_nested
from serving.protocols.refusals import Where, name_some, wrong_columns, wrong_input
from serving.protocols.typed import convert_typed
from serving.protocols.unsigned import infer_column

_CELLS = ("array", "object", "sparkml_vector")
_NUMBERS = ("float", "int")
_OBJECTS = ("object", "map")


@dataclass(frozen=True, slots=True)
class ColumnPlan:
    """A schema of columns, worked out once.

    Attributes:
        names: The columns' names; ``"0"``, ``"1"`` … where it has none.
        kinds: Each column's kind; None for nested types.
        named: Whether the signature has names.
        numbered: Whether its names are the numbers 0, 1, … that a DataFrame without names has.
        uniform: The kind of all columns, where they are numbers of one type.
        order: 0, 1, …: each column in its own place.
    """

    columns: tuple[Column, ...]
    names: tuple[str, ...]
    kinds: tuple[Kind | None, ...]
    named: bool
    numbered: bool
    uniform: Kind | None
    order: tuple[int, ...]

    @property
    def nested(self) -> bool:
        """Whether any column is of arrays or objects, so that MLflow takes ``inputs`` as one row's cells."""
        return any(column.type in _CELLS for column in self.columns)

    def holds(self, items: object) -> bool:
        """Tell whether ``items`` may be rows of the signature's only column, which has no name: MLflow makes that of a
        type hint, ``list[Item]``, where an item is an object or a list."""
        if self.named or len(self.columns) != 1 or type(items) is not list:
            return False
        kind = self.columns[0].type
        return kind in _OBJECTS or (kind == "array" and bool(items) and all(type(item) is list for item in items))


def make_plan(schema: Schema) -> ColumnPlan:
    """Work out a schema of columns."""
    # MLflow writes the integer names of a DataFrame without names as JSON integers.
    raw: list[object] = [column.name for column in schema.columns]
    named = raw[0] is not None
    names = tuple(str(position if name is None else name) for position, name in enumerate(raw))
    kinds = tuple(column_kind(column.type) for column in schema.columns)
    first = kinds[0]
    return ColumnPlan(
        columns=schema.columns,
        names=names,
        kinds=kinds,
        named=named,
        numbered=named and raw == list(range(len(raw))),
        uniform=first if first is not None and first.family in _NUMBERS and set(kinds) == {first} else None,
        order=tuple(range(len(names))),
    )


def enforce_columns(frame: Frame, plan: ColumnPlan, *, drops: bool = False) -> Table:
    """Return the table that the model gets; raise InvalidRequest ``invalid_input`` naming the column and row.

    With ``drops``, columns that the signature does not have are left out.
    """
    order = _match(frame, plan, drops)
    if plan.uniform is not None and frame.plain and frame.rows is not None:
        block = numeric_block(frame.rows, plan.uniform)
        if block is not None and block.ndim == 2 and block.shape[1] == frame.width:
            if order is not plan.order:
                block = block[:, [position for position in order if position is not None]]
            # One row lies right for columns as it is; more are turned, so that each column is in one piece.
            turned = block.T if len(block) == 1 else np.ascontiguousarray(block.T)
            return _table(frame, plan, order, tuple(turned), turned)
    columns = frame.by_columns()
    arrays: list[Array | None] = [None] * len(order)
    whole = _fill_blocks(columns, order, plan, arrays) if frame.plain else None
    for at, position in enumerate(order):
        if position is not None and arrays[at] is None:
            where = frame.where(position)
            if frame.names is None and plan.named:
                where = Where(where.style, where.base, plan.names[at], position)
            column = plan.columns[at]
            if column.required and position in frame.absent:
                raise _absent(where, frame.absent[position])
            arrays[at] = _column(columns[position], column, plan.kinds[at], where)
    return _table(frame, plan, order, tuple(array for array in arrays if array is not None), whole)


def _table(
    frame: Frame,
    plan: ColumnPlan,
    order: Sequence[int | None],
    arrays: tuple[Array, ...],
    block: Array | None = None,
) -> Table:
    if plan.named and order is plan.order:
        return Table(plan.names, arrays, not plan.numbered, block)
    if plan.named:
        names = tuple(name for name, position in zip(plan.names, order, strict=True) if position is not None)
        return Table(names, arrays, not plan.numbered or len(names) < len(plan.names), block)
    if frame.names is not None:
        return Table(frame.names, arrays, frame.named, block)
    return Table(plan.names, arrays, False, block)


def _match(frame: Frame, plan: ColumnPlan, drops: bool) -> Sequence[int | None]:
    """Return for each column of the signature its place in the frame, or None where an optional one is missing."""
    if frame.names == plan.names:
        return plan.order
    if frame.names is None or not plan.named:
        if frame.width != len(plan.names):
            base = frame.base or "the table"
            expected, got = f"{len(plan.names)} column(s)", f"{frame.width} column(s)"
            message = f"{base}: expected {expected}, got {frame.width}"
            if frame.rows is not None and frame.length == len(plan.names) and frame.width == 1 < frame.length:
                message += "; a single row is a list in a list: [[…]]"
            raise wrong_input(message, path=base, expected=expected, got=got)
        return plan.order
    places = {name: position for position, name in enumerate(frame.names)}
    missing = [c for c, name in zip(plan.columns, plan.names, strict=True) if c.required and name not in places]
    known = set(plan.names)
    extra = [name for name in frame.names if name not in known]
    if missing:
        names = [str(column.name) for column in missing]
        message = f"missing {_columns(names)}; the model's signature requires {'it' if len(names) == 1 else 'them'}"
        if extra:
            message += f". Columns that it does not have: {name_some(extra)}"
        raise wrong_columns(message, columns=names, reason="missing")
    if extra and not drops:
        message = f"unknown {_columns(extra)}; the model's signature has {name_some(plan.names)}"
        if frame.style == "table" and extra[0].startswith("Unnamed: "):
            message += ". A column without a name is often a DataFrame's index: write the file without it"
        raise wrong_columns(message, columns=extra, reason="unknown")
    return [places.get(name) for name in plan.names]


def _columns(names: Sequence[str]) -> str:
    return f"{'column' if len(names) == 1 else 'columns'} {name_some(names)}"


def _fill_blocks(
    columns: Sequence[Sequence[Any] | Array], order: Sequence[int | None], plan: ColumnPlan, arrays: list[Array | None]
) -> Array | None:
    """Convert the numeric columns of one type together; leave None where that does not work.

    Return the block of all columns, where it is one.
    """
    groups: dict[Kind, list[int]] = {}
    for at, (position, kind) in enumerate(zip(order, plan.kinds, strict=True)):
        if position is not None and kind is not None and kind.family in _NUMBERS:
            groups.setdefault(kind, []).append(at)
    for kind, members in groups.items():
        block = numeric_block([columns[order[at]] for at in members], kind)  # type: ignore[index]
        if block is not None and block.ndim == 2:
            for at, array in zip(members, block, strict=True):
                arrays[at] = array
            if len(members) == len(order):
                return block
    return None


def _column(values: Sequence[Any] | Array, column: Column, kind: Kind | None, where: Where) -> Array:
    if kind is not None and isinstance(values, np.ndarray):
        return convert_typed(values, kind, where, required=column.required)
    cells: Sequence[Any] = values.tolist() if isinstance(values, np.ndarray) else values
    if kind is not None:
        return convert(cells, kind, where, required=column.required)
    if column.type == "any":
        return infer_column(cells)
    spec, required = column.spec, column.required
    return objects([enforce_nested(cell, spec, where.path(row), required=required) for row, cell in enumerate(cells)])


def _absent(where: Where, row: int) -> InvalidRequest:
    name = quote(where.name)
    return InvalidRequest(
        "invalid_input",
        f"missing column '{name}' in row {row}; the model's signature requires it (null says that a value is missing)",
        {"path": where.path(row), "column": name, "row": row, "reason": "missing"},
    )
