"""Numbers and lengths of time on the command line: what is none is wrong usage, told in words."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from headgate import Client, InvalidRequest, RolloutSpec
from headgate.cli.app import app
from typer.testing import CliRunner, Result

from tests.support.fake_platform import FakePlatform

Run = Callable[..., Result]


@pytest.fixture
def run(fake: FakePlatform, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command line against the fake platform."""
    monkeypatch.setenv("HEADGATE_REGISTRY_URL", fake.registry_url)
    monkeypatch.setenv("COLUMNS", "80")
    return lambda *words: CliRunner().invoke(app, list(words))


@pytest.mark.parametrize("number", ["nan", "inf", "-inf"])
@pytest.mark.parametrize(
    "words",
    [
        ("rollout", "start", "churn", "4", "--alpha"),
        ("rollout", "start", "churn", "4", "--wait", "--every"),
        ("rollout", "start", "churn", "4", "--wait", "--timeout"),
        ("rollout", "watch", "churn", "--timeout"),
        ("versions", "admit", "churn", "1", "--timeout"),
        ("register", "runs:/a/m", "--name", "churn", "--timeout"),
    ],
    ids=" ".join,
)
def test_a_number_that_is_none_is_wrong_usage(
    run: Run, fake: FakePlatform, words: tuple[str, ...], number: str
) -> None:
    """NaN and infinity end with 2 before anybody is asked."""
    result = run(*words, number)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "Traceback" not in result.stderr and not fake.situation.requests


@pytest.mark.parametrize(
    ("words", "right"),
    [
        (("--alpha", "1"), "alpha is above 0 and below 1"),
        (("--alpha", "0"), "alpha is above 0 and below 1"),
        (("--metric", "latency:inf"), "no number"),
        (("--metric", "latency:max=nan"), "no number"),
        (("--interval", "30"), "do you mean 30s or 30m?"),
        (("--max-duration", "2"), "do you mean 2s or 2m?"),
        (("--steps", "5:10"), "do you mean 10s or 10m?"),
        (("--steps", "5:10m 25:10m"), "separate steps by commas, not spaces: '5:10m,25:10m'"),
        (("--steps", "5:10m, 25 50"), "separate steps by commas"),
    ],
)
def test_what_would_be_right_is_said(run: Run, words: tuple[str, ...], right: str) -> None:
    """A near miss gets the spelling that holds."""
    result = run("rollout", "start", "churn", "4", *words)
    assert (result.exit_code, right in " ".join(result.stderr.replace("│", " ").split())) == (2, True)


def test_the_client_refuses_what_json_cannot_say(client: Client, fake: FakePlatform) -> None:
    """In Python it is an error of the tree, not of the JSON library."""
    fake.situation.add("churn")
    with pytest.raises(InvalidRequest, match="NaN and infinity"):
        client.start_rollout("churn", RolloutSpec("1", alpha=float("nan")))


@pytest.mark.parametrize("words", [("rollout", "start"), ("traffic", "set"), ("promote",), ("rollout", "watch")])
def test_no_help_is_cut(run: Run, words: tuple[str, ...]) -> None:
    """In 80 columns every option and every word of its help is whole."""
    assert "…" not in run(*words, "--help").stdout


def test_the_help_of_a_rollout_has_its_defaults(run: Run) -> None:
    """What is not said is known before it is started."""
    shown = run("rollout", "start", "--help").stdout
    told = " ".join(shown.replace("│", " ").split())
    for words in (
        "Default: 5:10m,25:10m,50:30m",
        "Default: 200",
        "Default: 30s",
        "Default: 24h",
        "Default: 0.05",
        "Default: error-rate, latency and invalid at 1.25",
        "of latency is in seconds",
    ):
        assert words in told
