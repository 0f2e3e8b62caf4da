"""What can go wrong, ordered by what the caller can do about it.

    HeadgateError
    ├── BadSettings            correct an argument or an environment variable of this client
    ├── ClientClosed           open another client: this one was closed
    ├── ConnectionFailed       start the process, or correct its URL: nothing answered
    ├── Timeout                wait longer, or look at what came of it: no answer in time
    ├── InvalidRequest         change the request, then send it again
    ├── AccessDenied           use a key that may do this
    ├── NotFound               ask for something that exists
    ├── Conflict               look at the present state, then decide again
    │   └── RevisionConflict   … somebody changed the plan: its present ``revision`` is here
    ├── VersionRejected        mend the model for the ``reasons`` given, then register it again
    ├── Refused                slow down, then retry after ``retry_after`` seconds
    ├── Unavailable            retry after ``retry_after`` seconds: nothing is wrong with the request
    ├── ModelFault             the model itself failed: tell its owner
    └── ServerFault            a fault of the platform: report it, with the ``request_id``

``code`` is the platform's stable code (``docs/reference/errors.md``), or one of this client's own for what it found out
by itself. Not here: reading an answer, which is ``answers.py``'s work.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


class HeadgateError(Exception):
    """Root of the tree.

    Args:
        message: What was wrong and what would be right.
        code: Stable, for machines.
        details: Facts about it, as the platform gave them.
        request_id: Finds the request in the platform's log; None where none was answered.
        retry_after: Seconds after which a retry makes sense, where one does.
    """

    default_code = "internal"

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        details: Mapping[str, Any] | None = None,
        request_id: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.default_code
        self.details = dict(details or {})
        self.request_id = request_id
        self.retry_after = retry_after

    def reword(self, message: str) -> None:
        """Say the same with more of where it happened."""
        self.message = message
        self.args = (message,)


class BadSettings(HeadgateError):
    """An argument or an environment variable of this client cannot be used."""

    default_code = "bad_settings"


class ClientClosed(HeadgateError):
    """This client was closed before it was asked."""

    default_code = "client_closed"


class ConnectionFailed(HeadgateError):
    """No connection came about, or it broke before an answer."""

    default_code = "connection_failed"


class Timeout(HeadgateError):
    """No answer came in time; what was asked for may still happen."""

    default_code = "timeout"


class InvalidRequest(HeadgateError):
    """The request can never succeed as it is."""

    default_code = "invalid_argument"


class AccessDenied(HeadgateError):
    """The key is missing, unknown, or may not do this."""

    default_code = "forbidden"


class NotFound(HeadgateError):
    """Nothing of that name exists."""

    default_code = "not_found"


class Conflict(HeadgateError):
    """The present state forbids it."""

    default_code = "not_ready"


class RevisionConflict(Conflict):
    """The plan is another one than the caller had seen."""

    default_code = "revision_conflict"

    @property
    def revision(self) -> int | None:
        """The plan's present revision, where the platform said it."""
        revision = self.details.get("revision")
        return revision if isinstance(revision, int) else None


class VersionRejected(HeadgateError):
    """The version did not pass its admission.

    Attributes:
        reasons: One sentence for each check that failed.
    """

    default_code = "rejected"

    def __init__(self, message: str, *, reasons: Sequence[str] = (), details: Mapping[str, Any] | None = None) -> None:
        super().__init__(message, details=details)
        self.reasons = tuple(reasons)


class Refused(HeadgateError):
    """Too much at once."""

    default_code = "overloaded"


class Unavailable(HeadgateError):
    """Cannot answer now; the same request may succeed later."""

    default_code = "unavailable"


class ModelFault(HeadgateError):
    """The model raised, answered nonsense, died or took too long."""

    default_code = "model_error"


class ServerFault(HeadgateError):
    """A fault of the platform, or of something between it and us."""

    default_code = "internal"


PASSING = (ConnectionFailed, Unavailable, Refused, Timeout)
"""What may be over in a moment: the same question may be answered the next time."""
