"""What counting rows costs alone, as JSON: the time of a row of 20 features, the memory of a version of 1,000.

Time is that of the thread, so a busy machine shows less in it. Not here: what it costs a node
(``tests/bench/monitoring.py``).
"""

from __future__ import annotations

import gc
import json
import time

import numpy as np
import psutil

from registry.records import VersionNumber
from registry.snapshots import ServableVersion
from serving.exchange import ArrayOutput, Table
from serving.telemetry.counted import Plan
from serving.telemetry.features import FeatureWindows
from serving.telemetry.finished import Finished
from tests.bench.machine import private_mb
from tests.bench.plain.monitored import baseline
from tests.support.serving_fakes import digest_of

NARROW, WIDE = 20, 1000
BLOCK, BLOCKS = 2000, 20
SERVABLE = ServableVersion(VersionNumber("1"), digest_of("v"), 1, "host", baseline=digest_of("b"))


class Known:
    """A baseline that is there."""

    def __init__(self, columns: int) -> None:
        names = tuple(f"x{number}" for number in range(columns))
        self._plan = Plan(baseline(names))

    def get(self, digest: object) -> Plan:
        """Return it."""
        return self._plan


def main() -> None:
    """Measure and print."""
    gc.freeze()
    figures = row_times()
    figures["monitor_wide_memory_mb"] = wide_memory()
    print(json.dumps(figures))


def row_times() -> dict[str, float]:
    """Return microseconds of a row: noted on the loop, and counted on the other thread."""
    windows = FeatureWindows(lambda _model, _version: SERVABLE, Known(NARROW))
    noted, counted = [], []
    for seed in range(BLOCKS):
        block = requests(NARROW, BLOCK, seed)
        began = time.thread_time()
        for done in block:
            windows.observe(done)
        windows.gather()
        between = time.thread_time()
        windows.settle()
        noted.append(between - began)
        counted.append(time.thread_time() - between)
    # Of the blocks after the first few, which warm up, the middle one.
    note, row = (sorted(times[5:])[(BLOCKS - 5) // 2] / BLOCK * 1e6 for times in (noted, counted))
    return {"monitor_note_microseconds": note, "monitor_row_microseconds": row}


def wide_memory() -> float:
    """Return the private memory, in MB, that counting a version of 1,000 columns takes, when it is worked hard."""
    done = requests(WIDE, 100, 0)
    gc.collect()
    before = private_mb([psutil.Process()])
    windows = FeatureWindows(lambda _model, _version: SERVABLE, Known(WIDE))
    most = 0.0
    for _ in range(40):
        for one in done:
            windows.observe(one)
        windows.gather()
        windows.settle()
        most = max(most, private_mb([psutil.Process()]) - before)
    return most


def requests(columns: int, rows: int, seed: int) -> list[Finished]:
    """Return finished requests of one row each, as protocols read them."""
    rng = np.random.default_rng(seed)
    names = tuple(f"x{number}" for number in range(columns))
    found = []
    for _ in range(rows):
        block = rng.normal(size=(1, columns)).T
        answer = ArrayOutput(rng.normal(size=1))
        table = Table(names, tuple(block), True, block)
        found.append(Finished(model="m", version="1", rows=1, inputs=table, output=answer, size=20 * columns))
    return found


if __name__ == "__main__":
    main()
