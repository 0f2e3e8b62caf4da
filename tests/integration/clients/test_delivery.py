"""Plans, their arrival, and rollouts of the real platform, through SDK and command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import replace

import pytest
from headgate import (
    Canary,
    Client,
    Conflict,
    HeadgateError,
    NotFound,
    Plan,
    RevisionConflict,
    RolloutSpec,
    Rule,
    Shadow,
    Step,
)
from headgate.estimators import save
from sklearn.datasets import load_diabetes
from sklearn.tree import DecisionTreeRegressor

from tests.support.platform import Platform

pytestmark = [pytest.mark.integration, pytest.mark.filterwarnings("ignore")]

X, Y = load_diabetes(as_frame=True, return_X_y=True)
ROW = X.head(1)


@pytest.fixture(scope="module")
def client(platform: Platform) -> Iterator[Client]:
    """Give a client of the real platform."""
    with Client(platform.registry_url, platform.serving_url) as opened:
        yield opened


@pytest.fixture(scope="module")
def model(client: Client, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Give a model with three versions that predict alike, all of them loaded."""
    name = f"delivery-{uuid.uuid4().hex[:12]}"
    for seed in range(3):
        tree = DecisionTreeRegressor(max_depth=4, random_state=seed).fit(X, Y)
        client.register(save(tree, tmp_path_factory.mktemp("saved") / "model", X), name=name)
    _loaded(client, name)
    return name


@pytest.fixture
def name(client: Client, model: str) -> str:
    """Give the model with all traffic at its first version."""
    client.set_traffic(model, Plan("1"))
    return model


def _loaded(client: Client, model: str) -> None:
    for version in ("1", "2", "3"):
        deadline = time.monotonic() + 60
        while True:
            try:
                client.predict(model, ROW, version=version)
                break
            except HeadgateError as error:
                if error.code != "loading" or time.monotonic() > deadline:
                    raise
                time.sleep(0.2)


def run(platform: Platform, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a command line against the real platform."""
    env = os.environ | {"HEADGATE_REGISTRY_URL": platform.registry_url, "HEADGATE_SERVING_URL": platform.serving_url}
    return subprocess.run([sys.executable, "-m", "headgate.cli", *words], env=env, capture_output=True, text=True)


def test_a_whole_plan_goes_there_and_back(client: Client, name: str) -> None:
    """What the platform shows of a plan is what was sent, and can be sent again; a conflict says who was faster."""
    plan = Plan("1", Canary("2", 0.25), (Shadow("3", 0.5),), (Rule("x-tenant", "beta", "3"),), "x-user", "try")
    made = client.set_traffic(name, plan)
    assert made.plan == plan == client.traffic(name).plan
    with pytest.raises(RevisionConflict, match="made by api at") as caught:
        client.set_traffic(name, plan, expect=made.revision - 1)
    assert caught.value.revision == made.revision
    assert client.history(name)[0].plan == plan
    # Whoever promotes has decided on the canary, and on nothing else in the plan.
    assert client.promote(name, 2).plan == replace(plan, stable="2", canary=None, note="")


def test_a_change_is_seen_to_arrive(client: Client, name: str, platform: Platform) -> None:
    """The node tells what it follows, the status says so, and its answers name the arm."""
    done = run(platform, "traffic", "set", name, "--canary", "2=100%", "--note", "all of it")
    assert done.returncode == 0, done.stderr
    assert "2 at 100 %" in done.stdout
    deadline = time.monotonic() + 30
    while client.traffic_status(name).arrived < 1:
        assert time.monotonic() < deadline, client.traffic_status(name)
        time.sleep(0.1)
    answer = client.predict_response(name, ROW)
    assert (answer.version, answer.arm) == ("2", "canary")
    assert "arrived on 1 of 1 nodes" in run(platform, "traffic", "status", name).stdout
    assert any(v.model == name for node in client.nodes() for v in node.versions)
    listed = json.loads(run(platform, "nodes", "list", "-o", "json").stdout)
    assert not listed[0]["lost"]


def test_what_was_not_shadowed_has_no_verdict(client: Client, name: str) -> None:
    """A version that never was a shadow is compared with nothing; one that is not there is not found."""
    assert client.shadow_comparison(name, 2).good_canary is None
    with pytest.raises(NotFound):
        client.shadow_comparison(name, 9)


def test_a_shadow_is_compared(client: Client, name: str, platform: Platform) -> None:
    """What a shadow answered beside the primary is told, with what both took, output by output."""
    client.set_traffic(name, Plan("1", shadows=(Shadow("2", 1.0),)))
    deadline = time.monotonic() + 60
    while (found := client.shadow_comparison(name, 2)).outcomes.get("compared", 0) < 20:
        assert time.monotonic() < deadline, found.outcomes
        client.predict(name, X.sample(5))  # copies count once the shadow is loaded, and are told every ten seconds
        time.sleep(0.05)
    assert sum(one.compared for one in found.outputs.values()) >= 100
    assert found.latency["shadow"].p50 is not None and found.since is not None
    shown = run(platform, "traffic", "shadow", name, "2").stdout
    assert "good canary" in shown and "compared=" in shown and "shadow p50, p99" in shown


def test_a_rollout_ends_by_itself(client: Client, name: str, platform: Platform) -> None:
    """By its steps the version gets its share, and is stable at the end; the exit code says so."""
    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set():
            client.predict(name, X.sample(1))

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        done = run(
            platform, "rollout", "start", name, "2", "--steps", "50:1s", "--min-requests", "1", "--interval", "500ms",
            "--metric", "error-rate", "--metric", "invalid", "--wait", "--timeout", "90", "--every", "0.2",
        )  # fmt: skip
    finally:
        stop.set()
        asking.join()
    assert done.returncode == 0, done.stderr
    assert "begins at step 1 of 1 (50 %)" in done.stderr
    assert f"{name} version 2 is stable now" in done.stdout
    assert client.traffic(name).stable == "2"
    ended = client.rollout(name)
    assert (ended.state, ended.weight, ended.arms["canary"].errors) == ("succeeded", 100, 0)
    assert ended.arms["canary"].requests >= 1
    watched = run(platform, "rollout", "watch", name)
    assert (watched.returncode, watched.stdout.splitlines()[-1][: len(name)]) == (0, name)


def test_a_person_has_the_last_word(client: Client, name: str, platform: Platform) -> None:
    """Pause, resume, abort and promote do what they say, once; the second rollout needs the first to end."""
    spec = RolloutSpec("2", (Step(10, None), Step(50, "10m")), note="by hand")
    started = client.start_rollout(name, spec)
    assert (started.weight, started.stable, started.asked.steps) == (10, "1", spec.steps)
    with pytest.raises(Conflict) as caught:
        client.start_rollout(name, spec)
    assert caught.value.code == "already_exists"
    assert client.pause_rollout(name, why="lunch").state == "paused"
    assert any("lunch" in each.message for each in client.resume_rollout(name).journal)
    aborted = run(platform, "rollout", "abort", name, "--why", "wrong version")
    assert "was aborted" in aborted.stderr
    assert client.traffic(name).plan == Plan("1")
    assert run(platform, "rollout", "watch", name).returncode == 1
    client.start_rollout(name, RolloutSpec("2"))
    assert client.promote_rollout(name, why="seen enough").state == "succeeded"
    assert client.traffic(name).stable == "2"
    states = json.loads(run(platform, "rollout", "list", name, "-o", "json").stdout)
    assert [r["state"] for r in states][:2] == ["succeeded", "aborted"]
