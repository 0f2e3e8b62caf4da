"""Rollouts in Python and on the command line: start, look, move, wait, and what the exit code says."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from headgate import (
    AsyncClient,
    Client,
    Conflict,
    InvalidRequest,
    NotFound,
    RolloutSpec,
    Step,
    Timeout,
    flows,
    requests,
    rollout_flows,
)
from headgate.cli.app import app
from headgate.cli.session import Format
from headgate.cli.watch import Watched, watch_all
from headgate.wire import Answer, Done, Now, Pause, step
from typer.testing import CliRunner, Result

from tests.support.fake_platform import Failure, FakePlatform
from tests.support.fake_rollouts import event, rollout_json
from tests.support.terminal import on_terminal

Run = Callable[..., Result]
GOOD: list[dict[str, Any]] = [
    {"step": 1, "weight": 25, "journal": [event("08:10:00", "advanced", "goes on to step 2 of 3 (25 %)", 3)]},
    {"holding": "too little traffic"},
    {"state": "succeeded", "reason": "all 3 steps are over", "weight": 100,
     "journal": [event("08:20:00", "succeeded", "all 3 steps are over", 4)]},
]  # fmt: skip
BAD: list[dict[str, Any]] = [
    {"holding": "9m of its pause are left"},
    {"state": "failed", "reason": "error-rate: 9 of 41 failed", "weight": 0,
     "journal": [event("08:02:00", "failed", "error-rate: 9 of 41 failed", 3)]},
]  # fmt: skip


@pytest.fixture
def run(fake: FakePlatform, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command line against the fake platform, where a model has four versions and a plan."""
    monkeypatch.setenv("HEADGATE_REGISTRY_URL", fake.registry_url)
    monkeypatch.setenv("HEADGATE_SERVING_URL", fake.serving_url)
    fake.situation.add("churn", 4)
    return lambda *words, **more: CliRunner().invoke(app, list(words), **more)


def going(fake: FakePlatform, **more: Any) -> dict[str, Any]:
    """Let a rollout of ``churn`` go on."""
    found = fake.situation.find("churn").rollouts
    found.append(rollout_json(id=f"{len(found) + 1:032x}", journal=[event("08:00:00", "started", "x", 2)], **more))
    return found[-1]


def test_a_rollout_lives(client: Client, fake: FakePlatform) -> None:
    """Start, look, pause, resume and abort by the model's name alone; a second one conflicts."""
    fake.situation.add("churn", 4)
    client.promote("churn", 3)
    spec = RolloutSpec("4", (Step(5, "10m"), Step(50, "10m")), note="new features")
    started = client.start_rollout("churn", spec)
    assert (started.state, started.stable, started.asked.steps) == ("running", "3", spec.steps)
    with pytest.raises(Conflict) as caught:
        client.start_rollout("churn", spec)
    assert caught.value.code == "already_exists"
    assert client.rollout("churn").id == client.rollout("churn", started.id).id == started.id
    assert client.pause_rollout("churn", why="lunch").journal[-1].message == "lunch"
    assert client.resume_rollout("churn").state == "running"
    assert client.abort_rollout("churn", started.id, why="wrong").reason == "wrong"
    assert [r.state for r in client.rollouts("churn")] == ["aborted"]
    with pytest.raises(Conflict, match=r"no rollout of churn is going on; the last one \(version 4\) has aborted"):
        client.promote_rollout("churn")
    assert client.wait_for_rollout("churn").state == "aborted"


def test_without_a_rollout_the_way_to_one_is_told(client: Client, fake: FakePlatform) -> None:
    """Nothing to look at, and an id that could bend a URL, are errors that say what would be right."""
    fake.situation.add("churn")
    with pytest.raises(NotFound, match="headgate rollout start churn VERSION"):
        client.rollout("churn")
    with pytest.raises(InvalidRequest, match="no rollout's id"):
        client.rollout("churn", "../1")


