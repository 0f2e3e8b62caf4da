"""Routes of baselines: send the training data of a version as a table, and look at what was made of it."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request

from registry.baselining import BaselineOperations
from registry.edge.patience import Places
from registry.errors import InvalidRequest, quote
from registry.http.arriving import blocking
from registry.http.render_baselines import baseline_json
from registry.http.strict import StrictRoute
from registry.monitoring.ports import TableForm
from registry.monitoring.quality_watch import Training
from registry.records import parse_model_name, parse_version

AT_ONCE = 4
"""Tables that are received at the same time; the others wait with their bodies unread."""
FORMS = {
    "application/vnd.apache.parquet": TableForm.PARQUET,
    "text/csv": TableForm.CSV,
    "application/vnd.apache.arrow.stream": TableForm.ARROW,
    "application/vnd.apache.arrow.file": TableForm.ARROW,
}
_TABLE = {"schema": {"type": "string", "format": "binary"}}
Prediction = Annotated[
    str | None,
    Query(max_length=256, description="The column of the model's predictions, where it is not called `prediction`."),
]


def baseline_routes(baselines: BaselineOperations, training: Training) -> APIRouter:
    """Return the routes, bound to ``baselines``; ``training`` tells what training runs say of quality."""
    prefix = "/registry/v1/models/{name}/versions/{version}/baseline"
    routes = APIRouter(prefix=prefix, tags=["monitoring"], route_class=StrictRoute)
    places = Places(AT_ONCE)
    # Of their own: a table holds its thread for as long as its sender and its reader take.
    threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="baseline")

    @routes.put("", openapi_extra={"requestBody": {"required": True, "content": dict.fromkeys(FORMS, _TABLE)}})
    async def put(name: str, version: str, request: Request, prediction: Prediction = None) -> Any:
        """Make a table of training data the baseline that live rows are compared with."""
        form = _form(request.headers.get("content-type", ""), request.headers.get("content-encoding", ""))
        model, number = parse_model_name(name), parse_version(version)
        loop = asyncio.get_running_loop()
        record = await asyncio.to_thread(baselines.require, model, number)
        async with places.one():
            chunks = blocking(request.stream(), loop)
            given = await loop.run_in_executor(threads, baselines.receive, record, chunks, form, prediction)
        quality = await asyncio.to_thread(training, model, number)
        return {**baseline_json(given.record, given.baseline, quality), "ignored": list(given.ignored)}

    @routes.get("")
    def show(name: str, version: str) -> Any:
        """Show what the training data of a version looked like, feature by feature."""
        model, number = parse_model_name(name), parse_version(version)
        return baseline_json(*baselines.show(model, number), training(model, number))

    return routes


def _form(named: str, encoding: str) -> TableForm:
    if encoding.strip().lower() not in ("", "identity"):
        advice = "send the table as it is, and as Parquet where it is large, which is compressed by itself"
        raise InvalidRequest(
            "unsupported_media_type", f"Content-Encoding '{quote(encoding)}' is not read here; {advice}"
        )
    form = FORMS.get(named.partition(";")[0].strip().lower())
    if form is None:
        came = f"'{quote(named)}' is not read" if named else "this one does not say its type"
        raise InvalidRequest("unsupported_media_type", f"send a table here: {', '.join(FORMS)}; {came}")
    return form
