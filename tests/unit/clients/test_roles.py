"""Who gets what of a model's traffic, in lists; and documents that can be sent back."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from headgate import Canary, Plan, Rollout, RolloutSpec, Rule, Shadow, Version
from headgate.cli.app import app
from headgate.cli.plans import in_short
from headgate.cli.rollout_options import Asked, spec
from typer.testing import CliRunner, Result

from tests.support.fake_platform import FakePlatform
from tests.support.fake_rollouts import rollout_json

Run = Callable[..., Result]
FULL = ("--stable", "1", "--canary", "2=10%", "--shadow", "3", "--rule", "x-t=beta:2")


@pytest.fixture
def run(fake: FakePlatform, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command line against the fake platform."""
    monkeypatch.setenv("HEADGATE_REGISTRY_URL", fake.registry_url)
    monkeypatch.setenv("HEADGATE_SERVING_URL", fake.serving_url)
    fake.situation.add("churn", 4)
    return lambda *words, **more: CliRunner().invoke(app, list(words), **more)


def test_a_plan_in_short() -> None:
    """Stable by its number, then what is beside it: the canary with its share, the rest counted."""
    canary, shadows = Canary("2", 0.1), (Shadow("3"), Shadow("4"))
    assert in_short(None) is None
    assert in_short(Plan("1")) == "1"
    assert in_short(Plan("1", canary, shadows, (Rule("x", "y", "2"),))) == "1, canary 2 at 10 %, 2 shadows, 1 rule"


def test_versions_say_what_the_plan_names_them(run: Run) -> None:
    """The platform's own words stand in the list; an older platform only says who is stable."""
    run("traffic", "set", "churn", *FULL)
    listed = " ".join(run("versions", "list", "churn").stdout.split())
    assert "2 ready canary 10%, rule" in listed and "3 ready shadow" in listed and "1 ready stable" in listed
    old = {"model": "churn", "version": "1", "state": "ready"}
    assert Version.from_json({**old, "stable": True}).traffic == ("stable",)
    assert Version.from_json(old).traffic == ()


def test_models_and_status_say_who_gets_what(run: Run, fake: FakePlatform) -> None:
    """One line for a plan, and the rollout that moves it; nobody without a canary is asked for one."""
    run("traffic", "set", "churn", *FULL)
    fake.situation.add("other")
    fake.situation.find("churn").rollouts.append(rollout_json())
    said = "1, canary 2 at 10 %, 1 shadow, 1 rule"
    assert said in run("models", "show", "churn").stdout
    assert said in run("models", "list").stdout
    assert f"{said}; rollout of 4 running" in " ".join(run("status").stdout.split())
    assert not fake.situation.count("GET .*/other/rollouts")


def test_a_rollout_as_json_can_be_asked_for_again(run: Run, fake: FakePlatform) -> None:
    """What is printed has the contract's names, and a file with it starts the same once more."""
    fake.situation.find("churn").rollouts.append(rollout_json(state="failed"))
    shown = run("rollout", "status", "churn", "-o", "json").stdout
    document = json.loads(shown)
    assert document["steps"][2] == {"setWeight": 50.0, "pause": None}
    assert (document["minRequests"], document["maxDuration"], document["state"]) == (200, "24h", "failed")
    assert document.keys() >= rollout_json().keys()
    assert spec("4", Asked(), shown) == Rollout.from_json(rollout_json()).asked
    assert run("rollout", "start", "churn", "4", "--file", "-", input=shown).exit_code == 0
    assert json.loads(run("rollout", "list", "churn", "-o", "json").stdout)[0]["interval"] == "30s"
    assert RolloutSpec.from_json(document).metrics == Rollout.from_json(document).asked.metrics
