"""A small platform in memory behind real HTTP: what a client test needs of the contract, and ways to draw a situation.

One process, two ports (registry and serving) on one state. ``Situation`` is what a test arranges: versions that take a
while, are rejected, or answers that fail a few times. Not here: checking anything deeper than the client can tell.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import socket
import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from tests.support.fake_mlflow import mlflow_routes

API = "/registry/v1"
BODY_KEYS = ("dataframe_split", "dataframe_records", "instances", "inputs")


class Problem(Exception):
    """An answer in the contract's error shape."""

    def __init__(self, status: int, code: str, message: str, **details: Any) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.details = status, code, message, details


@dataclass
class Failure:
    """The next ``times`` requests whose ``METHOD path`` matches get this instead of an answer; status 0 hangs up."""

    pattern: str
    status: int
    code: str = "overloaded"
    times: int = 1
    headers: dict[str, str] = field(default_factory=dict)
    raw: bytes | None = None


@dataclass
class Upload:
    """A model directory on its way in."""

    id: str
    files: list[dict[str, Any]]
    contents: dict[str, bytes] = field(default_factory=dict)
    committed: bool = False

    def shown(self) -> dict[str, Any]:
        """Return its JSON."""
        files = [{**f, "arrived": f["path"] in self.contents} for f in self.files]
        return {"upload": {"id": self.id, "files": files, "committed": self.committed}}


@dataclass
class Model:
    """A name with its versions, aliases and journal."""

    versions: list[dict[str, Any]] = field(default_factory=list)
    aliases: dict[str, str] = field(default_factory=dict)
    journal: list[dict[str, Any]] = field(default_factory=list)


class Situation:
    """All that the fake platform knows, and what a test wants to happen."""

    def __init__(self) -> None:
        self.logged: dict[str, bytes] = {}  # the MLflow routes hold on to it
        self.reset()

    def reset(self) -> None:
        """Begin anew."""
        self.models: dict[str, Model] = {}
        self.uploads: dict[str, Upload] = {}
        self.keys: dict[tuple[str, str], dict[str, Any]] = {}
        self.logged.clear()
        self.failures: list[Failure] = []
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        self.checks_left = 0
        self.rejections: list[str] = []
        self.behind = False
        self.deaf = 0
        self.serving_ready = True
        self.served: dict[str, Any] = {}
        self.answer: Callable[[Any], Any] = lambda body: body
        self.bodies: list[tuple[str, bytes]] = []

    def count(self, pattern: str) -> int:
        """Tell how many requests came whose ``METHOD path`` matches."""
        return sum(bool(re.search(pattern, f"{method} {path}")) for method, path, _ in self.requests)

    def add(self, name: str, count: int = 1, state: str = "ready") -> None:
        """Let a model have ``count`` more versions."""
        for _ in range(count):
            self.new_version(name, state)

    def new_version(self, name: str, state: str = "pending", **more: Any) -> dict[str, Any]:
        """Number a new version."""
        model = self.models.setdefault(name, Model())
        number = str(len(model.versions) + 1)
        at = "2026-11-20T08:00:00.000Z"
        record = {
            "model": name,
            "version": number,
            "state": state,
            "reason": "",
            "checks": [],
            "created_at": at,
            **more,
        }
        model.versions.append(record)
        return record

    def find(self, name: str) -> Model:
        """Return a model or refuse."""
        if name not in self.models:
            raise Problem(404, "unknown_model", f"there is no model '{name}'")
        return self.models[name]

    def version(self, name: str, number: str) -> dict[str, Any]:
        """Return a version or refuse."""
        found = next((v for v in self.find(name).versions if v["version"] == number), None)
        if found is None:
            raise Problem(404, "unknown_version", f"{name} has no version {number}")
        return found

    def settle(self, record: dict[str, Any]) -> None:
        """Move admission on by one look."""
        if record["state"] not in ("pending", "checking"):
            return
        if self.checks_left:
            self.checks_left -= 1
            record["state"] = "checking"
            return
        record["checks"] = [{"name": "probe", "verdict": "failed", "reason": r} for r in self.rejections]
        record["reason"] = "; ".join(self.rejections)
        record["state"] = "rejected" if self.rejections else "ready"

    def stable(self, name: str) -> str | None:
        """Return who has a model's traffic."""
        journal = self.find(name).journal
        plan = journal[-1]["plan"] if journal else None
        return plan["stable"] if plan else None

    def require_unused(self, record: dict[str, Any]) -> None:
        """Refuse where a plan or an alias names the version."""
        shown = self.shown(record)
        if shown["stable"] or shown["aliases"]:
            raise Problem(409, "in_use", f"version {record['version']} is in use")

    def shown(self, record: dict[str, Any]) -> dict[str, Any]:
        """Return a version's JSON."""
        model = self.find(record["model"])
        stable = self.stable(record["model"])
        aliases = sorted(a for a, v in model.aliases.items() if v == record["version"])
        return {"signature": None, **record, "aliases": aliases, "stable": stable == record["version"]}

    def model_shown(self, name: str) -> dict[str, Any]:
        """Return a model's JSON."""
        model = self.find(name)
        return {
            "name": name,
            "aliases": model.aliases,
            "plan": model.journal[-1] if model.journal else None,
            "version_count": len(model.versions),
            "versions": [self.shown(v) for v in reversed(model.versions[-5:])],
        }


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
                *_traffic_routes(situation), *_serving_routes(situation), *mlflow_routes(situation.logged)],
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


