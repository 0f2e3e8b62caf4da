"""The routes of the Open Inference Protocol beside predicting: health, metadata, statistics, the model repository.

Translate and delegate: parse, one verb of ``repository.py`` or ``counted.py``, render. Not here: predicting (the lane),
and errors, which below ``/v2`` have the protocol's shape (``problems.py``). Source: ``inference_rest.md`` of
kserve/open-inference-protocol, and the extensions of triton-inference-server/server.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import orjson
from fastapi import APIRouter, Request, Response
from pydantic import BaseModel

from registry.environment import platform_version
from serving.http import oip_shapes as shapes
from serving.http.body import BodyReader
from serving.http.counted import VersionStatistics, statistics
from serving.http.repository import (
    VersionStanding,
    describe_model,
    index,
    load_model,
    model_names,
    standing_of,
    unload_model,
)
from serving.http.view import NodeView, beside, why_not_ready
from serving.protocols.limits import Limits
from serving.protocols.oip.orders import parameters_of, read_order, refuse_overrides, wants_ready
from serving.protocols.oip.server import EXTENSIONS, SERVER, config_of
from serving.protocols.oip.values import TensorMetadata
from serving.telemetry.statistics import Timed

JSON = "application/json"
_NONE = shapes.Duration(count=0, ns=0)


def oip_routes(node: NodeView, bodies: BodyReader, limits: Limits) -> APIRouter:
    """Return the routes, bound to a node."""
    routes = APIRouter(tags=["open inference protocol"])
    _add_server(routes, node)
    _add_statistics(routes, node)  # before the models: /v2/models/stats is no model
    _add_models(routes, node)
    _add_repository(routes, node, bodies, limits)
    return routes


def _add_server(routes: APIRouter, node: NodeView) -> None:
    @routes.get("/v2", summary="Tell which server this is")
    async def server() -> shapes.ServerMetadata:
        return shapes.ServerMetadata(name=SERVER, version=platform_version(), extensions=list(EXTENSIONS))

    @routes.get("/v2/health/live", summary="Tell that the event loop turns")
    async def live() -> shapes.Health:
        return shapes.Health(ready=not why_not_ready(node))

    @routes.get(
        "/v2/health/ready",
        summary="Tell whether this node can serve",
        response_model=shapes.Health,
        responses={503: {"model": shapes.NotReady, "description": "It cannot, and says why."}},
    )
    async def ready() -> Response:
        reason = why_not_ready(node)
        return _answer(shapes.NotReady(ready=False, error=reason), 503) if reason else _answer(shapes.Health())

    @routes.get("/v2/models", summary="List the models that this node knows", response_model=shapes.ModelNames)
    async def models() -> Response:
        names = model_names(node)
        return await _large(lambda: {"models": names})


def _add_models(routes: APIRouter, node: NodeView) -> None:
    @routes.get("/v2/models/{name}", summary="Tell what a model takes and answers")
    @routes.get("/v2/models/{name}/versions/{version}", summary="Tell what a version takes and answers")
    async def metadata(name: str, version: str = "") -> shapes.ModelMetadata:
        described = await describe_model(node, name, version)
        return shapes.ModelMetadata(
            name=described.model,
            versions=list(described.versions),
            platform=described.platform,
            inputs=[_tensor(tensor) for tensor in described.tensors.inputs],
            outputs=[_tensor(tensor) for tensor in described.tensors.outputs],
        )

    not_ready: dict[int | str, dict[str, Any]] = {
        503: {"model": shapes.ModelNotReady, "description": "It may not be asked now."}
    }

    @routes.get(
        "/v2/models/{name}/ready",
        summary="Tell whether a model may be asked",
        response_model=shapes.ModelReady,
        responses=not_ready,
    )
    @routes.get(
        "/v2/models/{name}/versions/{version}/ready",
        summary="Tell whether a version may be asked",
        response_model=shapes.ModelReady,
        responses=not_ready,
    )
    async def ready(name: str, version: str = "") -> Response:
        found = standing_of(node, name, version)
        if found.ready:
            return _answer(shapes.ModelReady(name=found.model))
        text = f"version {found.version} of {found.model} is {found.standing.lower()}"
        error = f"{text}: {found.reason}" if found.reason else text
        return _answer(shapes.ModelNotReady(name=found.model, ready=False, error=error), 503)

    @routes.get("/v2/models/{name}/config", summary="Show a model in the words of Triton's configuration")
    @routes.get("/v2/models/{name}/versions/{version}/config", summary="Show a version in those words")
    async def config(name: str, version: str = "") -> shapes.ModelConfig:
        found = await describe_model(node, name, version)
        shown = config_of(found.model, found.platform, found.served, found.instances, found.tensors)
        return shapes.ModelConfig.model_validate(shown)


def _add_statistics(routes: APIRouter, node: NodeView) -> None:
    @routes.get("/v2/models/stats", summary="Count what all versions have done", response_model=shapes.Stats)
    async def stats() -> Response:
        rows = await statistics(node)
        return await _large(lambda: {"model_stats": [_statistics(row).model_dump() for row in rows]})

    @routes.get("/v2/models/{name}/stats", summary="Count what the versions of a model have done")
    @routes.get("/v2/models/{name}/versions/{version}/stats", summary="Count what a version has done")
    async def model_stats(name: str, version: str = "") -> shapes.Stats:
        return shapes.Stats(model_stats=[_statistics(row) for row in await statistics(node, name, version)])


def _add_repository(routes: APIRouter, node: NodeView, bodies: BodyReader, limits: Limits) -> None:
    @routes.post(
        "/v2/repository/index",
        summary="Tell how every version stands on this node",
        response_model=list[shapes.IndexRow],
        openapi_extra=_body({"ready": {"type": "boolean", "description": "Only those that are ready."}}),
    )
    async def repository_index(request: Request) -> Response:
        ready = wants_ready(await _read(request, bodies, limits))
        rows = await index(node, ready=ready)
        return await _large(lambda: [_index_row(row) for row in rows])

    parameters = _body({"parameters": {"type": "object", "description": "None change anything."}})

    @routes.post(
        "/v2/repository/models/{name}/load",
        summary="Load the versions that the plan asks, and wait for them",
        openapi_extra=parameters,
    )
    async def load(name: str, request: Request) -> shapes.Loaded:
        refuse_overrides(parameters_of(await _read(request, bodies, limits)))
        await load_model(node, name)
        return shapes.Loaded(name=name)

    @routes.post(
        "/v2/repository/models/{name}/unload",
        summary="Unload all versions of a model",
        openapi_extra=parameters,
    )
    async def unload(name: str, request: Request) -> shapes.Unloaded:
        await _read(request, bodies, limits)
        await unload_model(node, name)
        return shapes.Unloaded(name=name)


async def _read(request: Request, bodies: BodyReader, limits: Limits) -> Mapping[str, Any]:
    async with bodies.whole(request.headers, request.receive) as body:
        return await asyncio.to_thread(read_order, body, limits)


def _answer(shape: BaseModel, status: int = 200) -> Response:
    return Response(shape.model_dump_json(), status_code=status, media_type=JSON)


async def _large(make: Callable[[], object]) -> Response:
    return Response(await beside(lambda: orjson.dumps(make())), media_type=JSON)


def _tensor(tensor: TensorMetadata) -> shapes.TensorView:
    return shapes.TensorView(name=tensor.name, datatype=tensor.datatype, shape=list(tensor.shape))


def _index_row(row: VersionStanding) -> dict[str, str]:
    return {"name": row.model, "version": row.version, "state": row.standing.value, "reason": row.reason}


def _statistics(row: VersionStatistics) -> shapes.ModelStats:
    found = row.statistics
    return shapes.ModelStats(
        name=row.model,
        version=row.version,
        last_inference=found.last_inference,
        inference_count=found.inferences,
        execution_count=found.executions,
        inference_stats=shapes.InferenceStats(
            success=_duration(found.success),
            fail=_duration(found.fail),
            queue=_duration(found.queue),
            compute_input=_duration(found.compute_input),
            compute_infer=_duration(found.compute_infer),
            compute_output=_duration(found.compute_output),
            cache_hit=_NONE,
            cache_miss=_NONE,
        ),
        batch_stats=[
            shapes.BatchStats(
                batch_size=each.rows, compute_input=_NONE, compute_infer=_duration(each.ran), compute_output=_NONE
            )
            for each in found.batches
        ],
        memory_usage=[shapes.MemoryUsage(byte_size=row.memory_bytes)] if row.memory_bytes else [],
    )


def _duration(timed: Timed) -> shapes.Duration:
    return shapes.Duration(count=timed.count, ns=timed.ns)


def _body(properties: dict[str, Any]) -> dict[str, Any]:
    schema = {"type": "object", "properties": properties}
    return {"requestBody": {"required": False, "content": {JSON: {"schema": schema}}}}
