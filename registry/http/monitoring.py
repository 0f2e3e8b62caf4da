"""Routes of what live rows look like beside the training data."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query

from registry.baselines import MOST_FEATURES
from registry.http.render import baseline_in_short
from registry.http.render_monitoring import open_json, window_json
from registry.http.strict import StrictRoute
from registry.monitoring.closing import Closing
from registry.operations import Operations
from registry.records import parse_model_name, parse_version


def monitoring_routes(operations: Operations, rule: Closing) -> APIRouter:
    """Return the routes, bound to ``operations``; ``rule`` says when windows close."""
    routes = APIRouter(prefix="/registry/v1/models/{name}/versions/{version}", tags=["drift"], route_class=StrictRoute)
    ledger = operations.ledger

    @routes.get("/drift")
    def drift(
        name: str,
        version: str,
        limit: Annotated[int, Query(ge=1, le=100)] = 20,
        features: Annotated[int, Query(ge=1, le=MOST_FEATURES, description="Of each window, at most so many")] = 100,
    ) -> Any:
        """Show the newest windows of a version's live rows and what was found of each: features that moved most
        first."""
        model, number = parse_model_name(name), parse_version(version)
        operations.version(model, number)
        windows = ledger.feature_windows
        return {
            "model": model,
            "version": number,
            "baseline": baseline_in_short(ledger.baselines.get(model, number)),
            "open": open_json(windows.open(model, number), rule),
            "windows": [window_json(window, features) for window in windows.page(model, number, limit)],
        }

    return routes
