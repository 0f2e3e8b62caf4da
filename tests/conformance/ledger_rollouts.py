"""What ``Rollouts`` and ``Leases`` promise. Bound to each ledger by ``test_ledger_*.py``."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest

from registry.errors import Conflict, NotFound
from registry.plans import Plan, PlanRevision, Rule, Shadow
from registry.ports import Ledger
from registry.records import ModelName, VersionState
from registry.traffic.actions import Abort, Action, Advance, Hold, Pause, Promote, Resume, RollBack, Wait
from registry.traffic.journal import first_line, line_of
from registry.traffic.rollout import Rollout, RolloutEvent, begun, moved, plan_of
from tests.support.ledgers import CHURN, Clock, add, at_once, number
from tests.support.rollouts import spec

OTHER = ModelName("other")
BASE = Plan(number(1), "a note", warm=True, instances=2, shadows=(Shadow(number(3), 500),), sticky="x-user")


def prepared(ledger: Ledger, rollout_id: str = "a" * 32, *, base: Plan = BASE, now_ms: int = 1_000) -> Rollout:
    """Return a rollout of version 2 that could begin: versions 1 to 3 are ready, and 1 has the traffic."""
    for n in (1, 2, 3):
        if ledger.versions.get(CHURN, number(n)) is None:
            add(ledger, n)
    current = ledger.plans.current(CHURN)
    if current is None:
        current = ledger.plans.append(CHURN, 0, base, "ana", "")
    return begun(rollout_id, number(2), spec(), current, now_ms)


def started(ledger: Ledger, rollout_id: str = "a" * 32, *, base: Plan = BASE, now_ms: int = 1_000) -> Rollout:
    """Return a rollout that has begun."""
    rollout = prepared(ledger, rollout_id, base=base, now_ms=now_ms)
    ledger.rollouts.start(rollout, first_line(rollout, "ana"))
    return rollout


def step(ledger: Ledger, before: Rollout, action: Action, now_ms: int = 2_000) -> Rollout:
    """Move a rollout and return it."""
    after = moved(before, action, now_ms)
    ledger.rollouts.move(before, after, _line(before, after, action, now_ms))
    return after


def _line(before: Rollout, after: Rollout, action: Action, now_ms: int) -> RolloutEvent:
    return line_of(before, after, action, "rollout", now_ms=now_ms, numbers={"requests": 7, "evidence": {"x": 0.5}})


class RolloutPromises:
    """Rollouts, their journals and their plans."""

    def test_a_start_is_record_event_and_plan(self, ledger: Ledger, clock: Clock) -> None:
        """All three are there, or none; nodes are told."""
        clock.now_ms = 5_000
        before = prepared(ledger)
        revision = ledger.snapshots.revision()
        ledger.rollouts.start(before, first_line(before, "ana"))
        assert ledger.rollouts.get(CHURN, before.id) == before
        assert list(ledger.rollouts.active()) == [before]
        assert list(ledger.rollouts.journal(before.id)) == [first_line(before, "ana")]
        message = first_line(before, "ana").message
        assert ledger.plans.current(CHURN) == PlanRevision(CHURN, 2, plan_of(before), "ana", message, 5_000)
        assert ledger.snapshots.revision() == revision + 1 == ledger.snapshots.changed(CHURN)

    def test_every_move_comes_back_as_it_was(self, ledger: Ledger) -> None:
        """Whatever a record holds is kept: holds, pauses, looks, revisions, reasons."""
        rules = (Rule("x-tenant", "beta", number(2)),)
        at = started(ledger, base=replace(BASE, rules=rules, allow_incompatible=True))
        actions: list[Action] = [Hold(Wait.PREDICTIONS, "they differ \0 \ud800 ü"), Resume(""), Pause("lunch")]
        actions += [Resume(""), Advance(), Hold(Wait.REQUESTS, "too few"), RollBack("bad")]
        for n, action in enumerate(actions):
            at = step(ledger, at, action, 2_000 + 100 * n)
            kept = ledger.rollouts.get(CHURN, at.id)
            assert kept is not None
            assert replace(kept, hold=None) == replace(at, hold=None)
            assert (kept.hold is None) == (at.hold is None)
        assert list(ledger.rollouts.active()) == []
        journal = ledger.rollouts.journal(at.id)
        assert [event.number for event in journal] == list(range(1, 9))
        assert [event.event for event in journal][1:] == [
            "held", "resumed", "paused", "resumed", "advanced", "held", "failed",
        ]  # fmt: skip
        assert journal[-1].numbers == {"requests": 7, "evidence": {"x": 0.5}}
        assert [event.revision for event in journal] == [2, None, None, None, None, 3, None, 4]

    def test_the_plan_moves_with_the_record(self, ledger: Ledger) -> None:
        """Each step is a revision; the end is the plan that belongs to it, in the name of whoever did it."""
        at = step(ledger, started(ledger), Advance())
        current = ledger.plans.current(CHURN)
        assert current is not None
        assert (current.revision, current.plan, current.who) == (3, plan_of(at), "rollout")
        at = step(ledger, at, Promote("all steps are over"))
        current = ledger.plans.current(CHURN)
        assert current is not None and current.plan is not None
        assert (current.revision, current.plan.stable, current.plan.canary) == (4, number(2), None)

    def test_what_moves_no_plan_is_not_told_to_nodes(self, ledger: Ledger) -> None:
        """A pause is ours alone."""
        at = started(ledger)
        revision = ledger.snapshots.revision()
        step(ledger, at, Pause(""))
        assert ledger.snapshots.revision() == revision

    def test_one_rollout_a_model(self, ledger: Ledger) -> None:
        """A second one is refused by name while the first goes on, and may begin when that has ended."""
        first = started(ledger)
        second = replace(first, id="b" * 32, revisions=(3,), plan_revision=3)
        with pytest.raises(Conflict) as refused:
            ledger.rollouts.start(second, first_line(second, "ben"))
        assert refused.value.code == "already_exists"
        assert refused.value.details == {"rollout": first.id}
        assert list(ledger.rollouts.journal(second.id)) == []
        step(ledger, first, Abort("no"))
        assert started(ledger, "b" * 32, now_ms=9_000).plan_revision == 4
        assert [rollout.id[0] for rollout in ledger.rollouts.page(CHURN, 10)] == ["b", "a"]
        assert len(ledger.rollouts.page(CHURN, 1)) == 1
        assert list(ledger.rollouts.page(OTHER, 10)) == []
        assert ledger.rollouts.get(OTHER, first.id) is None

    def test_a_move_that_was_overtaken_changes_nothing(self, ledger: Ledger) -> None:
        """Who has not seen the newest record, or not the newest plan, is told so; no half of it is done."""
        at = started(ledger)
        newer = step(ledger, at, Pause(""))
        with pytest.raises(Conflict) as refused:
            step(ledger, at, Advance())
        assert refused.value.code == "revision_conflict"
        ledger.plans.append(CHURN, 2, Plan(number(3)), "ben", "by hand")
        with pytest.raises(Conflict) as overtaken:
            step(ledger, newer, Abort(""))
        assert overtaken.value.code == "revision_conflict"
        assert ledger.rollouts.get(CHURN, at.id) == newer
        assert len(ledger.rollouts.journal(at.id)) == 2
        current = ledger.plans.current(CHURN)
        assert current is not None and current.revision == 3

    def test_a_start_that_was_overtaken_changes_nothing(self, ledger: Ledger) -> None:
        """A plan that changed after it was read is a conflict."""
        rollout = prepared(ledger)
        ledger.plans.append(CHURN, 1, Plan(number(3)), "ben", "by hand")
        with pytest.raises(Conflict) as refused:
            ledger.rollouts.start(rollout, first_line(rollout, "ana"))
        assert refused.value.code == "revision_conflict"
        assert ledger.rollouts.get(CHURN, rollout.id) is None
        assert list(ledger.rollouts.active()) == []

    def test_only_ready_versions_are_rolled_out(self, ledger: Ledger) -> None:
        """The plan's own rules hold: a version that is not ready begins nothing."""
        rollout = prepared(ledger)
        ledger.versions.retire(CHURN, number(2))
        with pytest.raises(Conflict) as refused:
            ledger.rollouts.start(rollout, first_line(rollout, "ana"))
        assert refused.value.code == "not_ready"
        with pytest.raises(NotFound):
            ledger.rollouts.start(replace(rollout, model=OTHER), first_line(rollout, "ana"))

    def test_what_is_rolled_out_cannot_be_retired(self, ledger: Ledger) -> None:
        """Neither the canary nor stable, for as long as it goes on."""
        at = started(ledger)
        for n in (1, 2):
            with pytest.raises(Conflict, match=r"named by the plan|named by"):
                ledger.versions.retire(CHURN, number(n))
        step(ledger, at, Abort(""))
        ledger.versions.retire(CHURN, number(2))
        record = ledger.versions.get(CHURN, number(2))
        assert record is not None and record.state is VersionState.RETIRED

    def test_of_many_who_move_one_wins(self, ledger: Ledger) -> None:
        """Eight controllers that saw the same record make one step of it."""
        at = started(ledger)

        def attempt(_: int) -> bool:
            try:
                step(ledger, at, Advance())
            except Conflict as lost:
                assert lost.code == "revision_conflict"
                return False
            return True

        assert sum(at_once(8, attempt)) == 1
        assert [line.revision for line in ledger.plans.history(CHURN, 10, 0)] == [3, 2, 1]
        assert len(ledger.rollouts.journal(at.id)) == 2

    def test_of_many_who_start_one_wins(self, ledger: Ledger) -> None:
        """Eight who begin a rollout at once begin one."""
        rollout = prepared(ledger)

        def attempt(n: int) -> bool:
            mine = replace(rollout, id=f"{n:032x}")
            try:
                ledger.rollouts.start(mine, first_line(mine, "ana"))
            except Conflict:
                return False
            return True

        assert sum(at_once(8, attempt)) == 1
        assert len(ledger.rollouts.active()) == 1

    def test_a_step_and_a_plan_by_hand_never_both_win(self, ledger: Ledger) -> None:
        """However they fall together, one of them saw the other's revision."""
        at = started(ledger)
        for _ in range(20):
            barrier = threading.Barrier(2)
            before = at

            def attempt(
                what: int, at: Rollout = before, barrier: threading.Barrier = barrier
            ) -> Rollout | PlanRevision | None:
                barrier.wait(10)
                try:
                    if what == 0:
                        return step(ledger, at, Promote("", by_hand=True))
                    return ledger.plans.append(CHURN, at.plan_revision, Plan(number(3)), "ben", "")
                except Conflict:
                    return None

            won = [result for result in at_once(2, attempt) if result is not None]
            assert len(won) == 1
            kept = ledger.rollouts.get(CHURN, at.id)
            assert kept is not None and kept.ended == isinstance(won[0], Rollout)
            if not kept.ended:
                step(ledger, kept, Hold(Wait.PERSON, ""))  # it is not held back by the plan
                break
            current = ledger.plans.current(CHURN)
            assert current is not None
            ledger.plans.append(CHURN, current.revision, BASE, "ana", "")
            at = started(ledger, f"{current.revision:032x}")


