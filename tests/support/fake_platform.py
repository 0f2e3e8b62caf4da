"""A small platform in memory behind real HTTP: what a client test needs of the contract, and ways to draw a situation.

One process, two ports (registry and serving) on one state (``fake_situation.py``). Not here: plans and rollouts
(``fake_traffic.py``), MLflow (``fake_mlflow.py``); and checking anything deeper than the client can tell.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import socket
import threading
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from tests.support.fake_mlflow import mlflow_routes
from tests.support.fake_monitoring import monitoring_routes
from tests.support.fake_situation import API, Failure, Problem, Situation, Upload
from tests.support.fake_traffic import rollout_routes, traffic_routes

__all__ = ["Failure", "FakePlatform", "build", "fake", "fake_servers", "free_port"]


@dataclass(frozen=True)
class FakePlatform:
    """Where the fake listens, and its situation."""

    registry_url: str
    serving_url: str
    situation: Situation


class _Front:
    """Writes requests down, and lets arranged failures happen."""

    def __init__(self, app: ASGIApp, situation: Situation) -> None:
        self._app, self._situation = app, situation
        self.serving_port = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope)
        line = f"{scope['method']} {scope['path']}"
        self._situation.requests.append((scope["method"], scope["path"], dict(request.headers)))
        if self._is_elsewhere(scope):
            body = {"code": "not_found", "message": "nothing is at this path", "request_id": "r-4", "details": {}}
            await JSONResponse({"error": body}, 404)(scope, receive, send)
            return
        for failure in self._situation.failures:
            if failure.times and re.search(failure.pattern, line):
                failure.times -= 1
                await _fail(failure, scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _is_elsewhere(self, scope: Scope) -> bool:
        """Tell whether the path belongs to the other process."""
        serving = scope["server"][1] == self.serving_port
        return bool(scope["path"].startswith("/registry/" if serving else "/models"))


async def _fail(failure: Failure, scope: Scope, receive: Receive, send: Send) -> None:
    if failure.status == 0:
        while (await receive()).get("more_body"):
            pass
        await asyncio.sleep(3600)  # ended by the client's deadline, or by the server's end
    if failure.raw is not None:
        await Response(failure.raw, failure.status, failure.headers)(scope, receive, send)
        return
    body = {"error": {"code": failure.code, "message": f"arranged: {failure.code}", "request_id": "r-1", "details": {}}}
    await JSONResponse(body, failure.status, failure.headers)(scope, receive, send)


def build(situation: Situation) -> ASGIApp:
    """Return the application of both ports."""
    app = Starlette(
        routes=[*_health_routes(situation), *_model_routes(situation), *_upload_routes(situation),
                *traffic_routes(situation), *rollout_routes(situation), *_serving_routes(situation),
                *monitoring_routes(situation), *mlflow_routes(situation.logged)],
        exception_handlers={Problem: _problem},
    )  # fmt: skip
    return _Front(app, situation)


async def _problem(_: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    body = {"code": error.code, "message": error.message, "request_id": "r-2", "details": error.details}
    return JSONResponse({"error": body}, error.status)


def _health_routes(s: Situation) -> list[Route]:
    async def ready(request: Request) -> Response:
        if request.url.port != request.app.state.serving_port:
            return JSONResponse({"status": "ready"})
        if not s.serving_ready:
            return JSONResponse({"ready": False, "reason": "the registry has not answered yet"}, 503)
        return JSONResponse({"ready": True})

    return [Route("/livez", ready), Route("/readyz", ready)]


def _model_routes(s: Situation) -> list[Route]:
    async def models(request: Request) -> Response:
        q = request.query_params
        names = sorted(n for n in s.models if n > q.get("page_token", "") and q.get("q", "").lower() in n.lower())
        page = names[: int(q["limit"])]
        token = page[-1] if len(names) > len(page) else None
        return JSONResponse({"models": [s.model_shown(n) for n in page], "next_page_token": token})

    async def model(request: Request) -> Response:
        return JSONResponse(s.model_shown(request.path_params["name"]))

    async def versions(request: Request) -> Response:
        q = request.query_params
        before = int(q.get("page_token") or 10**9)
        found = [v for v in reversed(s.find(request.path_params["name"]).versions) if int(v["version"]) < before]
        page = found[: int(q["limit"])]
        token = page[-1]["version"] if len(found) > len(page) else None
        return JSONResponse({"versions": [s.shown(v) for v in page], "next_page_token": token})

    async def version(request: Request) -> Response:
        record = s.version(request.path_params["name"], request.path_params["version"])
        s.settle(record)
        return JSONResponse(s.shown(record))

    async def create(request: Request) -> Response:
        name, body = request.path_params["name"], await request.json()
        key = (name, body["idempotency_key"])
        if key in s.keys:
            return JSONResponse(s.shown(s.keys[key]))
        if "upload" in body and not s.uploads[body["upload"]].committed:
            raise Problem(409, "not_ready", "this upload is not committed yet")
        record = s.keys[key] = s.new_version(
            name, source=body.get("source"), run_id=(body.get("source") or {}).get("run_id")
        )
        if body.get("alias"):
            s.models[name].aliases[body["alias"]] = record["version"]
        return JSONResponse(s.shown(record), 201)

    async def admit(request: Request) -> Response:
        record = s.version(request.path_params["name"], request.path_params["version"])
        if record["state"] == "rejected":
            record["state"] = "checking"
        return JSONResponse(s.shown(record), 202)

    async def retire(request: Request) -> Response:
        record = s.version(request.path_params["name"], request.path_params["version"])
        s.require_unused(record)
        record["state"] = "retired"
        return Response(status_code=204) if request.method == "DELETE" else JSONResponse(s.shown(record))

    one = f"{API}/models/{{name}}/versions/{{version}}"
    return [
        Route(f"{API}/models", models),
        Route(f"{API}/models/{{name}}", model),
        Route(f"{API}/models/{{name}}/versions", versions),
        Route(f"{API}/models/{{name}}/versions", create, methods=["POST"]),
        Route(one, version),
        Route(one, retire, methods=["DELETE"]),
        Route(f"{one}/admit", admit, methods=["POST"]),
        Route(f"{one}/retire", retire, methods=["POST"]),
    ]


def _upload_routes(s: Situation) -> list[Route]:
    def find(request: Request) -> Upload:
        upload = s.uploads.get(request.path_params["id"])
        if upload is None:
            raise Problem(404, "unknown_upload", "there is no such upload")
        return upload

    async def begin(request: Request) -> Response:
        upload = Upload(uuid.uuid4().hex, (await request.json())["files"])
        s.uploads[upload.id] = upload
        return JSONResponse(upload.shown(), 201)

    async def show(request: Request) -> Response:
        return JSONResponse(find(request).shown())

    async def receive(request: Request) -> Response:
        upload, path = find(request), request.path_params["path"]
        declared = next(f for f in upload.files if f["path"] == path)
        content = await request.body()
        if hashlib.sha256(content).hexdigest() != declared["sha256"]:
            raise Problem(422, "digest_mismatch", f"'{path}' is not what was declared")
        upload.contents[path] = content
        return JSONResponse({**declared, "arrived": True})

    async def commit(request: Request) -> Response:
        upload = find(request)
        if len(upload.contents) != len(upload.files):
            raise Problem(409, "not_ready", "files are missing")
        upload.committed = True
        return JSONResponse(upload.shown())

    return [
        Route(f"{API}/uploads", begin, methods=["POST"]),
        Route(f"{API}/uploads/{{id}}", show),
        Route(f"{API}/uploads/{{id}}/files/{{path:path}}", receive, methods=["PUT"]),
        Route(f"{API}/uploads/{{id}}/commit", commit, methods=["POST"]),
    ]


def _serving_routes(s: Situation) -> list[Route]:
    async def models(_: Request) -> Response:
        lines = [
            {"name": n, "stable": None, "revision": len(m.journal) - s.behind, "versions": 0}
            for n, m in s.models.items()
        ]
        return JSONResponse({"models": lines, "next_page_token": None})

    async def model(request: Request) -> Response:
        if s.deaf:
            s.deaf -= 1
            raise Problem(404, "unknown_model", "this node has not heard of it")
        found = s.find(request.path_params["name"])
        line = {"revision": len(found.journal) - s.behind, "aliases": found.aliases, "state": "cold", **s.served}
        return JSONResponse(line | request.path_params | {"model": request.path_params["name"]})

    async def predict(request: Request) -> Response:
        name, media_type = request.path_params["name"], request.headers["content-type"]
        body = await request.body()
        s.bodies.append((media_type, body))
        model = s.find(name)
        number, arm = request.path_params.get("version"), "pinned"
        if alias := request.path_params.get("alias"):
            number, arm = model.aliases[alias], "alias"
        if number is None:
            number, arm = s.stable(name), "stable"
            if number is None:
                raise Problem(404, "no_plan", f"{name} has no plan")
        predictions = s.answer(json.loads(body) if media_type == "application/json" else body)
        answer = {"predictions": predictions, "model_name": name, "model_version": number, "request_id": "r-3"}
        headers = {"X-Headgate-Arm": arm, "X-Headgate-Revision": str(len(model.journal))}
        return JSONResponse(answer, headers=headers)

    async def predict_stream(request: Request) -> Response:
        s.bodies.append((request.headers["accept"], await request.body()))
        s.find(request.path_params["name"])

        async def chunks() -> AsyncIterator[bytes]:
            for chunk in s.chunks:
                yield chunk
                await asyncio.sleep(0)

        return StreamingResponse(chunks(), media_type="text/event-stream")

    prefixes = ("", "/versions/{version}", "/aliases/{alias}")
    return [
        Route("/models", models),
        Route("/models/{name}", model),
        Route("/models/{name}/versions/{version}", model),
        *(Route(f"/models/{{name}}{p}/predict", predict, methods=["POST"]) for p in prefixes),
        *(Route(f"/models/{{name}}{p}/predict_stream", predict_stream, methods=["POST"]) for p in prefixes),
    ]


def free_port() -> int:
    """Return a port on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def fake_servers() -> Iterator[FakePlatform]:
    """Run the fake platform for the session."""
    situation = Situation()
    app = build(situation)
    assert isinstance(app, _Front)
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    registry, serving = (s.getsockname()[1] for s in sockets)
    starlette: Any = app._app
    starlette.state.serving_port = app.serving_port = serving
    config = uvicorn.Config(
        app, lifespan="off", ws="none", log_config=None, access_log=False, timeout_graceful_shutdown=1
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=(sockets,), daemon=True)
    thread.start()
    yield FakePlatform(f"http://127.0.0.1:{registry}", f"http://127.0.0.1:{serving}", situation)
    server.should_exit = True
    thread.join(10)


@pytest.fixture
def fake(fake_servers: FakePlatform) -> FakePlatform:
    """Give a test the fake platform with nothing in it."""
    fake_servers.situation.reset()
    return fake_servers
