"""Errors as gRPC statuses: the number of each code. Pure, and without gRPC itself.

The class is that of the HTTP status, so that a client sees the same kind of fault whichever way it asks. Not here: how
a status travels (``calls.py``).

Source: grpc/doc/statuscodes.md.
"""

from __future__ import annotations

from enum import IntEnum

from registry.edge.problems import STATUS


class Status(IntEnum):
    """gRPC's numbers, those that are answered here."""

    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14


_OWN = {
    "already_exists": Status.ALREADY_EXISTS,
    "revision_conflict": Status.ABORTED,
    "body_too_large": Status.RESOURCE_EXHAUSTED,  # as the library has it for a message beyond the server's limit
}
_BY_HTTP = {
    403: Status.PERMISSION_DENIED,
    404: Status.NOT_FOUND,
    405: Status.UNIMPLEMENTED,
    408: Status.DEADLINE_EXCEEDED,
    409: Status.FAILED_PRECONDITION,
    429: Status.RESOURCE_EXHAUSTED,
    500: Status.INTERNAL,
    503: Status.UNAVAILABLE,
    504: Status.DEADLINE_EXCEEDED,
}


def grpc_status(code: str) -> Status:
    """Return the status of an error's code; every other fault of a request is INVALID_ARGUMENT."""
    return _OWN.get(code) or _BY_HTTP.get(STATUS[code], Status.INVALID_ARGUMENT)
