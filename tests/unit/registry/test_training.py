"""What a training run says: quality under many spellings, and only its own files as tables."""

from __future__ import annotations

import math

import pytest

from registry.monitoring.ports import LoggedDataset, LoggedRun
from registry.monitoring.training import CONVENTION, tables_of, training_quality

ARTIFACTS = "mlflow-artifacts:/1/" + "a" * 32 + "/artifacts"


@pytest.mark.parametrize(
    ("metrics", "quality"),
    [
        ({}, {}),
        ({"loss": 1.0, "best_cv_score": 2.0}, {}),
        ({"accuracy_score": 0.9, "f1_score": 0.8, "roc_auc": 0.7}, {"accuracy": 0.9, "f1": 0.8, "auc": 0.7}),
        (
            {"training_precision_score": 0.1, "training_recall_score": 0.2, "training_log_loss": 0.3},
            {"precision": 0.1, "recall": 0.2, "log_loss": 0.3},
        ),
        ({"mean_absolute_error": 1, "root_mean_squared_error": 2, "r2_score": 0.5}, {"mae": 1, "rmse": 2, "r2": 0.5}),
        ({"mean_squared_error": 4.0}, {"rmse": 2.0}),
        ({"mse": 4.0, "rmse": 3.0}, {"rmse": 3.0}),
        ({"test-mse": 9.0, "rmse": 5.0}, {"rmse": 3.0}),
        ({"validation_0-logloss": 0.4, "ECE": 0.05}, {"log_loss": 0.4, "calibration_error": 0.05}),
        ({"training_accuracy": 0.99, "test_accuracy": 0.9, "accuracy": 0.95}, {"accuracy": 0.9}),
        ({"training_accuracy": 0.99, "val_accuracy": 0.9}, {"accuracy": 0.9}),
        ({"accuracy": math.nan, "mae": math.inf, "training_accuracy": 0.5}, {"accuracy": 0.5}),
    ],
)
def test_quality_has_our_names(metrics: dict[str, float], quality: dict[str, float]) -> None:
    """Every usual spelling is understood; what was measured on held-out rows comes first."""
    assert training_quality(metrics) == pytest.approx(quality)


def run(*datasets: LoggedDataset) -> LoggedRun:
    """Return a run with these inputs."""
    return LoggedRun("a" * 32, ARTIFACTS, {}, datasets)


@pytest.mark.parametrize(
    ("kind", "source", "path"),
    [
        ("local", "/home/ana/data/train.parquet", "train.parquet"),
        ("local", "C:\\data\\train.csv", "train.csv"),
        ("anything", f"{ARTIFACTS}/data/train.parquet", "data/train.parquet"),
        ("anything", f"runs:/{'a' * 32}/data/train.parquet", "data/train.parquet"),
        ("anything", f"runs:/{'b' * 32}/data/train.parquet", None),
        ("anything", "mlflow-artifacts:/1/other/artifacts/train.parquet", None),
        ("s3", "s3://bucket/train.parquet", None),
        ("http", "http://169.254.169.254/train.parquet", None),
        ("code", "", None),
        ("local", "", None),
    ],
)
def test_only_the_runs_own_files_are_named(kind: str, source: str, path: str | None) -> None:
    """A dataset's source is a table only where it is an artifact of the run, or may have been logged as one."""
    found = [p for p, _ in tables_of(run(LoggedDataset("d", kind, source)))]
    assert found == [*([] if path is None else [path]), *CONVENTION]


def test_training_data_come_first_and_test_data_never() -> None:
    """Of several datasets the one for training is tried first; one for validation or testing is not tried."""
    named = [
        LoggedDataset("x", "local", "x.csv"),
        LoggedDataset("t", "local", "t.csv", "training"),
        LoggedDataset("v", "local", "v.csv", "validation"),
    ]
    assert [path for path, _ in tables_of(run(*named))][:3] == ["t.csv", "x.csv", CONVENTION[0]]
