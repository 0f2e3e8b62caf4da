"""MLflow's routes beside ``…/invocations``: ``ping``, ``health`` and ``version``, at the root and below each prefix.

So that any of the prefixes is the base URL of an MLflow scoring client, and the root that of a container which is asked
whether it lives. Not here: scoring (``serving/protocols/mlflow``, on the lane).
"""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response

from registry.errors import Conflict, HeadgateError, InvalidRequest, ModelFault, NotFound, Unavailable
from serving.http.spoken import NO_DEFAULT, ask_native
from serving.http.view import NodeView, choose_settled, why_not_ready
from serving.pool.state import State
from serving.protocols.mlflow.answer import PROTOCOL_VERSION
from serving.routing.choose import Ask
from serving.routing.split import Decision

JSON = "application/json"
PREFIXES = ("", "/models/{name}", "/models/{name}/versions/{version}", "/models/{name}/aliases/{alias}")
_NOBODY: dict[int | str, dict[str, Any]] = {404: {"description": "Nobody answers here."}}
_DOWN = {**_NOBODY, 503: {"description": "It cannot answer now."}}


def scoring_routes(node: NodeView, default: Ask | None) -> APIRouter:
    """Return the routes; ``default`` is who answers at the root."""
    routes = APIRouter(tags=["mlflow"])

    def asked(request: Request) -> Ask:
        path = request.url.path
        if path.startswith("/models/"):
            return ask_native(path)
        if default is None:
            raise NotFound("not_found", NO_DEFAULT)
        return default

    async def ping(request: Request) -> Response:
        if default is None and not request.url.path.startswith("/models/"):
            check_serves(node)
        else:
            check_answers(node, asked(request))
        return Response("\n", media_type=JSON)

    async def version(request: Request) -> Response:
        _decide(node, asked(request))
        return Response(PROTOCOL_VERSION, media_type=JSON)

    for prefix in PREFIXES:
        for ending in ("ping", "health"):
            routes.add_api_route(
                f"{prefix}/{ending}",
                ping,
                summary="Tell whether a model can be asked here, as MLflow's server does",
                response_class=Response,
                responses=_DOWN,
            )
        routes.add_api_route(
            f"{prefix}/version",
            version,
            summary="Tell which MLflow's scoring protocol this is",
            response_class=Response,
            responses=_NOBODY,
        )
    return routes


def check_serves(node: NodeView) -> None:
    """Raise Unavailable unless the node can serve: what a container of many models, and none at its root, is asked."""
    reason = why_not_ready(node)
    if not reason:
        return
    if node.stopping() or node.broken():
        raise Unavailable("shutting_down", reason)
    raise Unavailable("loading" if node.routes.table.known else "registry_unavailable", reason)


def check_answers(node: NodeView, ask: Ask) -> None:
    """Raise unless the version that is asked can answer here: a cold one can, for it is loaded by who asks first.

    Raises NotFound, Unavailable, or InvalidRequest ``invalid_name``. Where a canary would be asked it is its stable
    version that counts.
    """
    if node.stopping():
        raise Unavailable("shutting_down", "this node is shutting down")
    if node.broken():
        raise Unavailable("shutting_down", "a part of this node has failed; its log has the place")
    decision = _decide(node, ask)
    servable = decision.chosen.servable
    slot, state = node.pool.find(servable), node.pool.state(servable)
    if state not in (State.FAILED, State.QUARANTINED):
        return
    failure = None if slot is None else slot.failure
    if isinstance(failure, Unavailable):
        raise failure.anew()
    raise Unavailable("model_quarantined", f"version {decision.version} of {decision.model} {_why(state, failure)}")


def _why(state: State, failure: HeadgateError | None) -> str:
    if state is State.QUARANTINED:
        return "crashed too often here, and is not tried again by itself"
    return "could not be loaded here" + (f": {failure.message}" if isinstance(failure, ModelFault) else "")


def _decide(node: NodeView, ask: Ask) -> Decision:
    if not node.routes.table.known:
        raise Unavailable("registry_unavailable", "the registry has not answered yet, and no snapshot is on disk")
    try:
        return choose_settled(node, ask)
    except Conflict as error:
        raise Unavailable("loading", error.message) from None
    except InvalidRequest as error:
        raise NotFound("unknown_version", error.message) from None
