"""The routes beside the predict lane: health, metrics, what this node knows, load and unload.

Translate and delegate: parse, one verb, render. Not here: predicting (``lane.py``) and what must hold for every request
(the gate).
"""

from __future__ import annotations

import heapq
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from starlette.exceptions import HTTPException

from registry.edge.documents import PAGE_POLICY, describe_errors, page
from registry.edge.exposition import CONTENT_TYPE
from registry.errors import HeadgateError, Internal, InvalidRequest, NotFound, quote
from registry.plans import Plan
from registry.records import VersionNumber, parse_model_name
from serving.http import shapes
from serving.http.openapi import describe_plain_errors, lane_paths
from serving.http.openapi_oip import oip_paths
from serving.http.openapi_scoring import scoring_paths
from serving.http.openapi_streams import stream_paths
from serving.http.openapi_tfs import tfs_lane_paths
from serving.http.problems import problem
from serving.http.sagemaker import url_of
from serving.http.view import (
    NodeView,
    beside,
    choose_version,
    load_here,
    page_here,
    tell_siblings,
    unload_here,
    why_not_ready,
)
from serving.routing.split import RoutedVersion
from serving.routing.table import RoutedModel
from serving.workers.pages import join_pages, unpacked

MAX_LISTED = 1000
MAX_LINKED = 100


def build_app(node: NodeView, version: str) -> FastAPI:
    """Return the application."""
    app = FastAPI(
        title="Headgate serving",
        version=version,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
    )
    _add_health(app, node)
    _add_models(app, node)
    _add_problems(app)
    _add_documents(app, node)
    return app


def _add_health(app: FastAPI, node: NodeView) -> None:
    @app.get("/livez", tags=["health"], summary="Tell that the event loop turns")
    async def livez() -> shapes.Alive:
        return shapes.Alive()

    @app.get(
        "/readyz",
        tags=["health"],
        summary="Tell whether this node can serve",
        responses={503: {"model": shapes.Ready, "description": "It cannot, and says why."}},
    )
    async def readyz(response: Response) -> shapes.Ready:
        ready = _readiness(node)
        response.status_code = 200 if ready.ready else 503
        return ready

    @app.get("/metrics", tags=["health"], summary="Give all metrics to Prometheus", response_class=Response)
    async def metrics() -> Response:
        page = await page_here(node)
        if node.siblings is not None:
            answers = await node.siblings.ask({"op": "page"})
            theirs = {n: str(answer["page"]) for n, answer in answers.items() if "page" in answer}
            mine = {node.siblings.worker.number: page}
            page = await beside(lambda: join_pages({n: unpacked(text) for n, text in theirs.items()} | mine))
        return Response(page, media_type=CONTENT_TYPE)


def _readiness(node: NodeView) -> shapes.Ready:
    table, age = node.routes.table, node.snapshot_age()
    snapshot = None
    if table.known:
        age = None if age is None else round(age, 3)
        snapshot = shapes.SnapshotView(revision=table.revision, models=len(table.models), age_seconds=age)
    reason = why_not_ready(node)
    return shapes.Ready(ready=not reason, reason=reason, snapshot=snapshot)


def _add_models(app: FastAPI, node: NodeView) -> None:
    @app.get("/models", tags=["models"], summary="List the models that this node knows")
    async def models(
        limit: Annotated[int, Query(ge=1, le=MAX_LISTED)] = 100,
        page_token: Annotated[str, Query(max_length=128)] = "",
        next_page_token: Annotated[str, Query(max_length=128, description="As SageMaker names page_token.")] = "",
    ) -> shapes.ModelPage:
        known, after = node.routes.table.models, page_token or next_page_token
        names = heapq.nsmallest(limit + 1, (name for name in known if name > after))
        token = names[limit - 1] if len(names) > limit else None
        lines = [_line(known[n]) for n in names[:limit]]
        return shapes.ModelPage(models=lines, next_page_token=token, sagemaker_token=token)

    @app.get("/models/{name}", tags=["models"], summary="Show one model")
    async def model(name: str) -> shapes.ModelView:
        found = node.routes.table.models.get(parse_model_name(name))
        if found is None:
            raise NotFound("unknown_model", f"no model is called {quote(name)}; GET /models lists those there are")
        return _model_view(node, found)

    @app.get("/models/{name}/versions/{version}", tags=["models"], summary="Show one version")
    async def model_version(name: str, version: str) -> shapes.VersionView:
        decision = choose_version(node, name, version)
        return _version_view(node, decision.model, decision.chosen)

    @app.post("/models/{name}/versions/{version}/load", tags=["operate"], summary="Load a version and wait for it")
    async def load(name: str, version: str) -> shapes.VersionView:
        decision = await load_here(node, name, version)
        await tell_siblings(node, "load", decision)
        return _version_view(node, decision.model, decision.chosen)

    @app.post("/models/{name}/versions/{version}/unload", tags=["operate"], summary="Unload a version")
    async def unload(name: str, version: str) -> shapes.Unloaded:
        decision = await unload_here(node, name, version)
        await tell_siblings(node, "unload", decision)
        state = node.pool.status(decision.chosen.servable).state
        return shapes.Unloaded(model=decision.model, version=decision.version, state=state)


