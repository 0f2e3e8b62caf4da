"""Rollouts over HTTP: begin, watch, and what a person may do."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.support.ledgers import CHURN
from tests.support.registry_app import V1, RegistryInMemory, code, mlmodel
from tests.support.rollouts import SHORT, arm, counts, report

MODEL = f"{V1}/models/churn"
ROLLOUTS = f"{MODEL}/rollouts"
BODY = {"version": "2", **SHORT}


@pytest.fixture
def registry() -> RegistryInMemory:
    """A registry in which churn has three ready versions, the first of which is stable."""
    made = RegistryInMemory()
    made.ready("churn", 3)
    assert made.ask("PUT", f"{MODEL}/traffic", json={"stable": "1"}, headers={"if-match": '"0"'}).status_code == 200
    return made


def begin(registry: RegistryInMemory, **more: Any) -> dict[str, Any]:
    """Begin a rollout and return it."""
    answer = registry.ask("POST", ROLLOUTS, json=BODY | more)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def after(registry: RegistryInMemory, seconds: int) -> None:
    """Let time pass, in turns of a second."""
    for _ in range(seconds):
        registry.clock.now_ms += 1_000
        registry.controller.turn()


def send(registry: RegistryInMemory, sequence: int, revision: int, requests: int, errors: int = 0) -> None:
    """Post a node's report of both arms."""
    now = registry.clock.now_ms
    arms = (
        arm(counts(requests, errors), revision, start_ms=now),
        arm(counts(10 * requests), revision, "stable", 1, start_ms=now),
    )
    answer = registry.ask("POST", f"{V1}/windows", json=report(sequence, *arms).to_json())
    assert answer.json() == {"sequence": sequence}


def verb(registry: RegistryInMemory, rollout: dict[str, Any], name: str, **body: Any) -> httpx.Response:
    """Do something to a rollout."""
    return registry.ask("POST", f"{ROLLOUTS}/{rollout['id']}/{name}", **({"json": body} if body else {}))


def test_a_rollout_from_begin_to_end(registry: RegistryInMemory) -> None:
    """Its whole answer when it begins, what moves while it goes on, and what is left when it is over."""
    begun = begin(registry, note="new features")
    rollout_id = begun.pop("id")
    assert len(rollout_id) == 32
    assert begun.pop("evidence").keys() == {"error-rate", "latency", "invalid", "predictions"}
    (line,) = begun.pop("journal")
    assert line == {
        "at": "1970-01-01T00:00:01.000Z",
        "event": "started",
        "message": "rollout of version 2 begins at step 1 of 2 (5 %): new features",
        "who": "api",
        "revision": 2,
        "numbers": {},
    }
    nothing = {"requests": 0, "errors": 0, "invalid": 0, "p50": None, "p99": None}
    assert begun == {
        "model": "churn",
        "version": "2",
        "state": "running",
        "reason": None,
        "step": 0,
        "weight": 5,
        "steps": [{"setWeight": 5, "pause": "10s"}, {"setWeight": 50, "pause": "20s"}],
        "metrics": [{"name": name, "tolerance": 1.25} for name in ("error-rate", "latency", "invalid")],
        "alpha": 0.05,
        "minRequests": 100,
        "interval": "5s",
        "maxDuration": "10m",
        "note": "new features",
        "allow_incompatible": False,
        "stable": "1",
        "holding": "10s of its pause are left",
        "step_requests": 0,
        "started_at": "1970-01-01T00:00:01.000Z",
        "step_started_at": "1970-01-01T00:00:01.000Z",
        "ended_at": None,
        "plan_revision": 2,
        "arms": {"stable": nothing, "canary": nothing},
    }
    after(registry, 12)
    waiting = registry.ask("GET", f"{ROLLOUTS}/{rollout_id}").json()
    assert waiting["holding"] == "too little traffic: 0 of 100 requests in this step"
    send(registry, 1, 2, 100)
    after(registry, 5)
    second = registry.ask("GET", f"{ROLLOUTS}/{rollout_id}").json()
    assert (second["step"], second["weight"], second["plan_revision"], second["step_requests"]) == (1, 50, 3, 0)
    assert second["arms"]["canary"]["requests"] == 100 and second["arms"]["stable"]["requests"] == 1_000
    assert second["arms"]["canary"]["p99"] == pytest.approx(0.01, rel=0.1)
    send(registry, 2, 3, 100)
    after(registry, 20)
    ended = registry.ask("GET", f"{ROLLOUTS}/{rollout_id}").json()
    assert (ended["state"], ended["weight"], ended["holding"]) == ("succeeded", 100, None)
    assert [line["event"] for line in ended["journal"]] == ["started", "held", "advanced", "succeeded"]
    assert ended["arms"]["canary"]["requests"] == 200 and ended["ended_at"] is not None
    plan = registry.ask("GET", f"{MODEL}/traffic").json()
    assert (plan["plan"]["stable"], plan["revision"], plan["who"]) == ("2", 4, "rollout")


