"""Ray Serve: one deployment with one replica behind its HTTP proxy, on a Ray of its own that is granted one CPU."""

from __future__ import annotations

from tests.bench.peers.anatomy import Peer

PEER = Peer(
    name="ray",
    environment="ray",
    command=lambda start: start.python("serve_ray.py"),
    path=lambda _: "/predict",
    body=lambda work, index: work.body(index),
    variables={"RAY_USAGE_STATS_ENABLED": "0", "RAY_DEDUP_LOGS": "0"},
)
