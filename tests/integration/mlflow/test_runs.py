"""What the registry reads of MLflow's runs, from MLflow's own tables in a SQLite file."""

from __future__ import annotations

import json
import time
import warnings
from typing import Any

import pytest

from registry.adapters.mlflow_app.guard import OpenGuard
from registry.adapters.mlflow_app.runs import CONTEXT_TAG, MlflowRuns
from registry.adapters.mlflow_app.start import open_stores
from registry.monitoring.ports import LoggedDataset
from registry.records import ModelName, VersionNumber, VersionRecord, VersionState
from tests.support.catalogs import wal_database

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def tracking(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """MLflow's tracking store."""
    with warnings.catch_warnings():
        # MLflow's import warns of what it uses of SQLAlchemy and others; it is not ours to change.
        warnings.simplefilter("ignore")
        return open_stores(wal_database(tmp_path_factory.mktemp("runs")), OpenGuard())[0]


def version(run_id: str | None, source: str = "mlflow-artifacts:/1/x") -> VersionRecord:
    """Return a version that came from a run."""
    return VersionRecord(
        ModelName("churn"), VersionNumber("1"), VersionState.READY, source, source, created_ms=1, run_id=run_id
    )


def test_a_run_tells_metrics_and_datasets(tracking: Any) -> None:
    """The newest value of each metric, its datasets with where their sources say they are, and its artifacts."""
    from mlflow.entities import Dataset, DatasetInput, InputTag, Metric

    run = tracking.create_run("0", "ana", int(time.time() * 1000), [], None)
    run_id = run.info.run_id
    for step, value in enumerate((0.5, 0.75)):
        tracking.log_metric(run_id, Metric("accuracy", value, 1, step))
    source = json.dumps({"uri": "/home/ana/train.parquet"})
    logged = Dataset("train", "d1", "local", source)
    other = Dataset("code", "d2", "code", "not { JSON")
    tracking.log_inputs(run_id, [DatasetInput(logged, [InputTag(CONTEXT_TAG, "training")]), DatasetInput(other, [])])
    found = MlflowRuns(tracking).of(version(run_id))
    assert found is not None
    assert (found.run_id, found.metrics) == (run_id, {"accuracy": 0.75})
    assert found.artifacts == f"mlflow-artifacts:/0/{run_id}/artifacts"
    assert sorted(found.datasets, key=lambda one: one.name) == [
        LoggedDataset("code", "code", "not { JSON", ""),
        LoggedDataset("train", "local", "/home/ana/train.parquet", "training"),
    ]


def test_a_logged_model_leads_to_its_run(tracking: Any) -> None:
    """A version of ``models:/m-…`` came from the run that logged the model."""
    run_id = tracking.create_run("0", "ana", int(time.time() * 1000), [], None).info.run_id
    model = tracking.create_logged_model("0", "model", run_id)
    found = MlflowRuns(tracking).of(version(None, f"models:/{model.model_id}"))
    assert found is not None and found.run_id == run_id


@pytest.mark.parametrize(
    "record",
    [version(None), version("f" * 32), version("no run"), version(None, f"models:/m-{'0' * 32}"), version(None, "?")],
)
def test_what_is_gone_is_none(tracking: Any, record: VersionRecord) -> None:
    """No run, one that was deleted, or an odd source: there is nothing to tell, and nothing breaks."""
    assert MlflowRuns(tracking).of(record) is None
