"""Errors as the Open Inference Protocol has them: a status, and ``{"error": "…"}``. Pure.

Clients take every status but 200 for an error and read the text of ``error``; nothing else is looked at. A request that
does not fit the model is 400, as Triton, KServe and MLServer have it; every other code keeps the status that our own
routes give it. Not here: gRPC statuses.
"""

from __future__ import annotations

import json

from registry.edge.problems import STATUS, Headers, problem_headers
from registry.errors import HeadgateError

PREFIX = "/v2"


def is_oip(path: str) -> bool:
    """Tell whether a path belongs to the protocol."""
    return path.startswith(PREFIX) and (len(path) == len(PREFIX) or path[len(PREFIX)] == "/")


def oip_status(code: str) -> int:
    """Return the HTTP status of an error's code."""
    status = STATUS[code]
    return 400 if status == 422 else status


def oip_body(error: HeadgateError) -> bytes:
    """Return an error's body: ASCII-safe JSON, never an echo of the input."""
    return json.dumps({"error": error.message}).encode()


def oip_problem(_path: str, error: HeadgateError, request_id: str) -> tuple[int, bytes, Headers]:
    """Return an error's status, body and headers."""
    return oip_status(error.code), oip_body(error), problem_headers(error, request_id)
