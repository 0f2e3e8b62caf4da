"""What ``rollout start`` is told, as what the registry is asked. Pure."""

from __future__ import annotations

import json

import pytest
import typer
from headgate import Metric, Rollout, RolloutSpec, Step
from headgate.cli.rollout_options import Asked, metric, seconds, spec, steps

from tests.support.fake_rollouts import rollout_json


def test_steps_are_weights_and_pauses() -> None:
    """Percent and pause; without a pause a step waits for somebody."""
    assert steps("5:10m, 25%:1h30m,50") == (Step(5, "10m"), Step(25, "1h30m"), Step(50))


@pytest.mark.parametrize("text", ["", "x:10m", "5:", "5:soon", "101:10m", "-1:10m", "5:10m,", "nan:10m"])
def test_what_are_no_steps_is_refused(text: str) -> None:
    """A mistake is named before anything is sent."""
    with pytest.raises(typer.BadParameter):
        steps(text)


def test_metrics_have_a_tolerance_and_a_limit() -> None:
    """Both may be left to the platform."""
    assert metric("latency") == Metric("latency")
    assert metric("error-rate:1.25:max=0.02") == Metric("error-rate", 1.25, 0.02)
    assert metric("invalid:max=0.01") == Metric("invalid", None, 0.01)
    for text in ("errors", "latency:fast", "latency:1:max=x"):
        with pytest.raises(typer.BadParameter):
            metric(text)


def test_only_what_was_said_is_asked() -> None:
    """Defaults that are the platform's are not sent."""
    assert spec("4", Asked(), None).to_json() == {
        "version": "4",
        "steps": [
            {"setWeight": 5, "pause": "10m"},
            {"setWeight": 25, "pause": "10m"},
            {"setWeight": 50, "pause": "30m"},
        ],
    }
    asked = Asked("100:1s", ["latency:2"], 0.01, 50, "2s", "1h", "why", allow_incompatible=True)
    assert spec("4", asked, None).to_json() == {
        "version": "4", "steps": [{"setWeight": 100, "pause": "1s"}],
        "metrics": [{"name": "latency", "tolerance": 2.0}], "alpha": 0.01, "minRequests": 50, "interval": "2s",
        "maxDuration": "1h", "note": "why", "allow_incompatible": True,
    }  # fmt: skip


def test_options_win_over_the_file() -> None:
    """The document is the rollout, and what is said beside it holds."""
    document = json.dumps({"steps": [{"setWeight": 10, "pause": 600}], "alpha": 0.01, "interval": "10s"})
    found = spec("4", Asked(alpha=0.1), document)
    assert found == RolloutSpec("4", (Step(10, "600000ms"),), alpha=0.1, interval="10s")


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ('{"version": "5"}', "about version '5', not 4"),
        ('{"minrequests": 5}', "no field 'minrequests'"),
        ('{"steps": [{"weight": 5}]}', "'setWeight' is missing|missing"),
        ('{"steps": [{"setWeight": 5, "paus": "1m"}]}', "no field 'paus'"),
        ('{"metrics": [{"name": "latency", "thresholdRange": {"min": 1}}]}', "no field 'min'"),
    ],
)
def test_a_file_with_a_mistake_is_refused(document: str, message: str) -> None:
    """A misspelt field would be lost silently, so it is refused and named."""
    with pytest.raises(typer.BadParameter, match=message):
        spec("4", Asked(), document)


def test_what_the_registry_shows_can_be_asked_again() -> None:
    """The contract's form of a rollout reads back as what was asked."""
    asked = Rollout.from_json(rollout_json()).asked
    assert asked.metrics == (Metric("error-rate", 1.25, 0.02),)
    assert asked.steps[2] == Step(50, None)
    assert RolloutSpec.from_json(asked.to_json()) == asked


def test_durations_are_seconds() -> None:
    """For the clock on the wall; what is no duration is none."""
    assert [seconds(text) for text in ("1h30m", "1500ms", "10s", None, "", "soon")] == [5400, 1.5, 10, None, None, None]
