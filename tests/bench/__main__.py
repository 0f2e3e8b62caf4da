"""``make bench``: measure what the project promises, print it beside the promise, write ``var/bench/latest.json``.

Each figure is the median of a few runs in one process tree on this machine; a noisy machine shows in the spread. Not
here: pass or fail. A figure that misses its promise is printed as it is. How to read the figures: docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from tests.bench import churn, life, loading, monitoring, protocols, rows, scrape, sealing, speed, swaps
from tests.bench.machine import LOAD_CORE, ROOT, describe
from tests.bench.promises import missed, table

LATEST = ROOT / "var" / "bench" / "latest.json"


def main() -> int:
    """Measure, print, write."""
    arguments = _parser().parse_args()
    pace = speed.Pace(arguments.seconds, arguments.rounds, tuple(arguments.connections), tuple(arguments.who))
    parts: dict[str, Callable[[Path], dict[str, float]]] = {
        "life": life.measure,
        "sealing": lambda _: sealing.measure(),
        "speed": lambda scratch: speed.measure(scratch, pace),
        "rows": rows.measure,
        "protocols": protocols.measure,
        "loading": lambda scratch: loading.measure(scratch, long=arguments.long),
        "swaps": swaps.measure,
        "scrape": lambda _: scrape.measure(),
        "monitoring": lambda scratch: monitoring.measure(scratch, monitoring.Pace(arguments.seconds)),
        "churn": lambda scratch: churn.measure(scratch, long=arguments.long),
    }
    figures: dict[str, float] = {}
    machine, everywhere = describe(), os.sched_getaffinity(0)
    for name in arguments.parts or PARTS:
        began = time.monotonic()
        print(f"measuring {name} ...", file=sys.stderr)
        if name in PINNED:
            os.sched_setaffinity(0, {LOAD_CORE})
        else:
            os.sched_setaffinity(0, everywhere)
        with tempfile.TemporaryDirectory(prefix="headgate-bench-") as scratch:
            figures |= parts[name](Path(scratch))
        print(f"  took {time.monotonic() - began:.0f} s", file=sys.stderr)
    print("\n".join(table(figures, everything=arguments.all)))
    write(arguments.output, figures, machine)
    return 0


PARTS = ("life", "sealing", "speed", "rows", "protocols", "loading", "swaps", "scrape", "monitoring", "churn")
PINNED = ("speed", "rows", "protocols", "loading", "swaps", "scrape", "monitoring")
"""Parts whose load comes from this process, which then has a core of its own."""


def write(path: Path, figures: Mapping[str, float], machine: Mapping[str, str | float]) -> None:
    """Write the figures, with when and where they were measured."""
    at = datetime.now(UTC).isoformat(timespec="seconds")
    path.parent.mkdir(parents=True, exist_ok=True)
    finite = {name: value if math.isfinite(value) else None for name, value in figures.items()}
    document = {"at": at, "machine": dict(machine), "figures": finite, "missed": missed(figures)}
    path.write_text(json.dumps(document, indent=2, allow_nan=False) + "\n")
    print(f"written to {path}", file=sys.stderr)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[[], *PARTS], help="which parts; all without any")
    parser.add_argument("--seconds", type=float, default=2.0, help="of each measurement of speed")
    parser.add_argument("--rounds", type=int, default=3, help="over everybody, of speed")
    parser.add_argument("--connections", type=int, nargs="+", default=speed.CONNECTIONS, help="of speed")
    parser.add_argument("--who", nargs="+", choices=speed.WHO, default=speed.WHO, help="of speed")
    parser.add_argument("--long", action="store_true", help="1,000 unloads and 50,000 requests of churn: half an hour")
    parser.add_argument("--all", action="store_true", help="print figures without a promise too")
    parser.add_argument("--output", type=Path, default=LATEST, help="the JSON to write")
    return parser


if __name__ == "__main__":
    sys.exit(main())
