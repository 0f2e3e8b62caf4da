"""A registry process without MLflow and S3, and a parent that forks it: it starts in no time and can be killed often.

    python -m tests.integration.rollouts.registry_child

It is asked by lines of JSON on its standard input, and says a process id for each: ``{"database", "port", "log",
"gate"}`` forks a registry, ``{"reap": pid}`` waits until that one is gone. It ends with its input, and so do the
registries. The ledger, the controller, the monitor, the routes and the server are the real ones. Not here: what is
expected of them.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import scipy.special  # noqa: F401 - else each registry would read it again at its first verdict

from registry.adapters.memory.artifacts import MemoryArtifacts
from registry.adapters.memory.catalog import MemoryCatalog
from registry.adapters.sql.database import open_database
from registry.adapters.sql.ledger import ledger_on, system_clock
from registry.baselines import Baseline, FeatureCounts
from registry.controller import Controller
from registry.edge.gate import Receive, Scope, Send
from registry.edge.server import listen, serve
from registry.errors import HeadgateError
from registry.http.app import Mounted, build_app, build_fastapi
from registry.http.health import Life, health_routes
from registry.http.monitoring import monitoring_routes
from registry.http.nodes import node_routes
from registry.http.quality import quality_routes
from registry.http.rollouts import rollout_routes
from registry.http.routes import REGISTRY_ROUTES
from registry.http.traffic import traffic_routes
from registry.monitor import Desk, Monitor
from registry.monitoring.closing import Closing
from registry.monitoring.drift import WindowVerdict, judge
from registry.monitoring.quality import DAY_MS
from registry.operations import Operations
from registry.rollouts import RolloutOperations
from registry.telemetry import RegistryMetrics
from tests.support.rows import baseline

TURN_SECONDS = 0.05
RULE = Closing(200, 0)
"""Windows close with 200 rows, at once."""


async def _nothing(scope: Scope, receive: Receive, send: Send) -> None:
    raise AssertionError("no route of MLflow's is listed")


def _when_let(gate: str) -> Callable[[Baseline, Mapping[str, FeatureCounts], int], WindowVerdict]:
    """Judge, once no file stands in the way: so one can be killed between a window's sealing and its verdict."""

    def judge_then(known: Baseline, counts: Mapping[str, FeatureCounts], rows: int) -> WindowVerdict:
        while gate and Path(gate).exists():
            Path(gate + ".reached").touch()
            time.sleep(0.01)
        return judge(known, counts, rows)

    return judge_then


def serve_registry(url: str, port: int, gate: str) -> None:
    """Serve until killed."""
    database = open_database(url)
    ledger = ledger_on(database)
    artifacts = MemoryArtifacts()
    artifacts.seal_bytes(baseline().to_bytes())
    operations = Operations(MemoryCatalog(), ledger, artifacts, wake=lambda: None, upload_limit=1)
    metrics = RegistryMetrics()
    rollouts = RolloutOperations(operations, system_clock, ended=metrics.rollout_ended)
    controller = Controller(
        rollouts, ledger.rollouts, ledger.leases, gauges=metrics, clock=system_clock, holder=str(os.getpid())
    )

    desk = Desk(ledger.feature_windows, ledger.baselines, artifacts, ledger.leases)
    # One name for all: who comes after a kill leads at once, and two lead together.
    monitor = Monitor(desk, RULE, gauges=metrics, clock=system_clock, holder="any", judge=_when_let(gate))

    def turn_for_ever(turn: Callable[[], None]) -> None:
        while True:
            try:
                turn()
            except HeadgateError as error:  # as the background does: it waits, and goes on
                print(error, file=sys.stderr)
            time.sleep(TURN_SECONDS)

    @asynccontextmanager
    async def lifespan() -> AsyncIterator[None]:
        for turn in (controller.turn, monitor.turn):
            threading.Thread(target=turn_for_ever, args=(turn,), daemon=True).start()
        yield

    app = build_fastapi(lifespan)
    for routes in (
        health_routes(metrics.page, Life()),
        traffic_routes(operations),
        rollout_routes(rollouts, ledger.rollouts, system_clock),
        node_routes(operations, system_clock),
        monitoring_routes(operations, RULE),
        quality_routes(operations, system_clock, 7 * DAY_MS),
    ):
        app.include_router(routes)
    front = build_app(app, REGISTRY_ROUTES, Mounted(_nothing, ()), ())
    serve(front, listen("127.0.0.1", port, "the port"), leave=lambda: None)


def nurse() -> None:
    """Fork registries as told."""
    present: set[int] = set()
    os.write(1, b"0\n")
    for line in sys.stdin:
        asked = json.loads(line)
        pid = asked.get("reap") or os.fork()
        if pid == 0:
            os.close(0)
            with Path(asked["log"]).open("ab") as log:
                os.dup2(log.fileno(), 2)
            serve_registry(asked["database"], asked["port"], asked["gate"])
            os._exit(0)
        if "reap" in asked:
            os.waitpid(pid, 0)
            present.discard(pid)
        else:
            present.add(pid)
        os.write(1, f"{pid}\n".encode())
    for left in present:
        with suppress(ProcessLookupError):
            os.kill(left, signal.SIGKILL)


if __name__ == "__main__":
    nurse()
