"""A process that shows a thousand versions: ``python -m tests.bench.scraped serving|registry PORT``.

The node and the registry themselves, on fakes of what they stand on; what they show is counted by their own metrics. At
each ``/livez`` it moves. Not here: measuring (``scrape.py``).
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path

from registry.edge.exposition import Family, Metric
from registry.edge.gate import ASGIApp, Receive, Scope, Send
from registry.edge.server import listen, serve
from registry.http.counted import Counted
from tests.support.registry_app import RegistryInMemory
from tests.support.serving_fakes import servable, snapshot
from tests.support.serving_node import FakeWorld

MODELS, VERSIONS = 100, 10
FEATURES = 20
GAUGES = 8
"""How many gauges the registry shows of each feature."""
JUDGED = 20
"""One of so many versions has a new verdict since the last scrape: they come every five minutes at most."""
PAIRS = [(f"model-{m}", str(v)) for m in range(MODELS) for v in range(1, VERSIONS + 1)]


def main() -> None:
    """Serve until told to end."""
    parser = argparse.ArgumentParser()
    parser.add_argument("process", choices=("serving", "registry"))
    parser.add_argument("port", type=int)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        app, move = serving(Path(home)) if given.process == "serving" else registry()
        serve(_moving(app, move), listen("127.0.0.1", given.port, "PORT"), leave=lambda: None)


def serving(home: Path) -> tuple[ASGIApp, Callable[[], None]]:
    """Return a node that knows the versions, and what asks each once more."""
    numbers = [str(v) for v in range(1, VERSIONS + 1)]
    models = [
        snapshot(f"model-{m}", versions={n: servable(n, f"model-{m} {n}") for n in numbers}) for m in range(MODELS)
    ]
    world = FakeWorld(home, *models)
    return world.node.app, lambda: ask_all(world)


def ask_all(world: FakeWorld) -> None:
    """Count a request, a load, a batch and a copy for every version."""
    from serving.telemetry.finished import Finished

    metrics = world.node._metrics
    for model, version in PAIRS:
        metrics.observe(Finished(model, version, "stable", seconds=0.004, decode=0.001, predict=0.002, encode=0.001))
        metrics.version_loaded(model, version, 0.5)
        metrics.batches(model, version).batch(3, 1)
        metrics.shadow(model, version).count("compared")
        metrics.shadow(model, version).compared(differs=False)


def registry() -> tuple[ASGIApp, Callable[[], None]]:
    """Return a registry that shows so many versions' features, and what moves them all."""
    here = RegistryInMemory()
    labels = ("model", "version", "feature")
    families = [Family(Metric(f"headgate_measured_{n}", "gauge", labels, "A gauge.")) for n in range(GAUGES)]
    here.metrics.shown.extend(families)
    turn = 0

    def move() -> None:
        nonlocal turn
        turn += 1
        for model, version in PAIRS[turn % JUDGED :: JUDGED] if turn > 1 else PAIRS:
            for number, family in enumerate(families):
                for feature in range(FEATURES):
                    family.set((model, version, f"feature_{feature}"), (turn * 37 + feature + number) % 100 / 7)

    return Counted(here.app, here.app.table, here.metrics.requested), move


def _moving(app: ASGIApp, move: Callable[[], None]) -> ASGIApp:
    async def moved(scope: Scope, receive: Receive, send: Send) -> None:
        if scope.get("path") == "/livez":
            move()
        await app(scope, receive, send)

    return moved


if __name__ == "__main__":
    main()
