"""A data scientist's long session, with nothing but MLflow's plain client and ``MLFLOW_TRACKING_URI``.

Run as a process; asserts as it goes and prints one JSON object with what the test looks at.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
from mlflow import MlflowClient
from mlflow.data.pandas_dataset import from_pandas
from mlflow.models import infer_signature
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression

MODEL = "churn"


def log_a_run(client: MlflowClient, x: pd.DataFrame, y: pd.Series) -> tuple[str, str, LogisticRegression]:
    """Log one run with everything that a run can hold; return its id, the model's URI and the model."""
    experiment = mlflow.set_experiment("cancer")
    client.set_experiment_tag(experiment.experiment_id, "team", "risk")
    client.delete_experiment_tag(experiment.experiment_id, "team")
    model = LogisticRegression(max_iter=500).fit(x, y)
    with mlflow.start_run() as run, tempfile.TemporaryDirectory() as folder:
        mlflow.log_params({"C": 1.0, "penalty": "l2"})
        mlflow.log_param("solver", "lbfgs")
        for step in range(5):
            mlflow.log_metric("loss", 1 / (step + 1), step=step)
        mlflow.log_metrics({"auc": 0.99, "accuracy": 0.95})
        mlflow.set_tags({"stage": "trial", "wörd": "ünïcode"})
        mlflow.delete_tag("stage")
        mlflow.log_input(from_pandas(x.head(20), name="cancer"), context="training")
        mlflow.log_dict({"a": [1, 2]}, "config/settings.json")
        mlflow.log_text("hello", "notes/read me.txt")
        mlflow.log_table({"q": ["a"], "n": [1]}, "tables/answers.json")
        (Path(folder) / "deep").mkdir()
        (Path(folder) / "deep" / "big.bin").write_bytes(b"x" * 12_000_000)
        mlflow.log_artifacts(folder, "files")
        info = mlflow.sklearn.log_model(
            model, name="model", signature=infer_signature(x, model.predict(x)), input_example=x.head(2)
        )
    return run.info.run_id, info.model_uri, model


def check_the_run(client: MlflowClient, run_id: str) -> None:
    """Read back what was logged."""
    run = client.get_run(run_id)
    assert run.data.params == {"C": "1.0", "penalty": "l2", "solver": "lbfgs"}
    assert run.data.tags["wörd"] == "ünïcode"
    assert "stage" not in run.data.tags
    assert [m.value for m in client.get_metric_history(run_id, "loss")][-1] == 0.2
    assert run.inputs is not None
    assert run.inputs.dataset_inputs[0].dataset.name == "cancer"
    assert {f.path for f in client.list_artifacts(run_id)} >= {"config", "files", "notes", "tables"}
    assert mlflow.artifacts.load_text(f"runs:/{run_id}/notes/read me.txt") == "hello"
    assert mlflow.artifacts.load_dict(f"runs:/{run_id}/config/settings.json") == {"a": [1, 2]}
    assert Path(client.download_artifacts(run_id, "files/deep/big.bin")).stat().st_size == 12_000_000
    assert len(mlflow.search_runs(experiment_names=["cancer"], filter_string="metrics.auc > 0.9")) == 1
    assert mlflow.load_table("tables/answers.json", run_ids=[run_id])["n"].tolist() == [1]
    client.delete_run(run_id)
    client.restore_run(run_id)
    client.update_run(run_id, status="FINISHED", name="renamed")
    assert client.get_run(run_id).info.run_name == "renamed"


def register(client: MlflowClient, run_id: str, uri: str) -> None:
    """Register the model in every way that the client has."""
    assert mlflow.register_model(uri, MODEL, tags={"by": "uri"}).version == "1"
    assert mlflow.register_model(f"runs:/{run_id}/model", MODEL).version == "2"
    source = client.get_model_version_download_uri(MODEL, "1")
    by_place = client.create_model_version(MODEL, source, run_id=run_id, model_id=uri.removeprefix("models:/"))
    assert by_place.version == "3"
    assert client.create_model_version(MODEL, f"runs:/{run_id}/model", run_id=run_id).version == "4"
    assert client.get_model_version_download_uri(MODEL, "4") == source
    assert client.copy_model_version(f"models:/{MODEL}/1", "churn-copy").version == "1"
    assert client.get_model_version_download_uri("churn-copy", "1") == source


