"""A table as the caller wrote it, before anybody asks what types it should have. Pure.

Rows stay rows and columns stay columns: what comes next takes whichever is there, so that a body of numbers becomes one
block. Not here: types, and which columns there ought to be.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from itertools import chain
from operator import itemgetter
from typing import Any

from registry.errors import InvalidRequest, quote
from serving.exchange import Array
from serving.protocols.limits import MAX_COLUMNS, Limits
from serving.protocols.refusals import Style, Where, describe, name_some, too_many_values, wrong_columns, wrong_input
from serving.values import value


@value
class Frame:
    """Cells, by rows or by columns.

    Attributes:
        style: How the request wrote them, for messages; with ``base``, the path above them.
        base: See ``style``.
        names: Column names, or None where the request gave none.
        named: False where the names are but numbers in order.
        rows: Row-major cells, not yet checked to be of one length; None where ``columns`` is there.
        columns: One sequence of JSON values, or one typed array, a column; all of one length.
        length: Number of rows, at least 1.
        plain: No cell is a string, a boolean or null.
        absent: Columns (by position) that some record lacks, and the first such row.
    """

    style: Style
    base: str
    names: tuple[str, ...] | None
    named: bool
    rows: Sequence[Sequence[Any]] | None
    columns: tuple[Sequence[Any] | Array, ...] | None
    length: int
    plain: bool
    absent: Mapping[int, int] = field(default_factory=dict)

    @property
    def width(self) -> int:
        """Number of columns: as many as have names, else as the first row has."""
        if self.names is not None:
            return len(self.names)
        if self.columns is not None:
            return len(self.columns)
        return len(self.rows[0]) if self.rows else 0

    def where(self, position: int) -> Where:
        """Return how to name the cells of a column."""
        return Where(self.style, self.base, None if self.names is None else self.names[position], position)

    def by_columns(self) -> tuple[Sequence[Any] | Array, ...]:
        """Return the columns; raise InvalidRequest ``invalid_input`` where a row has another length."""
        if self.columns is not None:
            return self.columns
        rows = self.rows or ()
        width = self.width
        for at, row in enumerate(rows):
            if len(row) != width:
                message = f"{self.base}[{at}] is ragged: expected {width} values, got {len(row)}"
                raise InvalidRequest(
                    "invalid_input",
                    message,
                    {
                        "path": f"{self.base}[{at}]",
                        "row": at,
                        "expected": f"{width} values",
                        "got": f"{len(row)} values",
                        "reason": "ragged",
                    },
                )
        return tuple(zip(*rows, strict=True))


def split_frame(value: Any, spare_strings: int, literals: bool, limits: Limits) -> Frame:
    """Read ``dataframe_split``: ``{"columns"?, "index"?, "data"}``. The index is left out."""
    path = "dataframe_split"
    if type(value) is not dict:
        raise _expected(path, "an object with 'columns' and 'data'", value)
    unknown = [key for key in value if key not in ("columns", "index", "data")]
    if unknown or "data" not in value:
        got = name_some(list(value)) if value else "nothing"
        message = f"{path} must have 'data' and may have 'columns' and 'index'; it has {got}"
        raise wrong_input(message, path=path, expected="data, columns, index", got=got)
    rows, base = _rows(value["data"], f"{path}.data"), f"{path}.data"
    index = value.get("index")
    if index is not None and (type(index) is not list or len(index) != len(rows)):
        raise _expected(f"{path}.index", f"a list of {len(rows)}, one for each row", index)
    columns = value.get("columns")
    if columns is None:
        return Frame("rows", base, None, False, rows, None, len(rows), spare_strings == 0 and not literals)
    names, named = _split_names(columns, f"{path}.columns")
    _check_size(len(rows), len(names), limits)
    plain = spare_strings == len(names) and not literals
    if rows and len(rows[0]) != len(names):
        message = f"{base}[0] has {len(rows[0])} values, but there are {len(names)} columns"
        raise wrong_input(message, path=f"{base}[0]", expected=f"{len(names)} values", got=f"{len(rows[0])} values")
    return Frame("rows", base, names, named, rows, None, len(rows), plain)


def rows_frame(value: list[Any], path: str, plain: bool) -> Frame:
    """Read a list of rows without names, or a list of single values as one column."""
    rows = _rows(value, path)
    return Frame("rows", path, None, False, rows, None, len(rows), plain)


def records_frame(value: Any, path: str, plain: bool, limits: Limits) -> Frame:
    """Read a list of objects, one a row. A key that some rows lack is null there, and noted as absent."""
    if type(value) is not list:
        raise _expected(path, "a list of objects, one a row", value)
    _check_some_rows(value, path)
    if set(map(type, value)) != {dict}:
        at = next(at for at, row in enumerate(value) if type(row) is not dict)
        raise _expected(f"{path}[{at}]", "an object, as every row is one", value[at])
    names = tuple(value[0])
    if len(names) > 1 and all(len(row) == len(names) for row in value):
        try:
            rows = list(map(itemgetter(*names), value))
        except KeyError:
            pass  # some row has another key: the slow way below
        else:
            _check_names(names, path)
            return Frame("records", path, names, True, rows, None, len(rows), plain)
    names = tuple(dict.fromkeys(chain.from_iterable(value)))
    _check_size(len(value), len(names), limits)
    _check_names(names, path)
    absent: dict[int, int] = {}
    for position, name in enumerate(names):
        missing = next((at for at, row in enumerate(value) if name not in row), None)
        if missing is not None:
            absent[position] = missing
    columns = tuple([row.get(name) for row in value] for name in names)
    return Frame("records", path, names, True, None, columns, len(value), plain and not absent, absent)


def columns_frame(value: dict[str, Any], path: str, plain: bool, limits: Limits) -> Frame:
    """Read an object of lists, one a column; single values throughout are one row."""
    if not value:
        raise _expected(path, "an object with a list for each column", value)
    names = tuple(value)
    _check_names(names, path)
    if not any(type(cells) is list for cells in value.values()):
        return record_frame(value, path, plain)
    length = next(len(cells) for cells in value.values() if type(cells) is list)
    for name, cells in value.items():
        if type(cells) is not list or len(cells) != length:
            spot = f"{path}.{quote(name)}"
            raise _expected(spot, f"a list of {length}, as the other columns have", cells)
    _check_some_rows(value[names[0]], f"{path}.{quote(names[0])}")
    _check_size(length, len(names), limits)
    return Frame("columns", path, names, True, None, tuple(value.values()), length, plain)


def cell_frame(value: Any, path: str, plain: bool) -> Frame:
    """Take a whole value as the only cell of the only row."""
    return Frame("tensor", path, None, False, [(value,)], None, 1, plain)


def items_frame(value: list[Any], path: str, plain: bool) -> Frame:
    """Take each item of a list as the only cell of a row."""
    _check_some_rows(value, path)
    return Frame("items", path, None, False, [(item,) for item in value], None, len(value), plain)


def record_frame(value: dict[str, Any], path: str, plain: bool) -> Frame:
    """Read one object as one row, whatever its values are."""
    if not value:
        raise _expected(path, "an object with a value for each column", value)
    names = tuple(value)
    _check_names(names, path)
    return Frame("record", path, names, True, [tuple(value.values())], None, 1, plain)


def table_frame(names: Sequence[str], columns: Sequence[Array]) -> Frame:
    """Take typed columns as CSV, Parquet and Arrow have them."""
    _check_names(names, "the table")
    if not columns or not len(columns[0]):
        raise _no_rows("the table")
    return Frame("table", "", tuple(names), True, None, tuple(columns), len(columns[0]), False)


def _rows(data: Any, path: str) -> list[Sequence[Any]]:
    if type(data) is not list:
        raise _expected(path, "a list of rows", data)
    _check_some_rows(data, path)
    types = set(map(type, data))
    if types == {list}:
        return data
    if list in types or dict in types:
        at = next(at for at, row in enumerate(data) if type(row) is not type(data[0]) or type(row) is dict)
        raise _expected(f"{path}[{at}]", "a list of values, as every row is one", data[at])
    return [(cell,) for cell in data]


def _split_names(columns: Any, path: str) -> tuple[tuple[str, ...], bool]:
    if type(columns) is not list or not columns:
        raise _expected(path, "a list of column names", columns)
    types = set(map(type, columns))
    if not types <= {str, int}:
        at = next(at for at, name in enumerate(columns) if type(name) not in (str, int))
        raise _expected(f"{path}[{at}]", "a column name", columns[at])
    named = types != {int} or columns != list(range(len(columns)))
    names = tuple(columns) if types == {str} else tuple(map(str, columns))
    _check_names(names, path)
    return names, named


def _check_names(names: Sequence[str], path: str) -> None:
    if len(names) > MAX_COLUMNS:
        raise InvalidRequest(
            "too_many_values", f"{path} has {len(names):,} columns; at most {MAX_COLUMNS:,} are accepted"
        )
    if "" in names:
        raise wrong_columns(f"column {list(names).index('')} of {path} has no name", columns=[""], reason="unnamed")
    if len(set(names)) != len(names):
        seen: set[str] = set()
        twice = [name for name in names if name in seen or seen.add(name)]  # type: ignore[func-returns-value]
        raise wrong_columns(f"{path} names {name_some(twice)} more than once", columns=twice, reason="duplicate")


def _check_size(length: int, width: int, limits: Limits) -> None:
    if length * width > limits.values:
        raise too_many_values(length * width, limits.values)


def _check_some_rows(rows: Any, path: str) -> None:
    if not rows:
        raise _no_rows(path)


def _no_rows(path: str) -> InvalidRequest:
    return wrong_input(
        f"{path} has no rows; send at least one", path=path, expected="at least one row", got="none", reason="empty"
    )


def _expected(path: str, expected: str, value: object) -> InvalidRequest:
    got = describe(value)
    return wrong_input(f"{path}: expected {expected}, got {got}", path=path, expected=expected, got=got)
