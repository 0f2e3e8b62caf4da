"""Errors on MLflow's routes, in the shape that MLflow's client reads: ``{"error_code", "message"}``.

Not here: the native shape (``registry/edge/problems.py``), and MLflow's own errors, which its handlers write.
"""

from __future__ import annotations

import json

from registry.edge.gate import Send, native_problem
from registry.edge.problems import STATUS
from registry.errors import HeadgateError, NotFound, quote

PREFIXES = ("/api/2.0/mlflow", "/api/3.0/mlflow", "/ajax-api/", "/graphql", "/get-artifact", "/model-versions/")

_NAMES = {
    400: "INVALID_PARAMETER_VALUE",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "RESOURCE_DOES_NOT_EXIST",
    409: "RESOURCE_CONFLICT",
    429: "REQUEST_LIMIT_EXCEEDED",
    503: "TEMPORARILY_UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


def mlflow_problem(path: str, error: HeadgateError, request_id: str) -> tuple[int, bytes, list[tuple[bytes, bytes]]]:
    """Render an error of the gate (a ``ProblemWriter``): MLflow's shape on MLflow's routes, native elsewhere."""
    status, body, headers = native_problem(path, error, request_id)
    if not path.startswith(PREFIXES):
        return status, body, headers
    if error.code == "not_found":
        error = NotFound("not_found", f"{quote(path)} is a part of MLflow that this registry does not offer")
    return status, mlflow_body(error, status), headers


def mlflow_body(error: HeadgateError, status: int) -> bytes:
    """Return the body that MLflow's client turns into its exception."""
    name = "ENDPOINT_NOT_FOUND" if error.code == "not_found" and status == 404 else _NAMES.get(status)
    fallback = "INTERNAL_ERROR" if status >= 500 else "BAD_REQUEST"
    return json.dumps({"error_code": name or fallback, "message": error.message}).encode()


async def send_error(send: Send, error: HeadgateError, status: int | None = None) -> None:
    """Answer with an error and end the connection, because the request may not have been read to its end."""
    status = STATUS[error.code] if status is None else status
    body = mlflow_body(error, status)
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
    ]
    if error.retry_after is not None:
        headers.append((b"retry-after", str(max(1, round(error.retry_after))).encode()))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
