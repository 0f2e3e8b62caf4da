"""Routes of what live rows look like beside the training data."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query

from registry.http.render_monitoring import drift_json
from registry.http.strict import StrictRoute
from registry.monitoring.closing import Closing
from registry.operations import Operations
from registry.records import parse_model_name, parse_version


def monitoring_routes(operations: Operations, rule: Closing) -> APIRouter:
    """Return the routes, bound to ``operations``; ``rule`` says when windows close."""
    routes = APIRouter(prefix="/registry/v1/models/{name}/versions/{version}", tags=["drift"], route_class=StrictRoute)
    ledger = operations.ledger

    @routes.get("/drift")
    def drift(name: str, version: str, limit: Annotated[int, Query(ge=1, le=1000)] = 20) -> Any:
        """Show the newest windows of a version's live rows and what was found of each: features that moved most
        first."""
        model, number = parse_model_name(name), parse_version(version)
        operations.version(model, number)
        return drift_json(
            (model, number),
            ledger.baselines.get(model, number),
            ledger.feature_windows.open(model, number),
            ledger.feature_windows.page(model, number, limit),
            rule,
        )

    return routes
