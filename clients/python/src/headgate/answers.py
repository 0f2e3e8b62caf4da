"""Reading answers: JSON, records, and errors by their code. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from headgate.errors import (
    AccessDenied,
    Conflict,
    HeadgateError,
    InvalidRequest,
    ModelFault,
    NotFound,
    Refused,
    RevisionConflict,
    ServerFault,
    Timeout,
    Unavailable,
)
from headgate.names import quoted
from headgate.wire import Answer

T = TypeVar("T")

# By code first: one status can mean different things to do (500 is the model's fault or the platform's).
_BY_CODE: dict[str, type[HeadgateError]] = {
    "revision_conflict": RevisionConflict,
    "request_timeout": Timeout,
    "model_error": ModelFault,
    "model_output_invalid": ModelFault,
    "model_timeout": ModelFault,
}
_BY_STATUS: dict[int, type[HeadgateError]] = {
    401: AccessDenied,
    403: AccessDenied,
    404: NotFound,
    408: Timeout,
    409: Conflict,
    410: NotFound,
    412: Conflict,
    429: Refused,
    502: Unavailable,
    503: Unavailable,
    504: Unavailable,
}


def raise_for(answer: Answer) -> Answer:
    """Return a successful answer; raise the error that any other one stands for."""
    if 200 <= answer.status < 300:
        return answer
    raise error_of(answer)


def error_of(answer: Answer) -> HeadgateError:
    """Return the error that an answer stands for: by its code, or by its status where something else answered."""
    body = _error_body(answer.body)
    request_id = answer.headers.get("x-request-id")
    if body is None:
        return _class_of("", answer.status)(
            _foreign_message(answer),
            code=f"http_{answer.status}",
            request_id=request_id,
            retry_after=_retry_after(answer),
        )
    code, details = str(body["code"]), body.get("details")
    return _class_of(code, answer.status)(
        str(body.get("message") or code),
        code=code,
        details=details if isinstance(details, dict) else None,
        request_id=str(body.get("request_id") or "") or request_id,
        retry_after=_retry_after(answer),
    )


def read_json(answer: Answer) -> Any:
    """Return the body as JSON; raise ServerFault where it is none."""
    try:
        return json.loads(answer.body)
    except ValueError as error:
        raise ServerFault(
            f"{answer.url} answered {answer.status} with something that is not JSON; is that a Headgate process?",
            code="unreadable_answer",
        ) from error


def read_as(answer: Answer, read: Callable[[Any], T]) -> T:
    """Return the body's JSON as ``read`` understands it; raise ServerFault where it does not."""
    document = read_json(answer)
    try:
        return read(document)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ServerFault(
            f"{answer.url} answered JSON of an unknown shape ({type(error).__name__}: {quoted(error)}); "
            "this client may be older or newer than the platform",
            code="unreadable_answer",
        ) from error


def unready_reason(answer: Answer) -> str:
    """Return why a process says that it is not ready."""
    try:
        reason = json.loads(answer.body).get("reason")
    except (ValueError, AttributeError):
        reason = None
    return str(reason) if reason else error_of(answer).message


def _class_of(code: str, status: int) -> type[HeadgateError]:
    found = _BY_CODE.get(code) or _BY_STATUS.get(status)
    if found is not None:
        return found
    return InvalidRequest if 400 <= status < 500 else ServerFault


def _error_body(body: bytes) -> Mapping[str, Any] | None:
    try:
        document = json.loads(body)
    except ValueError:
        return None
    error = document.get("error") if isinstance(document, dict) else None
    return error if isinstance(error, dict) and "code" in error else None


def _foreign_message(answer: Answer) -> str:
    where = f"{answer.url} answered {answer.status}"
    if 300 <= answer.status < 400:
        return f"{where}: it redirects to {quoted(answer.headers.get('location', ''), 200)}; set that URL instead"
    return f"{where}, not in Headgate's words; is the URL right, and is a proxy in between?"


def _retry_after(answer: Answer) -> float | None:
    raw = answer.headers.get("retry-after", "")
    return float(raw) if raw.isascii() and raw.isdecimal() and len(raw) < 6 else None
