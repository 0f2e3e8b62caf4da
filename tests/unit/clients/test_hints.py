"""Advice in commands: what the platform says of routes and fields, a person reads as what to type."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from headgate.cli.app import app
from headgate.cli.hints import in_commands
from typer.testing import CliRunner, Result

from tests.support.fake_platform import Failure, FakePlatform


@pytest.mark.parametrize(
    ("code", "said", "told"),
    [
        (
            "not_ready",
            "churn has a canary already; take it out with PUT …/traffic, then start the rollout",
            "take it out with `headgate traffic set churn --clear-canary`, then start",
        ),
        ("not_ready", "churn has no traffic (revision 3); make a plan first", "`headgate promote churn VERSION` makes"),
        ("not_ready", "waits for nobody; promote ends it now", "`headgate rollout promote churn` ends it now"),
        ("no_plan", 'churn has no plan yet; PUT …/traffic with If-Match: "0" makes the first', "`headgate promote ch"),
        (
            "no_plan",
            "churn has no traffic plan, so name a version (/models/churn/versions/<version>/predict) or promote one",
            "so say --version, or `headgate promote churn VERSION` first",
        ),
        ("not_found", "it has no such rollout; GET …/rollouts lists those", "`headgate rollout list churn` lists"),
        ("already_exists", "wait for its end, or promote or abort it", "or `headgate rollout abort churn`"),
        ("incompatible_signature", '"allow_incompatible": true insists', "of `headgate traffic set churn`"),
        ("invalid_argument", "the pauses take 2h, and maxDuration is 1h", "and --max-duration is 1h"),
        ("invalid_argument", "minRequests must be 0 to 1000000", "--min-requests must be 0"),
        ("invalid_argument", "alpha must be above 0 and at most 0.5", "--alpha must be above"),
        ("invalid_input", "setWeight '3' is no percentage", "--steps: '3' is no percentage"),
        ("invalid_argument", "setWeight must not fall from one step", "--steps must not fall from one step"),
        ("invalid_argument", "thresholdRange is for error-rate", "max= of --metric is for error-rate"),
        (
            "invalid_argument",
            "canary.version: version 4 is stable already; name another, or no canary",
            "version 4 cannot be stable and canary at once; name another, or take the canary out with --clear-canary",
        ),
        ("invalid_argument", "thresholdRange.max of latency must be above 0", "max= of --metric latency must be"),
        (
            "invalid_argument",
            "body.rules.0.header: String should match pattern '^[a-z]$'",
            "the header of --rule: this is no header's name, such as x-tenant",
        ),
        ("invalid_argument", "body.sticky.header: a plan is shown", "--sticky: a plan is shown"),
    ],
)  # fmt: skip
def test_advice_is_a_command(code: str, said: str, told: str) -> None:
    """Routes, JSON fields and headers are replaced by what does the same here."""
    found = in_commands(said, code, "churn")
    assert told in found and "…/" not in found


def test_what_is_not_known_stays() -> None:
    """Another code's words, and words of a newer platform, are told as they came."""
    assert in_commands("make a plan first", "internal", "churn") == "make a plan first"
    assert in_commands("something new", "not_ready", "churn") == "something new"


def test_the_model_is_the_one_that_was_asked_for(fake: FakePlatform, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each command knows its model."""
    monkeypatch.setenv("HEADGATE_REGISTRY_URL", fake.registry_url)
    monkeypatch.setenv("HEADGATE_SERVING_URL", fake.serving_url)
    fake.situation.add("churn")
    run: Callable[..., Result] = CliRunner().invoke
    said = "churn has no traffic (revision 3); make a plan first"
    fake.situation.failures.append(
        Failure("POST .*/rollouts", 409, raw=json.dumps({"error": {"code": "not_ready", "message": said}}).encode())
    )
    rolled = run(app, ["rollout", "start", "churn", "1"])
    assert rolled.stderr == "error: churn has no traffic (revision 3); `headgate promote churn VERSION` makes a plan\n"
