"""What a training run says that monitoring can use: how good the model was, and which of its files it was trained on.

Quality by our own names, whichever way MLflow's ``evaluate``, scikit-learn's autologging, boosted trees or people spell
them. What was measured on held-out rows comes first (``test_``, then ``val_``), then what has no prefix, then what was
measured on the training rows, which flatters. Pure. Not here: reading the run and its files.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from registry.monitoring.ports import LoggedDataset, LoggedRun

BASELINE_TAG = "headgate.baseline"
"""MLflow's tag of a version whose registration named the table of its baseline (``BaselineFile``)."""
CONVENTION = ("headgate/baseline.parquet", "headgate/baseline.arrow", "headgate/baseline.csv")
"""Artifacts of a run that are its training table, whatever else it logged."""
_NAMES = {
    "accuracy": "accuracy",
    "accuracy_score": "accuracy",
    "acc": "accuracy",
    "precision": "precision",
    "precision_score": "precision",
    "recall": "recall",
    "recall_score": "recall",
    "f1": "f1",
    "f1_score": "f1",
    "log_loss": "log_loss",
    "logloss": "log_loss",
    "auc": "auc",
    "roc_auc": "auc",
    "roc_auc_score": "auc",
    "calibration_error": "calibration_error",
    "expected_calibration_error": "calibration_error",
    "ece": "calibration_error",
    "mae": "mae",
    "mean_absolute_error": "mae",
    "rmse": "rmse",
    "root_mean_squared_error": "rmse",
    "mse": "mse",
    "mean_squared_error": "mse",
    "r2": "r2",
    "r2_score": "r2",
}
_PREFIXES = (
    re.compile(r"(test|holdout|heldout)(_\d+)?_"),
    re.compile(r"(validation|valid|val|eval)(_\d+)?_"),
    re.compile(r""),
    re.compile(r"(training|train)(_\d+)?_"),
)
_TRAINING = ("training", "train")
_NOT_TRAINING = ("validation", "valid", "val", "eval", "evaluation", "test", "holdout")


@dataclass(frozen=True, slots=True)
class BaselineFile:
    """A table of training data among the files of a model: its path, and its prediction's column, where named."""

    path: str
    prediction: str | None = None

    def tag(self) -> str:
        """Return it as MLflow's tag says it."""
        said = {"path": self.path} | ({} if self.prediction is None else {"prediction": self.prediction})
        return json.dumps(said)

    @classmethod
    def of_tag(cls, tag: str) -> BaselineFile | None:
        """Read a tag; None where somebody else wrote it."""
        try:
            said = json.loads(tag)
            prediction = said.get("prediction")
            return cls(str(said["path"]), None if prediction is None else str(prediction))
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return None


def training_quality(run_metrics: Mapping[str, float]) -> dict[str, float]:
    """Return what a run's metrics say, by the names of live quality (``accuracy`` … ``r2``); what is unknown is left
    out.

    A squared error becomes its root where no root was logged. Numbers that are not finite are no quality.
    """
    found: dict[str, float] = {}
    spelt = {re.sub(r"[^a-z0-9]+", "_", name.lower()): value for name, value in sorted(run_metrics.items())}
    for prefix in _PREFIXES:
        here: dict[str, float] = {}
        for name, value in spelt.items():
            start = prefix.match(name)
            known = _NAMES.get(name[start.end() :]) if start is not None else None
            if known is not None and math.isfinite(value):
                here.setdefault(known, float(value))
        square = here.pop("mse", -1.0)
        if square >= 0:
            here.setdefault("rmse", math.sqrt(square))
        found = here | found
    return found


def tables_of(run: LoggedRun) -> Iterator[tuple[str, str]]:
    """Yield paths below the run's artifacts that may be its training table, the likeliest first, each with why.

    Those of the logged datasets: where the source is such an artifact (``mlflow-artifacts:/…`` or ``runs:/…`` of this
    very run), or a local file of whose name the run may have logged an artifact. Then those of the convention. Nothing
    outside of the run's own artifacts is ever named.
    """
    for dataset in sorted(run.datasets, key=lambda one: one.context.lower() not in _TRAINING):
        if dataset.context.lower() not in _NOT_TRAINING:
            path = _artifact(dataset, run)
            if path:
                yield path, "the run's logged dataset"
    for path in CONVENTION:
        yield path, "an artifact of the run"


def _artifact(dataset: LoggedDataset, run: LoggedRun) -> str:
    for prefix in (f"{run.artifacts.rstrip('/')}/", f"runs:/{run.run_id}/"):
        if dataset.source.startswith(prefix):
            return dataset.source.removeprefix(prefix)
    if dataset.source_type != "local":
        return ""
    return re.split(r"[/\\]", dataset.source.rstrip("/\\"))[-1]
