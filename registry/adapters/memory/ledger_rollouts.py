"""Rollouts and their journals, in memory."""

from __future__ import annotations

from collections.abc import Sequence

from registry.adapters.memory.ledger_state import LedgerState
from registry.errors import Conflict
from registry.ports import Plans
from registry.records import ModelName
from registry.traffic.rollout import Rollout, RolloutEvent, plan_of, replans


class MemoryRollouts:
    """The ``Rollouts`` port."""

    def __init__(self, state: LedgerState, plans: Plans) -> None:
        self._state = state
        self._plans = plans
        self._rollouts: dict[str, Rollout] = {}
        self._journals: dict[str, list[RolloutEvent]] = {}

    def start(self, rollout: Rollout, event: RolloutEvent) -> None:
        """See ``Rollouts.start``."""
        with self._state.lock:
            present = next((r.id for r in self.active() if r.model == rollout.model), None)
            if present is not None:
                raise Conflict(
                    "already_exists",
                    f"a rollout of {rollout.model} goes on; wait for its end, or promote or abort it",
                    {"rollout": present},
                )
            self._replan(rollout, event)
            self._rollouts[rollout.id] = rollout
            self._journals[rollout.id] = [event]

    def move(self, before: Rollout, after: Rollout, event: RolloutEvent) -> None:
        """See ``Rollouts.move``."""
        with self._state.lock:
            present = self.get(before.model, before.id)
            if present is None or present.turn != before.turn:
                raise Conflict("revision_conflict", "somebody else moved this rollout first; look, then decide again")
            if replans(before, after):
                self._replan(after, event)
            self._rollouts[after.id] = after
            self._journals[after.id].append(event)

    def active(self) -> Sequence[Rollout]:
        """See ``Rollouts.active``."""
        with self._state.lock:
            return sorted((r for r in self._rollouts.values() if not r.ended), key=lambda r: (r.started_ms, r.id))

    def get(self, model: ModelName, rollout_id: str) -> Rollout | None:
        """See ``Rollouts.get``."""
        with self._state.lock:
            found = self._rollouts.get(rollout_id)
            return found if found is not None and found.model == model else None

    def page(self, model: ModelName, limit: int) -> Sequence[Rollout]:
        """See ``Rollouts.page``."""
        with self._state.lock:
            mine = [r for r in self._rollouts.values() if r.model == model]
            return sorted(mine, key=lambda r: (r.started_ms, r.id), reverse=True)[: max(limit, 0)]

    def journal(self, rollout_id: str) -> Sequence[RolloutEvent]:
        """See ``Rollouts.journal``."""
        with self._state.lock:
            return list(self._journals.get(rollout_id, ()))

    def _replan(self, rollout: Rollout, event: RolloutEvent) -> None:
        self._plans.append(rollout.model, rollout.plan_revision - 1, plan_of(rollout), event.who, event.message)
