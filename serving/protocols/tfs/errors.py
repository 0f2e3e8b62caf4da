"""Errors as TensorFlow Serving has them: ``{"error": text}`` with its statuses, and its own words where clients know
them. Pure.

Its statuses are those of its canonical codes: INVALID_ARGUMENT 400, NOT_FOUND 404 and so on. What HTTP itself refuses
(a body that is too long, or too slow) keeps the status that HTTP has for it. Source: ``http_rest_api_util.cc``,
``get_model_status_impl.cc`` and ``server_core.cc``.
"""

from __future__ import annotations

import orjson

from registry.edge.problems import STATUS, Headers, problem_headers
from registry.errors import HeadgateError, quote
from serving.protocols.tfs.paths import Place, lacks_name, read_path

_STATUS = {
    "not_found": 400,  # INVALID_ARGUMENT, "Malformed request"
    "method_not_allowed": 400,
    "not_acceptable": 400,
    "unsupported_media_type": 400,
    "invalid_input": 400,
    "too_many_values": 400,
    "not_servable": 400,  # FAILED_PRECONDITION
    "unknown_alias": 400,  # theirs is INVALID_ARGUMENT
    "not_ready": 404,  # what is not loaded yet is not there yet
}
_MALFORMED = ("not_found", "method_not_allowed")
_MISSING = ("unknown_version", "no_plan", "not_ready")


def tfs_status(code: str) -> int:
    """Return the status of an error's code: of the same class as on our own routes, and theirs where theirs differs."""
    return _STATUS.get(code) or STATUS[code]


def tfs_problem(path: str, error: HeadgateError, request_id: str) -> tuple[int, bytes, Headers]:
    """Return an error's status, body and headers."""
    return tfs_status(error.code), tfs_body(path, error), problem_headers(error, request_id)


def tfs_body(path: str, error: HeadgateError) -> bytes:
    """Return the body of an error on one of their paths."""
    return error_body(_text(path, error))


def error_body(text: str) -> bytes:
    """Return the one shape that their errors have."""
    return orjson.dumps({"error": text})


def _text(path: str, error: HeadgateError) -> str:
    method = str(error.details.get("method", ""))
    if error.code in _MALFORMED:
        if method in ("GET", "HEAD") and lacks_name(path):
            return "Missing model name in request."
        return f"Malformed request: {method} {quote(path)}".replace("  ", " ")
    place = read_path(path)
    if place is None:
        return error.message
    if error.code == "unknown_model":
        return _servable(place)
    if error.code in _MISSING:
        return f"{_servable(place)}; {error.message}"
    if error.code == "unknown_alias":
        return f"Unrecognized servable version label: {quote(place.label)}; {error.message}"
    return error.message


def _servable(place: Place) -> str:
    model = quote(place.model)
    if not place.verb:
        if place.version is None:
            return f"Could not find any versions of model {model}"
        return f"Could not find version {quote(place.version)} of model {model}"
    named = f"Latest({model})" if place.version is None else f"Specific({model}, {quote(place.version)})"
    return f"Servable not found for request: {named}"
