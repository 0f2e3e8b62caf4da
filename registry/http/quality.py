"""Routes of labels and of what they show: feedback that nodes pass on, and a version's live quality."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from fastapi import APIRouter, Request

from registry.http.render import iso
from registry.http.strict import StrictRoute, strict_json
from registry.labels import read_feedback
from registry.monitoring.quality import ArmQuality, DayQuality, Figures, VersionQuality
from registry.monitoring.quality_watch import QualityReader, Training
from registry.operations import Operations
from registry.records import ModelName, VersionNumber, parse_model_name, parse_version


def quality_routes(
    operations: Operations,
    clock: Callable[[], int],
    kept_ms: int,
    training: Training = lambda _model, _version: {},
) -> APIRouter:
    """Return the routes, bound to ``operations``; ``kept_ms`` is how long predictions are kept."""
    routes = APIRouter(prefix="/registry/v1", tags=["quality"], route_class=StrictRoute)
    predictions = operations.ledger.predictions
    reader = QualityReader(predictions, clock, kept_ms)

    @routes.post("/models/{name}/feedback", status_code=202)
    async def feedback(name: str, request: Request) -> Any:
        """Join labels to predictions; ``answers`` are predictions that the node has not reported yet."""
        body = await request.body()

        def take() -> dict[str, Any]:
            model = parse_model_name(name)
            said = read_feedback(strict_json(body), from_node=True)
            operations.model(model)
            refused = [*said.refused, *predictions.label(model, said.labels, said.answers)]
            refused.sort(key=lambda one: one.index)
            accepted = len(said.labels) + len(said.refused) - len(refused)
            return {"accepted": accepted, "refused": [one.to_json() for one in refused]}

        return await asyncio.to_thread(take)

    @routes.get("/models/{name}/versions/{version}/quality")
    def quality(name: str, version: str) -> Any:
        """Show how good a version's predictions were, by the labels that came."""
        record = operations.version(parse_model_name(name), parse_version(version))
        found = reader.read(record.model, record.version)
        return quality_json(record.model, record.version, found, training(record.model, record.version))

    return routes


def quality_json(
    model: ModelName, version: VersionNumber, quality: VersionQuality, training: Mapping[str, float]
) -> dict[str, Any]:
    """Return a version's quality as the contract has it."""
    return {
        "model": model,
        "version": version,
        "task": None if quality.task is None else quality.task.value,
        "arms": [_arm_json(arm) for arm in quality.arms],
        "training": dict(training),
        "windows": [_day_json(day) for day in quality.days],
    }


def _arm_json(arm: ArmQuality) -> dict[str, Any]:
    kept, labelled = arm.coverage.predictions, arm.coverage.labelled
    return {
        "arm": arm.arm,
        "labelled": labelled,
        "predictions": kept,
        "coverage_ratio": labelled / kept if kept else None,
        "delay_seconds": {"p50": arm.delay_p50, "p90": arm.delay_p90},
        **_figures_json(arm.figures),
        "since": None if arm.since_ms is None else iso(arm.since_ms),
        "until": None if arm.until_ms is None else iso(arm.until_ms),
    }


def _day_json(day: DayQuality) -> dict[str, Any]:
    return {"day": iso(day.day_ms)[:10], "arm": day.arm, **_figures_json(day.figures)}


def _figures_json(figures: Figures) -> dict[str, Any]:
    return {"rows": figures.rows, "metrics": dict(figures.metrics), "average": figures.average}
