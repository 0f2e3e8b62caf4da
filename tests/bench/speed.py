"""How many single rows a second: the raw echo, a hand-written handler, ours inline and ours hosted, in one run.

Rounds go over everybody in turn, so that what the machine does meanwhile hits all alike; each figure is the median of
its rounds. Servers that are not being asked wait in their polls. Not here: many rows at once (``rows.py``).
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from tests.bench import product
from tests.bench.load import Load, drive, http_request
from tests.bench.machine import MB, python, server
from tests.bench.models import Work, Workshop
from tests.support.platform import free_ports

CONNECTIONS = (1, 8, 32, 128)
WHO = ("echo", "handler", "inline", "logistic", "forest", "scaled")


@dataclass(frozen=True, slots=True)
class Contender:
    """Somebody who is measured: a port, and the requests that go there."""

    name: str
    port: int
    requests: Sequence[bytes]


@dataclass(frozen=True, slots=True)
class Pace:
    """How long each measurement takes, and how often all are repeated."""

    seconds: float = 2.0
    rounds: int = 3
    connections: tuple[int, ...] = CONNECTIONS
    who: tuple[str, ...] = WHO


def measure(scratch: Path, pace: Pace) -> dict[str, float]:
    """Return rates, latencies and the promised ratios."""
    workshop = Workshop(scratch / "models")
    graph = workshop.graph()
    with ExitStack() as stack:
        contenders = [one for one in _plain(stack, graph) if one.name in pace.who]
        works = {"inline": lambda: graph, **workshop.by_name()}
        asked = {name: works[name]() for name in pace.who if name in works}
        if asked:
            ours = stack.enter_context(product.running(scratch / "home"))
            contenders += [
                Contender(name, ours.port, requests_for(work, ours.register(work))) for name, work in asked.items()
            ]
            for name, work in asked.items():
                shown = ours.show(work.name)
                print(f"  {name}: runtime {shown['runtime']}, {shown['memory_bytes'] / MB:.1f} MB", file=sys.stderr)
        time.sleep(1)
        found = rounds(contenders, pace)
    print("\n".join(grid(found)))
    return summarize(found)


def _plain(stack: ExitStack, graph: Work) -> Iterator[Contender]:
    echo, handler = free_ports(2)
    stack.enter_context(server(python("-m", "tests.bench.plain.echo", str(echo)), echo))
    onnx = str(graph.directory / "model.onnx")
    stack.enter_context(server(python("-m", "tests.bench.plain.handler", str(handler), onnx), handler))
    yield Contender("echo", echo, requests_for(graph, "/"))
    yield Contender("handler", handler, requests_for(graph, "/"))


def requests_for(work: Work, path: str) -> list[bytes]:
    """Return single-row requests for a model at a path."""
    return [http_request(path, body) for body in work.bodies()]


def rounds(contenders: Sequence[Contender], pace: Pace, *, quiet: bool = False) -> dict[tuple[str, int], list[Load]]:
    """Ask everybody in turn, again and again; return what was found, by name and number of connections."""
    found: dict[tuple[str, int], list[Load]] = {}
    for turn in range(pace.rounds):
        for connections in pace.connections:
            for contender in contenders:
                load = drive(contender.port, contender.requests, connections, pace.seconds)
                found.setdefault((contender.name, connections), []).append(load)
        if not quiet:
            print(f"  round {turn + 1} of {pace.rounds} done", file=sys.stderr)
    return found


def summarize(found: dict[tuple[str, int], list[Load]]) -> dict[str, float]:
    """Return figures: requests/s, p50 and p99 by name and connections, answers that were not 200, and ratios."""
    figures: dict[str, float] = {}
    for (name, connections), loads in found.items():
        figures[f"{name}_{connections}_per_s"] = statistics.median(load.rate for load in loads)
        figures[f"{name}_{connections}_p50_ms"] = statistics.median(load.quantile_ms(0.5) for load in loads)
        figures[f"{name}_{connections}_p99_ms"] = statistics.median(load.quantile_ms(0.99) for load in loads)
        if bad := sum(load.others.total() for load in loads):
            figures[f"{name}_{connections}_not_200"] = bad
    figures["spread_at_most"] = max((spread([load.rate for load in loads]) for loads in found.values()), default=0.0)
    busiest = max((load.busy for loads in found.values() for load in loads), default=0.0)
    figures["generator_busy_at_most"] = busiest
    for (name, connections), loads in found.items():
        rivals = found.get(("handler", connections))
        if name == "inline" and rivals is not None:
            pairs = zip(loads, rivals, strict=True)
            figures[f"inline_over_handler_{connections}"] = statistics.median(a.rate / b.rate for a, b in pairs)
    return figures


def spread(rates: Sequence[float]) -> float:
    """Return how far the rounds lie apart: the fastest less the slowest, over the median."""
    middle = statistics.median(rates)
    return (max(rates) - min(rates)) / middle if middle else 0.0


def grid(found: dict[tuple[str, int], list[Load]]) -> Iterator[str]:
    """Yield the lines of a table to be read: requests/s, and p50 / p99 in ms, by name and connections."""
    columns = sorted({connections for _, connections in found})
    yield f"{'requests/s (p50 / p99 ms)':<26}" + "".join(f"{c:>24}" for c in columns)
    for name in dict.fromkeys(name for name, _ in found):
        cells = []
        for loads in (found[name, c] for c in columns):
            rate, p50, p99 = (
                statistics.median(v)
                for v in zip(*((x.rate, x.quantile_ms(0.5), x.quantile_ms(0.99)) for x in loads), strict=True)
            )
            cells.append(f"{rate:,.0f} ({p50:.2f} / {p99:.2f})")
        yield f"{name:<26}" + "".join(f"{cell:>24}" for cell in cells)
