"""Where a version stands on this node, and its legal moves. Pure.

    cold ──► loading ──► ready ──► draining ──► cold
      ▲        │  │        │ ▲        │
      │        │  ▼        │ └────────┘ (wanted again before its last lease was back)
      │        │ failed ◄──┼──► loading (asked for again, after a back-off)
      │        │  │        ▼
      │        │  └──► quarantined ◄── loading, ready (it keeps crashing)
      └────────┴───────────┴──── quarantined (released by an operator)

``ready ──► cold`` is a version whose process died, ``ready ──► failed`` one whose process died again, which is left
alone for a while. ``failed ──► cold`` is one that was forgiven; ``loading ──► cold`` one that found no room or that
nobody wants any more. Not here: what a move does (``pool.py``) and which version must go (eviction).
"""

from __future__ import annotations

from enum import StrEnum


class State(StrEnum):
    """Where a version stands on this node."""

    COLD = "cold"
    LOADING = "loading"
    READY = "ready"
    DRAINING = "draining"
    FAILED = "failed"
    QUARANTINED = "quarantined"


_MOVES: dict[State, frozenset[State]] = {
    State.COLD: frozenset({State.LOADING}),
    State.LOADING: frozenset({State.READY, State.FAILED, State.QUARANTINED, State.COLD}),
    State.READY: frozenset({State.DRAINING, State.COLD, State.FAILED, State.QUARANTINED}),
    State.DRAINING: frozenset({State.READY, State.COLD}),
    State.FAILED: frozenset({State.LOADING, State.QUARANTINED, State.COLD}),
    State.QUARANTINED: frozenset({State.COLD}),
}


class IllegalMoveError(Exception):
    """The pool broke its own rules: a fault of the platform."""


def may_move(before: State, after: State) -> bool:
    """Tell whether the arrow from ``before`` to ``after`` is drawn above."""
    return after in _MOVES[before]


class Lifecycle:
    """The state of one version; refuses moves that are not drawn above."""

    __slots__ = ("state",)

    def __init__(self) -> None:
        self.state = State.COLD

    def move(self, after: State) -> None:
        """Take one arrow; raise IllegalMoveError where there is none."""
        if not may_move(self.state, after):
            raise IllegalMoveError(f"a {self.state} version cannot become {after}")
        self.state = after


def backoff_seconds(failures: int) -> float:
    """Return how long a version that failed ``failures`` (≥ 1) times running is left alone: 1, 2, 4 … 30 seconds."""
    return float(min(30, 2 ** min(failures - 1, 5)))
