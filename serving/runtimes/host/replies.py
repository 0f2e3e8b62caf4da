"""What a host's replies, and its end, mean: errors of the kernel, a schema, a sentence. Pure.

Not here: its outputs (``frames.py``).
"""

from __future__ import annotations

import re
import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from registry.errors import HeadgateError, ModelFault, Unavailable
from registry.signature import Schema, Tensor

MESSAGE_LIMIT = 1024
# The folders of a path, whose last part is left: what a model says must not map this machine. Addresses on the web
# stay.
_WEB_OR_FOLDERS = re.compile(r"(https?://[^\s'\"]+)|(?<![\w.])/(?:[^\s/'\",:;()]+/)+")


@dataclass(frozen=True, slots=True)
class Ready:
    """What a host says of itself once its model is loaded.

    Attributes:
        seconds: How long that took.
        memory: Its private memory, in bytes.
        confined: What it gave up, by name; ``unconfined`` what it could not, with the reason.
        graph_inputs: What an ONNX graph says it takes, and ``graph_outputs`` what it answers; None for other models.
        batching: Whether requests may be joined for this model; ``batching_reason`` says why, or why not.
        way: How the model is called: ``full`` (MLflow's own predict), ``flavour`` or ``array``.
        example: Whether a saved example was replayed.
        shared: Whether it has the memory that it was to share with the node.
        streams: Whether the model answers piece by piece as well.
    """

    seconds: float = 0.0
    memory: int = 0
    confined: tuple[str, ...] = ()
    unconfined: Mapping[str, str] = field(default_factory=dict)
    graph_inputs: Schema | None = None
    graph_outputs: Schema | None = None
    batching: bool = False
    batching_reason: str = ""
    way: str = "full"
    example: bool = False
    shared: bool = False
    streams: bool = False


def read_ready(header: Mapping[str, Any]) -> Ready:
    """Return what a host's first frame says; raise KeyError, TypeError or ValueError where it says it wrongly."""
    return Ready(
        seconds=float(header["seconds"]),
        memory=int(header["memory"]),
        confined=tuple(map(str, header["confined"])),
        unconfined={str(k): str(v)[:MESSAGE_LIMIT] for k, v in header["unconfined"].items()},
        graph_inputs=graph_schema(header["graph_inputs"]),
        graph_outputs=graph_schema(header.get("graph_outputs")),
        batching=header["batching"] is True,
        batching_reason=str(header["batching_reason"])[:MESSAGE_LIMIT],
        way=str(header["way"])[:20],
        example=header["example"] is True,
        shared=header.get("shared") is True,
        streams=header.get("streams") is True,
    )


def fault(header: Mapping[str, Any], what: str) -> HeadgateError:
    """Return what a model raised as an error that begins with ``what``, or with what the host says it did."""
    if header.get("op") == "refused":
        lacking = str(header.get("lacking"))[:MESSAGE_LIMIT]
        return Unavailable(
            "sandbox_unavailable",
            f"HEADGATE_SANDBOX is required, and this system does not give: {lacking}",
            retry_after=None,
        )
    if header.get("doing") == "example":
        what = "its saved example fails"
    error = header.get("error")
    error = error if isinstance(error, dict) else {}
    code = "model_output_invalid" if error.get("code") == "model_output_invalid" else "model_error"
    message = _WEB_OR_FOLDERS.sub(lambda found: found[1] or "", str(error.get("message", ""))[:MESSAGE_LIMIT])
    kind = str(error.get("type", "an error"))[:100]
    if code == "model_output_invalid":
        return ModelFault(code, message)
    return ModelFault(code, f"{what}: {kind}: {message}" if message else f"{what}: {kind}", {"type": kind})


def graph_schema(given: Any) -> Schema | None:
    """Return a graph's inputs or outputs as a schema of tensors; None where there are none. Raises as damaged data
    does."""
    if not given:
        return None
    tensors = (Tensor(str(i["name"]), str(i["dtype"]), tuple(int(d) for d in i["shape"])) for i in given)
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
