"""Record batches of a stranger's, held against the limits as they come. Pure.

Whatever a file claims about itself, this is what it was: rows and nested values counted, bytes added up, every offset
and index checked. Memory beforehand is bounded by the process that reads (``serving/reader``).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pyarrow as pa

from registry.errors import InvalidRequest
from serving.protocols.limits import EXPANDED_BYTES, MAX_COLUMNS, Limits
from serving.protocols.refusals import too_many_values


def check_claims(rows: int, columns: int, limits: Limits) -> None:
    """Refuse a table by what it says of itself; raise InvalidRequest ``too_many_values``."""
    if columns > MAX_COLUMNS:
        raise InvalidRequest("too_many_values", f"the table has more than {MAX_COLUMNS:,} columns")
    if rows * max(1, columns) > limits.values:
        raise too_many_values(rows * columns, limits.values)


def checked(batches: Iterable[Any], limits: Limits) -> list[Any]:
    """Return sound batches.

    Raises InvalidRequest ``too_many_values`` and ``body_too_large``, ArrowException where a batch is damaged.
    """
    kept: list[Any] = []
    rows = size = values = 0
    for batch in batches:
        batch.validate()  # first, because sizes are measured by offsets
        rows += batch.num_rows
        check_claims(rows, batch.num_columns, limits)
        # Buffers that are named twice count twice: that is how often they would be written out.
        size += batch.nbytes
        if size > EXPANDED_BYTES:
            raise InvalidRequest(
                "body_too_large",
                f"the table expands to more than {EXPANDED_BYTES >> 20} MiB; send fewer rows at once",
                {"limit": EXPANDED_BYTES},
            )
        batch.validate(full=True)
        values += sum(_values(column) for column in batch.columns)
        if values > limits.values:
            raise too_many_values(values, limits.values)
        kept.append(batch)
    return kept


def _values(array: Any) -> int:
    """Count an array's values, nested ones too."""
    types, kind = pa.types, array.type
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        return len(array) + _values(array.flatten())
    if types.is_struct(kind):
        return len(array) + sum(_values(array.field(at)) for at in range(kind.num_fields))
    return len(array)
