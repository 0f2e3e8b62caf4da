"""The loop that moves rollouts: looks at each when it is due, and has it do what is due.

Of several registries on one database one leads, by a lease that it prolongs with every turn while a rollout goes on;
that saves work and nothing else. Every move is a compare-and-set of the record, the journal and the plan in one
transaction, so two that lead at once, or one that is killed anywhere, neither skip nor repeat a step. Not here: what is
due (``traffic/rollout.py``), how it is done (``rollouts.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from registry.errors import Conflict, Unavailable
from registry.log import failure
from registry.rollouts import RolloutOperations
from registry.traffic.judgement import Judgement
from registry.traffic.ports import Leases, Rollouts
from registry.traffic.rollout import Rollout

LEASE = "rollouts"
LEASE_SECONDS = 5.0


class Gauges(Protocol):
    """What is shown of rollouts that go on."""

    def rollout_seen(self, rollout: Rollout, judgement: Judgement) -> None:
        """Show a rollout's share and evidence."""
        ...

    def leads(self, lease: str, *, holds: bool) -> None:
        """Show whether this process holds the lease."""
        ...

    def rollouts_are(self, going_on: Mapping[str, Rollout]) -> None:
        """Show no others any more than these, by id."""
        ...


@dataclass(frozen=True, slots=True)
class _Look:
    turn: int
    at_ms: int


class Controller:
    """Owns nothing but the memory of when it looked last.

    Args:
        operations: Does what is due.
        rollouts: Those that go on.
        leases: Who leads.
        gauges: Shown what was seen.
        clock: Tells the time in milliseconds.
        holder: The name of this process among the registries.
    """

    def __init__(
        self,
        operations: RolloutOperations,
        rollouts: Rollouts,
        leases: Leases,
        *,
        gauges: Gauges,
        clock: Callable[[], int],
        holder: str,
    ) -> None:
        self._operations = operations
        self._rollouts = rollouts
        self._leases = leases
        self._gauges = gauges
        self._clock = clock
        self._holder = holder
        self._looks: dict[str, _Look] = {}
        self._leads = False

    def turn(self) -> None:
        """Look at every rollout that is due, if this process leads. Raises Unavailable where the database is gone."""
        going_on = {rollout.id: rollout for rollout in self._rollouts.active()}
        if not going_on and self._leads:  # who has nothing to do writes nothing either
            self.leave()
        self._leads = bool(going_on) and self._leases.hold(LEASE, self._holder, LEASE_SECONDS)
        self._gauges.leads(LEASE, holds=self._leads)
        if not self._leads:
            self._looks.clear()
            self._gauges.rollouts_are({})
            return
        self._looks = {name: look for name, look in self._looks.items() if name in going_on}
        for rollout in list(going_on.values()):
            if self._due(rollout):
                going_on[rollout.id] = self._look(rollout)
        self._gauges.rollouts_are({name: rollout for name, rollout in going_on.items() if not rollout.ended})

    def leave(self) -> None:
        """Let another registry lead at once."""
        self._leases.release(LEASE, self._holder)

    def _due(self, rollout: Rollout) -> bool:
        """Tell whether an interval is over, somebody moved it or replaced its plan, or since the last look its step's
        pause or its whole time has ended."""
        last = self._looks.get(rollout.id)
        now_ms = self._clock()
        if last is None or last.turn != rollout.turn or now_ms - last.at_ms >= rollout.spec.interval_ms:
            return True
        if self._operations.overruled(rollout):
            return True
        pause_ms, limit_ms = rollout.at.pause_ms or 0, rollout.spec.max_duration_ms
        pause_over = rollout.step_elapsed_ms(last.at_ms) < pause_ms <= rollout.step_elapsed_ms(now_ms)
        return pause_over or rollout.elapsed_ms(last.at_ms) < limit_ms <= rollout.elapsed_ms(now_ms)

    def _look(self, rollout: Rollout) -> Rollout:
        at_ms = self._clock()
        try:
            after, judgement = self._operations.look(rollout)
        except Unavailable:
            raise
        except Conflict as moved:
            if moved.code != "revision_conflict":
                failure("rollout.stuck", moved, model=rollout.model, rollout=rollout.id)
                self._looks[rollout.id] = _Look(rollout.turn, at_ms)
            return rollout  # where somebody moved it meanwhile, the next turn looks again
        except Exception as error:  # noqa: BLE001 (the edge of one rollout: a damaged one must not stop the others)
            failure("rollout.failed", error, model=rollout.model, rollout=rollout.id)
            self._looks[rollout.id] = _Look(rollout.turn, at_ms)
            return rollout
        # What was moved is looked at again at the next turn: a step of no length ends at once.
        self._looks[rollout.id] = _Look(rollout.turn, at_ms)
        self._gauges.rollout_seen(after, judgement)
        return after
