"""The sentences in which an input is refused: what was expected where, and what came instead. Pure.

Every refusal of a value is ``invalid_input`` with the same details: ``path``, ``column``, ``row`` (counted from 0),
``expected``, ``got`` and a ``reason`` for machines. What came is never repeated beyond a few characters.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from registry.errors import InvalidRequest, quote
from serving.values import value

Style = Literal["rows", "items", "records", "record", "columns", "table", "tensor"]

_GOT_LIMIT = 40


@value
class Where:
    """Names a column's cells in the caller's own words.

    Attributes:
        style: How the request wrote cells down: lists of rows, lists of a row's only cell (``items``), records, one
            record, lists of columns, a binary or CSV table, or nested lists (``tensor``), whose cells are counted
            through.
        base: The JSON path below which the cells lie; empty for a table.
        name: The column's name, or None where it has none.
        position: The column's place in the request.
        shape: The shape of the nested lists; empty for one lone value.
    """

    style: Style
    base: str
    name: str | None = None
    position: int = 0
    shape: tuple[int, ...] = ()

    def path(self, row: int) -> str:
        """Return the path of the cell in ``row``."""
        label = quote(self.position if self.name is None else self.name)
        if self.style == "rows":
            return f"{self.base}[{row}][{self.position}]"
        if self.style == "items":
            return f"{self.base}[{row}]"
        if self.style == "records":
            return f"{self.base}[{row}].{label}"
        if self.style == "record":
            return f"{self.base}.{label}"
        if self.style == "columns":
            return f"{self.base}.{label}[{row}]"
        if self.style == "tensor":
            return self.base + "".join(f"[{i}]" for i in self.index(row))
        return f"[{row}].{label}"

    def index(self, cell: int) -> tuple[int, ...]:
        """Return a tensor's index from the running number of a cell."""
        index: list[int] = []
        for length in reversed(self.shape):
            cell, at = divmod(cell, length)
            index.insert(0, at)
        return tuple(index)

    @property
    def label(self) -> str:
        """Return the column as a person would name it."""
        return f"column {self.position}" if self.name is None else f"column '{quote(self.name)}'"


def describe(value: object) -> str:
    """Say what a value is, with at most 40 characters of it."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f'the string "{quote(value, _GOT_LIMIT)}"'
    if isinstance(value, int | float):
        return quote(value, _GOT_LIMIT)
    if isinstance(value, list | tuple):
        return f"a list of {len(value)}"
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, bytes):
        return f"{len(value)} bytes"
    return f"a {type(value).__name__}"


def wrong_value(where: Where, row: int, *, expected: str, value: object, reason: str = "wrong_type") -> InvalidRequest:
    """Return the refusal of one cell."""
    got, path = describe(value), where.path(row)
    details: dict[str, object] = {"path": path, "expected": expected, "got": got, "reason": reason}
    if where.style == "tensor":
        details["row"] = (where.index(row) or (0,))[0]
        place = path
    else:
        details["row"] = row
        details["column"] = where.position if where.name is None else quote(where.name)
        place = f"{where.label}, row {row}"
    return InvalidRequest("invalid_input", f"{place}: expected {expected}, got {got}", details)


def wrong_input(message: str, *, path: str, expected: str, got: str, reason: str = "wrong_shape") -> InvalidRequest:
    """Return the refusal of an input as a whole, or of a part that is no single cell."""
    return InvalidRequest("invalid_input", message, {"path": path, "expected": expected, "got": got, "reason": reason})


def wrong_columns(message: str, *, columns: Sequence[str], reason: str) -> InvalidRequest:
    """Return the refusal of a set of columns; the first of them is named in the details."""
    first = [quote(name) for name in columns[:8]]
    return InvalidRequest("invalid_input", message, {"column": first[0], "columns": first, "reason": reason})


def name_some(names: Sequence[str], most: int = 5) -> str:
    """Quote the first few names for a message."""
    shown = ", ".join(f"'{quote(name)}'" for name in names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"


def too_many_values(count: int, limit: int) -> InvalidRequest:
    """Return the refusal of an input that would expand to more values than the limit."""
    return InvalidRequest(
        "too_many_values",
        f"the input holds {count:,} values; at most {limit:,} are accepted in one request. Send fewer rows",
        {"got": count, "limit": limit},
    )
