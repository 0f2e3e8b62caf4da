"""``make bench-drift-peer``: our distances beside Evidently's, on the same rows; it has an environment of its own.

Evidently reads rows, and so is an oracle for what we read off counts. It bins numbers otherwise, so PSI and JS are
compared on words: a column of words as it is, and a column of numbers as the names of our bins. Ends with 1 where the
two differ by more than is expected. Not here: scipy as an oracle (the tests), simulations (``drift.py``).
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from registry.baselines import Feature
from registry.monitoring.bins import bin_counts, bin_labels
from tests.bench.peers.anatomy import SERVERS, environment
from tests.support.drifting import (
    CHANGES,
    FAMILIES,
    Column,
    baseline_of,
    counts_of,
    feature_of,
    verdict_of,
    words,
)

SMOOTHING = 0.02
"""How much of a PSI the half rows may be that we add to each bin and Evidently does not; no bin is empty here."""


def main() -> int:
    """Compare, print, and tell whether all agree."""
    python = environment("evidently") / "python"
    cases, ours = compared()
    agreed = True
    print(f"  {'column, change':34} {'measure':14} {'Evidently':>12} {'ours':>12}")
    for (name, mine), theirs in zip(ours, ask(python, cases), strict=True):
        for (measure, value, tolerance), other in zip(mine, theirs, strict=True):
            fits = math.isclose(value, other, rel_tol=tolerance, abs_tol=tolerance)
            agreed &= fits
            print(f"  {name:34} {measure:14} {other:12.6f} {value:12.6f}  {'' if fits else 'DIFFERS'}")
    return 0 if agreed else 1


def ask(python: Path, cases: Sequence[dict[str, Any]]) -> list[list[float]]:
    """Return what Evidently answers to each case."""
    with tempfile.TemporaryDirectory(prefix="headgate-bench-") as directory:
        asked = Path(directory) / "cases.json"
        asked.write_text(json.dumps(list(cases)))
        command = [str(python), "-W", "ignore", str(SERVERS / "ask_evidently.py"), str(asked)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    answered: list[list[float]] = json.loads(done.stdout)
    return answered


Said = tuple[str, list[tuple[str, float, float]]]
"""What is compared, and of each measure its name, our value and how far off the other may be."""


def compared() -> tuple[list[dict[str, Any]], list[Said]]:
    """Return what Evidently is asked, and what we say to the same."""
    cases, ours = [], []
    rng = np.random.default_rng(11)
    for family, draw in FAMILIES.items():
        for change in ("none", "shifted", "stretched"):
            trained = draw(10_000, rng)
            live = CHANGES[change](draw(1000, rng), float(trained.std()))
            feature = feature_of("x", trained)
            if family == "constant" and change != "none":
                continue
            names = [_bin_names(feature, column) for column in (trained, live)]
            binned, said = _of_words(*names, trained=trained, live=live)
            verdict = verdict_of(baseline_of({"x": trained}), {"x": live}).features[0]
            if verdict.wasserstein is not None:
                binned["asked"].append(["x", "wasserstein"])
                said.append(("Wasserstein/σ", verdict.wasserstein, 0.01))
            cases.append(binned)
            ours.append((f"{family}, {change}", said))
    for moved in (0.0, 0.05, 0.2):
        shares = {"a": 0.6, "b": 0.3, "c": 0.1}
        first = words(shares)(10_000, rng)["word"]
        second = words({**shares, "a": 0.6 - moved, "c": 0.1 + moved})(1000, rng)["word"]
        case, said = _of_words(first.tolist(), second.tolist())
        cases.append(case)
        ours.append((f"words, {moved:.0%} of rows move", said))
    return cases, ours


def _of_words(
    first: list[str], second: list[str], **numbers: Column
) -> tuple[dict[str, Any], list[tuple[str, float, float]]]:
    verdict = verdict_of(baseline_of({"w": np.array(first)}), {"w": np.array(second)}).features[0]
    columns = {side: {"w": rows} for side, rows in (("trained", first), ("live", second))}
    for side, column in numbers.items():
        columns[side]["x"] = column.tolist()
    said = [("JS, base e", (verdict.js or 0.0) * math.sqrt(math.log(2)), 1e-9)]
    asked = [["w", "jensenshannon"]]
    if set(first) == set(second):
        asked.append(["w", "psi"])
        said.append(("PSI", verdict.psi or 0.0, SMOOTHING))
    return {**columns, "asked": asked}, said


def _bin_names(feature: Feature, column: Column) -> list[str]:
    """Return each row as the name of its bin, in no order."""
    counts = bin_counts(feature, counts_of(feature, column))
    return np.repeat(bin_labels(feature), counts).tolist()


if __name__ == "__main__":
    sys.exit(main())
