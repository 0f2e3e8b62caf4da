"""The mounted MLflow behind the gate, as a process: ``python -m tests.integration.mlflow.server``.

Takes ``DATABASE_URL``, ``BUCKET``, ``S3_ENDPOINT`` and ``PORT`` from its environment, and writes one line ``METHOD path
status`` for each request to the file ``REQUEST_LOG``.
"""

from __future__ import annotations

import os
import sqlite3
import time
from pathlib import Path

import uvicorn

from registry.adapters.mlflow_app.answers import mlflow_problem
from registry.adapters.mlflow_app.app import build_mlflow_app
from registry.adapters.mlflow_app.guard import OpenGuard
from registry.adapters.mlflow_app.routes import MLFLOW_ROUTES
from registry.adapters.mlflow_app.start import MlflowConfig
from registry.adapters.s3.client import s3_client
from registry.edge.gate import ASGIApp, Gate, Message, Receive, RouteTable, Scope, Send
from registry.errors import Conflict


class Guard(OpenGuard):
    """Refuses to delete the version 1, and the whole, of models called ``serving``."""

    def before_delete_version(self, model: str, version: str) -> None:
        """Refuse where it is in use."""
        if model == "serving" and version == "1":
            raise Conflict("in_use", "serving 1 has traffic: give its traffic to another version first")

    def before_delete_model(self, model: str) -> None:
        """Refuse where it is in use."""
        self.before_delete_version(model, "1")


class RequestLog:
    """Writes a line for each request."""

    def __init__(self, app: ASGIApp, path: Path) -> None:
        self._app = app
        self._path = path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def logging(message: Message) -> None:
            if message["type"] == "http.response.start":
                with self._path.open("a") as file:
                    file.write(f"{scope['method']} {scope['path']} {message['status']}\n")
            await send(message)

        await self._app(scope, receive, logging if scope["type"] == "http" else send)


def main() -> None:
    """Serve until killed."""
    began = time.monotonic()
    url = os.environ["DATABASE_URL"]
    if url.startswith("sqlite:///"):
        with sqlite3.connect(url.removeprefix("sqlite:///")) as connection:
            connection.execute("PRAGMA journal_mode=WAL")
    s3 = s3_client(os.environ["S3_ENDPOINT"], "us-east-1")
    app = build_mlflow_app(MlflowConfig(url, os.environ["BUCKET"], s3, Guard()))
    print(f"built after {time.monotonic() - began:.2f} s", flush=True)
    gate = Gate(app, RouteTable(MLFLOW_ROUTES), problem=mlflow_problem)
    logged = RequestLog(gate, Path(os.environ["REQUEST_LOG"]))
    uvicorn.run(logged, host="127.0.0.1", port=int(os.environ["PORT"]), lifespan="off", log_level="warning")


if __name__ == "__main__":
    main()
