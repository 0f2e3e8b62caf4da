"""One MLflow behind the gate for all tests of this folder, on a real SQLite file and a real SeaweedFS."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.seaweedfs import Seaweed, seaweedfs

__all__ = ["seaweedfs"]
ROOT = Path(__file__).parents[3]


@dataclass(frozen=True)
class Answer:
    """A status, headers in lower case, and a body, parsed where it is JSON."""

    status: int
    headers: dict[str, str]
    body: Any


@dataclass(frozen=True)
class Server:
    """A running registry process with nothing but MLflow in it."""

    url: str
    process: subprocess.Popen[bytes]
    request_log: Path
    output: Path

    def call(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Answer:
        """Send one request; JSON unless the body is bytes."""
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, {"Content-Type": "application/json", **(headers or {})})
        request.method = method
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                status, raw, told = response.status, response.read(), response.headers
        except urllib.error.HTTPError as error:
            status, raw, told = error.code, error.read(), error.headers
        given = {name.lower(): value for name, value in told.items()}
        try:
            return Answer(status, given, json.loads(raw))
        except ValueError:
            return Answer(status, given, raw)

    def mlflow(self, method: str, path: str, body: Any = None) -> Answer:
        """Send one request to MLflow's REST interface."""
        return self.call(method, f"/api/2.0/mlflow/{path}", body)

    def memory_kb(self, name: str = "VmRSS") -> int:
        """Return a number of ``/proc/<pid>/status``."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


def start_server(environment: dict[str, str], folder: Path, database: str) -> Server:
    """Start a server and wait until it answers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log, output = folder / f"requests-{port}.log", folder / f"server-{port}.log"
    log.touch()
    with output.open("wb") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.integration.mlflow.server"],
            cwd=ROOT,
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(folder),
                "DATABASE_URL": database,
                "PORT": str(port),
                "REQUEST_LOG": str(log),
                **environment,
            },
            stdout=stream,
            stderr=stream,
        )
    server = Server(f"http://127.0.0.1:{port}", process, log, output)
    deadline = time.monotonic() + 60
    while True:
        try:
            assert server.call("GET", "/health").status == 200
            return server
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                process.kill()
                pytest.fail(f"the server did not come up: {output.read_text()[-2000:]}")
            time.sleep(0.1)


@pytest.fixture(scope="session")
def s3_environment(seaweedfs: Seaweed) -> Iterator[dict[str, str]]:
    """A bucket, as a server finds it in its environment."""
    client = seaweedfs.client()
    bucket = f"mlflow-{uuid.uuid4().hex[:8]}"
    client.create_bucket(Bucket=bucket)
    yield {**seaweedfs.environment(), "BUCKET": bucket, "S3_ENDPOINT": seaweedfs.endpoint}
    client.close()


@pytest.fixture(scope="session")
def server(s3_environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The server."""
    folder = tmp_path_factory.mktemp("mlflow")
    running = start_server(s3_environment, folder, f"sqlite:///{folder}/registry.db")
    yield running
    running.process.kill()
    running.process.wait(10)


@pytest.fixture
def name() -> str:
    """The name of a model that no other test uses."""
    return f"model-{uuid.uuid4().hex[:8]}"


@pytest.fixture(scope="session")
def run(server: Server) -> dict[str, Any]:
    """A run, as MLflow tells it."""
    created = server.mlflow("POST", "runs/create", {"experiment_id": "0", "start_time": 1})
    assert created.status == 200
    info: dict[str, Any] = created.body["run"]["info"]
    return info
