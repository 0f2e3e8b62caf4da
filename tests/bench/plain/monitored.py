"""A serving node whose models have baselines, on a registry and a bucket in memory: its costs are all its own.

python -m tests.bench.plain.monitored PORT HOME NAME=DIRECTORY=COLUMNS …; what else is asked of it stands in the
environment, such as ``HEADGATE_MONITOR``. COLUMNS are names with commas, or a number where the model takes an unnamed
array of so many. Not here: asking (``tests/bench/monitoring.py``).
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from registry.baselines import INPUT, OUTPUT, PREDICTION, Baseline, Feature, Kind, Origin
from registry.columns import Measure, feature_name
from registry.counting import count_numbers
from registry.digest import sha256_digest
from registry.edge.server import listen, serve
from registry.plans import Plan
from registry.records import ModelName, VersionNumber
from registry.snapshots import ModelSnapshot, ServableVersion
from serving.bootstrap import Node
from serving.cli import YOUNG_OBJECTS
from serving.parts import Parts
from serving.protocols.example import read_example
from serving.runtimes.choice import ChosenRuntime
from serving.runtimes.environments import Environments
from serving.runtimes.host.runtime import HostRuntime
from serving.runtimes.inline.runtime import InlineRuntime
from serving.settings import load_settings
from serving.sources.cache import ArtifactCache
from serving.sources.memory import MemorySealedSource
from tests.support.models import servable
from tests.support.serving_fakes import FakeRegistry

ROWS, CELLS = 10_000, 128


def main() -> None:
    """Serve until it is told to stop."""
    port, home, *models = sys.argv[1:]
    sealed = MemorySealedSource()
    snapshots = [_model(sealed, *model.split("=")) for model in models]
    settings = load_settings({**_asked(), "HEADGATE_HOME": home, "HEADGATE_GRPC_PORT": "0"})
    cache = ArtifactCache(Path(home) / "artifacts", settings.cache_bytes, sealed)
    hosts = HostRuntime(Environments(Path(home)), Path(home) / "hosts")
    runtime = ChosenRuntime(hosts, InlineRuntime(Path(home) / "inline", read_example))
    node = Node(settings, Parts(FakeRegistry(*snapshots), cache, runtime, sealed=sealed, reports=Taken()))
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, 20, 20)
    with listen("127.0.0.1", int(port), "the port") as listener:
        serve(node.app, listener, leave=node.leave)


class Taken:
    """A registry that takes every report."""

    async def send(self, body: bytes, sequence: int) -> bool:
        """Take it."""
        return True

    async def close(self) -> None:
        """Nothing is open."""


def baseline(columns: tuple[str, ...] | int) -> Baseline:
    """Return a baseline of rows drawn from a normal distribution, with the prediction."""
    rng = np.random.default_rng(0)
    features, counts = [], []
    for side, source, channel, name in _watched(columns):
        values = rng.normal(size=ROWS)
        edges = np.unique(np.quantile(values, np.linspace(0, 1, CELLS + 1)))
        one = Feature(
            name,
            side,
            source,
            Measure.VALUE,
            Kind.NUMBER,
            channel,
            tuple(edges.tolist()),
            tuple(range(0, len(edges), 12)),
        )
        features.append(one)
        counts.append(count_numbers(one, values))
    return Baseline(Origin.GIVEN, ROWS, tuple(features), tuple(counts))


def _watched(columns: tuple[str, ...] | int) -> Iterator[tuple[str, str, int | None, str]]:
    if isinstance(columns, int):
        for channel in range(columns):
            yield INPUT, "", channel, feature_name(INPUT, Measure.VALUE, channel)
    else:
        for name in columns:
            yield INPUT, name, None, name
    yield OUTPUT, "", None, PREDICTION


def _asked() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.startswith("HEADGATE_")}


def _model(sealed: MemorySealedSource, name: str, directory: str, columns: str) -> ModelSnapshot:
    document = baseline(int(columns) if columns.isdigit() else tuple(columns.split(","))).to_bytes()
    digest = sha256_digest(document)
    sealed.blobs[digest] = document
    number, path = VersionNumber("1"), Path(directory)
    files = {str(f.relative_to(path)): f.read_bytes() for f in path.rglob("*") if f.is_file()}
    version: ServableVersion = replace(servable(path), digest=sealed.put(files), baseline=digest)
    return ModelSnapshot(ModelName(name), Plan(number), 1, versions={number: version})


if __name__ == "__main__":
    main()