def test_a_bad_one_goes_back_and_says_why(registry: RegistryInMemory) -> None:
    """The reason has the numbers, and so has the plan's own journal."""
    rollout = begin(registry)
    send(registry, 1, 2, 60, 20)
    after(registry, 2)
    ended = registry.ask("GET", f"{ROLLOUTS}/{rollout['id']}").json()
    assert (ended["state"], ended["weight"]) == ("failed", 0)
    assert "20 of 60 requests of the canary failed" in ended["reason"]
    assert ended["evidence"]["error-rate"]["evidence"] >= 1
    history = registry.ask("GET", f"{MODEL}/traffic/history").json()["revisions"]
    assert history[0]["plan"]["stable"] == "1" and "20 of 60" in history[0]["why"]


def test_what_a_person_may_do(registry: RegistryInMemory) -> None:
    """Pause, resume and abort, each with its reason in the journal; the answer is the rollout."""
    rollout = begin(registry)
    paused = verb(registry, rollout, "pause", why="lunch").json()
    assert (paused["state"], paused["holding"]) == ("paused", "paused: somebody must resume, promote or abort it")
    assert code(verb(registry, rollout, "pause")) == (409, "not_ready")
    assert verb(registry, rollout, "resume").json()["state"] == "running"
    assert code(verb(registry, rollout, "resume")) == (409, "not_ready")
    aborted = verb(registry, rollout, "abort", why="wrong version").json()
    assert (aborted["state"], aborted["reason"]) == ("aborted", "aborted by hand: wrong version")
    assert [(line["event"], line["message"]) for line in aborted["journal"]][1:] == [
        ("paused", "paused at step 1 of 2 (5 %): lunch"),
        ("resumed", "goes on at step 1 of 2 (5 %)"),
        ("aborted", "back to version 1: aborted by hand: wrong version"),
    ]
    for name in ("pause", "resume", "promote", "abort"):
        assert code(verb(registry, rollout, name)) == (409, "not_ready")


def test_promoting_by_hand(registry: RegistryInMemory) -> None:
    """The rest is left out."""
    rollout = begin(registry)
    promoted = verb(registry, rollout, "promote", why="sure").json()
    assert (promoted["state"], promoted["weight"], promoted["plan_revision"]) == ("succeeded", 100, 3)
    assert registry.ask("GET", f"{MODEL}/traffic").json()["plan"]["stable"] == "2"


def test_rollouts_are_listed_newest_first(registry: RegistryInMemory) -> None:
    """Without evidence and journals."""
    first = begin(registry)
    verb(registry, first, "abort")
    registry.clock.now_ms += 1_000
    second = begin(registry, version="3")
    listed = registry.ask("GET", ROLLOUTS).json()["rollouts"]
    assert [one["id"] for one in listed] == [second["id"], first["id"]]
    assert not {"evidence", "arms", "journal", "holding"} & listed[0].keys()
    assert len(registry.ask("GET", f"{ROLLOUTS}?limit=1").json()["rollouts"]) == 1
    assert code(registry.ask("GET", f"{V1}/models/nothing/rollouts")) == (404, "unknown_model")
    assert code(registry.ask("GET", f"{ROLLOUTS}/{'0' * 32}")) == (404, "not_found")
    registry.ready("other")
    assert code(registry.ask("GET", f"{V1}/models/other/rollouts/{first['id']}")) == (404, "not_found")


