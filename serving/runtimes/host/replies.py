"""What a host's replies, and its end, mean: errors of the kernel, a schema, a sentence. Pure.

Not here: its outputs (``frames.py``).
"""

from __future__ import annotations

import re
import signal
from collections.abc import Mapping
from typing import Any

from registry.errors import ModelFault
from registry.signature import Schema, Tensor

MESSAGE_LIMIT = 1024
# The folders of a path, whose last part is left: what a model says must not map this machine. Addresses on the web
# stay.
_WEB_OR_FOLDERS = re.compile(r"(https?://[^\s'\"]+)|(?<![\w.])/(?:[^\s/'\",:;()]+/)+")


def fault(header: Mapping[str, Any], what: str) -> ModelFault:
    """Return what a model raised as an error that begins with ``what``."""
    error = header.get("error")
    error = error if isinstance(error, dict) else {}
    code = "model_output_invalid" if error.get("code") == "model_output_invalid" else "model_error"
    message = _WEB_OR_FOLDERS.sub(lambda found: found[1] or "", str(error.get("message", ""))[:MESSAGE_LIMIT])
    kind = str(error.get("type", "an error"))[:100]
    if code == "model_output_invalid":
        return ModelFault(code, message)
    return ModelFault(code, f"{what}: {kind}: {message}" if message else f"{what}: {kind}", {"type": kind})


def graph_schema(inputs: Any) -> Schema | None:
    """Return a graph's inputs as a schema of tensors; None where there are none. Raises as damaged data does."""
    if not inputs:
        return None
    tensors = (Tensor(str(i["name"]), str(i["dtype"]), tuple(int(d) for d in i["shape"])) for i in inputs)
    return Schema(tensors=tuple(tensors))


def describe_end(status: int | None) -> str:
    """Return how a process ended, in words; see ``Fork`` for ``status``."""
    if status is None:
        return "its process ended together with its parent"
    if status >= 0:
        return f"it ended itself with exit status {status}"
    try:
        name = signal.Signals(-status).name
    except ValueError:
        name = "unknown"
    hint = ", perhaps for want of memory" if -status == signal.SIGKILL else ""
    return f"signal {-status} ({name}){hint}"
