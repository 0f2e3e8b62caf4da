"""The lines that a rollout's journal has of its moves: what happened, in words, with the numbers behind it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from registry.traffic.actions import (
    Abort,
    Action,
    Advance,
    Expire,
    Hold,
    Pause,
    Promote,
    Release,
    Resume,
    RollBack,
    Yield,
)
from registry.traffic.rollout import Rollout, RolloutEvent, replans

CONTROLLER = "rollout"
"""Who moved a rollout where nobody did."""


def first_line(rollout: Rollout, who: str) -> RolloutEvent:
    """Return the event of a rollout that begins."""
    note = f": {rollout.spec.note}" if rollout.spec.note else ""
    message = f"rollout of version {rollout.version} begins at {rollout.place}{note}"
    return RolloutEvent(1, rollout.started_ms, "started", message, who, rollout.plan_revision)


def line_of(
    before: Rollout, after: Rollout, action: Action, who: str, *, now_ms: int, numbers: Mapping[str, Any]
) -> RolloutEvent:
    """Return the event of a move from ``before`` to ``after``."""
    revision = after.plan_revision if replans(before, after) else None
    return RolloutEvent(
        after.turn, now_ms, _name(after, action), _message(before, after, action), who, revision, numbers
    )


def _name(after: Rollout, action: Action) -> str:
    match action:
        case Hold():
            return "held"
        case Release():
            return "released"
        case Pause():
            return "paused"
        case Resume():
            return "resumed"
        case Advance():
            return "advanced"
        case _:
            return after.state.value


def _message(before: Rollout, after: Rollout, action: Action) -> str:
    match action:
        case Hold():
            return f"holds at {before.place}: {action.message}"
        case Release():
            return f"what held it at {before.place} is over"
        case Advance():
            return f"goes on to {after.place}"
        case Pause():
            return _with_reason(f"paused at {before.place}", action.reason)
        case Resume():
            what = "goes on" if before.paused_since_ms is not None else "was looked at and goes on"
            return _with_reason(f"{what} at {before.place}", action.reason)
        case Promote():
            return f"version {after.version} is stable: {after.reason}"
        case RollBack() | Expire() | Abort():
            return f"back to version {after.base.stable}: {after.reason}"
        case Yield():
            return after.reason


def _with_reason(what: str, reason: str) -> str:
    return f"{what}: {reason}" if reason else what
