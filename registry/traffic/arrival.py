"""Which nodes there are, and on which of them a plan has arrived. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from registry.plans import PlanRevision
from registry.records import VersionNumber
from registry.traffic.ports import NodeState

LOST_MS = 60_000
"""A node unheard of for longer is lost."""
SHOWN_MS = 3_600_000
"""How long a lost one is still shown."""
READY = "ready"


@dataclass(frozen=True, slots=True)
class SeenNode:
    """A node that is there, or was a short while ago."""

    state: NodeState
    age_ms: int

    @property
    def lost(self) -> bool:
        """Whether it has been silent for too long."""
        return self.age_ms > LOST_MS


@dataclass(frozen=True, slots=True)
class Arrival:
    """How far a model's plan has come on one node.

    Attributes:
        arrived: Whether the node acts on it, with every version that may answer loaded.
        in_force: The revision of the plan that it acts on; None where it has not heard of the newest change.
        awaits: Versions that must be ready there first.
        versions: Versions of the model that are not cold there, and their states.
    """

    node: SeenNode
    arrived: bool
    in_force: int | None
    awaits: tuple[VersionNumber, ...]
    versions: dict[VersionNumber, str]


def seen_nodes(states: Sequence[NodeState], now_ms: int) -> list[SeenNode]:
    """Return those worth showing; a lost process is left out where a later one of the same node was heard of."""
    newest: dict[str, int] = {}
    for state in states:
        newest[state.node] = max(state.seen_ms, newest.get(state.node, 0))
    seen = [SeenNode(state, max(0, now_ms - state.seen_ms)) for state in states]
    return [
        node
        for node in seen
        if not node.lost or (node.age_ms <= SHOWN_MS and node.state.seen_ms == newest[node.state.node])
    ]


def arrivals(nodes: Sequence[SeenNode], line: PlanRevision, changed: int) -> list[Arrival]:
    """Return how far the plan ``line`` has come on each node; ``changed`` is the snapshot revision of the model's last
    change."""
    return [_arrival(node, line, changed) for node in nodes]


def _arrival(node: SeenNode, line: PlanRevision, changed: int) -> Arrival:
    state = node.state
    versions = {v.version: v.state for v in state.versions if v.model == line.model}
    held = next((h for h in state.held if h.model == line.model), None)
    told = state.revision >= changed
    plan = line.plan
    # The stable version may load with its first request; what gets a share of the traffic must be there before.
    wanted = frozenset() if plan is None else plan.answering - {plan.stable}
    missing = tuple(sorted((v for v in wanted if versions.get(v) != READY), key=int))
    return Arrival(
        node=node,
        arrived=told and held is None and not missing,
        in_force=held.revision if held is not None else line.revision if told else None,
        awaits=held.awaits if held is not None else missing,
        versions=dict(sorted(versions.items(), key=lambda item: int(item[0]))),
    )
