"""What monitoring costs: throughput with everything on over throughput with everything off, and the counting alone.

Two nodes stand on one core, one with monitoring and one without; rounds ask them in turn at 32 connections, rows of 20
features, and a figure is the median of the rounds' own ratios. The processor time that a request took is measured
beside it, which a busy machine disturbs less. Counting alone is measured in a process of its own. Run it alone with
``python -m tests.bench.monitoring``. Not here: the nodes (``plain/monitored.py``).
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.bench.load import Load, ask_once, drive, http_request
from tests.bench.machine import LOAD_CORE, ROOT, family, on_core, python, server
from tests.bench.models import Work, Workshop
from tests.support.platform import free_ports

READY_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Pace:
    """How long each round is, how many there are, and over how many connections."""

    seconds: float = 2.0
    rounds: int = 8
    connections: int = 32


@dataclass(frozen=True, slots=True)
class _Node:
    """A node that is measured."""

    port: int
    process: psutil.Process

    def wait(self, work: Work) -> None:
        """Wait until it answers."""
        until = time.monotonic() + READY_SECONDS
        while ask_once(self.port, http_request(_path(work), work.body(0)))[0] != 200:
            if time.monotonic() > until:
                raise RuntimeError(f"{work.name} does not answer")
            time.sleep(0.1)

    def drive(self, work: Work, pace: Pace) -> tuple[Load, float]:
        """Ask; return what was found, and the processor time of an answer in microseconds."""
        before = self._used()
        load = drive(
            self.port, [http_request(_path(work), body) for body in work.bodies()], pace.connections, pace.seconds
        )
        return load, (self._used() - before) / max(1, len(load.latencies)) * 1e6

    def _used(self) -> float:
        return sum(times.user + times.system for times in (one.cpu_times() for one in family(self.process)))


def measure(scratch: Path, pace: Pace = Pace()) -> dict[str, float]:
    """Return the ratios of each model, the least as ``monitoring_throughput_ratio``, and what counting alone costs."""
    workshop = Workshop(scratch / "models")
    works = (workshop.graph(), workshop.logistic())
    figures = counting()
    with ExitStack() as stack:
        on, off = (_started(stack, scratch / word, works, word) for word in ("true", "false"))
        for work in works:
            for node in (on, off):
                node.wait(work)
            figures |= _compare(work, on, off, pace)
    figures["monitoring_throughput_ratio"] = min(figures[f"monitoring_{work.name}_throughput_ratio"] for work in works)
    return figures


def counting() -> dict[str, float]:
    """Return what counting costs alone: microseconds of a row of 20 features, megabytes of 1,000."""
    command = python("-m", "tests.bench.plain.counted")
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=300)
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


def _started(stack: ExitStack, home: Path, works: Sequence[Work], word: str) -> _Node:
    (port,) = free_ports(1)
    models = [f"{work.name}={work.directory}={work.data.shape[1]}" for work in works]
    command = [
        "env",
        f"HEADGATE_MONITOR={word}",
        *python("-m", "tests.bench.plain.monitored", str(port), str(home), *models),
    ]
    return _Node(port, stack.enter_context(server(command, port)))


def _path(work: Work) -> str:
    return f"/models/{work.name}/predict"


def _compare(work: Work, on: _Node, off: _Node, pace: Pace) -> dict[str, float]:
    found: list[tuple[Load, Load]] = []
    costs: list[tuple[float, float]] = []
    for turn in range(pace.rounds):
        order = (on, off) if turn % 2 else (off, on)
        loads = {node.port: node.drive(work, pace) for node in order}
        found.append((loads[on.port][0], loads[off.port][0]))
        costs.append((loads[on.port][1], loads[off.port][1]))
    ratios = [a.rate / b.rate for a, b in found]
    label = f"monitoring_{work.name}"
    figures = {
        f"{label}_throughput_ratio": statistics.median(ratios),
        f"{label}_p99_ratio": statistics.median(a.quantile_ms(0.99) / b.quantile_ms(0.99) for a, b in found),
        f"{label}_cpu_ratio": statistics.median(b / a for a, b in costs),
        f"{label}_not_200": float(sum(a.others.total() + b.others.total() for a, b in found)),
    }
    low, _, high = statistics.quantiles(ratios, n=4)
    print(
        f"  {work.name}: {statistics.median(b.rate for _, b in found):,.0f}/s off, "
        f"{statistics.median(a.rate for a, _ in found):,.0f}/s on, ratio quartiles {low:.3f} to {high:.3f}; processor "
        f"{statistics.median(b for _, b in costs):.1f} µs off, {statistics.median(a for a, _ in costs):.1f} on",
        file=sys.stderr,
    )
    return figures


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.monitoring", description=__doc__)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each round")
    parser.add_argument("--rounds", type=int, default=8)
    given = parser.parse_args(arguments)
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory(prefix="headgate-bench-") as scratch, on_core(LOAD_CORE):
        for figure, value in measure(Path(scratch), Pace(given.seconds, given.rounds)).items():
            print(f"{figure:40} {value:.4g}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
