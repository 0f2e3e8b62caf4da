"""A Parquet file as a table. Pure.

What the file expands to is bounded before it is read (``parquet_pages``), and again while it is read. Strings are read
as dictionaries, so that one long string for a million rows stays one string.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from registry.errors import InvalidRequest
from serving.protocols.arrow_columns import check_text, column_array
from serving.protocols.frames import Frame, table_frame
from serving.protocols.limits import EXPANDED_BYTES, MAX_COLUMNS, Limits
from serving.protocols.parquet_pages import Page, pages
from serving.protocols.refusals import too_many_values

_BATCH_ROWS = 65_536


def read_parquet(body: bytes, limits: Limits) -> Frame:
    """Read a file.

    Raises InvalidRequest ``invalid_argument``, ``invalid_input``, ``too_many_values``, ``body_too_large``.
    """
    try:
        return _read(body, limits)
    except (pa.ArrowException, MemoryError, OSError, ValueError, IndexError, OverflowError):
        raise InvalidRequest("invalid_argument", "the body is not a valid Parquet file") from None


def _read(body: bytes, limits: Limits) -> Frame:
    metadata = pq.read_metadata(pa.BufferReader(body))
    if metadata.num_columns > MAX_COLUMNS:
        raise InvalidRequest("too_many_values", f"the table has more than {MAX_COLUMNS:,} columns")
    if metadata.num_rows * max(1, metadata.num_columns) > limits.values:
        raise too_many_values(metadata.num_rows * metadata.num_columns, limits.values)
    _check_pages(body, metadata, limits)
    texts = [
        column.path
        for column in (metadata.schema.column(at) for at in range(metadata.num_columns))
        if column.physical_type == "BYTE_ARRAY" and "." not in column.path
    ]
    file = pq.ParquetFile(pa.BufferReader(body), read_dictionary=texts, pre_buffer=False, memory_map=False)
    schema = file.schema_arrow
    batches = []
    size = 0
    for batch in file.iter_batches(_BATCH_ROWS, use_threads=False):
        size += batch.nbytes
        _check_size(size)
        batch.validate(full=True)
        batches.append(batch)
    # Batches of one file may have dictionaries of their own, so each column is put together from its chunks.
    columns = [
        pa.chunked_array([batch.column(at) for batch in batches], type=batches[0].schema.field(at).type)
        if batches
        else pa.chunked_array([], type=schema.field(at).type)
        for at in range(len(schema.names))
    ]
    arrays = [column_array(name, column) for name, column in zip(schema.names, columns, strict=True)]
    check_text(arrays)
    return table_frame(schema.names, arrays)


def _chunks(metadata: Any) -> Iterator[Any]:
    for group in range(metadata.num_row_groups):
        row_group = metadata.row_group(group)
        for at in range(row_group.num_columns):
            yield row_group.column(at)


def _check_pages(body: bytes, metadata: Any, limits: Limits) -> None:
    size = values = 0
    for chunk in _chunks(metadata):
        starts = [at for at in (chunk.dictionary_page_offset, chunk.data_page_offset) if at]
        largest = 0
        here = 0
        for page in pages(body, min(starts), chunk.total_compressed_size):
            size += page.size
            here += 0 if page.dictionary else page.values
            largest = max(largest, page.size if page.dictionary else 0)
            _check_page(page)
        _check_size(size)
        values += here
        if values > limits.values:
            raise too_many_values(values, limits.values)
        if "." in chunk.path_in_schema and chunk.physical_type == "BYTE_ARRAY":
            # Strings inside lists cannot be read as dictionaries: at worst each value is the longest of them.
            _check_size(largest * here)


def _check_page(page: Page) -> None:
    if page.prefixed:
        raise InvalidRequest(
            "invalid_argument",
            "the Parquet file uses the encoding DELTA_BYTE_ARRAY, which is not accepted; "
            "write it with plain or dictionary encoding",
        )


def _check_size(size: int) -> None:
    if size > EXPANDED_BYTES:
        raise InvalidRequest(
            "body_too_large",
            f"the Parquet file expands to more than {EXPANDED_BYTES >> 20} MiB; send fewer rows at once",
            {"limit": EXPANDED_BYTES},
        )
