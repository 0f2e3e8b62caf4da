"""Rollouts that move by themselves: the loop over the ledger in memory, with the time in the test's hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from registry.errors import Conflict, NotFound, Unavailable
from registry.http.traffic import WHO
from registry.plans import Canary, Plan
from registry.traffic.actions import Findings
from registry.traffic.evidence import Losses
from registry.traffic.judgement import Judgement, judged
from registry.traffic.ports import ArmPart
from registry.traffic.rollout import Rollout, RolloutState
from tests.support.ledgers import CHURN, number
from tests.support.metrics import sample
from tests.support.registry_app import RegistryInMemory
from tests.support.rollouts import arm, counts, plain_judge, report, rollout, spec


class Story:
    """A registry with three versions of churn, the first of which is stable, and one node."""

    def __init__(self, **more: Any) -> None:
        self.registry = RegistryInMemory(**({"judge": plain_judge} | more))
        self.registry.ready("churn", 3)
        self.registry.ledger.plans.append(CHURN, 0, Plan(number(1), "first"), "ana", "")
        self.sequence = 0

    def start(self, version: int = 2, **more: Any) -> Rollout:
        """Begin a rollout."""
        return self.registry.rollouts.start(CHURN, number(version), spec(**more), "ana")

    def after(self, seconds: float) -> None:
        """Let time pass, in turns of a second."""
        for _ in range(int(seconds)):
            self.registry.clock.now_ms += 1_000
            self.registry.controller.turn()

    def report(self, requests: int, errors: int = 0, *, invalid: int = 0) -> None:
        """Have the node report what the canary did under the plan in force, and ten times as much of stable."""
        self.sequence += 1
        revision, now = self.revision, self.registry.clock.now_ms
        canary = arm(counts(requests, errors, invalid=invalid), revision, start_ms=now)
        stable = arm(counts(10 * requests), revision, "stable", 1, start_ms=now)
        self.registry.ledger.reports.take(report(self.sequence, canary, stable))

    @property
    def revision(self) -> int:
        """The plan's revision."""
        current = self.registry.ledger.plans.current(CHURN)
        return 0 if current is None else current.revision

    @property
    def plan(self) -> Plan:
        """The plan in force."""
        current = self.registry.ledger.plans.current(CHURN)
        assert current is not None and current.plan is not None
        return current.plan

    def now(self, rollout: Rollout) -> Rollout:
        """Return the rollout as it is now."""
        return self.registry.rollouts.rollout(CHURN, rollout.id)

    def events(self, rollout: Rollout) -> list[str]:
        """Return what its journal says happened."""
        return [line.event for line in self.registry.ledger.rollouts.journal(rollout.id)]

    def metric(self, name: str, **labels: str) -> float | None:
        """Return a metric's value."""
        return sample(self.registry.metrics.page(), name, **labels)


def test_a_good_one_is_promoted() -> None:
    """Step by step: each lasts its pause and sees its requests, and then the version is stable."""
    story = Story()
    rollout = story.start()
    assert story.plan.canary == Canary(number(2), 500, rollout.id)
    story.report(100)
    story.after(9)
    assert story.revision == 2
    story.after(1)
    assert story.plan.canary == Canary(number(2), 5_000, rollout.id)
    story.report(100)
    story.after(20)
    assert story.plan == Plan(number(2), story.plan.note)
    assert story.now(rollout).state is RolloutState.SUCCEEDED
    assert story.events(rollout) == ["started", "advanced", "succeeded"]
    story.after(60)
    assert story.revision == 4


