"""Errors in the words of the protocol that was spoken: which shape a path's errors have.

One writer for everybody who refuses: the gate, the front, the application. Not here: the shapes themselves (each
protocol's module, and ``registry/edge/problems.py`` for our own).
"""

from __future__ import annotations

from collections.abc import Callable

from registry.edge.gate import ProblemWriter, native_problem
from registry.edge.problems import Headers
from registry.errors import HeadgateError
from serving.protocols.oip.errors import is_oip, oip_problem

_SHAPES: tuple[tuple[Callable[[str], bool], ProblemWriter], ...] = ((is_oip, oip_problem),)
"""Which paths have errors of another shape, and who writes them; the first that matches."""


def problem(path: str, error: HeadgateError, request_id: str) -> tuple[int, bytes, Headers]:
    """Return an error's status, body and headers as the protocol of ``path`` has them."""
    for speaks, write in _SHAPES:
        if speaks(path):
            return write(path, error, request_id)
    return native_problem(path, error, request_id)
