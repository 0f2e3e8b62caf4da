"""What can go wrong, ordered by what the caller can do about it.

    HeadgateError
    ├── InvalidRequest      change the request, then send it again
    ├── Forbidden           ask somebody who may
    ├── NotFound            ask for something that exists
    ├── Conflict            look at the present state, then decide again
    ├── Refused             slow down and retry
    ├── Unavailable         wait and retry: nothing is wrong with the request
    ├── ModelFault          the model itself failed: tell its owner
    └── Internal            our fault: report it

Every error carries a stable ``code`` (the table of ``docs/reference/errors.md``), a message for people that says what
was wrong and what would be right, and ``details`` for machines. Not here: HTTP. Status codes belong to the edge
(``registry/edge/problems.py``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

QUOTE_LIMIT = 64
MESSAGE_LIMIT = 2048


def quote(text: object, limit: int = QUOTE_LIMIT) -> str:
    """Return caller-supplied text made safe for a message: printable ASCII, at most ``limit`` characters."""
    printable = "".join(c if 32 <= ord(c) < 127 else "?" for c in str(text)[: limit + 1])
    return printable if len(printable) <= limit else printable[: limit - 1] + "…"


class HeadgateError(Exception):
    """Root of the tree; never raised itself.

    Args:
        code: One of the class's ``codes``.
        message: What was wrong and what would be right; cut at 2,048 characters.
        details: JSON-ready facts about it.
        retry_after: Seconds after which a retry makes sense, where one does.
    """

    codes: ClassVar[Mapping[str, str]] = {}
    """Code → what it means, for the reference."""

    def __init__(
        self, code: str, message: str, details: Mapping[str, Any] | None = None, *, retry_after: float | None = None
    ) -> None:
        if code not in self.codes:
            raise ValueError(f"{type(self).__name__} has no code {code!r}; it has {', '.join(sorted(self.codes))}")
        super().__init__(message)
        self.code = code
        self.message = message if len(message) <= MESSAGE_LIMIT else message[: MESSAGE_LIMIT - 1] + "…"
        self.details = dict(details or {})
        self.retry_after = retry_after

    def anew(self) -> Self:
        """Return the same as a new object: raising one over and over would grow its traceback for ever."""
        return type(self)(self.code, self.message, self.details, retry_after=self.retry_after)


class InvalidRequest(HeadgateError):
    """The request can never succeed as it is."""

    codes: ClassVar[Mapping[str, str]] = {
        "malformed_json": "The body is not valid JSON, or not UTF-8.",
        "too_deep": "The JSON nests deeper than HEADGATE_JSON_DEPTH.",
        "duplicate_key": "A JSON object names a key twice.",
        "non_finite_number": "The JSON holds NaN, Infinity, or a number no double can hold.",
        "invalid_name": "A model name, alias or path segment breaks its grammar.",
        "invalid_argument": "A field, parameter or header has a value it cannot have.",
        "invalid_input": (
            "The input does not fit the signature, or a share is none; details name path, column, row, expected, got."
        ),
        "method_not_allowed": "The path exists, the method does not; Allow lists those that do.",
        "unsupported_media_type": "The content type or encoding is none that this route reads.",
        "not_acceptable": "No type that Accept names can hold this answer.",
        "request_timeout": "The body did not arrive in time.",
        "body_too_large": "The body, after expansion, is larger than HEADGATE_BODY_BYTES.",
        "too_many_values": "The input holds more values than HEADGATE_INPUT_VALUES.",
        "headers_too_large": "More than 100 headers, or more than 64 KiB of them.",
        "precondition_required": "A plan is replaced only with If-Match: the revision you saw.",
        "misdirected_host": "The Host header is missing, doubled, or does not name this server.",
        "digest_mismatch": "The bytes that came are not those that were declared.",
        "quota_exceeded": "The upload is larger than HEADGATE_UPLOAD_BYTES.",
        "not_servable": (
            "The version was rejected, its source can never be served, or its model has no predict_stream where a "
            "stream was asked for; the message says which."
        ),
    }


class Forbidden(HeadgateError):
    """This caller may not."""

    codes: ClassVar[Mapping[str, str]] = {
        "forbidden": "The caller may not do this; for now: a browser's page of another site may change nothing.",
    }


class NotFound(HeadgateError):
    """Nothing of that name exists."""

    codes: ClassVar[Mapping[str, str]] = {
        "unknown_model": "No model has this name.",
        "unknown_version": "The model has no such version, or it is retired.",
        "unknown_alias": "The model has no such alias.",
        "unknown_upload": "No upload has this id.",
        "unknown_request": "No prediction that a label could join has this request id; the message says when it may.",
        "unknown_row": "The labelled answer has no such row.",
        "no_plan": "The model has no traffic plan; name a version, or make a plan.",
        "not_found": "Nothing is at this path.",
    }


class Conflict(HeadgateError):
    """The present state forbids it."""

    codes: ClassVar[Mapping[str, str]] = {
        "revision_conflict": "Somebody else changed the plan first; details carry the present revision.",
        "not_ready": "The version, upload or plan is not in the state this needs.",
        "in_use": "A plan or an alias names it.",
        "already_exists": "It exists already, with other content.",
        "incompatible_signature": "The version does not accept what callers of the stable one send.",
    }


class Refused(HeadgateError):
    """Too much at once."""

    codes: ClassVar[Mapping[str, str]] = {
        "overloaded": "Too many requests of this kind at once.",
        "rate_limited": "Too many requests from this caller.",
    }


class Unavailable(HeadgateError):
    """Cannot answer now; the same request may succeed later."""

    codes: ClassVar[Mapping[str, str]] = {
        "loading": "The version is being loaded, or its environment built; a retry will find it.",
        "model_quarantined": "The version crashed too often and is not tried again by itself.",
        "artifact_unavailable": "The artifact's store cannot be reached, and no copy is here.",
        "artifact_corrupt": "The artifact's bytes do not match their digests; it is not loaded.",
        "environment_unavailable": "The libraries of the version cannot be had; the message says which.",
        "sandbox_unavailable": "HEADGATE_SANDBOX is required, and this system lacks a part; the message says which.",
        "no_capacity": "All memory for models, or every connection that this process may have, is in use.",
        "shutting_down": "This process is stopping.",
        "registry_unavailable": "The registry or its database cannot be reached.",
    }

    def __init__(
        self, code: str, message: str, details: Mapping[str, Any] | None = None, *, retry_after: float | None = 1.0
    ) -> None:
        super().__init__(code, message, details, retry_after=retry_after)


class ModelFault(HeadgateError):
    """The model raised, answered nonsense, died or took too long."""

    codes: ClassVar[Mapping[str, str]] = {
        "model_error": "The model raised, or its process died; the message carries its type and words.",
        "model_output_invalid": "The model answered something that no answer format can hold.",
        "model_timeout": "The model did not answer in time.",
    }


class Internal(HeadgateError):
    """A fault of the platform."""

    codes: ClassVar[Mapping[str, str]] = {
        "internal": "A fault of the platform; its log has more under the request id.",
    }


BRANCHES: tuple[type[HeadgateError], ...] = (
    InvalidRequest,
    Forbidden,
    NotFound,
    Conflict,
    Refused,
    Unavailable,
    ModelFault,
    Internal,
)
"""The tree's branches, in the order drawn above."""
