"""One rollout, move by move: what is decided when, and which moves there are."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from registry.errors import Conflict
from registry.plans import Canary, Plan, PlanRevision, Rule, Shadow
from registry.traffic.actions import (
    Abort,
    Action,
    Advance,
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
from registry.traffic.rollout import ENDED, Rollout, RolloutState, begun, decide, moved, plan_of, waiting
from tests.support.ledgers import CHURN, number
from tests.support.rollouts import rollout, spec

WORSE = Findings(failing="9 of 10 failed")
SHIFTED = Findings(shifted="predictions differ")
FINE = Findings()
LAST = moved(rollout(), Advance(), 10_000)
PAUSED = moved(rollout(), Pause("lunch"), 4_000)
ENDINGS: list[Action] = [Promote("done", by_hand=True), RollBack("bad"), Expire("late"), Abort("no"), Yield(9)]


def held(at: Rollout, wait: Wait) -> Rollout:
    """Return the rollout with a line in its journal that it waits."""
    return replace(at, hold=Hold(wait, "because"))


@pytest.mark.parametrize(
    ("sentence", "at", "now_ms", "findings", "requests", "decided"),
    [
        ("waits for its pause", rollout(), 9_999, FINE, 500, None),
        ("goes on when its pause is over and enough was seen", rollout(), 10_000, FINE, 100, Advance),
        ("waits for requests", rollout(), 10_000, FINE, 99, Hold),
        ("says that only once", held(rollout(), Wait.REQUESTS), 15_000, FINE, 99, None),
        ("goes on when they came", held(rollout(), Wait.REQUESTS), 15_000, FINE, 100, Advance),
        ("fails at any time", rollout(), 1, WORSE, 1, RollBack),
        ("fails while paused", PAUSED, 5_000, WORSE, 1, RollBack),
        ("fails rather than expires", rollout(), 10**9, WORSE, 500, RollBack),
        ("fails rather than goes on", rollout(), 10_000, WORSE, 500, RollBack),
        ("holds for a shift, at once", rollout(), 1, SHIFTED, 1, Hold),
        ("holds for a shift although it held for requests", held(rollout(), Wait.REQUESTS), 1, SHIFTED, 1, Hold),
        ("does not say it twice", held(rollout(), Wait.PREDICTIONS), 99_000, SHIFTED, 500, None),
        ("says when a shift is over", held(rollout(), Wait.PREDICTIONS), 1, FINE, 1, Release),
        ("goes on where somebody has looked", replace(rollout(), looked=True), 10_000, SHIFTED, 100, Advance),
        ("rests while paused", PAUSED, 10**9, SHIFTED, 500, None),
        ("expires", rollout(), 600_000, FINE, 99, Expire),
        ("expires while held", held(rollout(), Wait.PREDICTIONS), 600_000, SHIFTED, 500, Expire),
        ("promotes after its last step", LAST, 30_000, FINE, 100, Promote),
        ("counts a step's pause from its own beginning", LAST, 29_999, FINE, 100, None),
    ],
)
def test_decisions(  # noqa: PLR0917 - the columns of the table
    sentence: str, at: Rollout, now_ms: int, findings: Findings, requests: int, decided: type[Action] | None
) -> None:
    """A rollout …"""
    action = decide(at, now_ms, findings, requests)
    assert (None if action is None else type(action)) == decided, sentence


def test_expiry_is_honest() -> None:
    """What was missing when the time was over is said with its numbers."""
    action = decide(rollout(), 600_000, FINE, 17)
    assert isinstance(action, Expire)
    assert "too little traffic: 17 of 100 requests" in action.reason and "10m" in action.reason


def test_a_step_without_a_pause_waits_for_a_person() -> None:
    """It needs its requests and somebody's word, whichever comes first."""
    at = rollout(steps=[{"setWeight": 5}, {"setWeight": 50, "pause": "1s"}])
    action = decide(at, 50_000, FINE, 100)
    assert isinstance(action, Hold) and action.wait is Wait.PERSON
    resumed = moved(at, Resume("fine"), 51_000)
    assert isinstance(decide(resumed, 51_000, FINE, 99), Hold)
    assert isinstance(decide(resumed, 51_000, FINE, 100), Advance)


def test_a_step_of_no_weight_needs_no_requests() -> None:
    """At 0 % none can come: the pause alone decides."""
    at = rollout(steps=[{"setWeight": 0, "pause": "5s"}, {"setWeight": 50, "pause": "5s"}])
    assert isinstance(decide(at, 5_000, FINE, 0), Advance)


def test_pausing_stops_the_clocks() -> None:
    """Neither the step's pause nor the time it may take goes on while it is paused."""
    resumed = moved(moved(rollout(), Pause(""), 4_000), Resume(""), 1_000_000)
    assert resumed.step_elapsed_ms(1_000_000) == resumed.elapsed_ms(1_000_000) == 4_000
    assert decide(resumed, 1_005_999, FINE, 500) is None
    assert isinstance(decide(resumed, 1_006_000, FINE, 500), Advance)


