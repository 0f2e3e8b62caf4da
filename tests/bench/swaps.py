"""Swaps under load: how soon a change is in effect on every node, and what callers notice of a hundred of them.

Two nodes on the core of the server, two versions of one model, plans that name the one and the other in turn. A change
is in effect when an answer of every node bears its revision. Not here: correctness (``tests/e2e``).
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from headgate import Client

from tests.bench.load import Connection, Load, drive, http_request
from tests.bench.machine import LOAD_CORE, ROOT, SERVER_CORE, move, on_core, python, server
from tests.bench.models import Work, Workshop
from tests.e2e.bucket import Bucket
from tests.support.platform import Platform, free_ports

SWAPS, ROUNDS, SECONDS, CONNECTIONS = 100, 2, 12.0, 8
MODEL = "swapped"
PATH = f"/models/{MODEL}/predict"
PATIENCE_SECONDS = 60


def measure(scratch: Path) -> dict[str, float]:
    """Return p50 and p99 of the seconds to effect, and the p99s of the load without and with swaps."""
    workshop = Workshop(scratch / "models")
    works = [workshop.logistic(f"{MODEL}{seed}", seed=seed) for seed in (1, 2)]
    platform = Platform(scratch / "home")
    try:
        with on_core(SERVER_CORE):
            platform.start()
        for child in ("s3", "registry"):
            move(platform.process(child), LOAD_CORE)
        with second_node(platform, scratch / "second") as other:
            ports = (int(platform.serving_url.rsplit(":", 1)[1]), other)
            with Client(platform.registry_url, platform.serving_url) as client:
                versions = [client.register(work.directory, MODEL, timeout=300).version for work in works]
                client.promote(MODEL, versions[0])
            for port in ports:
                wait_for_revision(port, works[0], 1)
            return under_load(platform.registry_url, ports, versions, works[0])
    finally:
        platform.stop()


def under_load(registry_url: str, ports: Sequence[int], versions: Sequence[str], work: Work) -> dict[str, float]:
    """Load the first node alone and while plans change, in turns; return the figures."""
    request = http_request(PATH, work.body(0))
    effects, alone, beside = list[float](), list[Load](), list[Load]()
    for _ in range(ROUNDS):
        alone.append(drive(ports[0], [request], CONNECTIONS, SECONDS))
        with on_core(LOAD_CORE):
            command = python("-m", "tests.bench.swaps", registry_url, *map(str, ports), *versions)
            actor = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert actor.stdout is not None
        actor.stdout.readline()  # it has imported what it needs
        beside.append(drive(ports[0], [request], CONNECTIONS, SECONDS, warm_up=0))
        effects += json.loads(actor.communicate()[0])
    effects.sort()
    ratios = [b.quantile_ms(0.99) / a.quantile_ms(0.99) for a, b in zip(alone, beside, strict=True)]
    return {
        "swaps": len(effects),
        "swap_effect_p50_seconds": statistics.median(effects),
        "swap_effect_p99_seconds": effects[int(0.99 * len(effects))],
        "swap_not_200": sum(load.others.total() for load in (*alone, *beside)),
        "swap_p99_over_alone": statistics.median(ratios),
    }


@contextmanager
def second_node(platform: Platform, home: Path) -> Iterator[int]:
    """Run another node beside the platform's own; give its port."""
    (port,) = free_ports(1)
    environment = platform.environment | Bucket(platform).environment
    environment |= {
        "HEADGATE_HOME": str(home),
        "HEADGATE_REGISTRY_URL": platform.registry_url,
        "HEADGATE_SERVING_PORT": str(port),
        "HEADGATE_GRPC_PORT": "0",
    }
    words = [f"{name}={value}" for name, value in environment.items()]
    with server(["env", *words, *python("-m", "serving")], port):
        yield port


def wait_for_revision(port: int, work: Work, revision: int) -> None:
    """Ask a node until it answers by a revision of the plan, or a newer one."""
    request, deadline = http_request(PATH, work.body(0)), time.monotonic() + PATIENCE_SECONDS
    connection = Connection(port)
    while revision_of(connection.ask(request)) < revision:
        if time.monotonic() > deadline:
            raise RuntimeError(f"the node on {port} does not follow revision {revision}")
        time.sleep(0.01)
    connection.close()


def revision_of(answer: bytes) -> int:
    """Return the revision of the plan that chose who answers; 0 where there was none."""
    _, _, rest = answer.partition(b"x-headgate-revision: ")
    return int(rest.split(b"\r\n", 1)[0]) if answer.startswith(b"HTTP/1.1 200") else 0


def _swap(registry_url: str, ports: Sequence[int], versions: Sequence[str]) -> list[float]:
    """Change the plan again and again; return after how many seconds each change was in effect on every node."""
    body = b'{"inputs": [[' + b", ".join([b"0.5"] * 20) + b"]]}"
    effects: list[float] = []
    connections = [Connection(port) for port in ports]
    with Client(registry_url) as client:
        for turn in range(SWAPS // ROUNDS):
            began = time.monotonic()
            revision = client.promote(MODEL, versions[(turn + 1) % 2]).revision
            for connection in connections:
                while revision_of(connection.ask(http_request(PATH, body))) < revision:
                    time.sleep(0.002)
            effects.append(time.monotonic() - began)
            time.sleep(max(0.0, began + SECONDS / (SWAPS // ROUNDS + 2) - time.monotonic()))
    return effects


if __name__ == "__main__":
    print("ready", flush=True)
    print(json.dumps(_swap(sys.argv[1], [int(port) for port in sys.argv[2:4]], sys.argv[4:6])))
