"""Errors as HTTP: the status of each code, and the one error body of the native routes.

Shared by both processes (like the gate), and standard
library alone, because the predict lane renders errors without a framework.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable

from registry.errors import HeadgateError

STATUS: dict[str, int] = {
    "malformed_json": 400,
    "too_deep": 400,
    "duplicate_key": 400,
    "non_finite_number": 400,
    "invalid_name": 400,
    "invalid_argument": 400,
    "misdirected_host": 400,
    "forbidden": 403,
    "unknown_model": 404,
    "unknown_version": 404,
    "unknown_alias": 404,
    "unknown_upload": 404,
    "unknown_request": 404,
    "unknown_row": 404,
    "no_plan": 404,
    "not_found": 404,
    "method_not_allowed": 405,
    "not_acceptable": 406,
    "request_timeout": 408,
    "revision_conflict": 409,
    "not_ready": 409,
    "in_use": 409,
    "already_exists": 409,
    "incompatible_signature": 409,
    "body_too_large": 413,
    "too_many_values": 413,
    "quota_exceeded": 413,
    "unsupported_media_type": 415,
    "invalid_input": 422,
    "not_servable": 422,
    "digest_mismatch": 422,
    "precondition_required": 428,
    "overloaded": 429,
    "rate_limited": 429,
    "headers_too_large": 431,
    "model_error": 500,
    "model_output_invalid": 500,
    "internal": 500,
    "loading": 503,
    "model_quarantined": 503,
    "artifact_unavailable": 503,
    "artifact_corrupt": 503,
    "environment_unavailable": 503,
    "sandbox_unavailable": 503,
    "no_capacity": 503,
    "shutting_down": 503,
    "registry_unavailable": 503,
    "model_timeout": 504,
}

Headers = list[tuple[bytes, bytes]]


def problem_body(error: HeadgateError, request_id: str) -> bytes:
    """Return the error body: at most a few KB, ASCII-safe JSON, never an echo of the input."""
    document = {"code": error.code, "message": error.message, "request_id": request_id, "details": error.details}
    return json.dumps({"error": document}).encode()


def problem_headers(error: HeadgateError, request_id: str, extra: Iterable[tuple[bytes, bytes]] = ()) -> Headers:
    """Return the headers that go with it, ``Retry-After`` in whole seconds where a retry makes sense."""
    headers = [
        (b"content-type", b"application/json"),
        (b"x-request-id", request_id.encode("latin-1", "replace")),
        (b"x-content-type-options", b"nosniff"),  # some of its words are the caller's
        *extra,
    ]
    if error.retry_after is not None:
        headers.append((b"retry-after", str(max(1, math.ceil(error.retry_after))).encode()))
    return headers
