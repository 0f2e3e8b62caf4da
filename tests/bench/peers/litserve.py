"""LitServe: a LitAPI with one worker, asked by its ``/predict``."""

from __future__ import annotations

from tests.bench.peers.anatomy import Peer

PEER = Peer(
    name="litserve",
    environment="litserve",
    command=lambda start: start.python("serve_litserve.py"),
    path=lambda _: "/predict",
    body=lambda work, index: work.body(index),
)
