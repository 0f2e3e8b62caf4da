"""Logging fitted estimators with the real MLflow, against the fake platform over HTTP."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import yaml
from headgate import Client, InvalidRequest
from headgate.estimators import flavor_of, save
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression

from tests.support.fake_platform import FakePlatform

# MLflow warns of many things that are not ours to mend.
pytestmark = [pytest.mark.integration, pytest.mark.filterwarnings("ignore")]

X = pd.DataFrame({"a": np.arange(40.0), "b": np.arange(40.0)[::-1]})
Y = (X["a"] > 20).astype(int)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in a directory of one's own, so that a stray file shows."""
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    monkeypatch.setenv("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")


def test_a_forest_is_logged_registered_and_traced(fake: FakePlatform) -> None:
    """A forest, which MLflow's default format refuses, becomes a version of a finished run with a signature."""
    forest = RandomForestClassifier(3, random_state=0).fit(X, Y)
    before = (mlflow.get_tracking_uri(), mlflow.active_run(), os.environ.get("MLFLOW_TRACKING_URI"))
    with Client(fake.registry_url, api_key="hg_k") as client:
        version = client.register(forest, name="churn", example=X)
    assert version.state == "ready"
    assert version.run_id is not None
    logged = fake.situation.logged
    assert logged[version.run_id] == b"FINISHED"
    (mlmodel,) = [content for path, content in logged.items() if path.endswith("/artifacts/model/MLmodel")]
    signature = yaml.safe_load(mlmodel)["signature"]
    assert [c["name"] for c in json.loads(signature["inputs"])] == ["a", "b"]
    assert json.loads(signature["outputs"])
    assert any(path.endswith("/model/input_example.json") for path in logged)
    assert (mlflow.get_tracking_uri(), mlflow.active_run(), os.environ.get("MLFLOW_TRACKING_URI")) == before
    assert "MLFLOW_TRACKING_TOKEN" not in os.environ
    assert not list(Path.cwd().iterdir())
    tokens = {headers.get("authorization") for _, path, headers in fake.situation.requests if "mlflow" in path}
    assert tokens == {"Bearer hg_k"}


def test_training_data_becomes_example_and_baseline(fake: FakePlatform) -> None:
    """X is what the signature is read off and, with what the forest predicts there, what the baseline is made of."""
    forest = RandomForestClassifier(3, random_state=0).fit(X, Y)
    with Client(fake.registry_url) as client:
        version = client.register(forest, name="churn", X=X)
    assert version.baseline is not None
    assert any(path.endswith("/model/input_example.json") for path in fake.situation.logged)
    ((kind, body, query),) = fake.situation.tables
    table = pa.ipc.open_stream(body).read_all().to_pandas()
    assert (kind, query) == ("application/vnd.apache.arrow.stream", {"prediction": "prediction"})
    assert table["prediction"].tolist() == forest.predict(X).tolist()
    pd.testing.assert_frame_equal(table.drop(columns="prediction"), X)


def model_of(flavor: str) -> Any:
    """Return a fitted model of a flavour."""
    linear = LinearRegression().fit(X.to_numpy(), Y)
    if flavor == "xgboost":
        from xgboost import XGBClassifier

        return XGBClassifier(n_estimators=2).fit(X, Y)
    if flavor == "lightgbm":
        from lightgbm import LGBMClassifier

        return LGBMClassifier(n_estimators=2, verbose=-1).fit(X, Y)
    if flavor == "onnx":
        from skl2onnx import to_onnx

        return to_onnx(linear, X.to_numpy()[:1])
    return doubler() if flavor == "pyfunc" else linear


def doubler() -> Any:
    """Return a model with code of its own. Its class is in here, because importing mlflow.pyfunc warns."""

    class Doubler(mlflow.pyfunc.PythonModel):  # type: ignore[misc, name-defined]  # MLflow has no types
        def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]  # MLflow reads hints
            return model_input * 2

    return Doubler()


@pytest.mark.parametrize("flavor", ["sklearn", "xgboost", "lightgbm", "onnx", "pyfunc"])
def test_each_flavour_is_saved_with_its_signature(flavor: str, tmp_path: Path) -> None:
    """A model of each flavour is saved so that MLflow loads it, with inputs and outputs in its signature."""
    model = model_of(flavor)
    example = X.to_numpy() if flavor in ("sklearn", "onnx") else X
    assert flavor_of(model) == flavor
    saved = save(model, tmp_path / "saved", example)
    loaded = mlflow.pyfunc.load_model(str(saved))
    assert loaded.metadata.signature.inputs is not None
    assert loaded.metadata.signature.outputs is not None
    assert len(loaded.predict(example)) > 0


def test_a_graph_whose_answer_is_no_table_is_signed_by_its_columns(tmp_path: Path) -> None:
    """An ONNX classifier of labels and probabilities, at whose answer to a DataFrame MLflow raises, is saved all the
    same."""
    from skl2onnx import to_onnx

    forest = RandomForestClassifier(3, random_state=0).fit(X.to_numpy(), Y)
    graph = to_onnx(forest, X.to_numpy(np.float32)[:1], options={id(forest): {"zipmap": False}})
    signature = mlflow.models.get_model_info(str(save(graph, tmp_path / "saved", X))).signature
    assert signature.inputs.input_names() == ["a", "b"]
    assert signature.outputs.input_names() == ["label", "probabilities"]


def test_what_is_no_model_is_refused(fake: FakePlatform) -> None:
    """An object that no flavour knows is refused with what would be right, and no run is begun."""
    with Client(fake.registry_url) as client, pytest.raises(InvalidRequest, match="neither a path nor"):
        client.register(object(), name="churn")
    assert fake.situation.count("runs/create") == 0


def test_an_example_that_does_not_fit_is_told(fake: FakePlatform) -> None:
    """An example that the model cannot predict is the caller's to mend."""
    linear = LinearRegression().fit(X.to_numpy(), Y)
    with Client(fake.registry_url) as client, pytest.raises(InvalidRequest, match="cannot predict its own example"):
        client.register(linear, name="churn", example=np.zeros((3, 7)))