def test_a_second_one_is_409(registry: RegistryInMemory) -> None:
    """It names the one that goes on."""
    first = begin(registry)
    second = registry.ask("POST", ROLLOUTS, json=BODY | {"version": "3"})
    assert code(second) == (409, "already_exists")
    assert second.json()["error"]["details"] == {"rollout": first["id"]}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"version": "9"}, (404, "unknown_version")),
        ({"version": "1"}, (409, "not_ready")),
        ({"version": 2}, (400, "invalid_argument")),
        ({"steps": []}, (400, "invalid_argument")),
        ({"steps": [{"setWeight": "5"}]}, (400, "invalid_argument")),
        ({"steps": [{"setWeight": True}]}, (400, "invalid_argument")),
        ({"steps": [{"weight": 5}]}, (400, "invalid_argument")),
        ({"steps": [{"setWeight": 5, "pause": "soon"}]}, (400, "invalid_argument")),
        ({"steps": [{"setWeight": 5, "pause": {}}]}, (400, "invalid_argument")),
        ({"steps": [{"setWeight": 101}]}, (422, "invalid_input")),
        ({"steps": [{"setWeight": -1}]}, (422, "invalid_input")),
        ({"steps": [{"setWeight": 1e-9}]}, (422, "invalid_input")),
        ({"metrics": [{"name": "cost"}]}, (400, "invalid_argument")),
        ({"metrics": [{"name": "latency", "threshold": 1}]}, (400, "invalid_argument")),
        ({"metrics": [{"name": "latency", "thresholdRange": {"min": 1}}]}, (400, "invalid_argument")),
        ({"alpha": 1.5}, (400, "invalid_argument")),
        ({"min_requests": 5}, (400, "invalid_argument")),
        ({"minRequests": 1.5}, (400, "invalid_argument")),
        ({"maxDuration": "10s"}, (400, "invalid_argument")),
        ({"anything": 1}, (400, "invalid_argument")),
    ],
)
def test_bodies_that_cannot_be(registry: RegistryInMemory, body: dict[str, Any], expected: tuple[int, str]) -> None:
    """Each is refused with its code, and nothing begins."""
    assert code(registry.ask("POST", ROLLOUTS, json=BODY | body)) == expected
    assert registry.ask("GET", ROLLOUTS).json() == {"rollouts": []}
    assert registry.ledger.rollouts.active() == []


def test_what_could_not_be_promoted_is_not_begun(registry: RegistryInMemory) -> None:
    """Version 3, which a rule names, refuses what callers of version 2 may send: the end is judged at the beginning."""
    for more in ([], [("income?", "double")], []):
        registry.log_model("credit", mlmodel=mlmodel(("age", "double"), *more))
    registry.settle()
    rules = [{"header": "x-tenant", "equals": "beta", "version": "3"}]
    traffic = f"{V1}/models/credit/traffic"
    made = registry.ask("PUT", traffic, json={"stable": "1", "rules": rules}, headers={"if-match": '"0"'})
    assert made.status_code == 200, made.text
    refused = registry.ask("POST", f"{V1}/models/credit/rollouts", json=BODY)
    assert code(refused) == (409, "incompatible_signature")
    assert "'income'" in refused.json()["error"]["message"]
    insisting = registry.ask("POST", f"{V1}/models/credit/rollouts", json=BODY | {"allow_incompatible": True})
    assert insisting.status_code == 201


def test_a_model_without_a_plan_is_told_to_make_one(registry: RegistryInMemory) -> None:
    """404 ``no_plan``; and after DELETE, 409."""
    registry.ready("other", 2)
    answer = registry.ask("POST", f"{V1}/models/other/rollouts", json=BODY)
    assert code(answer) == (404, "no_plan")
    assert registry.ask("DELETE", f"{MODEL}/traffic", headers={"if-match": '"1"'}).status_code == 200
    assert code(registry.ask("POST", ROLLOUTS, json=BODY)) == (409, "not_ready")


