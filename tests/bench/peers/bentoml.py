"""BentoML: a service with one endpoint that takes and gives arrays, started by ``bentoml serve``."""

from __future__ import annotations

from tests.bench.peers.anatomy import SERVERS, Peer, Start


def command(start: Start) -> list[str]:
    """Return what starts it; the model's place stands in a file beside the service, which takes no arguments."""
    service = start.scratch / "service.py"
    service.write_text((SERVERS / "serve_bentoml.py").read_text())
    (start.scratch / "model").write_text(start.pickle)
    serve = ["serve", "service:Model", "--working-dir", str(start.scratch), "--host", "127.0.0.1"]
    return [str(start.bin / "bentoml"), *serve, "--port", str(start.port)]


PEER = Peer(
    name="bentoml",
    environment="bentoml",
    command=command,
    path=lambda _: "/predict",
    body=lambda work, index: work.body(index),
    variables={"BENTOML_DO_NOT_TRACK": "true"},
)
