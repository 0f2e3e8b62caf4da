"""The legal moves of a version. Pure.

    pending ──► checking ──► ready ──► retired
                   │  ▲        │
                   │  └────────┤ (admit again)
                   ▼           │
               rejected ◄──────┘
                   │
                   └──► checking (admit again) · retired

A crash while checking leaves the version ``checking``; its claim runs out and it is checked again from the start, which
is why every step of admission is idempotent.
"""

from __future__ import annotations

from registry.errors import Conflict
from registry.records import VersionState

_MOVES: dict[VersionState, frozenset[VersionState]] = {
    VersionState.PENDING: frozenset({VersionState.CHECKING, VersionState.RETIRED}),
    VersionState.CHECKING: frozenset(
        {VersionState.CHECKING, VersionState.READY, VersionState.REJECTED, VersionState.RETIRED}
    ),
    VersionState.READY: frozenset({VersionState.CHECKING, VersionState.REJECTED, VersionState.RETIRED}),
    VersionState.REJECTED: frozenset({VersionState.CHECKING, VersionState.RETIRED}),
    VersionState.RETIRED: frozenset(),
}


def may_move(before: VersionState, after: VersionState) -> bool:
    """Tell whether the arrow from ``before`` to ``after`` is drawn above."""
    return after in _MOVES[before]


def require_move(before: VersionState, after: VersionState) -> None:
    """Raise Conflict ``not_ready`` unless the move is legal."""
    if not may_move(before, after):
        legal = ", ".join(sorted(_MOVES[before])) or "nothing else"
        raise Conflict("not_ready", f"a {before} version cannot become {after}; it can become {legal}")
