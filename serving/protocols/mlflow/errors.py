"""Errors as MLflow's scoring server has them: ``{"error_code", "message", "sqlstate", "error_class"}``. Pure.

The status is MLflow's for what has one there: an input that does not fit is 400, not 422. It is ours for what MLflow
has no word for (413, 408), and for models that raise: 500, where MLflow says that the request was bad. The message is
ours: it never repeats the input. Unknown media and methods are told in other shapes, as MLflow does.

Source: ``MlflowException`` and ``error_classification`` of MLflow 3.17. Not here: what can go wrong.
"""

from __future__ import annotations

import json

from registry.edge.problems import STATUS, Headers, problem_headers
from registry.errors import HeadgateError

_CALLER, _SERVER, _SCHEMA, _RAISED = "KAM00", "XXM00", "KAM01", "KAM02"
_BY_STATUS: dict[int, tuple[str, str, str | None]] = {
    400: ("BAD_REQUEST", _CALLER, "INVALID_PARAMETER_VALUE"),
    403: ("PERMISSION_DENIED", _CALLER, "PERMISSION_DENIED"),
    404: ("RESOURCE_DOES_NOT_EXIST", _CALLER, "RESOURCE_NOT_FOUND"),
    409: ("RESOURCE_CONFLICT", "", None),
    429: ("RESOURCE_EXHAUSTED", "", None),
    500: ("INTERNAL_ERROR", _SERVER, "CLIENT_INTERNAL_ERROR"),
    503: ("TEMPORARILY_UNAVAILABLE", _SERVER, "CLIENT_INTERNAL_ERROR"),
    504: ("DEADLINE_EXCEEDED", "", None),
}
_BY_CODE: dict[str, tuple[str, str, str | None]] = {
    "invalid_input": ("INVALID_PARAMETER_VALUE", _SCHEMA, "SCHEMA_ENFORCEMENT_FAILED"),
    "not_found": ("ENDPOINT_NOT_FOUND", _CALLER, "RESOURCE_NOT_FOUND"),
    "model_error": ("INTERNAL_ERROR", _RAISED, "PREDICTION_FUNCTION_FAILED"),
}
_STATUS = {"invalid_input": 400, "not_servable": 400}
"""Where MLflow's status is another than ours."""
NOT_THIS_METHOD = b'{"detail":"Method Not Allowed"}'
"""What the framework below MLflow's server says."""


_ENDINGS = ("/invocations", "/ping", "/health", "/version", "/invoke")


def is_scoring(path: str) -> bool:
    """Tell whether a path is this protocol's: at the root, or below a model, a version or an alias."""
    if not path.endswith(_ENDINGS):
        return False
    segments = path.split("/")
    if len(segments) == 2:
        return path != "/invoke"
    if segments[1] != "models" or (len(segments) != 4 and segments[-1] == "invoke"):
        return False
    return len(segments) == 4 or (len(segments) == 6 and segments[3] in ("versions", "aliases"))


def scoring_status(code: str) -> int:
    """Return the status of an error's code."""
    return _STATUS.get(code, STATUS[code])


def scoring_body(error: HeadgateError) -> bytes:
    """Return an error's JSON body, as MLflow orders it."""
    status = scoring_status(error.code)
    name, sqlstate, kind = _BY_CODE.get(error.code) or _BY_STATUS.get(status) or _BY_STATUS[400]
    if str(error.details.get("path", "")).startswith("params"):
        name, sqlstate, kind = "INVALID_PARAMETER_VALUE", _CALLER, "INVALID_PARAMETER_VALUE"
    document = {"error_code": name, "message": error.message}
    if sqlstate:
        document["sqlstate"] = sqlstate
    if kind is not None:
        document["error_class"] = kind
    return json.dumps(document).encode()


def scoring_problem(path: str, error: HeadgateError, request_id: str) -> tuple[int, bytes, Headers]:
    """Return an error's status, body and headers."""
    status, headers = scoring_status(error.code), problem_headers(error, request_id)
    if status == 415:
        return status, error.message.encode(), _as_text(headers)
    return status, NOT_THIS_METHOD if status == 405 else scoring_body(error), headers


def _as_text(headers: Headers) -> Headers:
    named = (b"content-type", b"text/plain; charset=utf-8")
    return [named, *(pair for pair in headers if pair[0] != b"content-type")]
