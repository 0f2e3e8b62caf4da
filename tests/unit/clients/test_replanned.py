"""What a change of a plan is told with: before and now, where it went back to, the rollout that it ends."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from headgate.cli.app import app
from typer.testing import CliRunner, Result

from tests.support.fake_platform import FakePlatform
from tests.support.fake_rollouts import rollout_json

Run = Callable[..., Result]


@pytest.fixture
def run(fake: FakePlatform, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command line against the fake platform, where version 1 of four is stable."""
    monkeypatch.setenv("HEADGATE_REGISTRY_URL", fake.registry_url)
    monkeypatch.setenv("HEADGATE_SERVING_URL", fake.serving_url)
    monkeypatch.setenv("COLUMNS", "200")
    fake.situation.add("churn", 5)

    def invoke(*words: str, **more: str) -> Result:
        return CliRunner().invoke(app, list(words), **more)  # type: ignore[arg-type]  # only input is given

    invoke("traffic", "set", "churn", "--stable", "1", "--canary", "2=10%", "--shadow", "3", "--rule", "x-t=beta:4")
    return invoke


def rows(result: Result) -> list[list[str]]:
    """Return the words of each line of the table below the first line, headings left out."""
    return [line.split() for line in result.stdout.splitlines()[3:]]


def test_promoting_says_what_it_changed(run: Run) -> None:
    """Stable and the canary are named with before and now; what stays is not."""
    result = run("promote", "churn", "2")
    assert result.stdout.splitlines()[0] == "churn: revision 1 → 2"
    assert rows(result) == [["stable", "1", "2"], ["canary", "2", "at", "10", "%", "-"]]
    shown = run("traffic", "show", "churn").stdout
    assert "shadow 3" in shown and "rule x-t=beta" in shown


def test_promoting_says_what_stays(run: Run) -> None:
    """The help of ``promote`` tells what it does to the rest of the plan."""
    told = " ".join(run("promote", "--help").stdout.split())
    assert "take the canary away" in told and "Rules, other shadows" in told and "ends by this" in told


def test_going_back_and_clearing_say_what_they_changed(run: Run) -> None:
    """Where the plan came from is in the first line; taking all away shows what was there."""
    run("promote", "churn", "2")
    back = run("rollback", "churn")
    assert back.stdout.splitlines()[0] == "churn: revision 2 → 3: the plan of revision 1"
    assert ["canary", "-", "2", "at", "10", "%"] in rows(back)
    assert rows(run("traffic", "clear", "churn"))[0] == ["stable", "1", "nobody"]
    again = run("traffic", "clear", "churn")
    assert (again.exit_code, again.stdout, again.stderr) == (0, "", "churn: nobody has traffic already\n")


@pytest.mark.parametrize(
    "words",
    [
        ("promote", "churn", "4"),
        ("traffic", "set", "churn", "--canary", "4=50%"),
        ("rollback", "churn", "--revision", "1"),
        ("traffic", "clear", "churn"),
    ],
    ids=" ".join,
)
def test_a_rollout_that_ends_by_it_is_told(run: Run, fake: FakePlatform, words: tuple[str, ...]) -> None:
    """One line on stderr, after the change, while a rollout goes on; none otherwise."""
    fake.situation.find("churn").rollouts.append(rollout_json())
    assert run(*words).stderr.splitlines()[-1] == "the rollout of version 4 ends by this"
    fake.situation.find("churn").rollouts[0]["state"] = "aborted"
    assert "rollout" not in run("promote", "churn", "3").stderr


@pytest.mark.parametrize(
    "words",
    [
        ("--clear-canary", "--canary", "2=10%"),
        ("--clear-sticky", "--sticky", "x-user"),
        ("--warm", "--no-warm"),
        ("--allow-incompatible", "--no-allow-incompatible"),
    ],
)
def test_out_and_in_contradict_each_other(run: Run, words: tuple[str, ...]) -> None:
    """What there is one of cannot be taken out and put in at once, nor said and unsaid."""
    result = run("traffic", "set", "churn", *words)
    assert (result.exit_code, "say one of them" in " ".join(result.stderr.split())) == (2, True)


def test_a_setting_is_said_and_unsaid(run: Run) -> None:
    """Warmth and what may be incompatible stay from plan to plan until they are taken back."""
    run("traffic", "set", "churn", "--warm", "--allow-incompatible")
    shown = run("traffic", "show", "churn").stdout
    assert "warm" in shown and "incompatible" in shown
    run("traffic", "set", "churn", "--no-warm", "--no-allow-incompatible")
    shown = run("traffic", "show", "churn").stdout
    assert "warm" not in shown and "incompatible" not in shown


@pytest.mark.parametrize(
    ("option", "form"),
    [("--canary", "write VERSION=SHARE, as 4=10%"), ("--shadow", "write VERSION or VERSION=SAMPLE, as 5=25%")],
)
def test_a_part_without_a_version_gets_the_form(run: Run, option: str, form: str) -> None:
    """An empty value is wrong usage, answered with the form that is right."""
    result = run("traffic", "set", "churn", option, "=")
    assert (result.exit_code, form in " ".join(result.stderr.replace("│", " ").split())) == (2, True)
    assert run("traffic", "set", "churn", "--rule", "x=y:").exit_code == 2


def test_naming_nothing_gets_what_there_is_to_name(run: Run) -> None:
    """Every part of a plan stands in the answer."""
    result = run("traffic", "set", "churn")
    assert result.exit_code == 2
    for option in ("--stable", "--canary", "--shadow", "--rule", "--sticky", "--clear-canary", "--file"):
        assert option in result.stderr


@pytest.mark.parametrize(
    ("document", "named"),
    [
        ('{"stable": "2", "stable": "3"}', "'stable' is there twice"),
        ('{"stable": "2", "canary": {"version": "3", "share": 0.1, "share": 0.9}}', "'share' is there twice"),
        ('{"stable": "2", "canary": {"version": "3", "share": NaN}}', "NaN is no JSON number"),
        ('{"stable": "2", "canary": {"version": "3", "share": 1e999}}', "too large"),
        ("[" * 100_000, "not JSON"),
    ],
)
def test_a_file_that_says_two_things_is_refused(run: Run, document: str, named: str) -> None:
    """A key that is there twice and a number that is none are wrong usage, told by their name."""
    for words in (("traffic", "set", "churn"), ("rollout", "start", "churn", "4")):
        result = run(*words, "--file", "-", input=document)
        assert (result.exit_code, named in " ".join(result.stderr.replace("│", " ").split())) == (2, True)