@pytest.mark.parametrize(("method", "more"), [("PUT", {"json": {"stable": "3"}}), ("DELETE", {})])
def test_a_plan_by_hand_wins(registry: RegistryInMemory, method: str, more: dict[str, Any]) -> None:
    """The rollout ends and leaves it alone."""
    rollout = begin(registry)
    registry.ask(method, f"{MODEL}/traffic", headers={"if-match": '"2"'}, **more)
    after(registry, 1)
    ended = registry.ask("GET", f"{ROLLOUTS}/{rollout['id']}").json()
    assert (ended["state"], ended["reason"]) == ("aborted", "the plan was replaced by hand in revision 3")
    assert registry.ask("GET", f"{MODEL}/traffic").json()["revision"] == 3


def test_a_traffic_rollback_wins(registry: RegistryInMemory) -> None:
    """Rolling the plan back is a plan by hand."""
    rollout = begin(registry)
    assert registry.ask("POST", f"{MODEL}/traffic/rollback").json()["revision"] == 3
    assert code(verb(registry, rollout, "promote")) == (409, "not_ready")
    assert registry.ask("GET", f"{ROLLOUTS}/{rollout['id']}").json()["state"] == "aborted"


def test_rolling_back_leaves_out_the_steps_of_a_rollout(registry: RegistryInMemory) -> None:
    """After a promotion the plan before is the one that the rollout began with, not its last step."""
    rollout = begin(registry)
    assert verb(registry, rollout, "promote").json()["state"] == "succeeded"
    back = registry.ask("POST", f"{MODEL}/traffic/rollback").json()
    assert (back["plan"]["stable"], back["plan"]["canary"], back["why"]) == ("1", None, "rolled back to revision 1")
    named = registry.ask("POST", f"{MODEL}/traffic/rollback", json={"revision": 2}).json()
    assert named["plan"]["canary"]["version"] == "2"


def test_rolling_back_does_not_leave_out_what_a_person_made_of_a_rollout(registry: RegistryInMemory) -> None:
    """Whoever takes a rollout's canary over by hand, and then changes its share, goes back to their own plan."""
    begin(registry)
    for seen, share in ((2, 0.2), (3, 0.5)):
        plan = {"stable": "1", "canary": {"version": "2", "share": share}}
        registry.ask("PUT", f"{MODEL}/traffic", json=plan, headers={"if-match": f'"{seen}"'})
    back = registry.ask("POST", f"{MODEL}/traffic/rollback").json()
    assert (back["plan"]["canary"]["share"], back["why"]) == (0.2, "rolled back to revision 3")


def test_versions_of_a_rollout_are_in_use(registry: RegistryInMemory) -> None:
    """Neither can be retired or deleted while it goes on (R06)."""
    begin(registry)
    for version in ("1", "2"):
        assert code(registry.ask("POST", f"{MODEL}/versions/{version}/retire")) == (409, "in_use")
        assert code(registry.ask("DELETE", f"{MODEL}/versions/{version}")) == (409, "in_use")


def test_metrics_are_exposed(registry: RegistryInMemory) -> None:
    """Share and evidence while it goes on, and how it ended."""
    rollout = begin(registry)
    after(registry, 1)
    shown = registry.ask("GET", "/metrics").text
    assert 'headgate_rollout_share_ratio{model="churn",version="2"} 0.05' in shown
    assert 'headgate_rollout_evidence{metric="latency",model="churn",version="2"}' in shown
    verb(registry, rollout, "abort")
    after(registry, 1)
    shown = registry.ask("GET", "/metrics").text
    assert 'headgate_rollouts_total{model="churn",outcome="aborted"} 1.0' in shown
    assert "headgate_rollout_share_ratio{" not in shown
    assert registry.ledger.rollouts.page(CHURN, 1)[0].ended
