"""The table of MLflow's routes."""

from __future__ import annotations

import pytest

from registry.adapters.mlflow_app.answers import PREFIXES, mlflow_problem
from registry.adapters.mlflow_app.routes import MLFLOW_ROUTES
from registry.edge.gate import Access, RouteTable
from registry.errors import NotFound


def test_no_line_twice() -> None:
    """Each method and path stands once."""
    lines = [(r.methods, r.template) for r in MLFLOW_ROUTES]
    assert len(lines) == len(set(lines))


def test_what_changes_something_needs_write() -> None:
    """A method other than GET is for reading only where MLflow searches by POST."""
    reading = {
        r.template.rpartition("/")[2] for r in MLFLOW_ROUTES if r.methods != "GET" and r.access is not Access.WRITE
    }
    assert reading == {"search", "get-latest-versions", "graphql", "search-datasets"}
    assert not [r for r in MLFLOW_ROUTES if r.methods == "GET" and r.access is Access.WRITE]


@pytest.mark.parametrize(
    "word", ["gateway", "assistant", "webhook", "traces", "job", "scorer", "presigned", "mpu", "prompt"]
)
def test_other_products_are_not_there(word: str) -> None:
    """Nothing of what was left out came in by a pattern."""
    assert not [r for r in MLFLOW_ROUTES if word in r.template]


def test_pages_ask_for_the_same_by_their_own_prefix() -> None:
    """Each REST route is there for MLflow's pages, with the same scope."""
    table = RouteTable(MLFLOW_ROUTES)
    for route in MLFLOW_ROUTES:
        if route.template.startswith("/api/"):
            assert table.find("/ajax-" + route.template[1:]) == table.find(route.template)


def test_the_gate_speaks_to_mlflows_client_in_its_shape() -> None:
    """On MLflow's routes an error has MLflow's shape, elsewhere the native one."""
    status, body, _ = mlflow_problem("/api/2.0/mlflow/traces", NotFound("not_found", "x"), "id")
    assert (status, b"ENDPOINT_NOT_FOUND" in body, b"does not offer" in body) == (404, True, True)
    status, body, _ = mlflow_problem("/registry/v1/x", NotFound("not_found", "x"), "id")
    assert (status, body.startswith(b'{"error": {"code"')) == (404, True)
    outside = {"/", "/health", "/version", "/static-files/{path...}"}
    assert all(r.template.startswith(PREFIXES) for r in MLFLOW_ROUTES if r.template not in outside)
