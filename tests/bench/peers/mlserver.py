"""MLServer: its scikit-learn runtime, asked by the Open Inference Protocol's JSON.

In process (``parallel_workers`` 0): on one core its worker processes cost more than they bring, and with the versions
that it resolves to they do not start. Without adaptive batching, which is off unless asked for
(``mlserver_batching.py`` asks for it).
"""

from __future__ import annotations

import json

from tests.bench.peers.anatomy import Peer, Start, tensor_answer, tensor_body
from tests.support.platform import free_ports


def command(start: Start, **options: float) -> list[str]:
    """Return what starts it, after writing the two files that it reads; ``options`` go into the model's."""
    grpc, metrics = free_ports(2)
    settings = {
        "host": "127.0.0.1",
        "http_port": start.port,
        "grpc_port": grpc,
        "metrics_port": metrics,
        "parallel_workers": 0,
        "debug": False,
    }
    model = {
        "name": start.work.name,
        "implementation": "mlserver_sklearn.SKLearnModel",
        "parameters": {"uri": start.pickle},
        **options,
    }
    (start.scratch / "settings.json").write_text(json.dumps(settings))
    (start.scratch / "model-settings.json").write_text(json.dumps(model))
    return [str(start.bin / "mlserver"), "start", str(start.scratch)]


PEER = Peer(
    name="mlserver",
    environment="mlserver",
    command=command,
    path=lambda work: f"/v2/models/{work.name}/infer",
    body=tensor_body,
    read=tensor_answer,
)