def test_the_asynchronous_client_does_the_same(fake: FakePlatform) -> None:
    """One walk through the verbs of traffic and rollouts."""
    fake.situation.add("churn", 4)
    fake.situation.nodes = []

    async def tour() -> list[object]:
        async with AsyncClient(fake.registry_url, fake.serving_url) as client:
            await client.promote("churn", 3)
            await client.start_rollout("churn", RolloutSpec("4"))
            await client.pause_rollout("churn")
            await client.resume_rollout("churn")
            states = [(await client.rollout("churn")).state, len(await client.rollouts("churn"))]
            await client.promote_rollout("churn")
            ended = await client.wait_for_rollout("churn", timeout=5)
            status = await client.traffic_status("churn")
            shadow = await client.shadow_comparison("churn", 1)
            return [*states, ended.state, status.revision, shadow.good_canary, await client.nodes()]

    assert asyncio.run(tour()) == ["running", 1, "succeeded", 1, None, []]


def test_waiting_looks_on_and_never_forever() -> None:
    """Looks come further and further apart, and the deadline is the caller's."""
    flow = rollout_flows.wait("churn", "1", 1.0)
    body = json.dumps(rollout_json()).encode()
    assert step(flow, None, None) == Now()
    assert step(flow, 0.0, None) == requests.get_rollout("churn", "1")
    assert step(flow, Answer(200, {}, body, "u"), None) == Now()
    assert step(flow, 0.1, None) == Pause(0.25)
    step(flow, None, None)
    step(flow, Answer(200, {}, body, "u"), None)
    with pytest.raises(Timeout, match="still running after 1 s and goes on"):
        step(flow, 0.9, None)
    ended = rollout_flows.wait("churn", None, None)
    step(ended, None, None)
    step(ended, 0.0, None)
    done = json.dumps(rollout_json(state="failed")).encode()
    listed = json.dumps({"rollouts": [rollout_json(state="failed")]}).encode()
    assert step(ended, Answer(200, {}, listed, "u"), None) == requests.get_rollout("churn", "1" * 32)
    end = step(ended, Answer(200, {}, done, "u"), None)
    assert isinstance(end, Done) and end.value.state == "failed"
    assert flows.READ_ATTEMPTS > 1  # outages between looks are what a read's own attempts are for


def test_start_says_what_is_next(run: Run, fake: FakePlatform) -> None:
    """A rollout begins with the options that were said, is drawn, and watching it is offered."""
    result = run("rollout", "start", "churn", "4", "--steps", "5:10m,50:10m", "--metric", "error-rate:1.25:max=0.02")
    assert result.exit_code == 0, result.output
    assert "5 %" in result.stdout and "next: headgate rollout watch churn" in result.stderr
    asked = fake.situation.find("churn").rollouts[0]
    assert asked["metrics"] == [{"name": "error-rate", "tolerance": 1.25, "thresholdRange": {"max": 0.02}}]
    assert run("rollout", "start", "churn", "4").exit_code == 1
    assert run("rollout", "start", "churn", "4", "--steps", "soon").exit_code == 2
    assert run("rollout", "start", "churn", "4", "--timeout", "3").exit_code == 2


@pytest.mark.parametrize(("turns", "code"), [(GOOD, 0), (BAD, 1)])
def test_waiting_ends_with_the_outcome(run: Run, fake: FakePlatform, turns: list[Any], code: int) -> None:
    """With --wait the journal goes by on stderr, the end is on stdout, and the exit code says which."""
    fake.situation.turns = list(turns)
    result = run("rollout", "start", "churn", "4", "--wait", "--every", "0.05", "-o", "json")
    assert result.exit_code == code
    assert json.loads(result.stdout)["state"] == turns[-1]["state"]
    assert turns[-1]["reason"] in result.stderr


def test_waiting_too_short_is_an_error(run: Run, fake: FakePlatform) -> None:
    """The rollout goes on; that is said, with exit code 1."""
    result = run("rollout", "start", "churn", "4", "--wait", "--timeout", "0.02", "--every", "0.05")
    assert result.exit_code == 1
    assert "still running after 0.02 s and goes on" in result.stderr