def use_the_registry(client: MlflowClient, run_id: str) -> None:
    """Aliases, tags, descriptions, stages, searches."""
    client.set_registered_model_alias(MODEL, "champion", "2")
    assert client.get_model_version_by_alias(MODEL, "champion").version == "2"
    assert client.get_registered_model(MODEL).aliases == {"champion": "2"}
    client.delete_registered_model_alias(MODEL, "champion")
    client.set_registered_model_alias(MODEL, "champion", "1")
    client.update_registered_model(MODEL, "predicts churn")
    client.update_model_version(MODEL, "1", "the first")
    client.set_registered_model_tag(MODEL, "owner", "zoë")
    client.delete_registered_model_tag(MODEL, "owner")
    client.set_model_version_tag(MODEL, "1", "checked", "yes")
    client.delete_model_version_tag(MODEL, "1", "checked")
    client.transition_model_version_stage(MODEL, "2", "Staging")
    assert [v.version for v in client.get_latest_versions(MODEL, ["Staging"])] == ["2"]
    assert len(client.search_model_versions(f"name = '{MODEL}'")) == 4
    assert len(client.search_model_versions(f"run_id = '{run_id}'")) == 5
    assert [m.name for m in client.search_registered_models("name LIKE 'churn%'")] == [MODEL, "churn-copy"]
    assert len(mlflow.search_logged_models(experiment_ids=[client.get_run(run_id).info.experiment_id])) == 1


def delete_things(client: MlflowClient) -> dict[str, str]:
    """Delete versions and models; return the numbers that the next versions got."""
    source = f"models:/{MODEL}/1"
    client.delete_model_version(MODEL, "4")
    after_version = client.create_model_version(MODEL, source).version
    client.delete_registered_model("churn-copy")
    client.create_registered_model("churn-copy")
    after_model = client.create_model_version("churn-copy", source).version
    experiment_id = client.create_experiment("scratch")
    client.rename_experiment(experiment_id, "scratched")
    client.delete_experiment(experiment_id)
    client.restore_experiment(experiment_id)
    return {"after deleting version 4 of 4": after_version, "after deleting a model of 1": after_model}


def main() -> None:
    """Live through the session."""
    x, y = load_breast_cancer(return_X_y=True, as_frame=True)
    client = MlflowClient()
    run_id, uri, model = log_a_run(client, x, y)
    check_the_run(client, run_id)
    register(client, run_id, uri)
    use_the_registry(client, run_id)
    expected = model.predict(x)
    for address in (
        f"models:/{MODEL}/1",
        f"models:/{MODEL}/4",
        f"models:/{MODEL}@champion",
        uri,
        f"runs:/{run_id}/model",
    ):
        assert np.array_equal(mlflow.pyfunc.load_model(address).predict(x), expected), address
    folder = mlflow.artifacts.download_artifacts(f"models:/{MODEL}/1")
    mlflow.sklearn.autolog(log_models=False)
    LogisticRegression(max_iter=500).fit(x, y)
    mlflow.sklearn.autolog(disable=True)
    mlflow.models.evaluate(  # type: ignore[no-untyped-call]  # MLflow gives it no types
        f"models:/{MODEL}/1",
        x.assign(target=y),
        targets="target",
        model_type="classifier",
        evaluator_config={"log_explainer": False, "log_model_explainability": False},
    )
    print(json.dumps({"numbers": delete_things(client), "files": sorted(p.name for p in Path(folder).iterdir())}))


if __name__ == "__main__":
    main()
