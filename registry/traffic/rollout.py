"""A rollout: a plan that changes itself by steps, on evidence. Its states, its moves and its decisions. Pure.

                    start
                      │
                      ▼        pause
     advance, ┌──► running ───────────► paused
      hold,   └────── │ ▲ ◄──────────────┘ │
     release          │ │     resume       │
                      ▼                    ▼
      succeeded (all steps, or promote) · failed (evidence) · aborted (a person)
                      │
                      ▼
                   expired (only while it runs: a pause stops the clocks)

Every step is a revision of the plan of its own, so what nodes count for a revision is what happened in that step. The
plan that belongs to a rollout is a function of its record (``plan_of``), and who keeps a record writes both at once.
``decide`` looks at a rollout and returns at most one action; ``moved`` returns the record after an action, and raises
where the drawing has no such arrow. Not here: what counts as evidence (``evidence.py``), and who looks
(``controller.py``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from registry.errors import Conflict, quote
from registry.plans import WHOLE, Canary, Plan, PlanRevision, percent
from registry.records import ModelName, VersionNumber
from registry.traffic.actions import (
    Abort,
    Action,
    Advance,
    Decision,
    Expire,
    Findings,
    Hold,
    Pause,
    Promote,
    Release,
    Resume,
    RollBack,
    Wait,
    Yield,
)
from registry.traffic.spec import Spec, Step, duration_text

SAID = 300
"""How many characters of a person's reason are repeated in ours."""


class RolloutState(StrEnum):
    """Where a rollout stands; the legal moves are drawn above."""

    RUNNING = "running"
    PAUSED = "paused"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    ABORTED = "aborted"
    EXPIRED = "expired"


ENDED = frozenset({RolloutState.SUCCEEDED, RolloutState.FAILED, RolloutState.ABORTED, RolloutState.EXPIRED})


@dataclass(frozen=True, slots=True)
class Rollout:
    """The record of one rollout. Times are milliseconds since 1970, lengths of time are milliseconds.

    Attributes:
        id: 32 hexadecimal digits; also the seed by which the canary's keys are chosen.
        base: The plan before it began.
        step: Which step it is at, from 0.
        revisions: Of the plan, one for each step that began.
        plan_revision: Of the plan that it made last.
        reason: Why it ended; empty before.
        hold: Why it does not go on, as its journal has it; None where nothing but time is missing.
        released: Up to which step a person let it go on where the step waits for one; -1: none.
        looked: Whether a person has let it go on although predictions differ.
        paused_since_ms: Since when it is paused, or None.
        paused_ms: How long it was paused before, in all, and ``step_paused_ms`` in this step.
        turn: How often the record was written: whoever writes it next must have seen this one.
    """

    id: str
    model: ModelName
    version: VersionNumber
    spec: Spec
    base: Plan
    state: RolloutState
    step: int
    revisions: tuple[int, ...]
    plan_revision: int
    started_ms: int
    step_started_ms: int
    ended_ms: int | None = None
    reason: str = ""
    hold: Hold | None = None
    released: int = -1
    looked: bool = False
    paused_since_ms: int | None = None
    paused_ms: int = 0
    step_paused_ms: int = 0
    turn: int = 1

    @property
    def ended(self) -> bool:
        """Whether nothing moves it any more."""
        return self.state in ENDED

    @property
    def at(self) -> Step:
        """The step that it is at."""
        return self.spec.steps[self.step]

    @property
    def share(self) -> int:
        """The share of requests that the version has by it now, in ten-thousandths."""
        canary = plan_of(self).canary
        return WHOLE if self.state is RolloutState.SUCCEEDED else 0 if canary is None else canary.share

    @property
    def place(self) -> str:
        """The step in words."""
        return f"step {self.step + 1} of {len(self.spec.steps)} ({percent(self.at.share)} %)"

    def elapsed_ms(self, now_ms: int) -> int:
        """Return how long it has been going, pauses left out."""
        return self._running(self.started_ms, self.paused_ms, now_ms)

    def step_elapsed_ms(self, now_ms: int) -> int:
        """Return how long the step has been going, pauses left out."""
        return self._running(self.step_started_ms, self.step_paused_ms, now_ms)

    def _running(self, since_ms: int, paused_ms: int, now_ms: int) -> int:
        until = now_ms if self.ended_ms is None else self.ended_ms
        if self.paused_since_ms is not None:
            until = min(until, self.paused_since_ms)
        return max(0, until - since_ms - paused_ms)