def _traffic_routes(s: Situation) -> list[Route]:
    def append(name: str, plan: dict[str, Any] | None, why: str) -> Response:
        model = s.find(name)
        revision = len(model.journal) + 1
        at = "2026-11-20T08:00:00.000Z"
        line = {"model": name, "revision": revision, "plan": plan, "who": "api", "why": why, "at": at}
        model.journal.append(line)
        return JSONResponse(line, headers={"ETag": f'"{revision}"'})

    async def show(request: Request) -> Response:
        journal = s.find(request.path_params["name"]).journal
        if not journal:
            raise Problem(404, "no_plan", "there is no plan yet")
        return JSONResponse(journal[-1], headers={"ETag": f'"{journal[-1]["revision"]}"'})

    async def replace(request: Request) -> Response:
        name, plan = request.path_params["name"], await request.json()
        revision = len(s.find(name).journal)
        if request.headers.get("if-match") != f'"{revision}"':
            raise Problem(409, "revision_conflict", f"the plan has revision {revision}", revision=revision)
        if s.version(name, plan["stable"])["state"] != "ready":
            raise Problem(409, "not_ready", f"version {plan['stable']} is not ready")
        return append(name, plan, plan["note"] or "plan replaced")

    async def clear(request: Request) -> Response:
        name = request.path_params["name"]
        revision = len(s.find(name).journal)
        if request.headers.get("if-match") != f'"{revision}"':
            raise Problem(409, "revision_conflict", f"the plan has revision {revision}", revision=revision)
        return append(name, None, "all traffic taken away")

    async def history(request: Request) -> Response:
        return JSONResponse({"revisions": s.find(request.path_params["name"]).journal[::-1]})

    async def rollback(request: Request) -> Response:
        name, body = request.path_params["name"], await request.body()
        journal = s.find(name).journal
        if not journal:
            raise Problem(404, "no_plan", f'{name} has no plan yet; PUT …/traffic with If-Match: "0"')
        wanted = json.loads(body)["revision"] if body else len(journal) - 1
        if wanted < 1:
            raise Problem(409, "not_ready", "nothing to roll back to")
        return append(name, journal[wanted - 1]["plan"], f"rolled back to revision {wanted}")

    async def alias(request: Request) -> Response:
        aliases = s.find(request.path_params["name"]).aliases
        if request.method == "PUT":
            aliases[request.path_params["alias"]] = (await request.json())["version"]
            return JSONResponse({})
        if aliases.pop(request.path_params["alias"], None) is None:
            raise Problem(404, "unknown_alias", "no such alias")
        return Response(status_code=204)

    prefix = f"{API}/models/{{name}}"
    return [
        Route(f"{prefix}/traffic", show),
        Route(f"{prefix}/traffic", replace, methods=["PUT"]),
        Route(f"{prefix}/traffic", clear, methods=["DELETE"]),
        Route(f"{prefix}/traffic/history", history),
        Route(f"{prefix}/traffic/rollback", rollback, methods=["POST"]),
        Route(f"{prefix}/aliases/{{alias}}", alias, methods=["PUT", "DELETE"]),
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

    prefixes = ("", "/versions/{version}", "/aliases/{alias}")
    return [
        Route("/models", models),
        Route("/models/{name}", model),
        Route("/models/{name}/versions/{version}", model),
        *(Route(f"/models/{{name}}{p}/predict", predict, methods=["POST"]) for p in prefixes),
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
