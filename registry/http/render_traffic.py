"""Rollouts and nodes as the JSON of the contract. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from registry.http.render import iso
from registry.plans import percent
from registry.traffic.arrival import Arrival, SeenNode
from registry.traffic.judgement import Judgement
from registry.traffic.rollout import Rollout, RolloutEvent, RolloutState, waiting


def rollout_json(rollout: Rollout) -> dict[str, Any]:
    """Return what a list of rollouts says of one."""
    ended = rollout.ended_ms
    spec = rollout.spec.to_json()
    return {
        "id": rollout.id,
        "model": rollout.model,
        "version": rollout.version,
        "state": rollout.state.value,
        "reason": rollout.reason or None,
        "step": rollout.step,
        "weight": percent(rollout.share),
        **spec,
        "stable": rollout.base.stable,
        "started_at": iso(rollout.started_ms),
        "step_started_at": iso(rollout.step_started_ms),
        "ended_at": None if ended is None else iso(ended),
        "plan_revision": rollout.plan_revision,
    }


def rollout_in_full(
    rollout: Rollout, journal: Sequence[RolloutEvent], judgement: Judgement | None, now_ms: int
) -> dict[str, Any]:
    """Return a rollout with its evidence and its journal.

    Args:
        rollout: As it is.
        journal: All of it.
        judgement: What is known now; None where it has ended, and its last event says what was known then.
        now_ms: The time.
    """
    last = journal[-1].numbers if journal else {}
    numbers = judgement.numbers() if judgement is not None else last
    return {
        **rollout_json(rollout),
        "holding": _holding(rollout, judgement, now_ms),
        "step_requests": numbers.get("requests", 0),
        "evidence": numbers.get("evidence", {}),
        "arms": numbers.get("arms", {}),
        "journal": [_event_json(event) for event in journal],
    }


def _holding(rollout: Rollout, judgement: Judgement | None, now_ms: int) -> str | None:
    if judgement is None:
        return None
    if rollout.state is RolloutState.PAUSED:
        return "paused: somebody must resume, promote or abort it"
    waits = waiting(rollout, now_ms, judgement.findings, judgement.requests)
    return None if waits is None else waits.message


def _event_json(event: RolloutEvent) -> dict[str, Any]:
    return {
        "at": iso(event.at_ms),
        "event": event.event,
        "message": event.message,
        "who": event.who,
        "revision": event.revision,
        "numbers": dict(event.numbers),
    }


def node_json(node: SeenNode) -> dict[str, Any]:
    """Return a node with what it serves."""
    state = node.state
    return {
        "node": state.node,
        "boot": state.boot,
        "revision": state.revision,
        "age_seconds": node.age_ms / 1000,
        "lost": node.lost,
        "held": [held.to_json() for held in state.held],
        "versions": [version.to_json() for version in state.versions],
    }


def arrival_json(arrival: Arrival) -> dict[str, Any]:
    """Return how far a plan has come on one node."""
    node = arrival.node
    return {
        "node": node.state.node,
        "boot": node.state.boot,
        "age_seconds": node.age_ms / 1000,
        "lost": node.lost,
        "arrived": arrival.arrived,
        "in_force": arrival.in_force,
        "awaits": list(arrival.awaits),
        "versions": dict(arrival.versions),
    }