@dataclass(frozen=True, slots=True)
class RolloutEvent:
    """One line of a rollout's journal.

    Attributes:
        number: From 1, without gaps: the record's ``turn`` after it.
        event: ``started``, ``advanced``, ``held``, ``released``, ``paused``, ``resumed``, or the state it ended in.
        revision: Of the plan that came of it, or None.
        numbers: What was known when it was decided, JSON-ready.
    """

    number: int
    at_ms: int
    event: str
    message: str
    who: str
    revision: int | None = None
    numbers: Mapping[str, Any] = field(default_factory=dict)


def begun(rollout_id: str, version: VersionNumber, spec: Spec, current: PlanRevision, now_ms: int) -> Rollout:
    """Return a rollout at its first step, from the plan ``current``.

    Raises Conflict ``not_ready`` where that plan cannot be rolled out from: it has a canary, or the version is stable.
    """
    plan, model = current.plan, current.model
    if plan is None:
        raise Conflict("not_ready", f"{model} has no traffic (revision {current.revision}); make a plan first")
    if plan.stable == version:
        raise Conflict("not_ready", f"{model} version {version} is stable already; there is nothing to roll out")
    if plan.canary is not None:
        raise Conflict(
            "not_ready",
            f"the plan of {model} has a canary already (version {plan.canary.version} at "
            f"{percent(plan.canary.share)} %); take it out with PUT …/traffic, then start the rollout",
            {"revision": current.revision},
        )
    revision = current.revision + 1
    return Rollout(
        id=rollout_id,
        model=model,
        version=version,
        spec=spec,
        base=plan,
        state=RolloutState.RUNNING,
        step=0,
        revisions=(revision,),
        plan_revision=revision,
        started_ms=now_ms,
        step_started_ms=now_ms,
    )


def plan_of(rollout: Rollout) -> Plan:
    """Return the plan that belongs to the record: at a step, promoted, or as before it began."""
    base, others = rollout.base, tuple(s for s in rollout.base.shadows if s.version != rollout.version)
    insisting = base.allow_incompatible or rollout.spec.allow_incompatible
    match rollout.state:
        case RolloutState.SUCCEEDED:
            note = f"promoted by rollout {rollout.id}"
            return replace(
                base, stable=rollout.version, canary=None, shadows=others, note=note, allow_incompatible=insisting
            )
        case RolloutState.RUNNING | RolloutState.PAUSED:
            note = f"rollout {rollout.id} of version {rollout.version}: {rollout.place}"
            canary = Canary(rollout.version, rollout.at.share, rollout.id)
            return replace(base, canary=canary, shadows=others, note=note, allow_incompatible=insisting)
        case _:
            return base


def replans(before: Rollout, after: Rollout) -> bool:
    """Tell whether a move from one record to the other is a new revision of the plan."""
    return after.plan_revision != before.plan_revision


def decide(rollout: Rollout, now_ms: int, findings: Findings, requests: int) -> Decision | None:
    """Return what is to be done now, or None.

    Args:
        rollout: As it is.
        now_ms: The time.
        findings: What the evidence says of all that has come so far.
        requests: How many requests the canary is known to have answered in this step.
    """
    if rollout.ended:
        return None
    if findings.failing:
        return RollBack(f"at {rollout.place}: {findings.failing}")
    if rollout.state is RolloutState.PAUSED:
        return None
    waits = waiting(rollout, now_ms, findings, requests)
    if rollout.elapsed_ms(now_ms) >= rollout.spec.max_duration_ms:
        limit = f"{duration_text(rollout.spec.max_duration_ms)} were over at {rollout.place}"
        return Expire(limit if waits is None else f"{limit}: {waits.message}")
    if waits is None:
        if rollout.step + 1 < len(rollout.spec.steps):
            return Advance()
        return Promote(
            f"all {len(rollout.spec.steps)} steps are over, and nothing speaks against version {rollout.version}"
        )
    if waits.wait is Wait.PAUSE:
        return None if rollout.hold is None else Release()
    return None if rollout.hold is not None and rollout.hold.wait is waits.wait else waits


