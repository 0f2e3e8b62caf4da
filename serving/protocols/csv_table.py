"""CSV text as a table. Pure.

pyarrow splits the text; types come from the signature where there is one, since text has none of its own: 0.1 is a
32-bit float where one is asked for, as in JSON. Otherwise they come from the values as ``pandas.read_csv`` would find
them: integers, floats, booleans, else strings; what pandas takes for missing is missing.
UTF-8 only. Every row has as many fields as the header. Refusals name the line where it is known.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from registry.columns import CSV_MISSING, CSV_TRUTH
from registry.errors import InvalidRequest
from registry.signature import Schema
from serving.exchange import Array
from serving.protocols.arrow_columns import column_array
from serving.protocols.columns import ColumnPlan
from serving.protocols.frames import Frame, table_frame
from serving.protocols.kinds import Kind
from serving.protocols.limits import Limits
from serving.protocols.refusals import Where, too_many_values, wrong_value
from serving.protocols.tensors import column_kinds

# pyarrow's reader keeps 10 kB a column, however short the file.
_MAX_COLUMNS = 16_384
# Line breaks inside of quoted names are legal, but nobody has many.
_HEADER_LINES = 100
# The standard library's limit belongs to the process, so it is always set to the same: bodies are bounded already.
_LONGEST_FIELD = 2**31 - 1


def read_csv(body: bytes, asked: ColumnPlan | Schema | None, limits: Limits) -> Frame:
    """Read CSV with a header.

    Args:
        body: The text.
        asked: The plan of a signature of columns, or a schema of tensors.
        limits: How many values there may be.

    Raises InvalidRequest ``invalid_input`` (details: line) and ``too_many_values``.
    """
    count = body.count(b",") + body.count(b"\n") + 1
    if count > limits.values:
        raise too_many_values(count, limits.values)
    _check_text(body)
    names = _header(body)
    table = _split(body, names)
    if not table.num_rows:
        raise _bad("the CSV has no rows; it needs a header line and at least one row", 1)
    if table.num_rows * len(names) > limits.values:
        raise too_many_values(table.num_rows * len(names), limits.values)
    kinds = _kinds(names, asked)
    arrays = [
        _typed(column, kind, Where("table", "", name, at))
        for at, (name, kind, column) in enumerate(zip(names, kinds, table.columns, strict=True))
    ]
    return table_frame(names, arrays)


def _bad(message: str, line: int | None = None) -> InvalidRequest:
    details: dict[str, Any] = {"reason": "malformed_csv"}
    if line is not None:
        details["line"] = line
        message = f"line {line}: {message}"
    return InvalidRequest("invalid_input", message, details)


def _check_text(body: bytes) -> None:
    if body.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")):
        raise _bad("the CSV starts with a byte order mark; save it as UTF-8 without one", 1)
    at = body.find(b"\0")
    if at >= 0:
        raise _bad("a NUL byte is no text", body.count(b"\n", 0, at) + 1)
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise _bad("the text is not UTF-8", body.count(b"\n", 0, error.start) + 1) from None
    if text.count('"') % 2:
        _check_quotes(text)


def _check_quotes(text: str) -> None:
    """Find a quote that is never closed. Only called for an odd number of them: some are just inches."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    line = 1
    csv.field_size_limit(_LONGEST_FIELD)
    try:
        for _ in reader:
            line = reader.line_num + 1
    except csv.Error:
        raise _bad("a quoted field that starts here is not closed properly", line) from None


def _header(body: bytes) -> list[str]:
    """Return the column names; a column without one is called as pandas calls it."""
    start = 0
    while body[start : start + 1] in (b"\n", b"\r"):
        start += 1
    end = _end_of_line(body, start)
    line = body[start:end].decode()
    width = line.count(",") + 1
    if width > _MAX_COLUMNS:
        raise InvalidRequest(
            "too_many_values",
            f"the CSV has {width:,} columns; at most {_MAX_COLUMNS:,} are accepted (more in Arrow or JSON)",
            {"limit": _MAX_COLUMNS},
        )
    csv.field_size_limit(_LONGEST_FIELD)
    try:
        names = next(csv.reader([line]), [])
    except csv.Error:
        raise _bad("the header cannot be read", 1) from None
    if not names:
        raise _bad("the CSV is empty; it needs a header line and at least one row", 1)
    return [name or f"Unnamed: {at}" for at, name in enumerate(names)]