def test_a_bad_one_is_rolled_back_with_the_reason() -> None:
    """At the first look after the evidence came, whatever is left of the pause; the journal has the numbers."""
    story = Story()
    rollout = story.start()
    story.after(1)
    story.report(40, 30)
    story.after(5)
    ended = story.now(rollout)
    assert (ended.state, story.plan) == (RolloutState.FAILED, Plan(number(1), "first"))
    assert "step 1 of 2 (5 %): 30 of 40 failed" in ended.reason
    line = story.registry.ledger.rollouts.journal(rollout.id)[-1]
    assert line.event == "failed" and line.revision == 3 and line.who == "rollout"
    assert line.numbers["arms"]["canary"]["errors"] == 30
    current = story.registry.ledger.plans.current(CHURN)
    assert current is not None and "30 of 40 failed" in current.why


def test_too_little_traffic_waits_and_expires() -> None:
    """It says so once, goes on waiting, and ends honestly."""
    story = Story()
    rollout = story.start(maxDuration="2m")
    story.report(17)
    story.after(60)
    assert story.events(rollout) == ["started", "held"]
    story.after(60)
    ended = story.now(rollout)
    assert (ended.state, story.plan.canary) == (RolloutState.EXPIRED, None)
    assert "too little traffic: 17 of 100 requests" in ended.reason


def test_requests_of_an_earlier_step_do_not_count() -> None:
    """A step needs requests of its own, also where the earlier step's come late."""
    story = Story()
    rollout = story.start()
    story.report(500)
    story.after(10)
    assert story.now(rollout).step == 1
    story.sequence += 1
    late = arm(counts(500), 2, start_ms=story.registry.clock.now_ms)
    story.registry.ledger.reports.take(report(story.sequence, late))
    story.after(30)
    assert story.now(rollout).step == 1 and not story.now(rollout).ended
    story.report(100)
    story.after(5)
    assert story.now(rollout).state is RolloutState.SUCCEEDED


def test_a_shift_holds_until_somebody_has_looked() -> None:
    """It does not go on by itself, and not back either."""
    story = Story()
    rollout = story.start()
    story.report(100, invalid=1)
    story.after(60)
    held = story.now(rollout)
    assert held.hold is not None and "predictions differ" in held.hold.message
    assert (held.step, held.state) == (0, RolloutState.RUNNING)
    story.registry.rollouts.resume(CHURN, rollout.id, "ana", "meant")
    story.after(1)
    assert story.now(rollout).step == 1
    story.report(100, invalid=1)
    story.after(20)
    assert story.now(rollout).state is RolloutState.SUCCEEDED


def test_a_pause_by_hand_stops_it() -> None:
    """Until it is resumed; what is left of the step is left."""
    story = Story()
    rollout = story.start()
    story.report(100)
    story.after(4)
    story.registry.rollouts.pause(CHURN, rollout.id, "ana", "lunch")
    story.after(1_000)
    assert story.now(rollout).state is RolloutState.PAUSED
    story.registry.rollouts.resume(CHURN, rollout.id, "ana", "")
    story.after(5)
    assert story.now(rollout).step == 0
    story.after(1)
    assert story.now(rollout).step == 1


def test_promoting_and_aborting_by_hand() -> None:
    """Both are in force when they are answered, with who and why."""
    story = Story()
    first = story.registry.rollouts.promote(CHURN, story.start().id, "ana", "sure of it")
    assert (first.state, story.plan.stable, first.reason) == ("succeeded", "2", "promoted by hand: sure of it")
    second = story.registry.rollouts.abort(CHURN, story.start(3).id, "ben", "")
    assert (second.state, story.plan.stable, story.plan.canary) == ("aborted", "2", None)
    assert story.registry.ledger.rollouts.journal(second.id)[-1].who == "ben"
    with pytest.raises(Conflict, match="has ended: aborted"):
        story.registry.rollouts.promote(CHURN, second.id, "ana", "")


@pytest.mark.parametrize("plan", [Plan(number(3)), None, Plan(number(1), canary=Canary(number(2), 9_000, "x"))])
def test_a_plan_by_hand_wins(plan: Plan | None) -> None:
    """The rollout ends and leaves it alone, be it a PUT, a rollback or a DELETE."""
    story = Story()
    rollout = story.start()
    story.registry.ledger.plans.append(CHURN, 2, plan, WHO, "by hand")
    story.after(5)
    ended = story.now(rollout)
    assert ended.state is RolloutState.ABORTED
    assert ended.reason == "the plan was replaced by hand in revision 3"
    current = story.registry.ledger.plans.current(CHURN)
    assert current is not None and (current.revision, current.plan) == (3, plan)


