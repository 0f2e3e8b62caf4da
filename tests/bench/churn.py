"""A thousand versions, memory for fifty, requests over all: nothing but answers and documented 503s, memory within its
budget, descriptors and threads flat.

The node is a real process on a home that was prepared: its snapshot and its artifacts lie on disk, as they do after a
restart with the registry away, so that a thousand versions cost seconds and not minutes. Not here: speed.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import psutil

from registry.records import ModelName, VersionNumber
from registry.snapshots import ModelSnapshot, SnapshotPage
from serving.sources.cache import ArtifactCache
from serving.sources.memory import MemorySealedSource
from serving.sources.snapshot import SnapshotFile
from tests.bench.load import Connection, ask_once, drive, http_request
from tests.bench.machine import MB, ROOT, end, family, private_mb, python, wait_for_port
from tests.bench.models import Work, Workshop
from tests.bench.product import unload
from tests.support.models import servable
from tests.support.platform import free_ports

VERSIONS, FITTING = 1000, 50
REQUESTS, LONG_REQUESTS = 1000, 50_000
CONNECTIONS = 8
DOCUMENTED = frozenset({"503 loading", "503 no_capacity"})
_MODEL = "many"
_AT_ONCE = 1000


def measure(scratch: Path, *, long: bool = False) -> dict[str, float]:
    """Return how many of which answers came, the most memory, and what the node has kept of it all."""
    work = Workshop(scratch / "models").logistic(_MODEL)
    asyncio.run(prepare(scratch / "home", work))
    with node(scratch / "probe", scratch / "home", None) as (_, port):
        each = _cost_of_one(port, work)
    budget = max(64 * MB, int(each * FITTING))
    with node(scratch / "again", scratch / "home", budget) as (process, port):
        _cost_of_one(port, work)  # which also waits for the warm parent
        _unload_all(port)
        figures = churn(process, port, work, LONG_REQUESTS if long else REQUESTS)
    peak = figures["churn_memory_peak_mb"]
    return figures | {"churn_budget_mb": budget / MB, "churn_memory_over_budget": peak * MB / budget}


async def prepare(home: Path, work: Work) -> None:
    """Put a snapshot of a thousand versions, and their artifacts, where a node keeps them."""
    files = {
        str(file.relative_to(work.directory)): file.read_bytes()
        for file in work.directory.rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    record, source = servable(work.directory), MemorySealedSource()
    cache = ArtifactCache(home / "serving" / "artifacts", 1 << 34, source)
    await cache.open()
    versions = {}
    for number in range(1, VERSIONS + 1):
        distinct = files["MLmodel"] + f"# {number}\n".encode()  # other bytes, another digest, the same model
        digest = source.put({**files, "MLmodel": distinct})
        (await cache.hold(digest, 60)).release()
        version = VersionNumber(str(number))
        versions[version] = replace(record, version=version, digest=digest)
    await cache.close()
    model = ModelSnapshot(ModelName(_MODEL), versions=versions)
    SnapshotFile(home / "serving" / "snapshot").save(SnapshotPage(1, True, (model,)))


@contextmanager
def node(log: Path, home: Path, budget: int | None) -> Iterator[tuple[psutil.Process, int]]:
    """Run a serving node alone on a prepared home; give its process and port."""
    port, nobody = free_ports(2)
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("HEADGATE_", "AWS_", "MLFLOW_"))}
    environment = clean | {
        "HEADGATE_HOME": str(home),
        "HEADGATE_SERVING_PORT": str(port),
        "HEADGATE_GRPC_PORT": "0",
        "HEADGATE_REGISTRY_URL": f"http://127.0.0.1:{nobody}",
        "HEADGATE_S3_ENDPOINT": f"http://127.0.0.1:{nobody}",
        "AWS_ACCESS_KEY_ID": "none",
        "AWS_SECRET_ACCESS_KEY": "none",
        **({} if budget is None else {"HEADGATE_MEMORY_BUDGET_BYTES": str(budget)}),
    }
    with log.with_suffix(".out").open("wb") as output:
        process = subprocess.Popen(python("-m", "serving"), cwd=ROOT, env=environment, stdout=output, stderr=output)
    try:
        wait_for_port(port, 60, process)
        yield psutil.Process(process.pid), port
    finally:
        end(process)


def churn(process: psutil.Process, port: int, work: Work, requests: int) -> dict[str, float]:
    """Ask versions at random, with a pause half-way; compare what the node keeps then and at the end."""
    standing = {p.pid for p in family(process)}  # the node and its warm parents; hosts come and go
    chance, seconds, peak = random.Random(0), 0.0, 0.0
    answers, refusals, kept = 0, Counter[str](), list[tuple[int, int]]()
    for half in (requests // 2, requests - requests // 2):
        began, asked = time.monotonic(), 0
        with _watching(process, standing) as seen:
            while asked < half:
                count = min(_AT_ONCE, half - asked)
                ok, others = _ask(port, work, chance, count)
                answers, refusals, asked = answers + ok, refusals + others, asked + count
        seconds, peak = seconds + time.monotonic() - began, max(peak, *seen)
        _unload_all(port)
        kept.append(_kept(process))
    (descriptors, threads), (descriptors_after, threads_after) = kept
    print(f"  answered {answers}, refused {dict(refusals)} in {seconds:.0f} s", file=sys.stderr)
    return {
        "churn_answers": answers,
        "churn_documented_503": sum(n for words, n in refusals.items() if words in DOCUMENTED),
        "churn_undocumented_answers": sum(n for words, n in refusals.items() if words not in DOCUMENTED),
        "churn_answers_per_s": answers / seconds,
        "churn_memory_peak_mb": peak,
        "churn_descriptors_grown": max(0, descriptors_after - descriptors),
        "churn_threads_grown": max(0, threads_after - threads),
    }


def _ask(port: int, work: Work, chance: random.Random, count: int) -> tuple[int, Counter[str]]:
    """Ask ``count`` versions at random, each in turn of its connection; return how many answered, and the rest."""
    numbers = [chance.randint(1, VERSIONS) for _ in range(count)]
    requests = [http_request(f"/models/{_MODEL}/versions/{n}/predict", work.body(n % 100)) for n in numbers]
    load = drive(port, requests, CONNECTIONS, 3600, warm_up=0, most=count)
    return len(load.latencies), load.others


def _cost_of_one(port: int, work: Work) -> float:
    """Return what the node says that one version costs, in bytes, at most, of a few."""
    said = []
    for number in range(1, 6):
        path = f"/models/{_MODEL}/versions/{number}"
        deadline = time.monotonic() + 60
        while ask_once(port, http_request(f"{path}/predict", work.body(0)))[0] != 200:
            if time.monotonic() > deadline:
                raise RuntimeError("the prepared node does not answer")
            time.sleep(0.2)
        said.append(json.loads(ask_once(port, http_request(path, method="GET"))[1])["memory_bytes"])
    return float(max(said))


def _unload_all(port: int) -> None:
    """Unload every version that is loaded, and give what goes with it a moment."""
    _, body = ask_once(port, http_request(f"/models/{_MODEL}", method="GET"))
    connection = Connection(port)
    for version in json.loads(body)["versions"]:
        if version["state"] == "ready":
            unload(connection, _MODEL, version["version"])
    connection.close()
    time.sleep(2)


def _kept(process: psutil.Process) -> tuple[int, int]:
    """Return the open descriptors and the threads of the node and its warm parents."""
    everybody = family(process)
    return sum(p.num_fds() for p in everybody), sum(p.num_threads() for p in everybody)


@contextmanager
def _watching(process: psutil.Process, standing: set[int]) -> Iterator[list[float]]:
    """Look at the private memory of all hosts below the node, again and again; give the list that the looks go to.

    Not that of the warm parent: what is its own while it is alone is shared as soon as it forks.
    """
    seen, stop = [0.0], threading.Event()

    def look() -> None:
        while not stop.wait(0.5):
            with contextlib.suppress(psutil.NoSuchProcess):
                seen.append(private_mb(p for p in family(process) if p.pid not in standing))

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        stop.set()
        thread.join()
