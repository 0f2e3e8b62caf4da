"""``mlflow models serve``: MLflow's own scoring server, asked by its own protocol with the bodies that we take too."""

from __future__ import annotations

from typing import Any

from tests.bench.models import flat
from tests.bench.peers.anatomy import Peer, Start


def command(start: Start) -> list[str]:
    """Return what starts it, with one worker and no environment of the model's own."""
    model = ["--model-uri", str(start.work.directory), "--env-manager", "local", "--workers", "1"]
    return [str(start.bin / "mlflow"), "models", "serve", *model, "--host", "127.0.0.1", "--port", str(start.port)]


def read(answer: Any) -> list[float]:
    """Return its predictions."""
    return flat(answer["predictions"])


PEER = Peer(
    name="mlflow",
    environment="mlflow",
    command=command,
    path=lambda _: "/invocations",
    body=lambda work, index: work.body(index),
    read=read,
    works=("logistic", "forest", "scaled"),
    variables={"MLFLOW_DISABLE_TELEMETRY": "true"},
)
