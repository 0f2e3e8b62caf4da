"""MLflow's own pages, in a browser, through the gate."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.integration.mlflow.conftest import Server
from tests.integration.mlflow.test_rules import register
from tests.support.browser import chromium

pytestmark = pytest.mark.integration


@pytest.fixture
def browser() -> str:
    """Chromium; without it these tests are skipped, and fail where CI must have it."""
    return chromium()


def render(browser: str, server: Server, page: str, folder: Path) -> str:
    """Return what a page shows once it has settled."""
    arguments = ["--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder}/profile", "--dump-dom"]
    done = subprocess.run(
        [browser, *arguments, "--virtual-time-budget=15000", f"{server.url}/{page}"],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "HOME": str(folder)},
    )
    assert "Uncaught" not in done.stderr
    return done.stdout


def test_the_pages_show_what_was_logged(browser: str, server: Server, run: dict[str, Any], tmp_path: Path) -> None:
    """Runs, a run, the models, a model and a version are shown although assistant, telemetry and gateway are 404."""
    name = "0-shown-on-a-page"  # the list shows the first page of names, and other tests register many
    register(server, name, run)
    server.mlflow("PATCH", "registered-models/update", {"name": name, "description": "seen-on-the-page"})
    server.mlflow("POST", "runs/log-metric", {"run_id": run["run_id"], "key": "auc", "value": 0.99, "timestamp": 1})

    pages = {
        "#/experiments/0": run["run_name"],  # the address that the client prints
        "#/experiments/0/runs": run["run_name"],
        f"#/experiments/0/runs/{run['run_id']}": "auc",
        "#/models": name,
        f"#/models/{name}": "seen-on-the-page",
        f"#/models/{name}/versions/1": "Version 1",
    }
    for page, expected in pages.items():
        assert expected in render(browser, server, page, tmp_path), page
