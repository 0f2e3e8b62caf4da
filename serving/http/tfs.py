"""The routes of TensorFlow Serving and KServe V1 beside the lane: status, metadata, the list, liveness.

Where both have a route, one answer holds what either looks for. Not here: ``:predict``, ``:classify`` and ``:regress``
(the lane), what the answers say (``serving/protocols/tfs/status.py``), errors (``problems.py``).
"""

from __future__ import annotations

import heapq
from typing import Annotated

import orjson
from fastapi import APIRouter, Path, Response

from registry.errors import NotFound
from registry.records import VersionNumber
from serving.http import tfs_shapes as shapes
from serving.http.repository import describe_model, model_names, model_of, standing_of
from serving.http.spoken import ask_tfs
from serving.http.view import NodeView, beside
from serving.protocols.tfs.errors import error_body
from serving.protocols.tfs.paths import EXPLAIN
from serving.protocols.tfs.status import SHOWN, metadata, version_status
from serving.routing.choose import Ask, choose
from serving.routing.table import RoutedModel

MAX_SHOWN = 1000
"""How many versions one status shows: the newest."""
_EXPLAIN = "explanations are not implemented here; a model can be asked to :predict, :classify and :regress"
_PREFIX = "/v1/models/{name}"

Name = Annotated[str, Path(description="The model's name.")]
Version = Annotated[str, Path(description="The version's number.")]
Label = Annotated[str, Path(description="The alias's name.")]


def tfs_routes(node: NodeView) -> APIRouter:
    """Return the routes."""
    router = APIRouter(tags=["tensorflow serving, kserve v1"])
    _add_kserve(router, node)
    _add_status(router, node)
    _add_metadata(router, node)
    _add_verbs(router)
    return router


def _add_kserve(router: APIRouter, node: NodeView) -> None:
    @router.get("/", summary="Tell that the process lives, as KServe V1")
    async def alive() -> shapes.StatusAlive:
        return shapes.StatusAlive()

    @router.get("/v1/models", summary="List the models, as KServe V1", response_model=shapes.ModelNames)
    async def models() -> Response:
        # There may be 100,000 of them.
        body = await beside(lambda: orjson.dumps({"models": model_names(node)}))
        return Response(body, media_type="application/json")


def _add_status(router: APIRouter, node: NodeView) -> None:
    @router.get(
        _PREFIX,
        summary="Show a model's versions and whether it is ready",
        responses={
            503: {"model": shapes.ModelStatus, "description": "The version that the plan chooses cannot answer."}
        },
    )
    async def status(name: Name, response: Response) -> shapes.ModelStatus:
        model = model_of(node, _ask(name, "").model)
        ready = model.split is not None and standing_of(node, model.name).ready
        response.status_code = 200 if ready else 503
        return shapes.ModelStatus(model_version_status=_statuses(node, model), name=model.name, ready=ready)

    @router.get(_PREFIX + "/versions/{version}", summary="Show where a version stands")
    async def version_of(name: Name, version: Version) -> shapes.VersionStatuses:
        return _one_status(node, _ask(name, f"/versions/{version}"))

    @router.get(_PREFIX + "/labels/{label}", summary="Show where the version that an alias names stands")
    async def labelled(name: Name, label: Label) -> shapes.VersionStatuses:
        return _one_status(node, _ask(name, f"/labels/{label}"))


def _add_metadata(router: APIRouter, node: NodeView) -> None:
    @router.get(_PREFIX + "/metadata", summary="Show what a model takes and answers")
    async def of_model(name: Name) -> shapes.ModelMetadata:
        return await _metadata(node, _ask(name, "/metadata"))

    @router.get(_PREFIX + "/versions/{version}/metadata", summary="Show what a version takes and answers")
    async def of_version(name: Name, version: Version) -> shapes.ModelMetadata:
        return await _metadata(node, _ask(name, f"/versions/{version}/metadata"))

    @router.get(_PREFIX + "/labels/{label}/metadata", summary="Show what the version of an alias takes and answers")
    async def of_label(name: Name, label: Label) -> shapes.ModelMetadata:
        return await _metadata(node, _ask(name, f"/labels/{label}/metadata"))


def _add_verbs(router: APIRouter) -> None:
    """Answer what the lane left: words after the colon that it does not know, and none."""

    async def unknown(last: str) -> Response:
        if last.lower().endswith(EXPLAIN):
            return Response(error_body(_EXPLAIN), status_code=501, media_type="application/json")
        raise NotFound("not_found", "no verb follows the name", {"method": "POST"})

    @router.post(_PREFIX, include_in_schema=False)
    async def of_model(name: str) -> Response:
        return await unknown(name)

    @router.post(_PREFIX + "/versions/{last}", include_in_schema=False)
    @router.post(_PREFIX + "/labels/{last}", include_in_schema=False)
    async def of_version(name: str, last: str) -> Response:
        return await unknown(last)


def _ask(name: str, rest: str) -> Ask:
    """Return what a path asks for; raise as ``ask_tfs`` does, and where a verb follows that only a POST has."""
    if ":" in name + rest:
        raise NotFound("not_found", "verbs are for POST", {"method": "GET"})
    return ask_tfs(f"/v1/models/{name}{rest}", "GET")


def _one_status(node: NodeView, ask: Ask) -> shapes.VersionStatuses:
    model, number = model_of(node, ask.model), _number(node, ask)
    if number not in model.versions and model.others.get(number) not in SHOWN:
        raise NotFound("unknown_version", f"{model.name} has no version {number}; {model.listing}")
    return shapes.VersionStatuses(model_version_status=[_status(node, model, number)])


def _number(node: NodeView, ask: Ask) -> VersionNumber:
    """Return the version that a path names, by its number or by an alias; raise as ``choose`` does."""
    if ask.version is not None:
        return ask.version
    return choose(node.routes.table, ask).version


def _statuses(node: NodeView, model: RoutedModel) -> list[shapes.VersionStatus]:
    """Return the versions as they stand here, newest first."""
    shown = (number for number, state in model.others.items() if state in SHOWN)
    numbers = heapq.nlargest(MAX_SHOWN, [*model.versions, *shown], key=int)
    return [_status(node, model, number) for number in numbers]


def _status(node: NodeView, model: RoutedModel, number: VersionNumber) -> shapes.VersionStatus:
    state, reason = model.others.get(number, ""), ""
    if number in model.versions:
        here = standing_of(node, model.name, number)
        state, reason = here.standing.lower(), here.reason
    return shapes.VersionStatus.model_validate(version_status(number, state, reason))


async def _metadata(node: NodeView, ask: Ask) -> shapes.ModelMetadata:
    named = ask.version is not None or ask.alias is not None
    described = await describe_model(node, ask.model, _number(node, ask) if named else "")
    version = described.served[0]
    return shapes.ModelMetadata.model_validate(metadata(described.model, version, described.tensors))
