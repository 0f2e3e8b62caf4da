"""``make bench``: measure what the project promises, print it beside the promise, write ``var/bench/latest.json``.

Each figure is the median of a few runs in one process tree on this machine; a noisy machine shows in the spread. Not
here: pass or fail. A figure that misses its promise is printed as it is.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tests.bench import life, sealing

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Promise:
    """One figure that was promised: at most or at least ``bound``, in ``unit``."""

    figure: str
    bound: float
    unit: str
    at_least: bool = False

    def kept(self, value: float) -> bool:
        """Tell whether ``value`` keeps it."""
        return value >= self.bound if self.at_least else value <= self.bound


PROMISES = (
    Promise("serving_ready_seconds", 1.5, "s"),
    Promise("serving_idle_mb", 120, "MB"),
    Promise("registry_ready_seconds", 8, "s"),
    Promise("registry_idle_mb", 350, "MB"),
    Promise("second_make_up_seconds", 12, "s"),
    Promise("log_model_to_answer_seconds", 5, "s"),
    Promise("sealing_large_mb_per_s", 100, "MB/s", at_least=True),
    Promise("sealing_peak_memory_mb", 200, "MB"),
)

PARTS: dict[str, Callable[[Path], dict[str, float]]] = {"life": life.measure, "sealing": lambda _: sealing.measure()}


def main() -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[[], *PARTS], help="which parts; all without any")
    chosen = parser.parse_args().parts or list(PARTS)
    figures: dict[str, float] = {}
    for name in chosen:
        print(f"measuring {name} ...", file=sys.stderr)
        with tempfile.TemporaryDirectory(prefix="headgate-bench-") as scratch:
            figures |= PARTS[name](Path(scratch))
    bounds = {promise.figure: promise for promise in PROMISES}
    print(f"{'figure':<34}{'measured':>12}  {'promised':<14}")
    for figure, value in figures.items():
        promise = bounds.get(figure)
        words = ""
        if promise is not None:
            sign = "≥" if promise.at_least else "≤"
            words = f"{sign} {promise.bound:g} {promise.unit}" + ("" if promise.kept(value) else "   MISSED")
        print(f"{figure:<34}{value:>12.2f}  {words}")
    latest = ROOT / "var" / "bench" / "latest.json"
    latest.parent.mkdir(parents=True, exist_ok=True)
    at = datetime.now(UTC).isoformat(timespec="seconds")
    machine = {"python": platform.python_version(), "system": f"{platform.system()} {platform.machine()}"}
    latest.write_text(json.dumps({"at": at, "machine": machine, "figures": figures}, indent=2) + "\n")
    print(f"written to {latest.relative_to(ROOT)}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
