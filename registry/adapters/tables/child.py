"""The process that reads one table and ends: what a library makes of a stranger's bytes happens here.

If it crashes, loops or eats memory, that is this process's end and nobody else's. It has no credential, may write no
file, and has bounds on memory and time. Started by ``process.py`` as ``python -I -m registry.adapters.tables.child
<descriptor of the table> <process id of the registry>``; the order comes on its standard input and the answer goes to
its standard output, both JSON. Not here: how tables are read (``opening.py``).
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import resource
import signal
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa

from registry.adapters.tables.opening import open_table
from registry.baselines import Origin
from registry.errors import HeadgateError, Internal, InvalidRequest
from registry.monitoring.making import make
from registry.monitoring.ports import TableForm
from registry.monitoring.wanted import choose
from registry.signature import parse_signature

MEMORY_BYTES = 2 << 30
"""What reading may take beyond what the process starts with; an Arrow file is mapped, and takes as much more."""
MOST_IGNORED = 1000
_PDEATHSIG, _DUMPABLE, _NO_NEW_PRIVS = 1, 4, 38


def main() -> None:
    """Read the order, then the table; answer, then end."""
    descriptor, parent = int(sys.argv[1]), int(sys.argv[2])
    _confine(parent)
    order = json.load(sys.stdin)
    _bound(order["seconds"], os.fstat(descriptor).st_size)
    sys.stdout.buffer.write(json.dumps(answer(f"/dev/fd/{descriptor}", order), ensure_ascii=True).encode())
    sys.stdout.buffer.flush()


def answer(path: str, order: dict[str, Any]) -> dict[str, Any]:
    """Return what came of an order: the baseline's document with the columns that were left out, or a refusal."""
    try:
        table = open_table(path, TableForm(order["form"]))
        wanted = choose(parse_signature(order["signature"]), table.names, order["prediction"])
        made = make(table, wanted, Origin(order["origin"]))
        return {"baseline": made.to_bytes().decode(), "ignored": [name[:256] for name in wanted.ignored[:MOST_IGNORED]]}
    except (MemoryError, pa.ArrowCapacityError):
        error: HeadgateError = InvalidRequest(
            "body_too_large",
            "reading the table takes more memory than there is for it; use smaller row groups, or send a sample",
        )
    except InvalidRequest as refusal:
        error = refusal
    except (pa.ArrowException, OSError, UnicodeDecodeError):  # damaged files raise all of these
        error = InvalidRequest("invalid_input", "the table is damaged, or of another format", {"reason": "unreadable"})
    except Exception:  # noqa: BLE001 -- process edge: the registry says that it was our fault, and no more
        error = Internal("internal", "the table could not be read")
    return {"refused": {"code": error.code, "message": error.message, "details": error.details}}


def _confine(parent: int) -> None:
    with contextlib.suppress(OSError):
        os.nice(10)  # callers of the registry come first
        Path("/proc/self/oom_score_adj").write_text("1000")
    with contextlib.suppress(OSError, AttributeError):  # not Linux
        libc = ctypes.CDLL(None, use_errno=True)
        libc.prctl(_PDEATHSIG, signal.SIGKILL)
        libc.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0)
        libc.prctl(_DUMPABLE, 0, 0, 0, 0)
    if os.getppid() != parent:
        raise SystemExit(1)


def _bound(seconds: int, mapped: int) -> None:
    with contextlib.suppress(OSError, ValueError):  # not Linux: then memory has no such bound
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        most = pages * resource.getpagesize() + MEMORY_BYTES + mapped
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
    for limit, most in (
        (resource.RLIMIT_CPU, seconds + 5),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, 64),
    ):
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(limit, (most, most))


if __name__ == "__main__":
    main()
