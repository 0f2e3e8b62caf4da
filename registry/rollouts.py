"""The verbs of rollouts: start, look, pause, resume, promote, abort.

Each reads what is, asks the pure parts (``traffic/``) and writes the record, its journal and its plan in one
transaction; where somebody else was faster, it begins again. A plan that a person replaced meanwhile is left alone and
ends the rollout. Not here: when to look (``controller.py``), HTTP (``http/rollouts.py``).
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import replace

from registry.errors import Conflict, NotFound
from registry.labels import LabelledRow
from registry.log import event, failure
from registry.operations import Operations
from registry.records import ModelName, VersionNumber
from registry.traffic.actions import Abort, Action, Advance, Findings, Pause, Promote, Resume, RollBack, Yield
from registry.traffic.evidence import Losses
from registry.traffic.fitness import require_fit
from registry.traffic.journal import CONTROLLER, first_line, line_of
from registry.traffic.judgement import Judgement, judged
from registry.traffic.losses import MOST_WEIGHED, losses_of
from registry.traffic.ports import ArmPart
from registry.traffic.rollout import Rollout, RolloutState, begun, decide, moved, plan_of
from registry.traffic.spec import Spec

ATTEMPTS = 8
SEEN_MS = 1_000
NOT_WEIGHED = "what the nodes counted cannot be weighed; the registry's log says why"
MOST_SEEN = 64
QUALITY = "quality"
Judge = Callable[[Rollout, Sequence[ArmPart], Sequence[Losses]], Judgement]


class RolloutOperations:
    """The verbs.

    Args:
        operations: The registry's other verbs, and its records.
        clock: Tells the time in milliseconds.
        ended: Called after a rollout has ended.
        judge: Weighs what the nodes counted, and what labels say.
    """

    def __init__(
        self,
        operations: Operations,
        clock: Callable[[], int],
        *,
        ended: Callable[[Rollout], None] = lambda rollout: None,
        judge: Judge = judged,
    ) -> None:
        self._operations = operations
        self._ledger = operations.ledger
        self._clock = clock
        self._ended = ended
        self._judge = judge
        self._seen: dict[str, tuple[int, int, Judgement]] = {}

    # -- what a person does --------------------------------------------------------------------------------------------

    def start(self, model: ModelName, version: VersionNumber, spec: Spec, who: str) -> Rollout:
        """Begin to roll a version out: its first step is in the plan when this returns.

        Raises NotFound ``unknown_version`` or ``no_plan``, Conflict ``already_exists`` while another one goes on,
        ``not_ready`` where the plan has a canary or the version is stable, and whatever ``Plans.append`` raises.
        """
        self._operations.version(model, version)

        def attempt() -> Rollout:
            newest = [self._yielded(rollout) for rollout in self._ledger.rollouts.page(model, 1)]
            current = self._operations.plan(model)
            _refuse_second(newest)
            rollout = begun(secrets.token_hex(16), version, spec, current, self._clock())
            self._require_end_fits(rollout)
            self._ledger.rollouts.start(rollout, first_line(rollout, who))
            return rollout

        rollout = _until_first(attempt)
        event("rollout.started", model=model, version=version, rollout=rollout.id)
        return rollout

    def _require_end_fits(self, rollout: Rollout) -> None:
        """Raise as ``Plans.append`` would at the end: what cannot be promoted need not be tried."""
        plan = plan_of(replace(rollout, state=RolloutState.SUCCEEDED))
        require_fit(rollout.model, plan, {v: self._operations.version(rollout.model, v) for v in plan.versions})

    def pause(self, model: ModelName, rollout_id: str, who: str, why: str) -> Rollout:
        """Stop the clocks; the canary keeps its share, and evidence against it still counts."""
        return self._by_hand(model, rollout_id, who, Pause(why))

    def resume(self, model: ModelName, rollout_id: str, who: str, why: str) -> Rollout:
        """Let the clocks go on; where they are going, lift what holds it and waits for a person."""
        return self._by_hand(model, rollout_id, who, Resume(why))

    def promote(self, model: ModelName, rollout_id: str, who: str, why: str) -> Rollout:
        """Leave out the rest: the version is stable when this returns."""
        reason = f"promoted by hand: {why}" if why else "promoted by hand"
        return self._by_hand(model, rollout_id, who, Promote(reason, by_hand=True))

    def abort(self, model: ModelName, rollout_id: str, who: str, why: str) -> Rollout:
        """Go back to the plan before; it is in force when this returns."""
        return self._by_hand(model, rollout_id, who, Abort(f"aborted by hand: {why}" if why else "aborted by hand"))

    def _by_hand(self, model: ModelName, rollout_id: str, who: str, action: Action) -> Rollout:
        def attempt() -> Rollout:
            rollout = self._yielded(self.rollout(model, rollout_id))
            return self._move(rollout, action, who, self.judgement(rollout))

        return _until_first(attempt)

    # -- what can be seen ----------------------------------------------------------------------------------------------

    def rollout(self, model: ModelName, rollout_id: str) -> Rollout:
        """Return a rollout; raise NotFound ``not_found``."""
        found = self._ledger.rollouts.get(model, rollout_id)
        if found is None:
            raise NotFound("not_found", f"{model} has no such rollout; GET …/rollouts lists those it has")
        return found

    def rollouts(self, model: ModelName, limit: int) -> Sequence[Rollout]:
        """Return a model's rollouts, newest first; raise NotFound ``unknown_model``."""
        self._operations.model(model)
        return self._ledger.rollouts.page(model, limit)

    def judgement(self, rollout: Rollout) -> Judgement:
        """Return what the nodes' windows say of it up to now.

        What cannot be weighed holds the rollout and says so; a person can still end it.
        """
        parts = self._ledger.reports.arms(rollout.model, rollout.revisions)
        labelled = self._labelled(rollout)
        try:
            return self._judge(rollout, parts, losses_of(labelled))
        except Exception as error:  # noqa: BLE001 (the edge of one weighing: whatever it is, abort must work)
            failure("rollout.not_weighed", error, model=rollout.model, rollout=rollout.id)
            return Judgement(Findings(failing="", shifted=NOT_WEIGHED), 0)

    def _labelled(self, rollout: Rollout) -> Sequence[LabelledRow]:
        """Return the labelled rows of both arms, where the rollout asks about quality."""
        if all(metric.name != QUALITY for metric in rollout.spec.metrics):
            return ()
        versions = {rollout.version, rollout.base.stable}
        return self._ledger.predictions.compared(rollout.model, versions, rollout.revisions, MOST_WEIGHED)

    def seen(self, rollout: Rollout) -> Judgement:
        """Return the same, up to a second old: many may watch, and a long rollout takes half a second to weigh."""
        now_ms = self._clock()
        turn, at_ms, judgement = self._seen.get(rollout.id, (0, 0, None))
        if judgement is None or turn != rollout.turn or not 0 <= now_ms - at_ms < SEEN_MS:
            judgement = self.judgement(rollout)
            if len(self._seen) >= MOST_SEEN:
                self._seen = {}
            self._seen[rollout.id] = (rollout.turn, now_ms, judgement)
        return judgement

    # -- what happens by itself ----------------------------------------------------------------------------------------

    def look(self, rollout: Rollout) -> tuple[Rollout, Judgement]:
        """Do what is due, which is at most one thing; return the rollout after it and what was known.

        Raises Conflict ``revision_conflict`` where somebody moved it at the same moment: look again.
        """
        judgement = self.judgement(rollout)
        rollout = self._yielded(rollout)
        action = decide(rollout, self._clock(), judgement.findings, judgement.requests)
        if action is None:
            return rollout, judgement
        try:
            return self._move(rollout, action, CONTROLLER, judgement), judgement
        except (Conflict, NotFound) as refused:
            if refused.code == "revision_conflict" or not isinstance(action, (Advance, Promote)):
                raise
            # What the next plan names is no longer fit for it, and will not become so by itself.
            back = RollBack(f"at {rollout.place}: the next plan was refused: {refused.message}")
            return self._move(rollout, back, CONTROLLER, judgement), judgement

    def _yielded(self, rollout: Rollout) -> Rollout:
        """Return the rollout; ended where its plan is no longer the one that it made."""
        if rollout.ended:
            return rollout
        if not self.overruled(rollout):
            return rollout
        # It may have moved by itself between both reads; then the record that was read is old.
        self._require_unmoved(rollout)
        # The journal has no gaps: whoever came after the rollout's own revision made the next one.
        return self._move(rollout, Yield(rollout.plan_revision + 1), CONTROLLER, self.judgement(rollout))

    def overruled(self, rollout: Rollout) -> bool:
        """Tell whether somebody has replaced the plan that it made."""
        current = self._ledger.plans.current(rollout.model)
        return (0 if current is None else current.revision) != rollout.plan_revision

    def _require_unmoved(self, rollout: Rollout) -> None:
        newest = self.rollout(rollout.model, rollout.id)
        if newest.turn != rollout.turn:
            raise Conflict("revision_conflict", "somebody else moved this rollout first; look, then decide again")

    def _move(self, rollout: Rollout, action: Action, who: str, judgement: Judgement) -> Rollout:
        now_ms = self._clock()
        after = moved(rollout, action, now_ms)
        line = line_of(rollout, after, action, who, now_ms=now_ms, numbers=judgement.numbers())
        self._ledger.rollouts.move(rollout, after, line)
        event(f"rollout.{line.event}", model=rollout.model, version=rollout.version, rollout=rollout.id)
        if after.ended:
            self._ended(after)
        return after


def _refuse_second(newest: Sequence[Rollout]) -> None:
    for going_on in newest:
        if not going_on.ended:
            raise Conflict(
                "already_exists",
                f"a rollout of {going_on.model} version {going_on.version} goes on at {going_on.place}; wait for its "
                "end, or promote or abort it",
                {"rollout": going_on.id},
            )


def _until_first(attempt: Callable[[], Rollout]) -> Rollout:
    """Return what ``attempt`` does; begin again where somebody else was faster."""
    for _ in range(ATTEMPTS - 1):
        try:
            return attempt()
        except Conflict as lost:
            if lost.code != "revision_conflict":
                raise
    return attempt()
