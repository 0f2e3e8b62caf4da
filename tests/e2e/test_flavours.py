"""A stranger's MLflow script registers a model of each kind; each answers at its URL with the local prediction."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from tests.e2e.asking import Told, first_answer, json_bodies, table_bodies
from tests.support.platform import Platform, run_python, until

pytestmark = pytest.mark.e2e

SCRIPT = Path(__file__).with_name("stranger.py")
PARTS = (("sklearn_models", "boosted_models"), ("onnx_models", "custom_models"))
KINDS = ("forest", "skops", "unsigned", "xgboost", "lightgbm", "onnx", "onnx-unsigned", "weighted", "report")


class Stranger:
    """The script, running in two processes; every line it prints is asked for at once."""

    def __init__(self, platform: Platform, scratch: Path) -> None:
        self._platform = platform
        self._scratch = scratch
        self.told: list[Told] = []
        self._lock = threading.Lock()

    def run(self) -> None:
        """Run both; return when both have ended."""
        threads = [threading.Thread(target=self._run, args=(parts,)) for parts in PARTS]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _run(self, parts: tuple[str, ...]) -> None:
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self._scratch),
            "MLFLOW_TRACKING_URI": self._platform.registry_url,
        }
        complaints = self._scratch / f"{parts[0]}.err"
        with complaints.open("w") as err:
            process = subprocess.Popen(
                [sys.executable, str(SCRIPT), *parts],
                env=environment, cwd=self._scratch, stdout=subprocess.PIPE, stderr=err, text=True,
            )  # fmt: skip
            assert process.stdout is not None
            with process:
                for line in process.stdout:
                    if line.startswith("{"):  # MLflow prints where to see the run
                        self._ask(Told(**json.loads(line)))
        with self._lock:
            if process.returncode:
                raise AssertionError(complaints.read_text()[-4000:])

    def _ask(self, told: Told) -> None:
        body = {"dataframe_split": {"columns": told.columns, "data": told.rows}}
        first_answer(self._platform, told.path, body)
        seconds = time.time() - told.at
        with self._lock:
            self.told.append(Told(**{name: getattr(told, name) for name in Told.__slots__} | {"seconds": seconds}))


@pytest.fixture(scope="module")
def stranger(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Told]]:
    """Run the script once; return what it told, by kind."""
    script = Stranger(platform, tmp_path_factory.mktemp("stranger"))
    script.run()
    print("\nseconds from log_model's return to the first answer:")
    for told in script.told:
        print(f"  {told.kind:<14} {told.seconds:6.2f}")
    return {kind: [told for told in script.told if told.kind == kind] for kind in KINDS}


def assert_same(told: Told, answer: httpx.Response, form: str) -> None:
    """Expect exactly the local prediction, each value with its own bits."""
    assert answer.status_code == 200, f"{told.kind} by {form}: {answer.text[:500]}"
    got = answer.json()["predictions"]
    if told.dtype == "table":
        assert got == told.answer, form
    elif told.dtype == "dict":
        assert set(got) == set(told.answer), form
        for name, (dtype, values) in told.answer.items():
            assert_same_array(got[name], values, dtype, form)
    else:
        assert_same_array(got, told.answer, told.dtype, form)
    assert answer.headers["x-headgate-version"] == told.version


def assert_same_array(got: Any, wanted: Any, dtype: str, form: str) -> None:
    """Expect equal shapes, types and bits."""
    mine, theirs = np.array(wanted, dtype=dtype), np.array(got, dtype=dtype)
    assert theirs.shape == mine.shape, form
    assert theirs.tobytes() == mine.tobytes(), f"{form}: {theirs.ravel()[:3]} is not {mine.ravel()[:3]}"
    assert all(isinstance(v, int) for v in np.ravel(got).tolist()) or mine.dtype.kind == "f", form


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_answers_every_body_with_the_local_prediction(
    platform: Platform, stranger: dict[str, list[Told]], kind: str
) -> None:
    """Whatever library made it, with a signature or without: same bits, through every body that the model can read."""
    assert stranger[kind], "the script registered none"
    for told in stranger[kind]:
        bodies = [*json_bodies(told), *(() if told.params else table_bodies(told))]  # a table carries no params
        for form, content_type, body in bodies:
            answer = httpx.post(
                platform.serving_url + told.path, content=body, headers={"content-type": content_type}, timeout=60
            )
            assert_same(told, answer, form)


def test_a_logged_model_answers_soon(stranger: dict[str, list[Told]]) -> None:
    """From log_model's return to the first answer it takes seconds, not minutes, also while other models train."""
    assert max(told.seconds for all_told in stranger.values() for told in all_told) < 60


REGISTER = """
import sys, mlflow
from mlflow import MlflowClient
run_id, model_id = sys.argv[1:]
by_run = mlflow.register_model(f"runs:/{run_id}/model", "by-run")
by_model = mlflow.register_model(f"models:/{model_id}", "by-model")
client = MlflowClient()
client.set_registered_model_alias("by-run", "champion", by_run.version)
client.set_registered_model_alias("by-model", "the_best", by_model.version)
print(by_run.version, by_model.version)
"""


@pytest.fixture(scope="module")
def registered(platform: Platform, stranger: dict[str, list[Told]]) -> dict[str, Told]:
    """Register the forest by its run and the skops pipeline by its model id, with aliases, as MLflow's client does."""
    forest, pipeline = stranger["forest"][0], stranger["skops"][0]
    assert forest.run_id and pipeline.model_id
    assert run_python(REGISTER, platform, forest.run_id, pipeline.model_id).split()[-2:] == ["1", "1"]
    return {"by-run": forest, "by-model": pipeline}


def split(told: Told) -> dict[str, Any]:
    """Return the body that every model reads."""
    return {"dataframe_split": {"columns": told.columns, "data": told.rows}}


@pytest.mark.parametrize(("name", "alias"), [("by-run", "champion"), ("by-model", "the_best")])
def test_a_model_registered_by_a_uri_answers_at_its_version_and_at_its_alias(
    platform: Platform, registered: dict[str, Told], name: str, alias: str
) -> None:
    """``runs:/…`` and ``models:/m-…`` are sources like any other; an alias that MLflow's client set routes."""
    told = registered[name]
    assert_same(told, first_answer(platform, f"/models/{name}/versions/1/predict", split(told)), "version")
    url = f"{platform.serving_url}/models/{name}/aliases/{alias}/predict"
    until(lambda: httpx.post(url, json=split(told), timeout=60).status_code == 200, 10, "the alias's answer")
    answer = httpx.post(url, json=split(told), timeout=60)
    assert_same(told, answer, "alias")
    assert answer.headers["x-headgate-arm"] == "alias"


def test_the_plan_chooses_the_version(platform: Platform, stranger: dict[str, list[Told]]) -> None:
    """Without a plan the model's own URL says how to make one; with one, the stable version answers there."""
    told = stranger["xgboost"][0]
    url = f"{platform.serving_url}/models/xgboost/predict"
    answer = httpx.post(url, json=split(told), timeout=60)
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "no_plan")
    made = httpx.put(
        f"{platform.registry_url}/registry/v1/models/xgboost/traffic",
        json={"stable": told.version}, headers={"if-match": '"0"'}, timeout=10,
    )  # fmt: skip
    assert made.status_code == 200, made.text
    until(lambda: httpx.post(url, json=split(told), timeout=60).status_code == 200, 5, "the plan's effect")
    answer = httpx.post(url, json=split(told), timeout=60)
    assert_same(told, answer, "plan")
    assert (answer.headers["x-headgate-arm"], answer.headers["x-headgate-revision"]) == ("stable", "1")
