"""PyTriton: Triton's server with its Python backend and dynamic batching, asked by its HTTP endpoint.

Triton embeds Python, and so needs one with a shared library, 3.11.2 or newer, with its own standard library around it:
Debian's ``python3`` with ``libpython3.11`` is such a one.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.bench.peers.anatomy import Peer, Skipped, tensor_answer, tensor_body

CANDIDATES = ("/usr/bin/python3.11", "/usr/bin/python3")
_PROBE = """
import sys, ctypes
assert (3, 11, 2) <= sys.version_info < (3, 12)
ctypes.CDLL("libpython3.11.so.1.0")
"""


def interpreter() -> str:
    """Return a Python that Triton can embed; raise Skipped where there is none."""
    for candidate in CANDIDATES:
        if Path(candidate).exists() and subprocess.run([candidate, "-c", _PROBE], capture_output=True).returncode == 0:
            return candidate
    raise Skipped("it needs a system Python 3.11.2 or newer with libpython3.11 (on Debian 12: python3 libpython3.11)")


PEER = Peer(
    name="pytriton",
    environment="pytriton",
    command=lambda start: start.python("serve_pytriton.py"),
    path=lambda work: f"/v2/models/{work.name}/infer",
    body=tensor_body,
    read=tensor_answer,
    interpreter=interpreter,
)
