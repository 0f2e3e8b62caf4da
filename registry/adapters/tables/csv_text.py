"""CSV read in blocks: every cell is text, and becomes what the model's signature says.

Missing is what pandas takes for missing, as in the CSV that live requests bring (``docs/guides/predict.md``). Without a
signature a column is numbers where all of its first block are, truths, or else words. Not here: other formats.
"""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from registry.adapters.tables.arrow import ArrowBatch, to_numbers, to_texts
from registry.columns import CSV_MISSING, CSV_TRUTH, Numbers
from registry.errors import InvalidRequest, quote
from registry.monitoring.making import Held, Texts
from registry.monitoring.wanted import Family, Part

BLOCK_BYTES = 4 << 20
HEADER_BYTES = 4 << 20
_LONGEST_FIELD = 2**31 - 1


class CsvTable:
    """The ``Rows`` of a CSV file."""

    columns_at_once = 1 << 20
    """All: reading fewer would split every line all the same."""

    def __init__(self, path: str) -> None:
        self._path = path
        self.names = _header(path)
        _check_quotes(path)
        self._families: dict[int, Family] = {}

    def held(self, part: Part) -> Held:
        """See ``making.Rows.held``."""
        for column in part.columns:
            family = self._guessed(column) if part.family is Family.ANY else part.family
            if family is Family.LONG:
                name = quote(self.names[column])
                raise InvalidRequest(
                    "invalid_input",
                    f"the column '{name}' holds bytes, lists or objects, which CSV cannot; send Parquet or Arrow",
                    {"reason": "wrong_type", "column": name},
                )
            self._families[column] = family
        first = self._families[part.columns[0]]
        return Held.WORD if first in (Family.WORD, Family.TRUTH) else Held.NUMBER

    def batches(self, columns: Iterable[int]) -> Iterator[_CsvBatch]:
        """See ``making.Rows.batches``."""
        wanted = tuple(columns)
        for block in self._blocks(wanted):
            if block.num_rows:
                found = dict(zip(wanted, block.columns, strict=True))
                yield _CsvBatch(ArrowBatch(block.num_rows, found, self.names), self._families)

    def _blocks(self, columns: tuple[int, ...]) -> Iterator[Any]:
        # Names of our own: pyarrow matches types by name, and the file's may be empty.
        labels = [str(at) for at in range(len(self.names))]
        wrong: list[tuple[int | None, int]] = []

        def refuse(row: Any) -> str:
            wrong.append((row.number, row.actual_columns))
            return "error"

        try:
            reader = pyarrow.csv.open_csv(
                pa.OSFile(self._path),
                read_options=pyarrow.csv.ReadOptions(use_threads=False, block_size=BLOCK_BYTES, column_names=labels),
                parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True, invalid_row_handler=refuse),
                convert_options=pyarrow.csv.ConvertOptions(
                    include_columns=[labels[at] for at in columns],
                    column_types=dict.fromkeys(labels, pa.string()),
                    null_values=list(CSV_MISSING),
                    strings_can_be_null=True,
                    quoted_strings_can_be_null=True,
                ),
            )
            with reader:
                first = True
                for block in reader:
                    yield block.slice(1) if first else block
                    first = False
        except MemoryError:
            raise
        except pa.ArrowException:
            if wrong:
                line, actual = wrong[0]
                where = "a line" if line is None else f"line {line}"
                raise _bad(f"{where} has {actual} fields, where the header has {len(self.names)}") from None
            raise _bad(
                "the CSV cannot be read; it must be UTF-8, each line as long as the header and below 4 MiB"
            ) from None

    def _guessed(self, column: int) -> Family:
        for block in self._blocks((column,)):
            values = block.columns[0]
            if values.null_count == len(values):
                continue
            if _cast(values, pa.float64()) is not None:
                return Family.NUMBER
            truths = set(pc.unique(values).to_pylist()) <= {*CSV_TRUTH, None}
            return Family.TRUTH if truths else Family.WORD
        return Family.NUMBER


class _CsvBatch:
    """Rows of text."""

    def __init__(self, text: ArrowBatch, families: dict[int, Family]) -> None:
        self._text = text
        self._families = families
        self.rows = text.rows

    def numbers(self, column: int) -> Numbers:
        """See ``making.Batch.numbers``."""
        values, family = self._text.columns[column], self._families[column]
        if values.null_count == len(values):
            return np.full(len(values), np.nan)
        targets = [pa.timestamp("ns"), pa.timestamp("ns", "UTC")] if family is Family.MOMENT else [pa.float64()]
        for target in targets:
            found = _cast(values, target)
            if found is not None:
                return to_numbers(found)
        raise self._misfit(column, family)

    def texts(self, column: int) -> Texts:
        """See ``making.Batch.texts``."""
        texts = to_texts(self._text.columns[column])
        if self._families[column] is not Family.TRUTH:
            return texts
        if not set(texts) <= {*CSV_TRUTH, None}:
            raise self._misfit(column, Family.TRUTH)
        return [None if text is None else str(CSV_TRUTH[text]).lower() for text in texts]

    def _misfit(self, column: int, family: Family) -> InvalidRequest:
        return misfit(self._text.names[column], family)


def misfit(name: str, family: Family) -> InvalidRequest:
    """Return the refusal of a column that holds something else than it must."""
    shown = quote(name)
    return InvalidRequest(
        "invalid_input",
        f"the column '{shown}' must hold {family.value}, and does not",
        {"reason": "wrong_type", "column": shown, "expected": family.value},
    )


def _cast(column: Any, target: Any) -> Any:
    try:
        return pc.cast(column, target)
    except pa.ArrowException:
        pass  # perhaps for a space or a plus sign, which pandas lets pass
    try:
        return pc.cast(pc.replace_substring_regex(column, r"^\s*[+]?|\s+$", ""), target)
    except pa.ArrowException:
        return None


def _header(path: str) -> tuple[str, ...]:
    with Path(path).open("rb") as file:
        start = file.read(HEADER_BYTES)
    try:
        text = codecs.getincrementaldecoder("utf-8-sig")().decode(start)
    except UnicodeDecodeError:
        raise _bad("the CSV is not UTF-8") from None
    csv.field_size_limit(_LONGEST_FIELD)
    try:
        names = next(csv.reader(io.StringIO(text.lstrip("\r\n"), newline=""), strict=True), [])
    except csv.Error:
        raise _bad("the header of the CSV cannot be read") from None
    if not names:
        raise _bad("the CSV is empty; it needs a header line and rows")
    return tuple(name or f"Unnamed: {at}" for at, name in enumerate(names))


def _check_quotes(path: str) -> None:
    """Refuse a quote that is never closed: it would swallow all rows after it. An odd number may just be inches."""
    with Path(path).open("rb") as file:
        quotes = sum(block.count(b'"') for block in iter(lambda: file.read(1 << 20), b""))
    if quotes % 2 == 0:
        return
    line = 1
    with Path(path).open(encoding="utf-8-sig", errors="replace", newline="") as text:
        reader = csv.reader(text, strict=True)
        try:
            for _ in reader:
                line = reader.line_num + 1
        except csv.Error:
            raise _bad(f"line {line}: a quoted field that starts here is not closed properly") from None


def _bad(message: str) -> InvalidRequest:
    return InvalidRequest("invalid_input", message, {"reason": "malformed_csv"})
