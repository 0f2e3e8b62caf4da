"""How much memory and time the reader of tables takes: ``python -m tests.bench.tables [rows] [columns]``.

For each format a table of that many rows is written, by another process, and read as the registry reads it; printed is
the peak of the reader's own memory, with and without the pages of the file that it maps. Not here: whether what was
made of the table is right (``tests/unit/registry/test_making.py``).
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil

from registry.adapters.tables.process import TableProcesses
from registry.baselines import Origin
from registry.monitoring.ports import TableForm, TableOrder

WRITE = """
import sys
from pathlib import Path
import numpy as np
from registry.monitoring.ports import TableForm
from tests.support.tables import table_bytes
rows, columns = int(sys.argv[1]), int(sys.argv[2])
random = np.random.default_rng(0)
table = {f"x{at}": random.normal(size=rows) for at in range(columns)}
table["city"] = np.array(["Bern", "Oslo", "Rome"])[random.integers(0, 3, rows)]
table["remark"] = np.array([f"remark {at}" for at in range(rows)])
table["prediction"] = random.integers(0, 2, rows)
Path(sys.argv[4]).write_bytes(table_bytes(table, TableForm(sys.argv[3])))
"""


class Peak:
    """Watches the processes that this one starts."""

    def __init__(self) -> None:
        self.resident = self.anonymous = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> Peak:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(0.02):
            for child in psutil.Process().children():
                try:
                    said = Path(f"/proc/{child.pid}/status").read_text()
                except OSError:
                    continue
                numbers = dict(line.split(":", 1) for line in said.splitlines())
                self.resident = max(self.resident, int(numbers.get("VmHWM", "0 kB").split()[0]) >> 10)
                self.anonymous = max(self.anonymous, int(numbers.get("RssAnon", "0 kB").split()[0]) >> 10)


def measure(form: TableForm, rows: int, columns: int) -> None:
    """Print one line."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "table"
        arguments = [str(rows), str(columns), form.value, str(path)]
        subprocess.run([sys.executable, "-c", WRITE, *arguments], check=True)
        with path.open("rb") as file, Peak() as peak:
            began = time.monotonic()
            made = TableProcesses().make(file, TableOrder(form, None, Origin.GIVEN)).baseline
            seconds = time.monotonic() - began
        print(
            f"{form.value:8} {path.stat().st_size >> 20:5} MiB {made.rows:,} rows, {len(made.features)} features: "
            f"{seconds:.1f} s, peak {peak.resident} MiB, without mapped pages {peak.anonymous} MiB, "
            f"document {len(made.to_bytes()) >> 10} KiB"
        )


if __name__ == "__main__":
    given = [int(argument) for argument in sys.argv[1:]]
    for each in TableForm:
        measure(each, *(given + [2_000_000, 20][len(given) :]))