class LeasePromises:
    """Who leads."""

    def test_one_holds_it(self, ledger: Ledger, clock: Clock) -> None:
        """The first has it for as long as it prolongs it; then whoever asks first."""
        assert ledger.leases.hold("rollouts", "a", 5)
        assert not ledger.leases.hold("rollouts", "b", 5)
        assert ledger.leases.hold("other", "b", 5)
        clock.now_ms += 4_000
        assert ledger.leases.hold("rollouts", "a", 5)
        clock.now_ms += 4_999
        assert not ledger.leases.hold("rollouts", "b", 5)
        clock.now_ms += 1
        assert ledger.leases.hold("rollouts", "b", 5)
        assert not ledger.leases.hold("rollouts", "a", 5)

    def test_giving_it_back_lets_another_in(self, ledger: Ledger) -> None:
        """Only the holder can give it back."""
        assert ledger.leases.hold("rollouts", "a", 5)
        ledger.leases.release("rollouts", "b")
        assert not ledger.leases.hold("rollouts", "b", 5)
        ledger.leases.release("rollouts", "a")
        assert ledger.leases.hold("rollouts", "b", 5)

    def test_of_many_who_ask_one_gets_it(self, ledger: Ledger, clock: Clock) -> None:
        """At first, and when it has run out."""
        assert sum(at_once(8, lambda n: ledger.leases.hold("rollouts", str(n), 5))) == 1
        clock.now_ms += 5_000
        assert sum(at_once(8, lambda n: ledger.leases.hold("rollouts", f"later {n}", 5))) == 1
