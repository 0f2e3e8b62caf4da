"""`make up` as its user meets it: refusals in one line, and an end that loses nothing."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.e2e.control import Control
from tests.e2e.load import steady_load
from tests.support.platform import ROOT, Platform

pytestmark = pytest.mark.e2e


def make_up(platform: Platform, **variables: str) -> tuple[int, str]:
    """Run `make up` once more with the environment of a running one, changed; return its exit code and its words."""
    done = subprocess.run(
        [sys.executable, "-m", "deploy.local"], cwd=ROOT, env=platform.environment | variables,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60,
    )  # fmt: skip
    return done.returncode, done.stdout


def test_a_second_one_on_the_same_home_is_refused(platform: Platform) -> None:
    """It names the process that has the home, and leaves it alone."""
    status, said = make_up(platform)
    assert status == 2
    assert len(said.splitlines()) == 1
    assert "another `make up`" in said and "HEADGATE_HOME" in said
    assert platform.is_ready(platform.registry_url)


@pytest.mark.parametrize("variable", ["HEADGATE_REGISTRY_PORT", "HEADGATE_SERVING_PORT", "HEADGATE_GRPC_PORT"])
def test_a_port_in_use_is_refused(platform: Platform, tmp_path: Path, variable: str) -> None:
    """The port and the variable that changes it are named."""
    other = Platform(tmp_path / "other").environment
    free = {name: port for name, port in other.items() if name.startswith("HEADGATE_") and name.endswith("_PORT")}
    taken = platform.environment[variable]
    status, said = make_up(platform, **free | {"HEADGATE_HOME": str(tmp_path / "home"), variable: taken})
    assert status == 2
    assert len(said.splitlines()) == 1
    assert f"port {taken}" in said and variable in said


def test_an_unknown_variable_is_refused(platform: Platform, tmp_path: Path) -> None:
    """The nearest name that means something is offered."""
    status, said = make_up(platform, HEADGATE_HOME=str(tmp_path / "home"), HEADGATE_CACHE_BITES="1")
    assert status == 2
    assert len(said.splitlines()) == 1
    assert "HEADGATE_CACHE_BYTES" in said


def test_sigterm_under_load_answers_what_was_accepted_and_leaves_nothing_running(breakable: Platform) -> None:
    """Every request is answered with 200 or finds nobody listening; the exit code is 0 and no process is left."""
    control = Control(breakable)
    control.wait_answer("steady", 1)
    family = breakable.family()
    try:
        with steady_load(f"{breakable.serving_url}/models/steady/predict", 8, keep_alive=False) as load:
            time.sleep(1)
            began = time.monotonic()
            status = breakable.stop(signal.SIGTERM)
            stopped = time.monotonic() - began
        assert status == 0
        assert not psutil.wait_procs(family, timeout=5)[1]
    finally:
        breakable.start()
    answered = [outcome for outcome in load.outcomes if outcome.status == 200]
    print(f"\n{len(answered)} requests answered; stopped in {stopped:.1f} s")
    assert len(answered) > 20
    # Refused connections are no failure: that is how a client learns to go elsewhere.
    assert [outcome for outcome in load.failed if outcome.said != "ConnectError"] == []
    assert stopped < 20