def test_resuming_takes_one_obstacle_away() -> None:
    """First the pause; what held it before is still there, and takes a second word."""
    at = held(rollout(), Wait.PREDICTIONS)
    once = moved(moved(at, Pause(""), 1_000), Resume(""), 2_000)
    assert waiting(once, 20_000, SHIFTED, 500) is not None
    twice = moved(once, Resume("they are meant to differ"), 3_000)
    assert waiting(twice, 20_000, SHIFTED, 500) is None


@pytest.mark.parametrize("action", ENDINGS)
def test_ended_is_ended(action: Action) -> None:
    """Nothing moves a rollout that has ended, and the refusal says how it ended."""
    ended = moved(rollout(), action, 5_000)
    assert ended.ended and ended.ended_ms == 5_000 and ended.reason
    assert decide(ended, 10**9, WORSE, 500) is None
    for again in [Advance(), Hold(Wait.REQUESTS, ""), Release(), Pause(""), Resume(""), *ENDINGS]:
        with pytest.raises(Conflict, match=rf"has ended: {ended.state}"):
            moved(ended, again, 6_000)


@pytest.mark.parametrize(
    ("at", "action", "word"),
    [
        (PAUSED, Pause(""), "paused already"),
        (PAUSED, Advance(), "paused"),
        (PAUSED, Hold(Wait.REQUESTS, ""), "paused"),
        (PAUSED, Release(), "paused"),
        (PAUSED, Expire(""), "paused"),
        (PAUSED, Promote("all steps"), "only a person"),
        (rollout(), Resume(""), "waits for nobody"),
        (LAST, Advance(), "last step"),
    ],
)
def test_moves_that_are_not_drawn(at: Rollout, action: Action, word: str) -> None:
    """An illegal move raises and says why."""
    with pytest.raises(Conflict, match=word):
        moved(at, action, 5_000)


def test_a_paused_one_can_be_promoted_or_aborted_by_hand() -> None:
    """A person need not resume first."""
    assert moved(PAUSED, Promote("", by_hand=True), 5_000).state is RolloutState.SUCCEEDED
    aborted = moved(PAUSED, Abort("no"), 9_000)
    assert (aborted.state, aborted.paused_ms, aborted.elapsed_ms(10**9)) == (RolloutState.ABORTED, 5_000, 4_000)


BASE = Plan(
    number(1),
    "a note",
    warm=True,
    instances=2,
    shadows=(Shadow(number(2)), Shadow(number(3), 500)),
    rules=(Rule("x-tenant", "beta", number(2)),),
    sticky="x-user",
)


def test_the_plan_of_a_step() -> None:
    """All of the plan before stays, but for the canary, which is no shadow of itself; its seed is the rollout's id."""
    plan = plan_of(rollout(base=BASE))
    assert plan == replace(BASE, canary=Canary(number(2), 500, "f" * 32), shadows=BASE.shadows[1:], note=plan.note)
    assert "step 1 of 2 (5 %)" in plan.note


def test_the_plan_after_promotion() -> None:
    """The version is stable; warmth, instances, rules, stickiness and the other shadows stay."""
    plan = plan_of(moved(rollout(base=BASE), Promote("", by_hand=True), 1))
    assert plan == replace(BASE, stable=number(2), shadows=BASE.shadows[1:], note=plan.note)


@pytest.mark.parametrize("action", [RollBack("bad"), Abort(""), Expire("")])
def test_the_plan_after_going_back(action: Action) -> None:
    """It is what it was."""
    assert plan_of(moved(rollout(base=BASE), action, 1)) == BASE


def test_each_step_is_a_revision() -> None:
    """Steps of equal weight too, so that what is counted belongs to one step."""
    at = rollout(steps=[{"setWeight": 5, "pause": "1s"}, {"setWeight": 5, "pause": "1s"}])
    assert moved(at, Advance(), 1_000).revisions == (2, 3)
    assert moved(at, Hold(Wait.REQUESTS, ""), 1).plan_revision == at.plan_revision
    assert moved(at, Yield(7), 1).plan_revision == at.plan_revision


@pytest.mark.parametrize(
    ("plan", "word"),
    [
        (None, "no traffic"),
        (Plan(number(2)), "stable already"),
        (Plan(number(1), canary=Canary(number(3), 1_000)), r"canary already \(version 3 at 10 %\).*PUT"),
    ],
)
def test_plans_that_cannot_be_rolled_out_from(plan: Plan | None, word: str) -> None:
    """The refusal says what to do."""
    with pytest.raises(Conflict, match=word):
        begun("f" * 32, number(2), spec(), PlanRevision(CHURN, 4, plan, "ana", "", 0), 0)


@pytest.mark.parametrize(
    ("action", "share"), [(None, 500), (Promote("", by_hand=True), 10_000), (RollBack(""), 0), (Yield(9), 0)]
)
def test_shares(action: Any, share: int) -> None:
    """The share is the step's, all once it is promoted, and none once it has gone back."""
    assert (rollout() if action is None else moved(rollout(), action, 1)).share == share


def test_every_end_is_drawn() -> None:
    """Each state that ends a rollout is reached by one of the endings."""
    assert {moved(rollout(), action, 1).state for action in ENDINGS} == ENDED
