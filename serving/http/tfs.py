"""The routes of TensorFlow Serving and KServe V1 beside the lane: status, metadata, the list, liveness.

Where both have a route, one answer holds what either looks for. Not here: ``:predict``, ``:classify`` and ``:regress``
(the lane), what the answers say (``serving/protocols/tfs/status.py``), errors (``problems.py``).
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from typing import Annotated, Any

from fastapi import APIRouter, Path, Response

from registry.errors import NotFound, quote
from registry.records import VersionNumber
from registry.signature import Schema
from serving.http import tfs_shapes as shapes
from serving.http.spoken import ask_tfs
from serving.http.view import NodeView, beside
from serving.protocols.oip.metadata import describe
from serving.protocols.tfs.errors import error_body
from serving.protocols.tfs.paths import EXPLAIN
from serving.protocols.tfs.status import SHOWN, is_ready, metadata, version_status
from serving.routing.choose import Ask, choose
from serving.routing.split import RoutedVersion
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

    @router.get("/v1/models", summary="List the models, as KServe V1")
    async def models() -> shapes.ModelNames:
        known = node.routes.table.models
        return shapes.ModelNames(models=await beside(lambda: sorted(known)))


def _add_status(router: APIRouter, node: NodeView) -> None:
    @router.get(
        _PREFIX,
        summary="Show a model's versions and whether it is ready",
        responses={503: {"model": shapes.ModelStatus, "description": "The version that the plan chooses cannot answer."}},
    )
    async def status(name: Name, response: Response) -> shapes.ModelStatus:
        model = _known(node, _ask(name, ""))
        ready = _is_ready(node, model)
        response.status_code = 200 if ready else 503
        return shapes.ModelStatus(model_version_status=_statuses(node, model, None), name=model.name, ready=ready)

    @router.get(_PREFIX + "/versions/{version}", summary="Show where a version stands")
    async def version_of(name: Name, version: Version) -> shapes.VersionStatuses:
        return _one_status(node, _ask(name, f"/versions/{version}"))

    @router.get(_PREFIX + "/labels/{label}", summary="Show where the version that an alias names stands")
    async def labelled(name: Name, label: Label) -> shapes.VersionStatuses:
        return _one_status(node, _ask(name, f"/labels/{label}"))


def _add_metadata(router: APIRouter, node: NodeView) -> None:
    @router.get(_PREFIX + "/metadata", summary="Show what a model takes and answers")
    async def of_model(name: Name) -> shapes.ModelMetadata:
        return _metadata(node, _ask(name, "/metadata"))

    @router.get(_PREFIX + "/versions/{version}/metadata", summary="Show what a version takes and answers")
    async def of_version(name: Name, version: Version) -> shapes.ModelMetadata:
        return _metadata(node, _ask(name, f"/versions/{version}/metadata"))

    @router.get(_PREFIX + "/labels/{label}/metadata", summary="Show what the version of an alias takes and answers")
    async def of_label(name: Name, label: Label) -> shapes.ModelMetadata:
        return _metadata(node, _ask(name, f"/labels/{label}/metadata"))


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
    return ask_tfs(f"/v1/models/{name}{rest}")


def _known(node: NodeView, ask: Ask) -> RoutedModel:
    model = node.routes.table.models.get(ask.model)
    if model is None:
        raise NotFound("unknown_model", f"no model is called {quote(ask.model)}")
    return model


def _is_ready(node: NodeView, model: RoutedModel) -> bool:
    if model.split is None or node.stopping():
        return False
    return is_ready(node.pool.state(model.split.stable.chosen.servable))


def _one_status(node: NodeView, ask: Ask) -> shapes.VersionStatuses:
    model, number = _known(node, ask), ask.version
    if ask.alias is not None:
        number = model.aliases.get(ask.alias) or choose(node.routes.table, ask).version
    found = _statuses(node, model, number)
    if not found:
        raise NotFound("unknown_version", f"{model.name} has no version {number}; {model.listing}")
    return shapes.VersionStatuses(model_version_status=found)


def _statuses(node: NodeView, model: RoutedModel, only: VersionNumber | None) -> list[shapes.VersionStatus]:
    """Return versions as they stand here, newest first; ``only`` one of them where it is named."""
    numbers: Iterable[VersionNumber]
    if only is None:
        shown = (number for number, state in model.others.items() if state in SHOWN)
        numbers = heapq.nlargest(MAX_SHOWN, [*model.versions, *shown], key=int)
    else:
        numbers = [only] if only in model.versions or model.others.get(only) in SHOWN else []
    return [shapes.VersionStatus.model_validate(_status(node, model, number)) for number in numbers]


def _status(node: NodeView, model: RoutedModel, number: VersionNumber) -> dict[str, Any]:
    version = model.versions.get(number)
    if version is None:
        return version_status(number, model.others[number])
    here = node.pool.status(version.servable)
    return version_status(number, here.state, here.reason)


def _metadata(node: NodeView, ask: Ask) -> shapes.ModelMetadata:
    decision = choose(node.routes.table, ask)
    chosen = decision.chosen
    if ask.version is None and ask.alias is None and decision.stable is not None:
        chosen = decision.stable.chosen  # what the metadata say must not depend on the lot of a request
    described = describe(chosen.signature, _graph_inputs(node, chosen))
    return shapes.ModelMetadata.model_validate(metadata(decision.model, chosen.servable.version, described))


def _graph_inputs(node: NodeView, version: RoutedVersion) -> Schema | None:
    slot = node.pool.find(version.servable)
    return None if slot is None or slot.residence is None else slot.residence.loaded.graph_inputs
