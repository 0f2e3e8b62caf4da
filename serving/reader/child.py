"""The table reader's own process: it reads one table after another until the node goes away.

What a library makes of hostile bytes happens here: if it crashes, loops or eats memory, that is this process's end and
nobody else's. It has no credential, no descriptor but its socket, and a bound on memory. Started by ``process.py`` as
``python -I -m serving.reader.child <socket> <node's process id> [background]``; prints nothing.

Not here: how tables are read (``serving/protocols``).
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

# All that reading needs is imported ahead, so that no request pays for it.
import serving.protocols.arrow_stream
import serving.protocols.csv_table
import serving.protocols.images
import serving.protocols.parquet_table  # noqa: F401 -- see above
from registry.errors import HeadgateError, Internal, InvalidRequest
from serving.protocols.native import fit
from serving.reader.wire import Pieces, pack_error, pack_input, read_request
from serving.runtimes.host.child.courtesy import step_behind
from serving.runtimes.host.child.sandbox import confine_reader
from serving.runtimes.host.child.system import die_with_parent
from serving.runtimes.host.child.wire import Stream, send
from serving.runtimes.host.frames import pack

BACKGROUND = "background"
MEMORY_BYTES = 2 << 30
"""What reading may take beyond what the process starts with: ten million strings, with room."""
LARGE_BYTES = 1 << 20


def main() -> None:
    """Serve the node, whose socket and process id are the arguments."""
    connection = socket.socket(fileno=int(sys.argv[1]))
    die_with_parent()
    if os.getppid() != int(sys.argv[2]):
        return
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches whole groups; the node decides
    if BACKGROUND in sys.argv[3:]:
        step_behind()
    confine_reader()
    _bound_memory()
    stream = Stream(connection)
    with contextlib.suppress(OSError):  # the node has gone
        send(connection, pack(0, {"op": "ready"}, ()))
        while frame := stream.read():
            _, header, buffers = frame
            pieces = answer(header, buffers)
            large = max(sum(map(len, buffers)), sum(map(len, pieces))) > LARGE_BYTES
            send(connection, pieces)
            del header, buffers, pieces
            frame = None  # not kept until the next table comes
            if large:
                pa.default_memory_pool().release_unused()


def answer(header: Mapping[str, Any], buffers: Sequence[memoryview]) -> Pieces:
    """Return the frame that answers one request."""
    try:
        parsed, schema, limits = read_request(header, buffers)
        return pack_input(fit(parsed, schema, limits), parsed.params)
    except MemoryError:
        error: HeadgateError = InvalidRequest(
            "body_too_large", "reading the body takes more memory than one request may have; send less at once"
        )
    except InvalidRequest as refusal:
        error = refusal
    except Exception:  # noqa: BLE001 -- process edge: the node says that it was our fault, and no more
        error = Internal("internal", "the table could not be read")
    return pack_error(error)


def _bound_memory() -> None:
    with contextlib.suppress(OSError, ValueError):  # not Linux: then there is no such bound
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        most = pages * resource.getpagesize() + MEMORY_BYTES
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
    with contextlib.suppress(OSError):  # where the machine itself runs out, this process goes before any other
        Path("/proc/self/oom_score_adj").write_text("1000")


if __name__ == "__main__":
    main()
