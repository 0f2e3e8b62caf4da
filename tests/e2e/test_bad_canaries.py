"""Two nodes, one bad canary of each kind: each is rolled back by itself, and the journal says why.

All rollouts run at once under one load, because each of them takes some seconds to be sure.
"""

from __future__ import annotations

import itertools
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.bucket import Bucket
from tests.e2e.control import TABLE, Control, Models
from tests.support.platform import ROOT, Platform, free_ports, running, until

pytestmark = pytest.mark.e2e

ROWS = "np.full(len(model_input), 1.0)"
BAD = {
    "raises": f"import random\n        if random.random() < 0.5: raise ValueError('no')\n        return {ROWS}",
    "slow": f"import time; time.sleep(0.05); return {ROWS}",
    "shape": "return np.full(len(model_input) + 1, 1.0)",
    "nan": "return np.full(len(model_input), np.nan)",
    "crashes": "import os; os._exit(3)",
    "hog": f"import builtins; builtins.hog = getattr(builtins, 'hog', []) + [bytes(1 << 30)]; return {ROWS}",
}
GOOD = f"return {ROWS} + 0"
REASONS = {
    "raises": "error-rate",
    "slow": "latency",
    "shape": "invalid",
    "nan": "invalid",
    "crashes": "error-rate",
    "hog": "error-rate",
}
SETTINGS = {"HEADGATE_WINDOW_SECONDS": "1", "HEADGATE_HOST_MEMORY_BYTES": str(2 << 30)}
ROLLOUT = {"version": "2", "steps": [{"setWeight": 50, "pause": "5s"}], "interval": "1s", "minRequests": 100}
SECONDS = 60


class Load:
    """Asks both nodes for every model, again and again, as other users each time."""

    def __init__(self, urls: list[str], models: list[str]) -> None:
        self._targets = [f"{url}/models/{model}/predict" for model in models for url in urls]
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(number,)) for number in range(len(models))]

    @contextmanager
    def running(self) -> Iterator[None]:
        """Ask for as long as the block runs."""
        for thread in self._threads:
            thread.start()
        try:
            yield
        finally:
            self._stopping.set()
            for thread in self._threads:
                thread.join()

    def _run(self, number: int) -> None:
        mine = self._targets[2 * number : 2 * number + 2]  # a slow model must not hold up the others
        with httpx.Client(timeout=10) as client:
            for turn, url in enumerate(itertools.cycle(mine)):
                if self._stopping.is_set():
                    return
                client.post(url, json=TABLE, headers={"x-headgate-key": f"user-{number}-{turn}"})
                time.sleep(0.01)


@contextmanager
def second_node(platform: Platform, home: Path) -> Iterator[str]:
    """Run another node beside the platform's own; give its URL."""
    (port,) = free_ports(1)
    environment = platform.environment | Bucket(platform).environment
    environment |= {
        "HEADGATE_HOME": str(home),
        "HEADGATE_REGISTRY_URL": platform.registry_url,
        "HEADGATE_SERVING_PORT": str(port),
        "HEADGATE_GRPC_PORT": "0",
    }
    url = f"http://127.0.0.1:{port}"
    with platform.output.open("ab") as output:
        node = subprocess.Popen(
            [sys.executable, "-m", "serving"], cwd=ROOT, env=environment, stdout=output, stderr=output
        )
    try:
        until(lambda: platform.is_ready(url), 30, "the second node's readiness")
        yield url
        node.terminate()
        assert node.wait(40) == 0
    finally:
        node.kill()
        node.wait()


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory, models: Models) -> Iterator[dict[str, dict[str, Any]]]:
    """Every kind's rollout, after it has ended; ``good`` is one that nothing is wrong with."""
    root = tmp_path_factory.mktemp("canaries")
    kinds = {**BAD, "good": GOOD}
    with running(root / "home", SETTINGS) as platform, second_node(platform, root / "second") as other:
        control = Control(platform)
        stable = control.upload(models.answering(1))
        for kind, body in kinds.items():
            control.register(kind, stable)
            control.register(kind, control.upload(models.behaving(kind, body)))
        for kind in kinds:
            control.wait_ready(kind, "1")
            control.wait_ready(kind, "2")
            control.promote(kind, "1", revision=0)
        with Load([platform.serving_url, other], list(kinds)).running():
            for kind in kinds:
                control.ask("POST", f"/models/{kind}/rollouts", json=ROLLOUT)
            until(lambda: all(_rollout(control, kind)["state"] != "running" for kind in kinds), SECONDS, "every end")
        yield {
            kind: {
                "rollout": _rollout(control, kind),
                "plan": control.ask("GET", f"/models/{kind}/traffic").json(),
                "history": control.history(kind),
                "nodes": control.ask("GET", f"/models/{kind}/traffic/status").json()["nodes"],
            }
            for kind in kinds
        }


def _rollout(control: Control, kind: str) -> dict[str, Any]:
    newest = control.ask("GET", f"/models/{kind}/rollouts").json()["rollouts"][0]
    found: dict[str, Any] = control.ask("GET", f"/models/{kind}/rollouts/{newest['id']}").json()
    return found


@pytest.mark.parametrize("kind", list(BAD))
def test_a_bad_canary_is_rolled_back_with_the_reason(ended: dict[str, dict[str, Any]], kind: str) -> None:
    """It ends as failed, stable has all traffic again, and rollout and journal both name the metric."""
    rollout, plan = ended[kind]["rollout"], ended[kind]["plan"]
    assert (rollout["state"], plan["plan"]["stable"], plan["plan"]["canary"]) == ("failed", "1", None)
    assert REASONS[kind] in rollout["reason"]
    assert REASONS[kind] in ended[kind]["history"][-1]["why"]
    assert rollout["evidence"][REASONS[kind]]["evidence"] >= 1
    assert rollout["evidence"][REASONS[kind]]["canary"]["bad"] > 0


def test_a_good_canary_is_promoted(ended: dict[str, dict[str, Any]]) -> None:
    """Beside the bad ones, one that nothing is wrong with gets all traffic."""
    rollout, plan = ended["good"]["rollout"], ended["good"]["plan"]
    assert (rollout["state"], rollout["reason"] != "") == ("succeeded", True)
    assert (plan["plan"]["stable"], plan["plan"]["canary"]) == ("2", None)


def test_both_nodes_were_seen(ended: dict[str, dict[str, Any]]) -> None:
    """The registry knows two nodes, and that both follow the newest plan."""
    for kind, found in ended.items():
        assert len([node for node in found["nodes"] if not node["lost"]]) == 2, kind
