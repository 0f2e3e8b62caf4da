"""An Arrow IPC stream as a table. Pure.

The stream's claims are bounded first (``ipc_scan``); then pyarrow reads it, and checks every offset and index, since
the bytes are a stranger's.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.ipc

from registry.errors import InvalidRequest
from serving.protocols.arrow_columns import check_text, column_array
from serving.protocols.frames import Frame, table_frame
from serving.protocols.ipc_scan import check_stream, unreadable
from serving.protocols.limits import MAX_COLUMNS, Limits


def read_stream(body: bytes, limits: Limits) -> Frame:
    """Read a stream.

    Raises InvalidRequest ``invalid_argument``, ``invalid_input``, ``too_many_values``, ``body_too_large``,
    ``unsupported_media_type``.
    """
    check_stream(body, limits)
    try:
        with pyarrow.ipc.open_stream(pa.py_buffer(body)) as reader:
            schema = reader.schema
            if len(schema.names) > MAX_COLUMNS:
                raise InvalidRequest("too_many_values", f"the table has more than {MAX_COLUMNS:,} columns")
            batches = list(reader)
        for batch in batches:
            batch.validate(full=True)
        table = pa.Table.from_batches(batches, schema)
        arrays = [column_array(name, column) for name, column in zip(table.column_names, table.columns, strict=True)]
    except (pa.ArrowException, MemoryError, OSError, ValueError, UnicodeDecodeError):
        raise unreadable() from None
    check_text(arrays)
    return table_frame(table.column_names, arrays)