def test_a_verb_after_a_plan_by_hand_says_what_happened() -> None:
    """No step is made over somebody's plan, and a new rollout may begin at once."""
    story = Story()
    rollout = story.start()
    story.registry.ledger.plans.append(CHURN, 2, Plan(number(3)), WHO, "by hand")
    with pytest.raises(Conflict, match="aborted, the plan was replaced by hand in revision 3"):
        story.registry.rollouts.promote(CHURN, rollout.id, "ana", "")
    assert story.plan.stable == "3"
    again = story.start()
    assert again.base.stable == "3"


def test_a_model_that_is_deleted_ends_its_rollout() -> None:
    """Nobody needs to look."""
    story = Story()
    rollout = story.start()
    story.registry.ledger.models.remove(CHURN)
    story.after(5)
    assert story.now(rollout).state is RolloutState.ABORTED


def test_a_next_plan_that_is_refused_ends_it() -> None:
    """What the plan names may have become unfit: then it goes back, and says why, instead of trying for ever."""
    story = Story()
    rollout = story.start()
    real = story.registry.ledger.rollouts.move
    refusals: list[str] = []

    def move(before: Rollout, after: Rollout, event: Any) -> None:
        if event.event == "advanced":
            refusals.append(event.event)
            raise Conflict("incompatible_signature", "version 3 needs the column 'age'")
        real(before, after, event)

    object.__setattr__(story.registry.ledger.rollouts, "move", move)
    story.report(100)
    story.after(15)
    ended = story.now(rollout)
    assert refusals == ["advanced"]
    assert ended.state is RolloutState.FAILED
    assert "refused: version 3 needs the column 'age'" in ended.reason


def test_starting_is_refused_with_what_to_do() -> None:
    """A second one, an unknown version, a model without a plan."""
    story = Story()
    rollout = story.start()
    with pytest.raises(Conflict, match=r"version 2 goes on at step 1 of 2 .*abort it") as second:
        story.start(3)
    assert (second.value.code, second.value.details) == ("already_exists", {"rollout": rollout.id})
    with pytest.raises(NotFound) as unknown:
        story.start(9)
    assert unknown.value.code == "unknown_version"
    story.registry.ready("other")
    with pytest.raises(NotFound) as unplanned:
        story.registry.rollouts.start("other", number(1), spec(), "ana")  # type: ignore[arg-type] # a name is a name
    assert unplanned.value.code == "no_plan"


