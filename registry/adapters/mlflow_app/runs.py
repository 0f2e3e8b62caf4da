"""What MLflow's runs say of themselves: metrics, logged datasets, where their artifacts are.

Not here: what is made of it (``registry/monitoring/training.py``).
"""

from __future__ import annotations

import json
from typing import Any

from registry.adapters.mlflow_app.catalog import our_errors
from registry.adapters.mlflow_app.private import MlflowException
from registry.adapters.mlflow_app.sources import LoggedModel, parse_source
from registry.adapters.mlflow_app.start import MlflowConfig, start_mlflow
from registry.errors import InvalidRequest
from registry.monitoring.ports import LoggedDataset, LoggedRun
from registry.records import VersionRecord

CONTEXT_TAG = "mlflow.data.context"
MOST_DATASETS = 32


def open_runs(config: MlflowConfig) -> MlflowRuns:
    """Return the runs of this process's MLflow, which starts unless it runs already."""
    return MlflowRuns(start_mlflow(config).tracking)


class MlflowRuns:
    """The ``Runs`` port (``registry/monitoring/ports.py``)."""

    def __init__(self, tracking: Any) -> None:
        self._tracking = tracking

    def of(self, version: VersionRecord) -> LoggedRun | None:
        """Return the run that a version came from, or None."""
        with our_errors():
            run_id = version.run_id or self._run_of_model(version.source)
            run = None if run_id is None else self._found(self._tracking.get_run, run_id)
        if run is None:
            return None
        metrics = {str(name): float(value) for name, value in run.data.metrics.items()}
        inputs = run.inputs.dataset_inputs if run.inputs is not None else []
        datasets = tuple(_dataset(one) for one in inputs[:MOST_DATASETS])
        return LoggedRun(run.info.run_id, run.info.artifact_uri or "", metrics, datasets)

    def _run_of_model(self, source: str) -> str | None:
        try:
            parsed = parse_source(source)
        except InvalidRequest:
            return None
        if not isinstance(parsed, LoggedModel):
            return None
        model = self._found(self._tracking.get_logged_model, parsed.model_id)
        return None if model is None else model.source_run_id

    def _found(self, get: Any, name: str) -> Any:
        try:
            return get(name)
        except MlflowException as error:
            if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                raise
            return None


def _dataset(logged: Any) -> LoggedDataset:
    dataset, tags = logged.dataset, {tag.key: tag.value for tag in logged.tags or ()}
    return LoggedDataset(
        name=str(dataset.name or ""),
        source_type=str(dataset.source_type or ""),
        source=_address(str(dataset.source or "")),
        context=str(tags.get(CONTEXT_TAG) or ""),
    )


def _address(source: str) -> str:
    """Return where a source says its data is, of which MLflow keeps JSON; empty where it does not."""
    try:
        said = json.loads(source)
    except (ValueError, RecursionError):
        return source
    found = [said.get(key) for key in ("uri", "url", "path")] if isinstance(said, dict) else [said]
    return next((one for one in found if isinstance(one, str)), "")
