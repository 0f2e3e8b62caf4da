"""Which of MLflow's routes exist through the gate, and which do not."""

from __future__ import annotations

import http.client
import re
from urllib.parse import urlsplit

import pytest

from registry.adapters.mlflow_app.routes import MLFLOW_ROUTES
from registry.edge.gate import Route
from tests.integration.mlflow.conftest import Server

pytestmark = pytest.mark.integration

CLOSED = """
GET    /ajax-api/2.0/mlflow/gateway-proxy
POST   /ajax-api/2.0/mlflow/gateway-proxy
GET    /ajax-api/3.0/mlflow/gateway/supported-models
POST   /gateway/x/mlflow/invocations
GET    /api/2.0/endpoints/
GET    /ajax-api/3.0/mlflow/assistant/config
POST   /ajax-api/3.0/mlflow/assistant/message
GET    /ajax-api/3.0/mlflow/ui-telemetry
POST   /ajax-api/2.0/mlflow/upload-artifact
POST   /ajax-api/2.0/mlflow/runs/create-promptlab-run
POST   /ajax-api/3.0/mlflow/scorer/invoke
POST   /ajax-api/3.0/mlflow/demo/generate
POST   /ajax-api/3.0/mlflow/genai/evaluate/invoke
GET    /ajax-api/3.0/mlflow/jobs/x
POST   /ajax-api/3.0/jobs/
GET    /ajax-api/2.0/mlflow/users/current
GET    /api/2.0/mlflow/webhooks
POST   /api/2.0/mlflow/webhooks
POST   /api/2.0/mlflow/traces
POST   /api/3.0/mlflow/traces
POST   /api/3.0/mlflow/traces/search
POST   /v1/traces
GET    /api/3.0/mlflow/scorers/list
POST   /api/3.0/mlflow/datasets/create
GET    /api/3.0/mlflow/workspaces
GET    /api/3.0/mlflow/prompt-optimization/jobs/search
GET    /api/2.0/mlflow-artifacts/presigned/1/x
POST   /api/2.0/mlflow-artifacts/mpu/create/1/x
POST   /api/2.0/mlflow/artifacts/presigned-upload-url
POST   /api/2.0/mlflow/artifacts/presigned-download-url
GET    /api/2.0/mlflow/get-trace-artifact
GET    /docs
GET    /openapi.json
GET    /metrics
""".strip().splitlines()


@pytest.mark.parametrize("line", CLOSED)
def test_everything_else_is_not_there(server: Server, line: str) -> None:
    """What is not listed is 404 for MLflow's client, by the gate."""
    method, path = line.split()
    answer = server.call(method, path, {} if method == "POST" else None)
    assert answer.status == 404
    assert "error" in answer.body or answer.body["error_code"] == "ENDPOINT_NOT_FOUND"


def test_artifacts_are_not_deleted(server: Server) -> None:
    """DELETE is not among an artifact's methods."""
    assert server.call("DELETE", "/api/2.0/mlflow-artifacts/artifacts/1/x").status == 405


@pytest.mark.parametrize("route", MLFLOW_ROUTES, ids=lambda r: f"{r.methods} {r.template}")
def test_every_listed_route_is_answered_by_mlflow(server: Server, route: Route) -> None:
    """Each line of the table leads to something that MLflow has: no line is a leftover."""
    path = re.sub(r"\{[a-z_]+(\.\.\.)?\}", "absent", route.template)
    body = {"query": "{ __typename }"} if path == "/graphql" else {}
    answer = server.call(route.methods, path, None if route.methods == "GET" else body)
    assert answer.status < 500
    if answer.status == 404:
        assert isinstance(answer.body, bytes) or "does not offer" not in answer.body["message"]
        # A route that Flask does not know answers 404 in HTML, which only a missing file may.
        assert not isinstance(answer.body, bytes) or path.startswith("/static-files/")


def test_pages_of_other_sites_change_nothing(server: Server) -> None:
    """A browser's change on behalf of another origin is 403; of this one, or without a browser, it goes on."""
    body = {"name": "made-by-a-page"}
    path = "/ajax-api/2.0/mlflow/experiments/create"
    for origin in ("http://evil.example", "null", "http://127.0.0.1:1", server.url.replace("http://", "http://a.")):
        assert server.call("POST", path, body, {"Origin": origin}).status == 403
    assert server.call("POST", path, body, {"Origin": server.url}).status == 200


def test_answers_say_how_a_browser_is_to_treat_them(server: Server) -> None:
    """Pages may not be framed by other sites, nor content types be guessed."""
    headers = server.call("GET", "/").headers
    assert headers["x-frame-options"] == "SAMEORIGIN"
    assert headers["x-content-type-options"] == "nosniff"


def test_a_body_has_a_limit(server: Server) -> None:
    """More than 16 MiB in one REST request are 413, before any of it is read."""
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=30)
    connection.putrequest("POST", "/api/2.0/mlflow/runs/log-batch")
    connection.putheader("Content-Length", str(16 * 1024 * 1024 + 1))
    connection.endheaders()
    answer = connection.getresponse()
    assert answer.status == 413
    assert b"16777216 bytes" in answer.read()
    connection.close()


@pytest.mark.parametrize("body", [b"{", b"[]", b"1", b"\xff", b"[" * 60_000, b'{"a":' * 100 + b"1" + b"}" * 100])
@pytest.mark.parametrize("path", ["/graphql", "/api/2.0/mlflow/runs/search", "/api/2.0/mlflow/model-versions/create"])
def test_a_body_is_one_json_object(server: Server, path: str, body: bytes) -> None:
    """Anything else is 400, in words."""
    answer = server.call("POST", path, body)
    assert answer.status == 400
    assert "JSON" in answer.body["message"]


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/api/2.0/mlflow/experiments/get?experiment_id=1180591620717411303424", None),
        ("POST", "/api/2.0/mlflow/runs/search", {"experiment_ids": ["0"], "filter": "(", "page_token": "١"}),
        ("POST", "/api/2.0/mlflow/runs/log-batch", {"run_id": "x", "metrics": [None]}),
        ("GET", "/ajax-api/2.0/mlflow/metrics/get-history-bulk", None),
        ("GET", "/get-artifact", None),
        ("POST", "/graphql", {"query": "{"}),
    ],
)
def test_what_mlflow_trips_over_is_the_callers_mistake(server: Server, method: str, path: str, body: object) -> None:
    """Where MLflow's own handlers would fail with 500 and a stack trace, it is 400 in its error shape."""
    answer = server.call(method, path, body)
    assert answer.status == 400
    assert answer.body["error_code"]
    assert "Traceback" not in answer.body["message"]
