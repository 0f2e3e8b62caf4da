"""A Parquet file as a table. Pure.

Strings are read as dictionaries, so that one long string for a million rows stays one string. Not here: memory and
crashes, which ``serving/reader`` confines; the library aborts its process on some damaged files.
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from registry.errors import InvalidRequest
from serving.protocols.arrow_columns import check_text, check_types, column_array
from serving.protocols.batches import check_claims, checked
from serving.protocols.frames import Frame, table_frame
from serving.protocols.limits import Limits

_BATCH_ROWS = 65_536


def read_parquet(body: bytes, limits: Limits) -> Frame:
    """Read a file.

    Raises InvalidRequest ``invalid_argument``, ``invalid_input``, ``too_many_values``, ``body_too_large``, and
    MemoryError.
    """
    try:
        return _read(body, limits)
    except MemoryError:
        raise
    except (pa.ArrowException, OSError, ValueError, LookupError, OverflowError):
        raise InvalidRequest("invalid_argument", "the body is not a valid Parquet file") from None


def _read(body: bytes, limits: Limits) -> Frame:
    metadata = pq.read_metadata(pa.BufferReader(body))
    check_claims(metadata.num_rows, metadata.num_columns, limits)
    schema = metadata.schema
    columns = [schema.column(at) for at in range(metadata.num_columns)]
    texts = [c.path for c in columns if c.physical_type == "BYTE_ARRAY" and "." not in c.path]
    try:
        names, types, batches = _batches(body, texts, limits)
    except OSError as error:
        # So the library says it about the encoding DELTA_BYTE_ARRAY. Looking for it beforehand, in the metadata of each
        # chunk, aborts the process on some damaged files.
        if "Not yet implemented" not in str(error):
            raise
        names, types, batches = _batches(body, [], limits)
    arrays = [column_array(_column(batches, at, kind)) for at, kind in enumerate(types)]
    check_text(arrays)
    return table_frame(names, arrays)


def _batches(body: bytes, texts: list[str], limits: Limits) -> tuple[list[str], list[Any], list[Any]]:
    """Return names, types and sound batches; ``texts`` are the columns to be read as dictionaries."""
    file = pq.ParquetFile(pa.BufferReader(body), read_dictionary=texts, pre_buffer=False, memory_map=False)
    schema = file.schema_arrow
    check_types(schema)
    return schema.names, schema.types, checked(file.iter_batches(_BATCH_ROWS, use_threads=False), limits)


def _column(batches: list[Any], at: int, kind: Any) -> Any:
    """Put a column together from its chunks: batches of one file may have dictionaries of their own."""
    chunks = [batch.column(at) for batch in batches]
    return pa.chunked_array(chunks, type=chunks[0].type if chunks else kind)
