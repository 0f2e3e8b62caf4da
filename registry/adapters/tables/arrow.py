"""Columns of Arrow tables as numbers and words.

Not here: files (``opening.py``), text without types (``csv_text.py``), what is made of the columns (``monitoring/``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from registry.columns import Measure, Numbers, numbers
from registry.errors import InvalidRequest, quote
from registry.monitoring.making import Held, Texts
from registry.monitoring.wanted import Family

_HELD = {Family.TRUTH: Held.WORD, Family.WORD: Held.WORD, Family.LONG: Held.LENGTH}
"""What a column without any value is taken for; else numbers."""


def held(kind: Any, family: Family) -> Held | None:
    """Tell what a column of an Arrow type holds; None where that does not fit the family."""
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if pa.types.is_null(kind):
        return _HELD.get(family, Held.NUMBER)
    fits: dict[Family, Held] = {}
    if pa.types.is_boolean(kind):
        fits = {Family.TRUTH: Held.WORD, Family.ANY: Held.WORD, Family.NUMBER: Held.NUMBER}
    elif pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        fits = {Family.NUMBER: Held.NUMBER, Family.ANY: Held.NUMBER}
    elif pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        fits = {Family.MOMENT: Held.NUMBER, Family.ANY: Held.NUMBER}
    elif is_text(kind):
        fits = {Family.WORD: Held.WORD, Family.ANY: Held.WORD}
    elif _is_bytes(kind) or pa.types.is_nested(kind):
        fits = {Family.LONG: Held.LENGTH, Family.ANY: Held.LENGTH}
    return fits.get(family)


def is_text(kind: Any) -> bool:
    """Tell whether a type is text."""
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _is_bytes(kind: Any) -> bool:
    return bool(
        pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
        or pa.types.is_binary_view(kind)
        or pa.types.is_fixed_size_binary(kind)
    )


@dataclass(frozen=True, slots=True)
class ArrowBatch:
    """Some rows: columns by their position in the table, and the names of all, for messages."""

    rows: int
    columns: Mapping[int, Any]
    names: tuple[str, ...]

    def numbers(self, column: int) -> Numbers:
        """See ``making.Batch.numbers``."""
        return to_numbers(self._plain(column))

    def texts(self, column: int) -> Texts:
        """See ``making.Batch.texts``."""
        values = self._plain(column)
        try:
            return to_texts(values)
        except UnicodeDecodeError:
            name = quote(self.names[column])
            raise InvalidRequest(
                "invalid_input",
                f"the column '{name}' holds text that is not UTF-8",
                {"reason": "not_utf8", "column": name},
            ) from None

    def _plain(self, column: int) -> Any:
        values = self.columns[column]
        return values.dictionary_decode() if pa.types.is_dictionary(values.type) else values


def to_texts(values: Any) -> Texts:
    """Return texts or truths as words; raise UnicodeDecodeError."""
    if pa.types.is_boolean(values.type):
        values = pc.cast(values, pa.string())
    found: list[str | None] = values.to_pylist()
    return found


def to_numbers(values: Any) -> Numbers:
    """Return numbers, moments in seconds, or the lengths of anything else; NaN where there is none."""
    kind = values.type
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return _seconds(values)
    if _is_bytes(kind):
        values = pc.binary_length(pc.cast(values, pa.large_binary()))
    elif pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        values = pc.list_value_length(values)
    elif pa.types.is_nested(kind):
        return _sizes(values)
    elif pa.types.is_boolean(kind):
        values = pc.cast(values, pa.uint8())
    taken: Numbers = pc.cast(values, pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    return taken


def _seconds(values: Any) -> Numbers:
    zone = values.type.tz if pa.types.is_timestamp(values.type) else None
    try:
        units, whole = 1e9, pc.cast(values, pa.timestamp("ns", zone))
    except pa.ArrowInvalid:  # years that 64 bits of nanoseconds do not reach
        units, whole = 1.0, pc.cast(values, pa.timestamp("s", zone), safe=False)
    ticks = pc.cast(pc.cast(whole, pa.int64()), pa.float64(), safe=False)
    seconds: Numbers = ticks.to_numpy(zero_copy_only=False) / units
    return seconds


def _sizes(values: Any) -> Numbers:
    """Measure records and maps as JSON of the same content would be measured live."""
    found = values.to_pylist()
    if pa.types.is_map(values.type):
        found = [None if one is None else dict(one) for one in found]
    boxed = np.empty(len(found), dtype=object)
    boxed[:] = found
    return numbers(boxed, Measure.LENGTH)
