"""A thousand rows at once, as JSON and as Arrow: the answer's median time over the model's own, on the same core.

The model's own time is that of its object's ``predict`` on the same array or DataFrame, in this process, with the
server waiting. Rounds take turns. Not here: single rows (``speed.py``).
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # it ships no types

from tests.bench import product
from tests.bench.load import ask_once, drive, http_request
from tests.bench.machine import SERVER_CORE, on_core
from tests.bench.models import ROWS, Work, Workshop, flat

ROUNDS = 5
SECONDS = 1.0
ARROW = "application/vnd.apache.arrow.stream"


def measure(scratch: Path) -> dict[str, float]:
    """Return times in ms and the promised ratios."""
    works = [make() for make in Workshop(scratch / "models").by_name().values()]
    with product.running(scratch / "home") as ours:
        paths = [ours.register(work) for work in works]
        figures: dict[str, float] = {}
        for work, path in zip(works, paths, strict=True):
            figures |= _one(work, path, ours.port)
    return figures


def _one(work: Work, path: str, port: int) -> dict[str, float]:
    forms = {
        "json": http_request(path, work.body(0, ROWS)),
        "arrow": http_request(path, work.arrow(), ARROW),
    }
    for form, request in forms.items():
        status, body = ask_once(port, request)
        if status != 200:
            print(f"  {work.name} as {form}: {status} {body[:300].decode(errors='replace')}", file=sys.stderr)
        elif (count := len(flat(json.loads(body)["predictions"]))) != ROWS:
            raise RuntimeError(f"{work.name} as {form}: {count} answers for {ROWS} rows")
    own: list[float] = []
    times: dict[str, list[float]] = {form: [] for form in forms}
    bad = 0
    for _ in range(ROUNDS):
        own.append(own_ms(work))
        for form, request in forms.items():
            load = drive(port, [request], 1, SECONDS)
            bad += load.others.total()
            times[form].append(load.quantile_ms(0.5))
    figures = {f"rows_own_{work.name}_ms": statistics.median(own)}
    for form, found in times.items():
        figures[f"rows_{form}_{work.name}_ms"] = statistics.median(found)
        figures[f"rows_{form}_{work.name}_over_own"] = statistics.median(_ratios(found, own))
    if bad:
        figures[f"rows_{work.name}_not_200"] = bad
    return figures


def own_ms(work: Work) -> float:
    """Return the median time, in ms, of the model itself on its 1,000 rows, on the server's core."""
    rows, found = work.own_input, []
    with on_core(SERVER_CORE), threadpool_limits(1):
        work.model.predict(rows)
        deadline = time.perf_counter() + SECONDS / 2
        while time.perf_counter() < deadline:
            began = time.perf_counter()
            work.model.predict(rows)
            found.append(time.perf_counter() - began)
    return statistics.median(found) * 1000


def _ratios(times: Sequence[float], own: Sequence[float]) -> list[float]:
    return [a / b for a, b in zip(times, own, strict=True)]
