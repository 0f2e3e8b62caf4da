"""MLflow's tracking store with two rules of ours: an experiment's artifacts are in this registry's store, and a search
has not too many conditions.

MLflow lets whoever creates an experiment name any place, and its server then reads that place on request. Not here:
runs, metrics, parameters, which are MLflow's own business.
"""

from __future__ import annotations

from typing import Any

from registry.adapters.mlflow_app.private import TrackingStore
from registry.adapters.mlflow_app.sessions import plain_sessions
from registry.adapters.mlflow_app.sources import UPLOADS, parse_location
from registry.adapters.mlflow_app.store import as_mlflow_errors, check_search
from registry.errors import InvalidRequest, quote


class HeadgateTrackingStore(TrackingStore):  # type: ignore[misc]  # MLflow has no types for mypy
    """The store behind every tracking route."""

    def __init__(self, db_uri: str, artifact_root: str) -> None:
        super().__init__(db_uri, artifact_root)
        self.ManagedSessionMaker = plain_sessions(self.engine, self.db_type)

    def create_experiment(self, name: str, artifact_location: str | None = None, tags: Any = None) -> Any:
        """Create an experiment whose artifacts are in our store."""
        if artifact_location:
            with as_mlflow_errors():
                _check(artifact_location)
        return super().create_experiment(name, artifact_location, tags)

    def _search_runs(  # noqa: PLR0917 -- as MLflow has it
        self, experiment_ids: Any, filter_string: Any, view: Any, most: Any, order_by: Any, page_token: Any
    ) -> Any:
        check_search(filter_string, order_by)
        return super()._search_runs(experiment_ids, filter_string, view, most, order_by, page_token)

    def _search_experiments(self, view: Any, most: Any, filter_string: Any, order_by: Any, page_token: Any) -> Any:
        check_search(filter_string, order_by)
        return super()._search_experiments(view, most, filter_string, order_by, page_token)

    def search_logged_models(self, experiment_ids: Any, filter_string: Any = None, **others: Any) -> Any:
        """Search, where that is not too much work."""
        check_search(filter_string, others.get("order_by"))
        return super().search_logged_models(experiment_ids, filter_string, **others)


def _check(location: str) -> None:
    try:
        path = parse_location(location).path
    except InvalidRequest:
        path = UPLOADS
    if f"{path}/".startswith(UPLOADS):
        raise InvalidRequest(
            "invalid_argument",
            f"the artifact location '{quote(location)}' is not one for experiments; leave it out, or name a folder "
            "of this registry's own store: mlflow-artifacts:/<path>",
        )
