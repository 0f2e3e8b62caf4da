"""What a shadow of all traffic costs the primary's callers: p99 with it over p99 without, for shadows of every kind.

Node, primary and shadow share one core, the callers have the other: a shadow that burns its processor burns the
primary's. Rounds alternate: without, with, and then a wait until the last copy is done, so that neither meets what the
other left. A figure is the median over the rounds of each round's own ratio; the spread tells what it is worth. Run it
alone with ``python -m tests.bench.shadow``. Not here: the node (``plain/shadowed.py``).
"""

from __future__ import annotations

import argparse
import re
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.bench.load import Load, ask_once, drive, http_request
from tests.bench.machine import LOAD_CORE, on_core, python, server
from tests.bench.models import Work, Workshop
from tests.support.models import SavedModels
from tests.support.platform import free_ports

BODIES: Mapping[str, str] = {
    "healthy": "return (model_input.sum(axis=1) > 0).astype(int)",
    "slow": "import time; time.sleep(0.02); return (model_input.sum(axis=1) > 0).astype(int)",
    "busy": """
        import time
        until = time.perf_counter() + 0.02
        while time.perf_counter() < until:
            pass
        return (model_input.sum(axis=1) > 0).astype(int)
    """,
    "hanging": "\nwhile True:\n    pass",
    "raising": "raise ValueError('no')",
    "dying": "import os; os._exit(3)",
}
"""The shadows: as good as the primary, about 100 times slower asleep and at work, and those that fail."""
CONNECTIONS = (1, 8)
DRAIN_SECONDS = 60.0
READY_SECONDS = 300.0
_COUNTED = re.compile(rb'^headgate_shadow_total\{model="([a-z]+)",outcome="([a-z_]+)",version="2"\} (\d+)', re.M)


@dataclass(frozen=True, slots=True)
class Pace:
    """How long each round is, how many there are, over how many connections, for which shadows."""

    seconds: float = 2.0
    rounds: int = 10
    connections: tuple[int, ...] = CONNECTIONS
    who: tuple[str, ...] = tuple(BODIES)


def measure(scratch: Path, pace: Pace) -> dict[str, float]:
    """Return, for each shadow, by how much it changed the primary's p50 and p99, and how many answers were not 200."""
    models = SavedModels(scratch / "models")
    (scratch / "models").mkdir()
    work = Workshop(scratch / "models").logistic()
    directories = {"primary": work.directory}
    for name in pace.who:
        directories[name] = scratch / "models" / f"shadow_{name}"
        models.save_custom(directories[name], BODIES[name])
    (port,) = free_ports(1)
    pairs = [f"{name}={directory}" for name, directory in directories.items()]
    command = python("-m", "tests.bench.plain.shadowed", str(port), str(scratch / "home"), *pairs)
    figures: dict[str, float] = {}
    with server(command, port), on_core(LOAD_CORE):
        node = _Node(port, work)
        node.begin()
        for name in pace.who:
            for connections in pace.connections:
                figures |= node.compare(name, connections, pace)
    return figures


class _Node:
    """The node, by what is asked of it."""

    def __init__(self, port: int, work: Work) -> None:
        self._port, self._work = port, work

    def begin(self) -> None:
        """Have the primary answer."""
        until = time.monotonic() + READY_SECONDS
        while ask_once(self._port, http_request("/models/alone/predict", self._work.body(0)))[0] != 200:
            if time.monotonic() > until:
                raise RuntimeError("the primary does not answer")
            time.sleep(0.1)

    def compare(self, name: str, connections: int, pace: Pace) -> dict[str, float]:
        """Measure one shadow."""
        found: list[tuple[Load, Load]] = []
        before = self._outcomes(name)
        for _ in range(pace.rounds):
            without = self._drive("alone", connections, pace.seconds)
            self._load(name)
            found.append((without, self._drive(name, connections, pace.seconds)))
            self._drain(name)
        outcomes = {k: v - before.get(k, 0) for k, v in self._outcomes(name).items()}
        label = f"shadow_{name}_{connections}"
        figures = {f"{label}_not_200": float(sum(w.others.total() for _, w in found))}
        for quantile, share in (("p50", 0.5), ("p99", 0.99)):
            ratios = [w.quantile_ms(share) / o.quantile_ms(share) for o, w in found]
            figures[f"{label}_{quantile}_over_alone"] = statistics.median(ratios)
            figures[f"{label}_{quantile}_alone_ms"] = statistics.median(o.quantile_ms(share) for o, _ in found)
        spread = [w.quantile_ms(0.99) / o.quantile_ms(0.99) for o, w in found]
        low, _, high = statistics.quantiles(spread, n=4)
        print(
            f"  {name:8} {connections:3} connections: p50 × {figures[f'{label}_p50_over_alone']:.3f}, p99 × "
            f"{figures[f'{label}_p99_over_alone']:.3f} (quartiles {low:.3f} to {high:.3f}), alone "
            f"{figures[f'{label}_p99_alone_ms']:.2f} ms, {figures[f'{label}_not_200']:.0f} not 200; copies {outcomes}",
            file=sys.stderr,
        )
        return figures

    def _drive(self, name: str, connections: int, seconds: float) -> Load:
        path = f"/models/{name}/predict"
        return drive(self._port, [http_request(path, body) for body in self._work.bodies()], connections, seconds)

    def _load(self, name: str) -> None:
        # By an operator's word, which lets it out of quarantine too.
        status, body = ask_once(self._port, http_request(f"/models/{name}/versions/2/load"))
        if status != 200:
            raise RuntimeError(f"the shadow {name} cannot be loaded: {status} {body[:200]!r}")

    def _drain(self, name: str) -> None:
        """Wait until nothing is counted any more: no copy is left."""
        until, last, since = time.monotonic() + DRAIN_SECONDS, -1, time.monotonic()
        while time.monotonic() < until and time.monotonic() - since < 3.5:
            now = sum(self._outcomes(name).values())
            if now != last:
                last, since = now, time.monotonic()
            time.sleep(0.25)

    def _outcomes(self, name: str) -> dict[str, int]:
        _, page = ask_once(self._port, http_request("/metrics", method="GET"))
        return {o.decode(): int(n) for m, o, n in _COUNTED.findall(page) if m.decode() == name}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.shadow", description=__doc__)
    parser.add_argument("who", nargs="*", choices=[[], *BODIES], help="which shadows; all without any")
    parser.add_argument("--seconds", type=float, default=2.0, help="of each round")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--connections", type=int, nargs="+", default=CONNECTIONS)
    given = parser.parse_args(arguments)
    pace = Pace(given.seconds, given.rounds, tuple(given.connections), tuple(given.who) or tuple(BODIES))
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory(prefix="headgate-bench-") as scratch:
        for figure, value in measure(Path(scratch), pace).items():
            print(f"{figure:40} {value:.4g}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
