"""Baselines on the real platform: MLflow's client logs a run, a table is sent, and the registry reads both."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import time
import uuid
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.platform import Platform
from tests.support.tables import table_bytes

pytestmark = pytest.mark.integration

SESSION = textwrap.dedent(
    """
    import sys
    import mlflow, numpy as np, pandas as pd
    from mlflow.data.pandas_dataset import from_pandas
    from mlflow.models import infer_signature
    from sklearn.linear_model import LinearRegression

    mlflow.set_tracking_uri(sys.argv[1])
    rows = pd.DataFrame({"age": np.arange(400.0), "visits": np.tile([0.0, 1.0], 200)})
    model = LinearRegression().fit(rows, rows["age"])
    with mlflow.start_run():
        rows.assign(prediction=model.predict(rows)).to_parquet("train.parquet")
        mlflow.log_artifact("train.parquet")
        mlflow.log_input(from_pandas(rows, source="train.parquet", name="train"), context="training")
        mlflow.log_metric("test_rmse", 0.25)
        mlflow.sklearn.log_model(
            model, name="model", signature=infer_signature(rows, model.predict(rows)), registered_model_name=sys.argv[2]
        )
    """
)


def wait_for_check(url: str) -> dict[str, Any]:
    """Return the version once its check of the baseline is there."""
    deadline = time.monotonic() + 90
    while True:
        version: dict[str, Any] = httpx.get(url).json()
        if any(check["name"] == "baseline" for check in version.get("checks", ())):
            return version
        assert time.monotonic() < deadline, version
        time.sleep(0.2)


def test_a_run_brings_its_baseline_and_a_table_replaces_it(platform: Platform, tmp_path: Path) -> None:
    """What MLflow's plain client logged becomes the baseline by itself; what is sent afterwards takes its place."""
    name = f"baseline-{uuid.uuid4().hex[:8]}"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", SESSION, platform.registry_url, name],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    url = f"{platform.registry_url}/registry/v1/models/{name}/versions/1"
    version = wait_for_check(url)
    assert (version["baseline"]["origin"], version["baseline"]["rows"]) == ("run", 400), version["checks"]
    told = httpx.get(f"{url}/baseline").json()
    assert [feature["name"] for feature in told["features"]] == ["age", "visits", "prediction"]
    assert told["quality"] == {"rmse": 0.25}
    sent = httpx.put(
        f"{url}/baseline",
        content=table_bytes({"age": [1.0, 2.0, None], "visits": [0.0, 1.0, 1.0]}),
        headers={"content-type": "application/vnd.apache.parquet"},
        timeout=60,
    ).json()
    assert (sent["origin"], sent["rows"], sent["quality"]) == ("given", 3, {"rmse": 0.25})
    snapshot = httpx.get(f"{platform.registry_url}/registry/v1/snapshot").json()
    (model,) = [model for model in snapshot["models"] if model["name"] == name]
    assert model["versions"]["1"]["baseline"] == sent["digest"]
