"""What can go wrong, ordered by what the caller can do about it.

    HeadgateError
    ├── InvalidRequest      change the request, then send it again
    ├── NotFound            ask for something that exists
    ├── Conflict            look at the present state, then decide again
    ├── Refused             slow down and retry
    ├── Unavailable         wait and retry: nothing is wrong with the request
    ├── ModelFault          the model itself failed: tell its owner
    └── Internal            our fault: report it

Every error carries a stable ``code`` (the table of ``docs/reference/errors.md``), a message for people that says what
was wrong and what would be right, and ``details`` for machines. Not here: HTTP. Status codes belong to the edge
(``registry/http/problems.py``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

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

    codes: ClassVar[frozenset[str]] = frozenset()

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


class InvalidRequest(HeadgateError):
    """The request can never succeed as it is."""

    codes = frozenset(
        {
            "malformed_json",
            "too_deep",
            "duplicate_key",
            "non_finite_number",
            "invalid_name",
            "invalid_argument",
            "invalid_input",
            "method_not_allowed",
            "unsupported_media_type",
            "not_acceptable",
            "request_timeout",
            "body_too_large",
            "too_many_values",
            "headers_too_large",
            "precondition_required",
            "misdirected_host",
            "digest_mismatch",
            "quota_exceeded",
            "not_servable",
        }
    )


class NotFound(HeadgateError):
    """Nothing of that name exists."""

    codes = frozenset(
        {"unknown_model", "unknown_version", "unknown_alias", "unknown_upload", "no_plan", "not_found"}
    )


class Conflict(HeadgateError):
    """The present state forbids it."""

    codes = frozenset({"revision_conflict", "not_ready", "in_use", "already_exists", "incompatible_signature"})


class Refused(HeadgateError):
    """Too much at once."""

    codes = frozenset({"overloaded", "rate_limited"})


class Unavailable(HeadgateError):
    """Cannot answer now; the same request may succeed later."""

    codes = frozenset(
        {
            "loading",
            "model_quarantined",
            "artifact_unavailable",
            "artifact_corrupt",
            "environment_unavailable",
            "no_capacity",
            "shutting_down",
            "registry_unavailable",
        }
    )

    def __init__(
        self, code: str, message: str, details: Mapping[str, Any] | None = None, *, retry_after: float | None = 1.0
    ) -> None:
        super().__init__(code, message, details, retry_after=retry_after)


class ModelFault(HeadgateError):
    """The model raised, answered nonsense, died or took too long."""

    codes = frozenset({"model_error", "model_output_invalid", "model_timeout"})


class Internal(HeadgateError):
    """A fault of the platform."""

    codes = frozenset({"internal"})


CODES: frozenset[str] = frozenset().union(
    *(c.codes for c in (InvalidRequest, NotFound, Conflict, Refused, Unavailable, ModelFault, Internal))
)