def test_it_looks_when_it_is_due() -> None:
    """Every interval, when a pause ends, and after every move, its own included; not at every turn."""
    looks: list[int] = []

    def counting(rollout: Rollout, parts: Sequence[ArmPart], losses: Sequence[Losses]) -> Judgement:
        looks.append(story.registry.clock.now_ms // 1_000)
        return plain_judge(rollout, parts)

    story = Story(judge=counting)
    story.start(interval="7s")
    story.after(12)
    assert looks == [2, 9, 11, 12]
    looks.clear()
    story.registry.rollouts.pause(CHURN, story.registry.ledger.rollouts.active()[0].id, "ana", "")
    story.after(1)
    assert looks == [13, 14]


def test_one_registry_leads() -> None:
    """Another looks at nothing while the leader turns, and leads at once when it leaves."""
    story = Story()
    rollout = story.start()
    assert story.registry.ledger.leases.hold("rollouts", "another", 5)
    story.report(100)
    story.after(4)
    story.registry.clock.now_ms += 20_000
    story.registry.ledger.leases.hold("rollouts", "another", 5)
    story.after(1)
    assert story.now(rollout).step == 0
    story.after(5)
    assert story.now(rollout).step == 1
    story.registry.controller.leave()
    assert story.registry.ledger.leases.hold("rollouts", "another", 5)


def test_a_damaged_rollout_stops_no_other() -> None:
    """One that cannot be weighed holds, says so in the log once an interval, can be aborted; and the others go on."""
    failures = []

    def judge(rollout: Rollout, parts: Sequence[ArmPart], losses: Sequence[Losses]) -> Judgement:
        if rollout.model == CHURN:
            failures.append(rollout.id)
            raise ZeroDivisionError
        return plain_judge(rollout, parts)

    story = Story(judge=judge)
    story.registry.ready("other", 2)
    story.registry.ledger.plans.append("other", 0, Plan(number(1)), "ana", "")  # type: ignore[arg-type] # a name is a name
    damaged = story.start()
    short = spec(minRequests=0)
    other = story.registry.rollouts.start("other", number(2), short, "ana")  # type: ignore[arg-type] # a name is a name
    story.after(31)
    assert story.registry.rollouts.rollout(other.model, other.id).state is RolloutState.SUCCEEDED
    assert len(failures) == 8  # seven looks of an interval, and one at once because it holds
    rollouts = story.registry.rollouts
    assert "cannot be weighed" in str(rollouts.rollout(damaged.model, damaged.id).hold)
    assert rollouts.abort(damaged.model, damaged.id, "ana", "damaged").state is RolloutState.ABORTED


def test_a_plan_by_hand_ends_a_rollout_at_the_next_turn() -> None:
    """Not at the next look, which may be an hour away; and the reason names the first revision by hand."""
    story = Story()
    rollout = story.start(interval="1h")
    story.after(2)
    plans = story.registry.ledger.plans
    for stable in (3, 1):
        plans.append(CHURN, plans.current(CHURN).revision, Plan(number(stable)), "ana", "")  # type: ignore[union-attr]
    story.after(1)
    ended = story.registry.rollouts.rollout(CHURN, rollout.id)
    assert ended.state is RolloutState.ABORTED
    assert f"revision {rollout.plan_revision + 1}" in ended.reason


def test_a_database_that_is_away_is_told() -> None:
    """The loop above waits and tries again."""
    story = Story()
    story.start()

    def away(*_: object) -> Any:
        raise Unavailable("registry_unavailable", "away")

    object.__setattr__(story.registry.ledger.reports, "arms", away)
    with pytest.raises(Unavailable):
        story.registry.controller.turn()


def test_metrics_follow_the_rollout() -> None:
    """Share and evidence are shown while it goes on, and how it ended is counted."""
    story = Story()
    rollout = story.start()
    story.report(100)
    story.after(11)
    assert story.metric("headgate_rollout_share_ratio", model="churn", version="2") == 0.5
    assert story.metric("headgate_rollout_evidence", model="churn", version="2", metric="error-rate") == 0
    story.registry.rollouts.abort(CHURN, rollout.id, "ana", "")
    story.after(1)
    assert story.metric("headgate_rollout_share_ratio", model="churn", version="2") is None
    assert story.metric("headgate_rollout_evidence", model="churn", version="2", metric="error-rate") is None
    assert story.metric("headgate_rollouts_total", model="churn", outcome="aborted") == 1
    assert story.metric("headgate_rollouts_total", model="churn", outcome="failed") == 0


def test_a_metric_that_is_watched_no_more_is_not_shown() -> None:
    """The next rollout of the same version may watch less than the one before."""
    story = Story()
    metrics, first, second = story.registry.metrics, rollout(), replace(rollout(), id="e" * 32)
    for name in ("error-rate", "latency"):
        metrics.rollout_seen(first, Judgement(Findings(), 0, {name: {"evidence": 0.5}}))
    metrics.rollouts_are({first.id: first})
    metrics.rollout_seen(second, Judgement(Findings(), 0, {"error-rate": {"evidence": 0.25}}))
    metrics.rollouts_are({second.id: second})
    assert story.metric("headgate_rollout_evidence", model="churn", version="2", metric="error-rate") == 0.25
    assert story.metric("headgate_rollout_evidence", model="churn", version="2", metric="latency") is None
    assert story.metric("headgate_rollout_share_ratio", model="churn", version="2") == 0.05


def test_what_was_counted_of_a_model_goes_with_it() -> None:
    """Models come and go; their series do not stay for ever."""
    story = Story()
    story.registry.rollouts.abort(CHURN, story.start().id, "ana", "")
    story.registry.metrics.models_are({"churn", "other"})
    assert story.metric("headgate_rollouts_total", model="churn", outcome="aborted") == 1
    for _ in range(2):
        story.registry.metrics.models_are({"other"})
    assert story.metric("headgate_rollouts_total", model="churn", outcome="aborted") is None


def test_without_rollouts_no_lease_is_written() -> None:
    """A registry with nothing to do only reads, and lets go of a lease that it has."""
    story = Story()
    leases, held = story.registry.ledger.leases, list[str]()
    real = leases.hold

    def hold(name: str, holder: str, seconds: float) -> bool:
        held.append(holder)
        return real(name, holder, seconds)

    object.__setattr__(leases, "hold", hold)
    story.after(5)
    assert held == []
    started = story.start()
    story.after(2)
    assert held == ["this one"] * 2
    story.registry.rollouts.abort(CHURN, started.id, "ana", "")
    story.after(1)
    assert held == ["this one"] * 2
    assert real("rollouts", "another", 5)


def test_quality_takes_its_part_of_alpha() -> None:
    """It shares alpha with the others whether labels come or not: a part that came and went would add up to more."""
    found = []
    for metrics, alpha in (([{"name": "error-rate"}], 0.01), ([{"name": "error-rate"}, {"name": "quality"}], 0.02)):
        at = rollout(metrics=metrics, alpha=alpha)
        bad = ArmPart("a", arm(counts(60, 12), at.revisions[0]))
        found.append(judged(at, [bad]).evidence["error-rate"])
    assert found[0] == found[1]
    assert judged(rollout(metrics=[{"name": "quality"}]), []).findings.failing == ""


def test_damaged_bins_of_before_break_no_look() -> None:
    """A database may have names that reports could once bring in: they are no numbers, and the rest is judged."""
    at = rollout()
    damaged = replace(counts(300), predictions={"n:abc": 150, "n:99999999": 100, "n:": 50})
    parts = [ArmPart("a", arm(damaged, at.revisions[0], *who)) for who in (("canary", 2), ("stable", 1))]
    assert judged(at, parts).findings == Findings()


def test_the_real_evidence_finds_a_bad_one() -> None:
    """Errors of one request in five against none: rolled back, in words with the numbers."""
    story = Story(judge=judged)
    rollout = story.start()
    story.after(1)
    story.report(60, 12)
    story.after(5)
    ended = story.now(rollout)
    assert ended.state is RolloutState.FAILED
    assert "error-rate: 12 of 60 requests of the canary failed (20.00%), of stable 0 of 600 (0.00%)" in ended.reason
    assert "1.25 times stable's share is tolerated" in ended.reason


def test_the_real_evidence_lets_a_good_one_through() -> None:
    """Nothing differs, so nothing holds it."""
    story = Story(judge=judged)
    rollout = story.start(metrics=[{"name": "error-rate"}, {"name": "latency"}, {"name": "quality"}])
    for _ in range(6):
        story.report(60)
        story.after(5)
    assert story.now(rollout).state is RolloutState.SUCCEEDED
    line = story.registry.ledger.rollouts.journal(rollout.id)[-1]
    assert line.numbers["evidence"]["quality"] == {"evidence": None, "message": "no labels yet"}
    assert line.numbers["evidence"]["predictions"]["evidence"] < 1
