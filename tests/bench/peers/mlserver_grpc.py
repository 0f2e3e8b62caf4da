"""MLServer by gRPC: the same server as ``mlserver.py``, asked typed tensors, which is what it answers.

Installed as that one. It is measured beside ours by ``rpc.py``, whose load generator speaks gRPC.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from serving.grpc.messages import message
from tests.bench.machine import SERVER_CORE, end, on_core, wait_for_port
from tests.bench.models import DISTINCT, Work
from tests.bench.peers import mlserver
from tests.bench.peers.anatomy import Start, install
from tests.support.platform import free_ports

START_SECONDS = 120


def messages(work: Work) -> list[bytes]:
    """Return single-row requests, all different, each a typed tensor."""
    asked = message("ModelInferRequest")
    found = []
    for row in np.asarray(work.data[:DISTINCT], dtype=float):
        contents = {"fp64_contents": row.tolist()}
        tensor = {"name": "inputs", "datatype": "FP64", "shape": (1, len(row)), "contents": contents}
        found.append(asked(model_name=work.name, inputs=[tensor]).SerializeToString())
    return found


@contextmanager
def running(work: Work, scratch: Path) -> Iterator[int]:
    """Start it on the server's core, and end it; give its gRPC port. Raises Skipped where it cannot be installed."""
    start = Start(install(mlserver.PEER), work, free_ports(1)[0], scratch)
    scratch.mkdir()
    command = mlserver.command(start)
    port: int = json.loads((scratch / "settings.json").read_text())["grpc_port"]
    with (scratch / "output").open("wb") as output, on_core(SERVER_CORE):
        process = subprocess.Popen(command, cwd=scratch, stdout=output, stderr=output)
    try:
        wait_for_port(port, START_SECONDS, process)
        yield port
    finally:
        end(process)
