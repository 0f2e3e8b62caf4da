"""Where a version stands on the serving node, and plans that say more than who is stable."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

import pytest
from headgate import Client
from headgate.cli.app import app
from typer.testing import CliRunner, Result

from tests.support.fake_platform import Failure, FakePlatform, free_port

Run = Callable[..., Result]
QUARANTINED = {
    "state": "quarantined",
    "reason": "model_quarantined: it died 5 times",
    "crashes": 5,
    "memory_bytes": 0,
    "last_output": ["Fatal Python error: \x1b[31mSegmentation fault", "  in predict"],
}


@pytest.fixture
def run(fake: FakePlatform, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command line against the fake platform."""
    monkeypatch.setenv("HEADGATE_REGISTRY_URL", fake.registry_url)
    monkeypatch.setenv("HEADGATE_SERVING_URL", fake.serving_url)
    return lambda *words: CliRunner().invoke(app, list(words))


def test_a_version_shows_what_its_process_printed_last(run: Run, fake: FakePlatform) -> None:
    """``versions show`` tells the state on the serving node, why, and the last lines, which steer no terminal."""
    fake.situation.add("churn")
    fake.situation.served = QUARANTINED
    shown = run("versions", "show", "churn", "1").stdout
    assert re.search("on serving +quarantined", shown)
    assert "it died 5 times" in shown
    assert "  Fatal Python error: �[31mSegmentation fault\n    in predict\n" in shown
    told = json.loads(run("versions", "show", "churn", "1", "-o", "json").stdout)["served"]
    assert (told["state"], told["crashes"], len(told["last_output"])) == ("quarantined", 5, 2)


def test_a_version_is_shown_without_serving(run: Run, fake: FakePlatform, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the serving node is away or does not answer, the rest is shown, and why that is missing."""
    fake.situation.add("churn")
    fake.situation.failures = [Failure("GET /models/churn/versions/1", 403, "forbidden")]
    assert "unknown: arranged: forbidden" in run("versions", "show", "churn", "1").stdout
    monkeypatch.setenv("HEADGATE_SERVING_URL", f"http://127.0.0.1:{free_port()}")
    result = run("versions", "show", "churn", "1")
    assert result.exit_code == 0
    assert re.search("on serving +unknown", result.stdout)
    assert json.loads(run("versions", "show", "churn", "1", "-o", "json").stdout)["served"] is None


def test_a_version_that_is_not_ready_is_not_asked_for(run: Run, fake: FakePlatform) -> None:
    """Serving knows nothing of a version that may not answer."""
    fake.situation.add("churn", state="pending")
    fake.situation.checks_left = 100
    assert "on serving" not in run("versions", "show", "churn", "1").stdout
    assert not fake.situation.count("GET /models/churn/versions/1$")


def test_promoting_keeps_what_the_plan_before_said(client: Client, fake: FakePlatform) -> None:
    """Warmth and instances stay from plan to plan until they are said anew."""
    fake.situation.add("churn", 3)
    plain = client.promote("churn", 1)
    warm = client.promote("churn", 2, warm=True, instances=4)
    kept = client.promote("churn", 3)
    mixed = client.promote("churn", 3, warm=False)
    plans = [revision.plan for revision in (plain, warm, kept, mixed)]
    told = [(plan.stable, plan.warm, plan.instances) for plan in plans if plan is not None]
    assert told == [("1", False, 1), ("2", True, 4), ("3", True, 4), ("3", False, 4)]


def test_the_command_line_says_warm_and_instances(run: Run, fake: FakePlatform) -> None:
    """Options set them, and the plan shows them where they are not as usual."""
    fake.situation.add("churn")
    shown = " ".join(run("promote", "churn", "1", "--warm", "--instances", "2").stdout.split())
    assert "warm - yes" in shown
    assert "instances - 2" in shown
    run("promote", "churn", "1", "--no-warm", "--instances", "1")
    assert "warm" not in run("traffic", "show", "churn").stdout
    assert run("promote", "churn", "1", "--instances", "65").exit_code == 2
