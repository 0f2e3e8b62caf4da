"""Whole plans, where they have arrived, nodes and shadows: in Python and on the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import pytest
from headgate import Canary, Client, Plan, RevisionConflict, Rule, Shadow
from headgate.cli.app import app
from typer.testing import CliRunner, Result

from tests.support.fake_platform import FakePlatform

Run = Callable[..., Result]
NODES = [
    {"node": "a", "boot": "1" * 32, "age_seconds": 2.5, "lost": False, "arrived": True, "in_force": 2,
     "versions": [{"model": "churn", "version": "1", "state": "ready", "memory_bytes": 3_000_000}],
     "held": []},
    {"node": "b", "boot": "2" * 32, "age_seconds": 75.0, "lost": True, "versions": [],
     "held": [{"model": "churn", "revision": 1, "awaits": ["2"]}]},
]  # fmt: skip
COMPARISON = {
    "since": "2026-11-20T08:00:00.000Z", "requests": 3000, "outcomes": {"compared": 2990, "error": 10}, "differing": 12,
    "outputs": {"": {"compared": 2990, "differed": 12, "absolute": {"p50": 0.1, "p90": 0.2, "p99": 0.5, "max": 0.7},
                     "relative": {"p50": 0.01, "p90": None, "p99": 0.05, "max": 0.07},
                     "agreement": [{"primary": "yes", "shadow": "yes", "count": 2978},
                                   {"primary": "yes", "shadow": "no", "count": 12}],
                     "agreement_ratio": 0.996}},
    "latency": {"primary": {"p50": 0.002, "p99": 0.01}, "shadow": {"p50": 0.003, "p99": 1.5}},
    "examples": [{"inputs": 1}],
    "verdict": {"good_canary": False, "reason": "it failed on 10 of 3,000 requests that were answered",
                "evidence": {"error-rate": {"evidence": 1.4, "canary": {"requests": 3000, "bad": 10, "ratio": 0.003}},
                             "quality": {"evidence": None, "message": "no labels yet"}}},
}  # fmt: skip


@pytest.fixture
def run(fake: FakePlatform, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command line against the fake platform."""
    monkeypatch.setenv("HEADGATE_REGISTRY_URL", fake.registry_url)
    monkeypatch.setenv("HEADGATE_SERVING_URL", fake.serving_url)
    fake.situation.add("churn", 5)
    return lambda *words, **more: CliRunner().invoke(app, list(words), **more)


def test_a_whole_plan_is_made_of_the_last(client: Client, fake: FakePlatform) -> None:
    """A plan goes there and comes back the same; only the revision that was seen is replaced."""
    fake.situation.add("churn", 5)
    first = client.set_traffic("churn", Plan("1"))
    assert first.plan == Plan("1")
    wanted = replace(first.plan, canary=Canary("2", 0.1), shadows=(Shadow("3", 0.5),), rules=(Rule("x", "y", "4"),))
    second = client.set_traffic("churn", wanted, expect=first.revision)
    assert (second.plan, second.revision) == (wanted, 2)
    with pytest.raises(RevisionConflict, match="made by api at .* look at `headgate traffic show churn`") as caught:
        client.set_traffic("churn", Plan("1"), expect=first.revision)
    assert caught.value.revision == 2


def test_an_older_platform_is_told_nothing_that_it_does_not_know(client: Client, fake: FakePlatform) -> None:
    """Parts that are as usual are not sent."""
    fake.situation.add("churn", 1)
    from headgate import requests

    assert json.loads(requests.put_traffic("churn", Plan("1"), 0).body or b"") == {"stable": "1", "note": ""}  # type: ignore[arg-type]  # it is no file
    assert client.promote("churn", 1).plan == Plan("1")


def test_promoting_leaves_the_rest_of_the_plan(client: Client, fake: FakePlatform) -> None:
    """As at the end of a rollout: the canary and the version's own copies go; rules and settings stay."""
    fake.situation.add("churn", 4)
    before = Plan(
        "1", Canary("2", 0.1), (Shadow("3"), Shadow("2", 0.5)), (Rule("x", "y", "4"),), "x-user", "why", True, 2, True
    )
    client.set_traffic("churn", before)
    after = client.promote("churn", 2).plan
    assert after == replace(before, stable="2", canary=None, shadows=(Shadow("3"),), note="")


def test_set_changes_what_is_named(run: Run, fake: FakePlatform) -> None:
    """The present plan is read, changed, and replaced against its revision; the change is told shortly."""
    run("promote", "churn", "1")
    result = run("traffic", "set", "churn", "--canary", "2=10%", "--shadow", "3=25%", "--rule", "x-tenant=beta:2",
                 "--sticky", "X-User", "--note", "try")  # fmt: skip
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[0] == "churn: revision 1 → 2"
    assert "2 at 10 %" in result.stdout and "rule x-tenant=beta" in result.stdout
    changed = json.loads(run("traffic", "set", "churn", "--canary", "2=25%", "-o", "json").stdout)
    assert changed["plan"] == {
        "stable": "1", "canary": {"version": "2", "share": 0.25}, "shadows": [{"version": "3", "sample": 0.25}],
        "rules": [{"header": "x-tenant", "equals": "beta", "version": "2"}], "sticky": {"header": "x-user"},
        "note": "", "warm": False, "instances": 1, "allow_incompatible": False,
    }  # fmt: skip
    puts = [headers["if-match"] for method, path, headers in fake.situation.requests if method == "PUT"]
    assert puts == ['"0"', '"1"', '"2"']


