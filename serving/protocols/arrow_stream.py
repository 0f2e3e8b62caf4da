"""An Arrow IPC stream as a table, also a compressed one. Pure.

Not here: memory and crashes, which ``serving/reader`` confines.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.ipc

from registry.errors import InvalidRequest
from serving.protocols.arrow_columns import check_text, check_types, column_array
from serving.protocols.batches import check_claims, checked
from serving.protocols.frames import Frame, table_frame
from serving.protocols.limits import Limits


def read_stream(body: bytes, limits: Limits) -> Frame:
    """Read a stream.

    Raises InvalidRequest ``invalid_argument``, ``invalid_input``, ``too_many_values``, ``body_too_large``, and
    MemoryError.
    """
    try:
        options = pyarrow.ipc.IpcReadOptions(use_threads=False)
        with pyarrow.ipc.open_stream(pa.py_buffer(body), options=options) as reader:
            schema = reader.schema
            check_claims(0, len(schema.names), limits)
            check_types(schema)
            batches = checked(reader, limits)
        table = pa.Table.from_batches(batches, schema)
        arrays = [column_array(column) for column in table.columns]
    except MemoryError:
        raise
    except (pa.ArrowException, OSError, ValueError, LookupError, OverflowError):
        raise InvalidRequest(
            "invalid_argument", "the body is not a valid Arrow IPC stream; write it with pyarrow.ipc.new_stream"
        ) from None
    check_text(arrays)
    return table_frame(table.column_names, arrays)