def _end_of_line(body: bytes, start: int) -> int:
    """Return where the first record ends; line ends inside quotes do not count."""
    at, quotes = start, 0
    for _ in range(_HEADER_LINES):
        end = min((found for found in (body.find(b"\n", at), body.find(b"\r", at)) if found >= 0), default=len(body))
        quotes += body.count(b'"', at, end)
        if quotes % 2 == 0 or end == len(body):
            return end
        at = end + 1
    raise _bad(f"the header goes on for more than {_HEADER_LINES} lines", 1)


def _split(body: bytes, names: Sequence[str]) -> Any:
    wrong: list[tuple[int | None, int]] = []

    def refuse(row: Any) -> str:
        wrong.append((row.number, row.actual_columns))
        return "error"

    # Names of our own: pyarrow matches types by name, and the file's may be empty or double.
    labels = [str(at) for at in range(len(names))]
    try:
        return pyarrow.csv.read_csv(
            pa.BufferReader(body),
            read_options=pyarrow.csv.ReadOptions(
                use_threads=False, block_size=min(len(body) + 1, 2**31 - 1), column_names=labels, skip_rows=0
            ),
            parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True, invalid_row_handler=refuse),
            convert_options=pyarrow.csv.ConvertOptions(
                column_types=dict.fromkeys(labels, pa.string()),
                null_values=list(CSV_MISSING),
                strings_can_be_null=True,
                quoted_strings_can_be_null=True,
            ),
        ).slice(1)
    except MemoryError:
        raise
    except pa.ArrowException:
        if wrong:
            line, actual = wrong[0]
            raise _bad(f"expected {len(names)} fields, as in the header, got {actual}", line) from None
        raise _bad("the CSV cannot be read") from None


def _kinds(names: Sequence[str], asked: ColumnPlan | Schema | None) -> list[Kind | None]:
    if asked is None:
        return [None] * len(names)
    if isinstance(asked, Schema):
        return column_kinds(names, asked)
    plan = asked
    if not plan.named:
        return [plan.kinds[at] if at < len(plan.kinds) else None for at in range(len(names))]
    known = dict(zip(plan.names, plan.kinds, strict=True))
    return [known.get(name) for name in names]


def _typed(column: Any, kind: Kind | None, where: Where) -> Array:
    """Return a column of text as the signature has it, or as its values look."""
    if kind is None:
        return _guessed(column)
    if kind.family == "float":
        array = _cast(column, pa.float64())
        return _parsed(column, float, kind, where) if array is None else _narrowed(array, kind, where)
    if kind.family == "int":
        array = _cast(column, pa.int64())
        if array is None or array.dtype == object:
            return _parsed(column, _integer, kind, where)
        return array
    if kind.family == "bool":
        return _parsed(column, CSV_TRUTH.__getitem__, kind, where)
    return column_array(column)


def _guessed(column: Any) -> Array:
    if column.null_count < len(column):
        array = _cast(column, pa.int64())
        if array is not None and array.dtype != object:
            return array
        array = _cast(column, pa.float64())
        if array is not None:
            return array
        values = column_array(column)
        if set(values.tolist()) <= {*CSV_TRUTH, None}:
            truth = np.array([None if value is None else CSV_TRUTH[value] for value in values], dtype=object)
            return truth if None in truth else truth.astype(bool)
        return values
    return np.full(len(column), np.nan)


def _cast(column: Any, target: Any) -> Array | None:
    try:
        return column_array(pc.cast(column, target))
    except pa.ArrowException:
        pass  # perhaps for a space or a plus sign, which pandas lets pass
    try:
        return column_array(pc.cast(pc.replace_substring_regex(column, r"^\s*[+]?|\s+$", ""), target))
    except pa.ArrowException:
        return None


def _parsed(column: Any, parse: Callable[[str], object], kind: Kind, where: Where) -> Array:
    """Parse field by field, to name the one that does not fit."""
    values: list[object] = []
    for row, text in enumerate(column_array(column)):
        try:
            values.append(None if text is None else parse(text.strip()))
        except (ValueError, KeyError):
            raise wrong_value(where, row, expected=kind.noun, value=text) from None
    return np.fromiter(values, dtype=object, count=len(values))


def _integer(text: str) -> int:
    if len(text) > 32:
        raise ValueError("no integer is that long")
    return int(text)


def _narrowed(array: Array, kind: Kind, where: Where) -> Array:
    with np.errstate(over="ignore"):
        narrow = array.astype(kind.dtype)
    lost = np.isinf(narrow) & np.isfinite(array)
    if lost.any():
        row = int(lost.argmax())
        raise wrong_value(where, row, expected=kind.noun, value=float(array[row]), reason="out_of_range")
    return narrow