def test_watching_without_a_terminal_prints_a_line_an_event(run: Run, fake: FakePlatform) -> None:
    """No control codes, nothing twice, the outcome last; an outage is told once, and looked through."""
    going(fake)
    fake.situation.turns = list(GOOD)
    fake.situation.failures = [Failure("GET .*/rollouts/", 503, "shutting_down", times=2)]
    result = run("rollout", "watch", "churn", "--every", "0.05")
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "08:00:00  x (revision 2)",
        "08:10:00  goes on to step 2 of 3 (25 %) (revision 3)",
        "08:20:00  all 3 steps are over (revision 4)",
        "churn version 4 is stable now: all 3 steps are over",
    ]
    assert result.stderr.count("cannot look") == 1


def test_following_goes_from_one_rollout_to_the_next(
    client: Client, fake: FakePlatform, capsys: pytest.CaptureFixture[str]
) -> None:
    """What had ended before is left alone, what begins is shown until it ends, and then the next; Ctrl-C ends it."""
    fake.situation.add("churn", 4)
    going(fake, state="failed", reason="long ago")
    fake.situation.turns = list(BAD)
    naps = iter((lambda: going(fake), lambda: None, lambda: going(fake, state="succeeded", reason="so quick")))

    def nap(_: float) -> None:
        for happening in naps:
            happening()
            return
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        watch_all(client, Watched("churn", nap=nap), Format.TABLE)
    shown = capsys.readouterr()
    assert "no rollout of churn is going on; the next one is shown here" in shown.err
    assert [line for line in shown.out.splitlines() if line.startswith("churn")] == [
        "churn version 4 was rolled back and 3 has all traffic again: error-rate: 9 of 41 failed",
        "churn version 4 is stable now: so quick",
    ]


def test_following_is_for_all_rollouts(run: Run, fake: FakePlatform) -> None:
    """An id or a deadline beside it is wrong usage."""
    assert run("rollout", "watch", "churn", "--follow", "--timeout", "1").exit_code == 2
    assert run("rollout", "watch", "churn", "1", "--follow").exit_code == 2
    assert not fake.situation.requests


def test_watching_as_json_prints_an_object_an_event(run: Run, fake: FakePlatform) -> None:
    """Each line is one event; the exit code tells the end."""
    going(fake)
    fake.situation.turns = list(BAD)
    result = run("rollout", "watch", "churn", "--every", "0.05", "-o", "json")
    assert result.exit_code == 1
    assert [json.loads(line)["event"] for line in result.stdout.splitlines()] == ["started", "failed"]


def test_status_list_and_verbs(run: Run, fake: FakePlatform) -> None:
    """What a person does to a rollout is told in a line, and what it is in a picture or JSON."""
    going(fake, state="failed", reason="worse")
    going(fake)
    assert "churn: version 3" in run("rollout", "status", "churn").stdout
    assert json.loads(run("rollout", "status", "churn", f"{1:032x}", "-o", "json").stdout)["state"] == "failed"
    listed = run("rollout", "list", "churn").stdout
    assert "running" in listed and "worse" in listed
    assert "paused, at 25 %" in run("rollout", "pause", "churn", "--why", "lunch").stderr
    assert "is running" in run("rollout", "resume", "churn").stderr
    assert "is stable now: seen enough" in run("rollout", "promote", "churn", "--why", "seen enough").stderr
    again = run("rollout", "abort", "churn")
    assert (again.exit_code, "no rollout of churn is going on" in again.stderr) == (1, True)


@pytest.mark.parametrize("columns", [60, 100])
def test_a_terminal_shows_a_picture(fake: FakePlatform, columns: int) -> None:
    """On a terminal the picture is drawn anew until the end, within its width, and the end is its last state."""
    fake.situation.add("churn", 4)
    going(fake)
    fake.situation.turns = list(BAD)
    code, shown = on_terminal(fake, "rollout", "watch", "churn", "--every", "0.05", columns=columns)
    assert code == 1
    assert all(len(line) <= columns for line in re.split(r"[\r\n]+", shown))
    last = shown.rpartition("churn: version 3 → 4")[2]
    assert "failed" in last and "9 of 41" in last and "waits" not in last
