"""Baselines on the real platform: MLflow's client logs a run, a table is sent, and the registry reads both."""

from __future__ import annotations

import json
import time
import uuid
from typing import Any

import httpx
import pytest

from tests.support.platform import Platform
from tests.support.registry_app import mlmodel
from tests.support.tables import table_bytes

pytestmark = pytest.mark.integration

AGES = [float(age) for age in range(400)]
TABLE = {"age": AGES, "visits": [0.0, 1.0] * 200, "prediction": AGES}


def log_run(url: str) -> str:
    """Log a run as MLflow's client does: a model, its training table, the dataset and a metric; return its id."""
    with httpx.Client(base_url=f"{url}/api/2.0", timeout=60) as mlflow:

        def say(path: str, body: dict[str, Any]) -> Any:
            answer = mlflow.post(f"/mlflow/{path}", json=body)
            assert answer.status_code == 200, answer.text
            return answer.json()

        run = say("runs/create", {"experiment_id": "0", "start_time": 1})["run"]["info"]
        source = json.dumps({"uri": "/home/ana/train.parquet"})
        dataset = {"name": "train", "digest": "d1", "source_type": "local", "source": source}
        context = [{"key": "mlflow.data.context", "value": "training"}]
        say("runs/log-inputs", {"run_id": run["run_id"], "datasets": [{"dataset": dataset, "tags": context}]})
        say("runs/log-metric", {"run_id": run["run_id"], "key": "test_rmse", "value": 0.25, "timestamp": 1})
        folder = run["artifact_uri"].removeprefix("mlflow-artifacts:/")
        files = {
            "train.parquet": table_bytes(TABLE),
            "model/MLmodel": mlmodel(("age", "double"), ("visits", "double")),
            "model/model.pkl": b"none",
        }
        for path, data in files.items():
            assert mlflow.put(f"/mlflow-artifacts/artifacts/{folder}/{path}", content=data).status_code == 200
        return str(run["run_id"])


def wait_for_check(url: str) -> dict[str, Any]:
    """Return the version once its check of the baseline is there."""
    deadline = time.monotonic() + 90
    while True:
        version: dict[str, Any] = httpx.get(url, timeout=30).json()
        if any(check["name"] == "baseline" for check in version.get("checks", ())):
            return version
        assert time.monotonic() < deadline, version
        time.sleep(0.2)


def test_a_run_brings_its_baseline_and_a_table_replaces_it(platform: Platform) -> None:
    """What a run logged becomes the baseline by itself; what is sent afterwards takes its place."""
    name = f"baseline-{uuid.uuid4().hex[:8]}"
    run_id = log_run(platform.registry_url)
    versions = f"{platform.registry_url}/registry/v1/models/{name}/versions"
    body = {"source": {"run_id": run_id, "path": "model"}}
    assert httpx.post(versions, json=body, timeout=60).status_code == 201
    url = f"{versions}/1"
    version = wait_for_check(url)
    assert (version["baseline"]["origin"], version["baseline"]["rows"]) == ("run", 400), version["checks"]
    told = httpx.get(f"{url}/baseline", timeout=30).json()
    assert [feature["name"] for feature in told["features"]] == ["age", "visits", "prediction"]
    assert told["quality"] == {"rmse": 0.25}
    sent = httpx.put(
        f"{url}/baseline",
        content=table_bytes({"age": [1.0, 2.0, None], "visits": [0.0, 1.0, 1.0]}),
        headers={"content-type": "application/vnd.apache.parquet"},
        timeout=60,
    ).json()
    assert (sent["origin"], sent["rows"], sent["quality"]) == ("given", 3, {"rmse": 0.25})
    snapshot = httpx.get(f"{platform.registry_url}/registry/v1/snapshot", timeout=30).json()
    (model,) = [model for model in snapshot["models"] if model["name"] == name]
    assert model["versions"]["1"]["baseline"] == sent["digest"]
