"""Setting an alias against deleting its version, with MLflow's own interface, on both databases."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.integration.mlflow.conftest import Server, start_server
from tests.support.postgres import postgres_server, postgres_url

__all__ = ["postgres_server", "postgres_url"]
pytestmark = pytest.mark.integration
TIMES = 100


@pytest.fixture(params=["sqlite", "postgres"])
def fresh(request: pytest.FixtureRequest, s3_environment: dict[str, str], tmp_path: Path) -> Iterator[Server]:
    """A server on an empty database of each kind."""
    sqlite = f"sqlite:///{tmp_path}/registry.db"
    url = sqlite if request.param == "sqlite" else str(request.getfixturevalue("postgres_url"))
    running = start_server(s3_environment, tmp_path, url)
    yield running
    running.process.kill()
    running.process.wait(10)


def test_an_alias_never_names_a_version_that_was_deleted(fresh: Server) -> None:
    """A plain MLflow leaves such aliases behind in most trials on PostgreSQL; here none is, in any (R05)."""
    model = f"model-{uuid.uuid4().hex[:8]}"
    run = fresh.mlflow("POST", "runs/create", {"experiment_id": "0", "start_time": 1}).body["run"]["info"]
    fresh.mlflow("POST", "registered-models/create", {"name": model})
    source = {"name": model, "source": f"{run['artifact_uri']}/model", "run_id": run["run_id"]}
    for n in range(1, TIMES + 1):
        assert fresh.mlflow("POST", "model-versions/create", source).body["model_version"]["version"] == str(n)
    with ThreadPoolExecutor(2) as threads:
        for n in range(1, TIMES + 1):
            version = {"name": model, "version": str(n)}
            tried = [
                threads.submit(fresh.mlflow, "POST", "registered-models/alias", version | {"alias": "champion"}),
                threads.submit(fresh.mlflow, "DELETE", "model-versions/delete", version),
            ]
            assert {attempt.result().status for attempt in tried} <= {200, 404}
            told = fresh.mlflow("GET", f"registered-models/get?name={model}").body["registered_model"]
            named = {alias["version"] for alias in told.get("aliases", [])}
            for number in named:
                found = fresh.mlflow("GET", f"model-versions/get?name={model}&version={number}")
                assert found.status == 200, f"the alias names {number}, which is gone"
