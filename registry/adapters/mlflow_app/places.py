"""Where a source's files really are: asks MLflow's stores, and believes only places in our artifact store.

Not here: what a source may look like (``sources.py``).
"""

from __future__ import annotations

from typing import Any

from registry.adapters.mlflow_app.private import MlflowException
from registry.adapters.mlflow_app.sources import (
    RULE,
    BelowRun,
    LoggedModel,
    OtherVersion,
    StoredAt,
    parse_location,
    parse_source,
)
from registry.errors import InvalidRequest, NotFound, quote


def find(tracking: Any, models: Any, source: str) -> str:
    """Return the source to record: as given where MLflow resolves it itself, else the place it means.

    Args:
        tracking: MLflow's tracking store.
        models: MLflow's model registry store.
        source: As the client wrote it.

    Raises InvalidRequest ``invalid_argument``, or NotFound where what it names does not exist.
    """
    parsed = parse_source(source)
    if isinstance(parsed, StoredAt):
        return source
    if isinstance(parsed, LoggedModel):
        parse_location(_logged_model(tracking, parsed.model_id).artifact_location)
        return source
    if isinstance(parsed, OtherVersion):
        parse_location(_location_of(models, parsed))
        return source
    return _below_run(tracking, parsed)


def require_run(tracking: Any, run_id: str) -> Any:
    """Return a run; raise NotFound ``not_found`` where there is none of that id."""
    try:
        return tracking.get_run(run_id)
    except MlflowException as error:
        raise _missing(error, f"there is no run '{quote(run_id)}' here; give the id of a run of this server") from error


def _logged_model(tracking: Any, model_id: str) -> Any:
    try:
        return tracking.get_logged_model(model_id)
    except MlflowException as error:
        raise _missing(error, f"there is no logged model '{quote(model_id)}' here; {RULE}") from error


def _location_of(models: Any, other: OtherVersion) -> str:
    try:
        return str(models.get_model_version_download_uri(other.name, other.version))
    except MlflowException as error:
        raise _missing(error, f"{other.name} has no version {other.version} to copy") from error


def _below_run(tracking: Any, wanted: BelowRun) -> str:
    """Return what MLflow's client would download: the run's logged model of that name, or else its folder."""
    run = require_run(tracking, wanted.run_id)
    name, _, below = wanted.path.partition("/")
    # A quote cannot be written in a filter; such a name is looked up as a folder.
    models = (
        []
        if "'" in name
        else tracking.search_logged_models(
            [run.info.experiment_id],
            filter_string=f"name = '{name}' AND source_run_id = '{wanted.run_id}'",
            max_results=1,
        )
    )
    root = models[0].artifact_location if models else f"{run.info.artifact_uri}/{name}"
    location = f"{root}/{below}" if below else root
    parse_location(location)
    return location


def _missing(error: Any, message: str) -> Exception:
    if error.error_code == "RESOURCE_DOES_NOT_EXIST":
        return NotFound("not_found", message)
    if error.error_code == "INVALID_PARAMETER_VALUE":
        return InvalidRequest("invalid_argument", message)
    raise error