def waiting(rollout: Rollout, now_ms: int, findings: Findings, requests: int) -> Hold | None:
    """Return why a rollout that runs does not go on, or None where it may.

    Predictions that differ come first, because somebody should look at once; a step that waits for a person comes last,
    when nothing else is missing.
    """
    if findings.shifted and not rollout.looked:
        return Hold(Wait.PREDICTIONS, f"{findings.shifted}; look, then resume, promote or abort")
    step, wanted = rollout.at, rollout.spec.min_requests
    left = (step.pause_ms or 0) - rollout.step_elapsed_ms(now_ms)
    if left > 0:
        return Hold(Wait.PAUSE, f"{duration_text(-(-left // 1000) * 1000)} of its pause are left")
    if requests < wanted and step.share > 0:  # at a weight of 0 none can come
        return Hold(Wait.REQUESTS, f"too little traffic: {requests} of {wanted} requests in this step")
    if step.pause_ms is None and rollout.released < rollout.step:
        return Hold(Wait.PERSON, "this step has no pause: it waits until somebody resumes or promotes")
    return None


def moved(rollout: Rollout, action: Action, now_ms: int) -> Rollout:
    """Return the record after ``action``; raise Conflict ``not_ready`` where the drawing has no such arrow."""
    _require_move(rollout, action)
    after = replace(rollout, turn=rollout.turn + 1)
    match action:
        case Hold():
            return replace(after, hold=action)
        case Release():
            return replace(after, hold=None)
        case Pause():
            return replace(after, state=RolloutState.PAUSED, paused_since_ms=now_ms)
        case Resume():
            return _resumed(after, now_ms)
        case Advance():
            revision = rollout.plan_revision + 1
            return replace(
                after,
                step=rollout.step + 1,
                step_started_ms=now_ms,
                step_paused_ms=0,
                hold=None,
                plan_revision=revision,
                revisions=(*rollout.revisions, revision),
            )
        case Yield(revision):
            reason = f"the plan was replaced by hand in revision {revision}"
            return _ended(after, RolloutState.ABORTED, reason, now_ms)
        case Promote() | RollBack() | Expire() | Abort():
            ended = _ended(after, _END[type(action)], action.reason, now_ms)
            return replace(ended, plan_revision=rollout.plan_revision + 1)


_END: dict[type[Action], RolloutState] = {
    Promote: RolloutState.SUCCEEDED,
    RollBack: RolloutState.FAILED,
    Expire: RolloutState.EXPIRED,
    Abort: RolloutState.ABORTED,
}


def _ended(rollout: Rollout, state: RolloutState, reason: str, now_ms: int) -> Rollout:
    return replace(_clocks_going(rollout, now_ms), state=state, reason=reason, ended_ms=now_ms, hold=None)


def _clocks_going(rollout: Rollout, now_ms: int) -> Rollout:
    if rollout.paused_since_ms is None:
        return rollout
    paused = max(0, now_ms - rollout.paused_since_ms)
    return replace(
        rollout,
        paused_since_ms=None,
        paused_ms=rollout.paused_ms + paused,
        step_paused_ms=rollout.step_paused_ms + paused,
    )


def _resumed(rollout: Rollout, now_ms: int) -> Rollout:
    """Take away one obstacle at a time: first the pause, then what holds."""
    if rollout.state is RolloutState.PAUSED:
        return replace(_clocks_going(rollout, now_ms), state=RolloutState.RUNNING)
    wait = None if rollout.hold is None else rollout.hold.wait
    if wait is Wait.PREDICTIONS:
        return replace(rollout, looked=True, hold=None)
    return replace(rollout, released=rollout.step, hold=None)


def _require_move(rollout: Rollout, action: Action) -> None:
    if rollout.ended:
        raise Conflict(
            "not_ready",
            f"this rollout has ended: {rollout.state.value}, {quote(rollout.reason, SAID)}",
            {"state": rollout.state.value},
        )
    paused = rollout.state is RolloutState.PAUSED
    if paused and isinstance(action, (Advance, Hold, Release, Expire)):
        raise Conflict("not_ready", "this rollout is paused, so nothing but a person or evidence moves it")
    if paused and isinstance(action, Promote) and not action.by_hand:
        raise Conflict("not_ready", "this rollout is paused; only a person promotes it")
    if isinstance(action, Pause) and paused:
        raise Conflict("not_ready", "this rollout is paused already", {"state": rollout.state.value})
    if isinstance(action, Advance) and rollout.step + 1 >= len(rollout.spec.steps):
        raise Conflict("not_ready", "this rollout is at its last step")
    if isinstance(action, Resume) and not paused and not _waits_for_a_person(rollout):
        raise Conflict(
            "not_ready",
            "this rollout is running and waits for nobody; promote ends it now",
            {"state": rollout.state.value},
        )


def _waits_for_a_person(rollout: Rollout) -> bool:
    held = rollout.hold is not None and rollout.hold.wait is Wait.PREDICTIONS
    return held or (rollout.at.pause_ms is None and rollout.released < rollout.step)