def test_set_replaces_the_whole_plan_where_that_is_asked(run: Run, fake: FakePlatform) -> None:
    """With --replace the options are all there is; with --file the document is."""
    run("traffic", "set", "churn", "--stable", "1", "--canary", "2=10%", "--warm")
    shown = json.loads(run("traffic", "show", "churn", "-o", "json").stdout)
    after = json.loads(run("traffic", "set", "churn", "--replace", "--stable", "3", "-o", "json").stdout)
    assert Plan.from_json(after["plan"]) == Plan("3")
    again = run("traffic", "set", "churn", "--file", "-", "-o", "json", input=json.dumps(shown))
    assert json.loads(again.stdout)["plan"] == shown["plan"]
    assert run("traffic", "set", "churn", "--replace", "--canary", "2=10%").exit_code == 2


def test_set_says_nothing_twice(run: Run, fake: FakePlatform) -> None:
    """Where the plan says so already, no revision is made."""
    run("traffic", "set", "churn", "--stable", "1", "--canary", "2=10%")
    result = run("traffic", "set", "churn", "--canary", "2=10%")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "says so already (revision 1)" in result.stderr
    assert fake.situation.count("PUT") == 1
    assert run("traffic", "set", "churn", "--canary", "2=10%", "--note", "anew").exit_code == 0


def test_set_keeps_to_the_revision_it_shall_expect(run: Run) -> None:
    """Where another one is in force that is said, also if the plan would be the same."""
    run("traffic", "set", "churn", "--stable", "1", "--expect", "0")
    result = run("traffic", "set", "churn", "--stable", "1", "--expect", "0")
    assert (result.exit_code, "revision 1" in result.stderr) == (1, True)
    assert run("traffic", "set", "churn", "--stable", "1", "--expect", "1").exit_code == 0


def test_set_without_a_change_is_wrong_usage(run: Run, fake: FakePlatform) -> None:
    """Nothing named, and a file beside options, are refused before anything is asked."""
    assert run("traffic", "set", "churn").exit_code == 2
    assert run("traffic", "set", "churn", "--note", "x").exit_code == 2
    assert run("traffic", "set", "churn", "--file", "-", "--stable", "1", input='{"stable": "1"}').exit_code == 2
    assert run("traffic", "set", "churn", "--file", "/nope").exit_code == 2
    assert not fake.situation.requests


def test_a_plan_is_shown_whole(run: Run) -> None:
    """Show and history tell the canary, shadows and rules."""
    run("traffic", "set", "churn", "--stable", "1", "--canary", "2=10%", "--shadow", "3", "--rule", "x-t=beta:2")
    shown = run("traffic", "show", "churn").stdout
    assert "canary" in shown and "2 at 10 %" in shown and "100 %" in shown and "rule x-t=beta" in shown
    history = run("traffic", "history", "churn").stdout
    assert "canary 2 at 10 %, shadow 3 at 100 %, rule x-t=beta to 2" in " ".join(history.split())


def test_status_shows_a_change_arriving(run: Run, fake: FakePlatform) -> None:
    """Node by node: whether the plan is there, what is in force instead, and what must load."""
    run("promote", "churn", "1")
    run("promote", "churn", "2")
    fake.situation.nodes = [
        {**NODES[0], "versions": {"2": "ready"}},
        {**NODES[1], "lost": False, "versions": {"1": "ready", "2": "loading"}},
    ]
    shown = run("traffic", "status", "churn").stdout
    assert "arrived on 1 of 2 nodes" in shown
    assert "on its way" in shown and "2=loading" in shown and "1m 15s ago" in shown
    found = json.loads(run("traffic", "status", "churn", "-o", "json").stdout)
    assert (found["arrived"], found["nodes"][1]["awaits"], found["plan"]["stable"]) == (1, ["2"], "2")


def test_nodes_are_listed(run: Run, fake: FakePlatform, client: Client) -> None:
    """With what each has loaded, waits for, and when it was heard of."""
    fake.situation.nodes = NODES
    shown = run("nodes", "list").stdout
    assert "churn 1" in shown and "3.0 MB" in shown and "lost" in shown and "churn 2" in shown
    assert [node.lost for node in client.nodes()] == [False, True]
    assert json.loads(run("nodes", "list", "-o", "json").stdout)[1]["held"][0]["awaits"] == ["2"]


def test_a_shadow_is_judged(run: Run, fake: FakePlatform, client: Client) -> None:
    """The verdict comes first, then numbers, then where both disagree."""
    fake.situation.shadows["churn", "5"] = COMPARISON
    shown = run("traffic", "shadow", "churn", "5").stdout
    assert "no: it failed on 10 of 3,000 requests that were answered" in shown
    assert "12 of 2990 (0.40%)" in shown and "3 ms, 1.5 s" in shown and "evidence 1.40 of 1" in shown
    assert "where they disagree most" in shown and "12 (0.40%)" in shown
    found = client.shadow_comparison("churn", 5)
    assert (found.good_canary, found.outputs[""].relative.p90, len(found.examples)) == (False, None, 1)


def test_what_is_no_shadow_is_told(run: Run) -> None:
    """A version that nothing is copied to is an error with those that are; a shadow that saw nothing yet is none."""
    run("traffic", "set", "churn", "--stable", "1", "--shadow", "3")
    result = run("traffic", "shadow", "churn", "4")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("error: version 4 is no shadow of churn; it has: 3; ")
    shown = run("traffic", "shadow", "churn", "3").stdout
    assert "nobody can say yet" in shown and "nothing counted yet" in shown
    run("traffic", "set", "churn", "--clear-shadows")
    assert "it has none" in run("traffic", "shadow", "churn", "4").stderr
