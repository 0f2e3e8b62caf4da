"""A serving node whose models have the same primary and each another shadow: all that is real but registry and S3.

python -m tests.bench.plain.shadowed PORT HOME NAME=DIRECTORY … where the first NAME is the primary, served as the model
``alone`` too. Not here: asking (``tests/bench/shadow.py``).
"""

from __future__ import annotations

import gc
import sys
from dataclasses import replace
from pathlib import Path

from registry.edge.server import listen, serve
from registry.plans import Plan, Shadow
from registry.records import ModelName, VersionNumber
from registry.snapshots import ModelSnapshot, ServableVersion, as_planned
from serving.bootstrap import Node
from serving.cli import YOUNG_OBJECTS
from serving.parts import Parts
from serving.runtimes.environments import Environments
from serving.runtimes.host.runtime import HostRuntime
from serving.settings import load_settings
from serving.sources.cache import ArtifactCache
from serving.sources.memory import MemorySealedSource
from tests.support.models import servable
from tests.support.serving_fakes import FakeRegistry

SECONDS = 3
PRIMARY, SHADOW = VersionNumber("1"), VersionNumber("2")


def main() -> None:
    """Serve until it is told to stop."""
    port, home, *pairs = sys.argv[1:]
    sealed = MemorySealedSource()
    versions = {name: _sealed(sealed, Path(directory)) for name, directory in (pair.split("=", 1) for pair in pairs)}
    primary = versions.pop(next(iter(versions)))
    models = [_model("alone", primary, None), *(_model(name, primary, shadow) for name, shadow in versions.items())]
    settings = load_settings(
        {"HEADGATE_HOME": home, "HEADGATE_REQUEST_SECONDS": str(SECONDS), "HEADGATE_GRPC_PORT": "0"}
    )
    cache = ArtifactCache(Path(home) / "artifacts", settings.cache_bytes, sealed)
    hosts = HostRuntime(Environments(Path(home)), Path(home) / "hosts")
    node = Node(settings, Parts(FakeRegistry(*models), cache, hosts))
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, 20, 20)
    with listen("127.0.0.1", int(port), "the port") as listener:
        serve(node.app, listener, leave=node.leave)


def _sealed(sealed: MemorySealedSource, directory: Path) -> ServableVersion:
    files = {str(f.relative_to(directory)): f.read_bytes() for f in directory.rglob("*") if f.is_file()}
    return replace(servable(directory), digest=sealed.put(files))


def _model(name: str, primary: ServableVersion, shadow: ServableVersion | None) -> ModelSnapshot:
    plan = Plan(PRIMARY, shadows=() if shadow is None else (Shadow(SHADOW),))
    known = {PRIMARY: primary} | ({} if shadow is None else {SHADOW: replace(shadow, version=SHADOW)})
    return ModelSnapshot(ModelName(name), plan, 1, versions=as_planned(known, plan))


if __name__ == "__main__":
    main()
