"""MLServer with its adaptive batching turned on: at most 32 requests, which wait at most 2 ms for one another."""

from __future__ import annotations

from dataclasses import replace

from tests.bench.peers import mlserver

PEER = replace(
    mlserver.PEER,
    name="mlserver_batching",
    command=lambda start: mlserver.command(start, max_batch_size=32, max_batch_time=0.002),
)
