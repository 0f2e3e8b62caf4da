"""Many clients at once, and a server that ends in the middle."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.integration.mlflow.conftest import Server, start_server

pytestmark = pytest.mark.integration

CLIENT = """
import json, sys, urllib.request
url, name, source, run_id, count = sys.argv[1:]
for _ in range(int(count)):
    body = json.dumps({"name": name, "source": source, "run_id": run_id}).encode()
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(url + "/api/2.0/mlflow/model-versions/create", body, headers)
    with urllib.request.urlopen(request, timeout=60) as answer:
        print(json.load(answer)["model_version"]["version"], flush=True)
"""


def client(server: Server, name: str, run: dict[str, Any], count: int) -> subprocess.Popen[str]:
    """Start a process that registers ``count`` versions of a model, one after the other."""
    source = f"{run['artifact_uri']}/model"
    arguments = [sys.executable, "-c", CLIENT, server.url, name, source, run["run_id"], str(count)]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_eight_processes_register_forty_versions_each(server: Server, name: str, run: dict[str, Any]) -> None:
    """Each gets its forty without an error, no number twice, none left out."""
    server.mlflow("POST", "registered-models/create", {"name": name})
    clients = [client(server, name, run, 40) for _ in range(8)]
    outputs = [process.communicate(timeout=120) for process in clients]
    assert [error for _, error in outputs if error] == []
    numbers = [int(number) for told, _ in outputs for number in told.split()]
    assert sorted(numbers) == list(range(1, 321))


def test_what_was_acknowledged_survives_a_kill(s3_environment: dict[str, str], tmp_path: Path, name: str) -> None:
    """After kill -9 in the middle of registrations, a new server has every version that a client was told of."""
    database = f"sqlite:///{tmp_path}/registry.db"
    server = start_server(s3_environment, tmp_path, database)
    run = server.mlflow("POST", "runs/create", {"experiment_id": "0", "start_time": 1}).body["run"]["info"]
    server.mlflow("POST", "registered-models/create", {"name": name})
    clients = [client(server, name, run, 10_000) for _ in range(3)]
    assert clients[0].stdout is not None
    first = [clients[0].stdout.readline() for _ in range(5)]
    server.process.kill()
    server.process.wait(10)
    told = {*"".join(first).split(), *(n for c in clients for n in c.communicate(timeout=60)[0].split())}

    again = start_server(s3_environment, tmp_path, database)
    try:
        kept = again.mlflow("GET", f"model-versions/search?filter=name%3D%27{name}%27&max_results=10000").body[
            "model_versions"
        ]
        assert told <= {version["version"] for version in kept}
        assert len(told) >= 5
    finally:
        again.process.kill()
        again.process.wait(10)
