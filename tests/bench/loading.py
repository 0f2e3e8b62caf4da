"""Loading and unloading: the first answer of a cold version, what a loaded one costs, whether it all comes back, and
what others' loading does to a hot model.

Not here: a thousand versions in too little memory (``churn.py``).
"""

from __future__ import annotations

import json
import statistics
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from tests.bench import product
from tests.bench.load import Connection, Load, drive, http_request, status_of
from tests.bench.machine import LOAD_CORE, MB, ROOT, family, on_core, private_mb, python
from tests.bench.models import Work, Workshop
from tests.bench.product import Product, unload

COLD = 120
CYCLES, LONG_CYCLES = 50, 1000
LOOKS = 5
"""How often, over all cycles, the memory is looked at, 2 s after an unloading."""
SETTLE_SECONDS = 2.0
OTHERS = 20
HOT_SECONDS, HOT_ROUNDS, HOT_CONNECTIONS = 10.0, 3, 8


def measure(scratch: Path, *, long: bool = False) -> dict[str, float]:
    """Return times in ms and memory in MB."""
    workshop = Workshop(scratch / "models")
    works = [make() for make in workshop.by_name().values()]
    others = [workshop.logistic(f"other{i:02}", seed=i + 1) for i in range(OTHERS)]
    with product.running(scratch / "home") as ours:
        for work in (*works, *others):
            ours.register_only(work)
        for work in works:
            ours.check(_path(work), work)
        figures = cold_answers(ours, works)
        for work in works:
            figures |= loaded_memory(ours, work)
        figures |= after_unloading(ours, works, LONG_CYCLES if long else CYCLES)
        figures |= hot_while_others_load(ours, works[0], others)
    return figures


def cold_answers(ours: Product, works: Sequence[Work]) -> dict[str, float]:
    """Unload and ask, again and again; return quantiles of the time from the request to the first answer."""
    connection, found = Connection(ours.port), dict[str, list[float]]()
    for i in range(COLD):
        work = works[i % len(works)]
        unload(connection, work.name)
        found.setdefault(work.name, []).append(_first_answer(connection, work) * 1000)
    connection.close()
    everything = sorted(ms for times in found.values() for ms in times)
    figures = {f"cold_{name}_p50_ms": statistics.median(times) for name, times in found.items()}
    figures["cold_first_answer_p50_ms"] = statistics.median(everything)
    figures["cold_first_answer_p99_ms"] = everything[int(0.99 * len(everything))]
    return figures


def loaded_memory(ours: Product, work: Work) -> dict[str, float]:
    """Return the private memory of a loaded version's own processes after it has answered, and what the node says."""
    connection = Connection(ours.port)
    unload(connection, work.name)
    before = {process.pid for process in family(ours.node)}
    for _ in range(20):
        _first_answer(connection, work)
    hosts = [process for process in family(ours.node) if process.pid not in before]
    connection.close()
    said = ours.show(work.name)["memory_bytes"] / MB
    return {f"{work.name}_private_mb": private_mb(hosts), f"{work.name}_said_mb": said}


def after_unloading(ours: Product, works: Sequence[Work], cycles: int) -> dict[str, float]:
    """Load, ask and unload ``cycles`` times; return by how much memory had grown 2 s after, at most.

    Before means: after each of the models was loaded and unloaded once.
    """
    connection = Connection(ours.port)
    for work in works:
        _cycle(connection, work)
    time.sleep(SETTLE_SECONDS)
    before = ours.private_mb()
    grown: list[float] = []
    for i in range(cycles):
        _cycle(connection, works[i % len(works)])
        if (i + 1) % max(1, cycles // LOOKS) == 0:
            time.sleep(SETTLE_SECONDS)
            grown.append(ours.private_mb() - before)
    connection.close()
    return {"after_unloading_mb": max(grown), "after_unloading_last_mb": grown[-1], "after_unloading_cycles": cycles}


def hot_while_others_load(ours: Product, hot: Work, others: Sequence[Work]) -> dict[str, float]:
    """Drive a hot model alone, and while each of the others is loaded and unloaded once; return p99s and their ratio.

    The others' loads and unloads are spread evenly over the time.
    """
    requests = [http_request(_path(hot), body) for body in hot.bodies()]
    alone: list[Load] = []
    beside: list[Load] = []
    done = 0
    for _ in range(HOT_ROUNDS):
        alone.append(drive(ours.port, requests, HOT_CONNECTIONS, HOT_SECONDS))
        with on_core(LOAD_CORE):
            command = python("-m", "tests.bench.loading", str(ours.port), *(work.name for work in others))
            actor = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True)
        assert actor.stdout is not None
        actor.stdout.readline()  # it has imported what it needs
        beside.append(drive(ours.port, requests, HOT_CONNECTIONS, HOT_SECONDS, warm_up=0))
        done += int(actor.communicate()[0])
    ratios = [b.quantile_ms(0.99) / a.quantile_ms(0.99) for a, b in zip(alone, beside, strict=True)]
    return {
        "hot_p99_alone_ms": statistics.median(load.quantile_ms(0.99) for load in alone),
        "hot_p99_while_loading_ms": statistics.median(load.quantile_ms(0.99) for load in beside),
        "hot_p99_while_loading_over_alone": statistics.median(ratios),
        "hot_loads_meanwhile": done / HOT_ROUNDS,
        "hot_not_200": sum(load.others.total() for load in (*alone, *beside)),
    }


def _load_and_unload(port: int, names: Sequence[str]) -> int:
    """Load and unload each version once, evenly over the time of a measurement; return how many were loaded."""
    connection, began, loaded = Connection(port), time.monotonic(), 0
    step = HOT_SECONDS / (2 * len(names) + 1)
    for i, name in enumerate(names):
        time.sleep(max(0.0, began + 2 * i * step - time.monotonic()))
        answer = connection.ask(http_request(f"/models/{name}/versions/1/load"))
        loaded += status_of(answer) == 200
        time.sleep(max(0.0, began + (2 * i + 1) * step - time.monotonic()))
        unload(connection, name)
    return loaded


def _cycle(connection: Connection, work: Work) -> None:
    _first_answer(connection, work)
    unload(connection, work.name)


def _first_answer(connection: Connection, work: Work) -> float:
    request = http_request(_path(work), work.body(0))
    began = time.perf_counter()
    answer = connection.ask(request)
    seconds = time.perf_counter() - began
    if status_of(answer) != 200:
        raise RuntimeError(f"{work.name} answers {answer[:500].decode(errors='replace')}")
    return seconds


def _path(work: Work) -> str:
    return f"/models/{work.name}/versions/1/predict"


if __name__ == "__main__":
    import sys

    print(json.dumps("ready"), flush=True)
    print(_load_and_unload(int(sys.argv[1]), sys.argv[2:]))
