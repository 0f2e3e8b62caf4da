"""A session of the plain MLflow client, whole, through the gate."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from registry.adapters.mlflow_app.routes import MLFLOW_ROUTES
from registry.edge.gate import RouteTable
from tests.integration.mlflow.conftest import Server

pytestmark = pytest.mark.integration


def test_a_long_session_works_and_meets_no_closed_door(server: Server, tmp_path: Path) -> None:
    """Tracking, artifacts, models, aliases, autologging, evaluation work; every request was for a listed route."""
    before = len(server.request_log.read_text().splitlines())

    done = subprocess.run(
        [sys.executable, Path(__file__).with_name("session.py")],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "MLFLOW_TRACKING_URI": server.url},
        capture_output=True,
        text=True,
        timeout=180,
    )

    assert done.returncode == 0, done.stderr[-4000:]
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["numbers"] == {"after deleting version 4 of 4": "5", "after deleting a model of 1": "2"}
    assert "MLmodel" in told["files"]
    table = RouteTable(MLFLOW_ROUTES)
    requests = [line.split() for line in server.request_log.read_text().splitlines()[before:]]
    closed = {f"{method} {path}" for method, *path, _ in requests if method not in (table.find(" ".join(path)) or {})}
    assert len(requests) > 200
    assert closed == set()
    assert not [line for line in requests if line[-1].startswith("5")]


def test_it_is_ready_soon_and_small(server: Server) -> None:
    """After all this it holds less memory than the whole registry may, and building it did not take long."""
    built = float(server.output.read_text().split("built after ")[1].split()[0])
    assert server.memory_kb() < 350_000
    # Eight seconds on an idle machine; tests share theirs.
    assert built < 30
