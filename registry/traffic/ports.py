"""What traffic needs of the registry's database besides plans: rollouts, what nodes report, and who leads. As ports.

The contracts of ``registry/ports.py`` hold here too: methods block, are safe to call from threads and processes, and
write wholly or not at all. Not here: plans and aliases (``registry/ports.py``).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from registry.records import ModelName, VersionNumber
from registry.reports import HeldPlan, LoadedVersion, NodeReport
from registry.traffic.rollout import Rollout, RolloutEvent
from registry.windows import ArmWindow, ShadowWindow

BUCKET_MS = 60_000
"""Windows of one arm on one node are added up by the minute in which they began, or more minutes of an old plan."""


class Rollouts(Protocol):
    """Rollouts and their journals: at most one a model goes on at a time, and all are kept for ever."""

    def start(self, rollout: Rollout, event: RolloutEvent) -> None:
        """Record a rollout that begins, its first event and its plan (``plan_of``), in one transaction.

        The plan becomes revision ``rollout.plan_revision``. Raises Conflict ``already_exists`` (details: ``rollout``)
        where one of the model goes on, and whatever ``Plans.append`` raises.
        """
        ...

    def move(self, before: Rollout, after: Rollout, event: RolloutEvent) -> None:
        """Replace the record ``before`` by ``after`` and write the event, in one transaction.

        Where ``after`` has another plan revision, its plan is appended as that revision in the same transaction, in
        the name of ``event.who``; only then is the plan looked at. Raises Conflict ``revision_conflict`` where the
        record, or the plan that is to be replaced, is no longer the one that ``before`` says, and whatever
        ``Plans.append`` raises. A move without a plan of its own goes through beside any plan.
        """
        ...

    def active(self) -> Sequence[Rollout]:
        """Return all that have not ended, oldest first."""
        ...

    def get(self, model: ModelName, rollout_id: str) -> Rollout | None:
        """Return a rollout of ``model``, or None."""
        ...

    def page(self, model: ModelName, limit: int) -> Sequence[Rollout]:
        """Return up to ``limit`` rollouts of ``model``, newest first."""
        ...

    def journal(self, rollout_id: str) -> Sequence[RolloutEvent]:
        """Return all events of a rollout, oldest first, numbered from 1 without gaps."""
        ...


@dataclass(frozen=True, slots=True)
class NodeState:
    """What the newest report of one process of a node said, and when it came."""

    node: str
    boot: str
    sequence: int
    revision: int
    held: tuple[HeldPlan, ...]
    versions: tuple[LoadedVersion, ...]
    seen_ms: int


@dataclass(frozen=True, slots=True)
class ArmPart:
    """What one node counted for one arm in one bucket, which is ``window.start_ms``."""

    node: str
    window: ArmWindow


class Reports(Protocol):
    """What nodes report: the newest state of each, and windows, added up exactly once."""

    def take(self, report: NodeReport) -> int:
        """Take a report in; return the newest sequence that was taken of its boot.

        One transaction: a report whose sequence is not above the newest taken changes nothing, so one that comes twice,
        late, or at two registries at once is counted once. Windows that no revision of a present model's plan accounts
        for are left out. Windows of features are added as ``FeatureWindows`` says.
        """
        ...

    def nodes(self) -> Sequence[NodeState]:
        """Return the newest state of each process that was not swept, by node, the one heard of longest ago first."""
        ...

    def arms(self, model: ModelName, revisions: Collection[int]) -> Sequence[ArmPart]:
        """Return what was counted under these revisions, by bucket, node, revision and arm."""
        ...

    def shadows(self, model: ModelName, version: VersionNumber) -> Sequence[ShadowWindow]:
        """Return what was counted for a shadow, one window for each revision, oldest first; its start is its first
        bucket's."""
        ...

    def sweep(self, windows_before_ms: int, nodes_before_ms: int) -> None:
        """Forget windows that began earlier, but for those of plans in force and of rollouts that go on, and processes
        not heard of since."""
        ...


class Leases(Protocol):
    """Who of several registries does what only one need do. What is done must be right with two holders as well."""

    def hold(self, name: str, holder: str, seconds: float) -> bool:
        """Take or prolong the lease for ``seconds``; return False where another holder has it."""
        ...

    def release(self, name: str, holder: str) -> None:
        """Give it back, if ``holder`` has it."""
        ...
