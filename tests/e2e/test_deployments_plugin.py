"""MLflow's deployments against the running platform: the command line as people call it, and the client in Python."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from click.testing import CliRunner

from tests.e2e.control import Control, Models
from tests.support.platform import Platform

pytestmark = [pytest.mark.e2e, pytest.mark.filterwarnings("ignore")]

NAME = "deployed"
MLFLOW = Path(sys.executable).with_name("mlflow")
LOG_A_RUN = """
import mlflow, sys
mlflow.set_experiment("deployments")
with mlflow.start_run() as run:
    mlflow.log_artifacts(sys.argv[1], "model")
print(run.info.run_id)
"""


@pytest.fixture(scope="module")
def registered(control: Control, models: Models) -> Control:
    """A model with two versions, which answer 1 and 2, and no traffic."""
    for number in (1, 2):
        control.add(NAME, models.answering(number))
    return control


@pytest.fixture
def target(platform: Platform) -> str:
    """The platform, as ``-t`` names it; serving comes from the settings or from here."""
    return f"headgate:{platform.registry_url}?serving={platform.serving_url}"


def mlflow(*words: str) -> str:
    """Run ``mlflow deployments`` in this process, which has imported MLflow; return what it printed."""
    from mlflow.deployments.cli import commands

    done = CliRunner().invoke(commands, list(words))
    assert done.exit_code == 0, done.output
    return done.output


def started(platform: Platform, *words: str) -> str:
    """Run it as a user does, who has set where serving is: a process of its own, which takes seconds to start."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(platform.home),
        "HEADGATE_SERVING_URL": platform.serving_url,
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    done = subprocess.run(
        [str(MLFLOW), "deployments", *words],
        env=environment, capture_output=True, text=True, timeout=300, cwd=platform.home.parent,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_the_command_line_deploys_asks_and_takes_away(
    platform: Platform, registered: Control, target: str, tmp_path: Path
) -> None:
    """Create, predict, a canary beside it, get and delete; MLflow itself starts for the first two."""
    there = ("-t", f"headgate:{platform.registry_url}", "--name", NAME)
    printed = started(platform, "create", *there, "-m", f"models:/{NAME}/1", "-C", "note=first")
    assert printed.strip() == f"python_function deployment {NAME} is created"
    rows = tmp_path / "rows.json"
    rows.write_text(json.dumps([{"x": 0.5}, {"x": 1}]))
    answer = json.loads(started(platform, "predict", *there, "-I", str(rows)))
    assert (answer["predictions"], answer["model_version"], answer["arm"]) == ([1.0, 1.0], "1", "stable")

    there = ("-t", target, "--name", NAME)
    printed = mlflow("update", *there, "-m", f"models:/{NAME}/2", "-C", "share=0.1")
    assert printed.strip() == f"Deployment {NAME} is updated (with flavor python_function)"
    plan = registered.history(NAME)[-1]["plan"]
    assert (plan["stable"], plan["canary"]) == ("1", {"version": "2", "share": 0.1})
    assert "share: 0.1" in mlflow("get", *there)
    mlflow("delete", *there)
    assert registered.predict(NAME).json()["error"]["code"] == "no_plan"


def test_the_client_deploys_what_mlflow_logged(
    platform: Platform, registered: Control, target: str, models: Models
) -> None:
    """A run becomes a version, is checked and promoted; an alias and an endpoint move traffic; errors are MLflow's."""
    from mlflow.deployments import get_deploy_client
    from mlflow.exceptions import MlflowException

    from tests.support.platform import run_python

    client: Any = get_deploy_client(target)
    client.delete_deployment(NAME)
    run = run_python(LOG_A_RUN, platform, str(models.answering(3))).split()[-1]
    made = client.create_deployment(NAME, f"runs:/{run}/model")
    frame = pd.DataFrame({"x": [0.0, 1.0]})
    assert client.predict(NAME, frame).get_predictions("ndarray").tolist() == [3.0, 3.0]
    assert made["version"] in [version["version"] for version in registered.versions(NAME)]

    registered.ask("PUT", f"/models/{NAME}/aliases/champion", json={"version": "2"})
    assert client.update_deployment(NAME, f"models:/{NAME}@champion")["version"] == "2"
    assert client.predict(NAME, frame)["predictions"] == [2.0, 2.0]
    registered.numbers(f"{NAME}/versions/1")  # loads it: a canary that is cold lets stable answer meanwhile
    split = client.update_endpoint(NAME, {"canary": "1", "share": "100%"})
    assert split["canary"] == {"version": "1", "share": 1.0}
    assert client.predict(endpoint=NAME, inputs=frame)["arm"] == "canary"
    assert NAME in [deployment["name"] for deployment in client.list_deployments()]

    with pytest.raises(MlflowException, match=r"no model is called .*\(request "):
        client.predict("never-registered", frame)
    with pytest.raises(MlflowException, match="deployed already, with version 2"):
        client.create_deployment(NAME, f"models:/{NAME}/1")
    for _ in range(2):
        client.delete_deployment(NAME)
    assert NAME not in [deployment["name"] for deployment in client.list_deployments()]
