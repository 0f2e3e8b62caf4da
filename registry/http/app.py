"""The registry's HTTP application: our routes in FastAPI, MLflow mounted below them, one gate around all.

Here: putting the parts together and turning errors into the contract's shape. Routes stand one feature a file.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from starlette.exceptions import HTTPException

from registry.edge.documents import PAGE_POLICY, describe_errors, page, summarise
from registry.edge.gate import (
    ASGIApp,
    Gate,
    Message,
    ProblemWriter,
    Receive,
    Route,
    RouteTable,
    Scope,
    Send,
    native_problem,
)
from registry.edge.problems import STATUS, problem_body, problem_headers
from registry.edge.unread import EndsUnread
from registry.environment import platform_version
from registry.errors import HeadgateError, Internal, InvalidRequest, NotFound, quote
from registry.http.strict import BodyLimit, Problem
from registry.log import failure

BODY_BYTES = 16 * 2**20
"""Largest JSON body of our routes; uploads and MLflow's artifacts have limits of their own."""

Lifespan = Callable[[], AbstractAsyncContextManager[None]]


@dataclass(frozen=True, slots=True)
class Mounted:
    """A foreign ASGI application, the routes of it that exist here, and the shape of the gate's errors on them."""

    app: ASGIApp
    routes: Sequence[Route]
    problem: ProblemWriter = native_problem


def build_app(ours: FastAPI, our_routes: Sequence[Route], mlflow: Mounted, hosts: Sequence[str]) -> Gate:
    """Return the whole application: the gate, then our routes, then MLflow's."""
    own = RouteTable(our_routes)
    streaming = RouteTable(route for route in our_routes if route.streams)
    limited = BodyLimit(ours, BODY_BYTES)

    async def split(scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        if scope["type"] == "lifespan" or streaming.find(path) is not None:
            await ours(*_head_as_get(scope, receive, send))
        elif own.find(path) is not None:
            await limited(*_head_as_get(scope, receive, send))
        else:
            await mlflow.app(scope, receive, send)

    return Gate(EndsUnread(split), RouteTable((*our_routes, *mlflow.routes)), hosts, mlflow.problem)


def _head_as_get(scope: Scope, receive: Receive, send: Send) -> tuple[Scope, Receive, Send]:
    """Return what our routes see: HEAD as GET, the answer's body left out. MLflow answers HEAD itself."""
    if scope.get("method") != "HEAD":  # a lifespan has none
        return scope, receive, send

    async def without_body(message: Message) -> None:
        await send({**message, "body": b""} if message["type"] == "http.response.body" else message)

    return {**scope, "method": "GET"}, receive, without_body


def build_fastapi(lifespan: Lifespan) -> FastAPI:
    """Return the FastAPI application without routes: its errors are the contract's."""

    @asynccontextmanager
    async def live(_: FastAPI) -> AsyncIterator[None]:
        async with lifespan():
            yield

    app = FastAPI(
        title="Headgate registry",
        version=platform_version(),
        description="What exists, which version is which, and who gets the traffic.",
        lifespan=live,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
    )
    app.add_exception_handler(HeadgateError, _render)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _unexpected)
    _add_documents(app)
    return app


def _add_documents(app: FastAPI) -> None:
    document: dict[str, Any] = {}

    def describe() -> dict[str, Any]:
        if not document:
            document.update(get_openapi(title=app.title, version=app.version, routes=app.routes))
            describe_errors(document)
            summarise(document)
        return document

    @app.get("/openapi.json", tags=["documents"], summary="Give this document")
    def openapi() -> dict[str, Any]:
        return describe()

    @app.get("/docs", tags=["documents"], summary="Show the routes as a page", response_class=Response)
    def docs() -> Response:
        headers = {"content-security-policy": PAGE_POLICY}
        return Response(page(describe()), media_type="text/html; charset=utf-8", headers=headers)


async def _render(request: Request, error: Exception) -> Response:
    assert isinstance(error, HeadgateError)
    request_id = request.scope.get("headgate.request_id", "")
    response = Response(problem_body(error, request_id), STATUS[error.code])
    for name, value in problem_headers(error, request_id):
        response.headers[name.decode()] = value.decode()
    return response


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    found = error.errors()
    if any(e["type"] == "json_invalid" for e in found):
        return await _render(request, InvalidRequest("malformed_json", "the body is not valid JSON"))
    places = [{"where": quote(".".join(str(p) for p in e["loc"])), "problem": _problem(e["msg"])} for e in found[:5]]
    first = places[0]
    message = f"{first['where']}: {first['problem']}"
    return await _render(request, InvalidRequest("invalid_argument", message, {"problems": places}))


def _problem(message: str) -> str:
    return message.removeprefix("Value error, ")[:200]


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if isinstance(error, Problem):
        return await _render(request, error.error)
    if error.status_code == 400:
        return await _render(request, InvalidRequest("malformed_json", "the body cannot be read as JSON"))
    return await _render(request, NotFound("not_found", "nothing is here; /openapi.json lists what is"))


async def _unexpected(request: Request, error: Exception) -> Response:
    failure("http.failed", error, method=request.method)
    return await _render(
        request, Internal("internal", "something failed here; the log has more under this request's id")
    )
