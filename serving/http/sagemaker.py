"""What SageMaker's multi-model hosts ask of a container, as far as it is not ours already: load and unload by name.

``GET /models`` and ``GET /models/{name}`` are our own (``app.py``) and bear SageMaker's fields beside ours; ``POST
/models/{name}/invoke`` is MLflow's scoring, on the lane. A model comes from the registry, never from a file that the
caller names. Source: AWS, "Custom Containers Contract for Multi-Model Endpoints".
"""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter, Request, Response

from registry.edge.problems import problem_body, problem_headers
from registry.errors import Conflict, InvalidRequest, NotFound, Unavailable, quote
from registry.records import ModelName, parse_model_name, parse_target
from serving.http import shapes
from serving.http.body import BodyReader
from serving.http.view import NodeView, choose_settled, load_here, tell_siblings, unload_here
from serving.pool.state import State
from serving.protocols.json_body import load_json
from serving.protocols.limits import Limits
from serving.routing.choose import Ask

SCHEME = "models:/"
NO_MEMORY = 507
_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["model_name"],
                    "properties": {
                        "model_name": {"type": "string"},
                        "url": {"type": "string", "description": "models:/name, models:/name@alias, models:/name/3."},
                    },
                },
                "example": {"model_name": "churn", "url": "models:/churn@champion"},
            }
        },
    }
}


def sagemaker_routes(node: NodeView, bodies: BodyReader, limits: Limits) -> APIRouter:
    """Return the routes."""
    routes = APIRouter(tags=["sagemaker"])

    @routes.post(
        "/models",
        summary="Load a model, as SageMaker asks for it",
        response_model=shapes.SageMakerModel,
        responses={409: {"description": "It is loaded."}, NO_MEMORY: {"description": "There is no memory for it."}},
        openapi_extra=_BODY,
    )
    async def load(request: Request) -> Any:
        ask = _asked(await _document(request, bodies, limits))
        decision = choose_settled(node, ask)
        if node.pool.state(decision.chosen.servable) is State.READY:
            raise Conflict("already_exists", f"version {decision.version} of {decision.model} is loaded here")
        try:
            await load_here(node, decision.model, decision.version)
        except Unavailable as error:
            if error.code != "no_capacity":
                raise
            request_id = request.scope["headgate.request_id"]
            told = {name.decode(): value.decode("latin-1") for name, value in problem_headers(error, request_id)}
            return Response(problem_body(error, request_id), status_code=NO_MEMORY, headers=told)
        await tell_siblings(node, "load", decision)
        return shapes.SageMakerModel(
            sagemaker_name=decision.model, sagemaker_url=url_of(decision.model, decision.version)
        )

    @routes.delete("/models/{name}", summary="Unload a model's versions, as SageMaker asks for it")
    async def unload(name: str) -> shapes.SageMakerModel:
        model = parse_model_name(name)
        loaded = _loaded(node, model)
        if not loaded:
            raise NotFound("unknown_model", f"no version of {quote(model)} is loaded here")
        for version in loaded:
            await tell_siblings(node, "unload", await unload_here(node, model, version))
        return shapes.SageMakerModel(sagemaker_name=model, sagemaker_url=url_of(model))

    return routes


def url_of(model: str, version: str = "") -> str:
    """Return where a model comes from, as MLflow writes it."""
    return f"{SCHEME}{model}/{version}" if version else f"{SCHEME}{model}"


async def _document(request: Request, bodies: BodyReader, limits: Limits) -> Any:
    async with bodies.whole(request.headers, request.receive) as body:
        return (await asyncio.to_thread(load_json, body, limits))[0]


def _asked(document: Any) -> Ask:
    if type(document) is not dict or type(document.get("model_name")) is not str:
        raise InvalidRequest("invalid_argument", 'the body must be a JSON object such as {"model_name": "churn"}')
    model, url = parse_model_name(document["model_name"]), document.get("url") or url_of(document["model_name"])
    if type(url) is not str or not url.startswith(SCHEME):
        raise InvalidRequest(
            "invalid_argument",
            f"'{quote(url)}' is no model of the registry: url is models:/name, models:/name@alias or models:/name/3, "
            "or is left out. Files are not loaded: register the model first",
        )
    ask = Ask(*parse_target(url.removeprefix(SCHEME)))
    if ask.model != model:
        raise InvalidRequest("invalid_argument", f"url names {quote(ask.model)}, and model_name {quote(model)}")
    return ask


def _loaded(node: NodeView, model: ModelName) -> list[str]:
    known = node.routes.table.models.get(model)
    versions = () if known is None else known.versions.values()
    return [v.servable.version for v in versions if node.pool.state(v.servable) in (State.READY, State.DRAINING)]