def _line(model: RoutedModel) -> shapes.ModelLine:
    stable = None if model.plan is None else model.plan.stable
    return shapes.ModelLine(
        name=model.name,
        stable=stable,
        revision=model.revision,
        versions=len(model.versions),
        sagemaker_name=model.name,
        sagemaker_url=url_of(model.name),
    )


def _model_view(node: NodeView, model: RoutedModel) -> shapes.ModelView:
    newest = _newest(model.versions)
    others = _newest(model.others)
    return shapes.ModelView(
        name=model.name,
        sagemaker_name=model.name,
        sagemaker_url=url_of(model.name),
        plan=_plan_view(model.plan),
        revision=model.revision,
        waiting=_waiting(node, model),
        aliases={str(alias): str(number) for alias, number in model.aliases.items()},
        versions=[_version_view(node, model.name, model.versions[n], whole=False) for n in newest],
        others={str(n): model.others[n] for n in others},
    )


def _plan_view(plan: Plan | None) -> shapes.PlanView | None:
    if plan is None:
        return None
    return shapes.PlanView(**plan.shown())


def _waiting(node: NodeView, model: RoutedModel) -> shapes.WaitingView | None:
    reason, learnt = node.warming.why_waiting(model.name), node.routes.learnt.models.get(model.name)
    if not reason or learnt is None:
        return None
    return shapes.WaitingView(
        plan=_plan_view(learnt.plan),
        revision=learnt.revision,
        aliases={str(a): str(n) for a, n in learnt.aliases.items() if model.aliases.get(a) != n},
        reason=reason,
    )


def _newest(numbers: Any) -> list[VersionNumber]:
    return heapq.nlargest(MAX_LISTED, numbers, key=int)


def _version_view(node: NodeView, model: str, version: RoutedVersion, *, whole: bool = True) -> shapes.VersionView:
    servable = version.servable
    status = node.pool.status(servable)
    return shapes.VersionView(
        model=model,
        version=servable.version,
        state=status.state,
        reason=status.reason,
        memory_bytes=status.memory_bytes,
        leases=status.leases,
        idle_seconds=None if status.idle_seconds is None else round(status.idle_seconds, 3),
        crashes=status.crashes,
        last_output=status.last_output.splitlines() if whole else [],
        loaded=None if status.manner is None else shapes.MannerView(**asdict(status.manner)),
        instances=servable.instances,
        digest=servable.digest,
        size=servable.size,
        runtime=servable.runtime,
        flavors=list(servable.flavors),
        signature=None if servable.signature is None else dict(servable.signature),
    )


def _add_problems(app: FastAPI) -> None:
    @app.exception_handler(HeadgateError)
    async def known(request: Request, error: HeadgateError) -> Response:
        return _problem(request, error)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        name = quote(first["loc"][-1])
        return _problem(request, InvalidRequest("invalid_argument", f"{name}: {first['msg']}", {"argument": name}))

    @app.exception_handler(HTTPException)
    async def by_framework(request: Request, error: HTTPException) -> Response:
        if error.status_code == 405:
            return _problem(request, InvalidRequest("method_not_allowed", "this method is not for this path"))
        return _problem(request, NotFound("not_found", "nothing is here; /openapi.json lists what is"))

    @app.exception_handler(Exception)
    async def unknown(request: Request, error: Exception) -> Response:
        # The framework raises it again after this answer, and the front writes the log line.
        return _problem(request, Internal("internal", "a fault of the platform; its log has the place"))


def _problem(request: Request, error: HeadgateError) -> Response:
    status, body, told = problem(request.scope["path"], error, request.scope["headgate.request_id"])
    headers = {name.decode(): value.decode("latin-1") for name, value in told}
    return Response(body, status_code=status, headers=headers)


def _add_documents(app: FastAPI, node: NodeView) -> None:
    document: dict[str, Any] = {}

    def describe() -> dict[str, Any]:
        if not document:
            document.update(get_openapi(title=app.title, version=app.version, routes=app.routes))
            describe_errors(document)
            document["paths"] |= lane_paths() | oip_paths() | tfs_lane_paths() | scoring_paths() | stream_paths()
            for prefix in ("/v1", "/v2"):
                describe_plain_errors(document, prefix)
            schemas = shapes.ProblemBody.model_json_schema(ref_template="#/components/schemas/{model}")
            document["components"]["schemas"] |= {**schemas.pop("$defs"), "ProblemBody": schemas}
        return document

    app.openapi = describe  # type: ignore[method-assign]  # FastAPI's documented way to extend the document

    @app.get("/openapi.json", tags=["documents"], summary="Give this document")
    async def openapi() -> dict[str, Any]:
        return describe()

    @app.get("/docs", tags=["documents"], summary="Show the routes as a page", response_class=Response)
    async def docs() -> Response:
        headers = {"content-security-policy": PAGE_POLICY}
        known = node.routes.table.models
        planned = heapq.nsmallest(MAX_LINKED, (name for name in known if known[name].split is not None))
        pages = [(f"/models/{name}/docs", name) for name in planned]
        return Response(page(describe(), pages), media_type="text/html; charset=utf-8", headers=headers)
