"""``make bench-drift``: how often windows are called without drift, and how surely with it, by simulation at length.

The tests hold the promises at a moderate number of windows; this prints the whole picture: false alarms beside those of
fixed thresholds, shifts of all sizes, features exactly at the edge, words, missing values, ties, small baselines,
batches of alike rows, and how close the distances are to scipy's. All seeds are fixed. What the figures mean:
docs/drift.md.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import product

import numpy as np
from scipy.optimize import brentq
from scipy.stats import ks_2samp, norm
from scipy.stats import wasserstein_distance as exact_wasserstein

from registry.monitoring.calibration import critical_psi
from registry.monitoring.distances import deviation, ks_distance, psi_terms, wasserstein_distance
from registry.monitoring.drift import WARN_DELTA, WindowVerdict, judge
from tests.support.drifting import (
    CHANGES,
    FAMILIES,
    Columns,
    Source,
    alarms,
    baseline_of,
    batches,
    counts_of,
    mixed,
    normals,
    numbers,
    replaced,
    shifted,
    simulated,
    words,
)

SIZES = (200, 500, 1000, 2000, 5000)
BASELINE_ROWS = 10_000
Case = tuple[str, Source, Source]
"""What a change is called, what was trained, what is live."""


def main() -> None:
    """Print every table."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.drift", description=__doc__)
    parser.add_argument("tables", nargs="*", choices=[[], *TABLES], help="which; all without any")
    parser.add_argument("--seeds", type=int, default=1000, help="windows simulated for each figure")
    arguments = parser.parse_args()
    for name in arguments.tables or TABLES:
        title, table = TABLES[name]
        began = time.monotonic()
        print(f"\n{title}")
        table(range(arguments.seeds))
        print(f"  ({time.monotonic() - began:.0f} s)", flush=True)


def no_drift(seeds: range) -> None:
    """Print how often windows without drift are called, by the rule and by fixed thresholds."""
    print("  columns, baseline, window     features  windows called | a feature: PSI > 0.1  JS > 0.1 | any adjusted p")
    cases: Sequence[tuple[str, Source, int, range]] = (
        ("20 normal", normals(), BASELINE_ROWS, seeds),
        ("20 of all sorts", mixed, BASELINE_ROWS, seeds),
        ("20 of all sorts", mixed, 100_000, _part(seeds, 20)),
        ("20 of all sorts", mixed, 1000, _part(seeds, 4)),
        ("20 of all sorts", mixed, 200, _part(seeds, 4)),
    )
    for name, source, baseline_rows, some in cases:
        for rows, judged in simulated(source, source, SIZES, baseline_rows, some).items():
            found = alarms(judged)
            features = [feature for verdict in judged for feature in verdict.features]
            fixed = [
                sum((getattr(feature, measure) or 0) > 0.1 for feature in features) / len(features)
                for measure in ("psi", "js")
            ]
            print(
                f"  {name:16} {baseline_rows:7,} {rows:6,}  {found.by_feature:8.3%} {found.by_window:8.2%}       |"
                f"   {fixed[0]:16.2%} {fixed[1]:8.2%}  | {found.small_adjusted / found.windows:6.1%}",
                flush=True,
            )


def drawn(seeds: range) -> None:
    """Print the same of counts that are drawn instead of rows: quick, for every seed and size."""
    shares = {
        "ten equal bins": np.full(10, 0.1),
        "3 words": np.array([0.7, 0.25, 0.05]),
        "51 words, the n-th 1/n": (1 / np.arange(1, 52)) / (1 / np.arange(1, 52)).sum(),
        "one in a thousand": np.array([0.999, 0.001]),
    }
    print("  each of 20 features         baseline | window: features called, windows called")
    for (name, p), baseline_rows in product(shares.items(), (1000, BASELINE_ROWS, 1_000_000)):
        said = []
        for rows in SIZES:
            rng = np.random.default_rng(rows)
            trained, live = (rng.multinomial(count, p, (len(seeds), 20)) for count in (baseline_rows, rows))
            bins = (trained + live > 0).sum(axis=-1)
            allowed = np.array([critical_psi(WARN_DELTA, n, rows, baseline_rows) for n in range(len(p) + 1)])
            called = psi_terms(trained, live).sum(axis=-1) > allowed[bins]
            said.append(f"{rows:,}: {called.mean():.3%}, {called.any(axis=1).mean():.1%}")
        print(f"  {name:26} {baseline_rows:9,} | {'  '.join(said)}", flush=True)


def shifts(seeds: range) -> None:
    """Print how surely a shift of one normal feature is found in one window."""
    print("  sigma  baseline | window: warned or drift, drift")
    for shift, baseline_rows in product((0.2, 0.3, 0.4, 0.5, 0.6, 0.75, 1.0), (1000, BASELINE_ROWS, 100_000)):
        some = seeds if baseline_rows == BASELINE_ROWS else _part(seeds, 4)
        judged = simulated(normals(1), normals(1, shift), SIZES, baseline_rows, some)
        print(f"  {shift:5} {baseline_rows:9,} | {_called(judged)}", flush=True)


def edge(seeds: range) -> None:
    """Print how often a feature is called whose true PSI is exactly what the rule still allows."""
    print("  true PSI | window: called warn at 0.1, drift at 0.2 (1 % promised)")
    for delta, level in ((0.1, "warn"), (0.2, "drift")):
        judged = simulated(normals(1), normals(1, _shift_of(delta)), SIZES, BASELINE_ROWS, seeds)
        said = "  ".join(
            f"{rows:,}: {alarms(some).by_window if level == 'warn' else alarms(some).drifts_by_window:.1%}"
            for rows, some in judged.items()
        )
        print(f"  {delta:8} | {said}", flush=True)


def _shift_of(delta: float) -> float:
    """Return the shift of a normal feature whose true PSI over ten equal bins is ``delta``."""
    edges = np.concatenate([[-np.inf], norm.ppf(np.arange(1, 10) / 10), [np.inf]])

    def over(shift: float) -> float:
        p, q = np.full(10, 0.1), np.diff(norm.cdf(edges - shift))
        return float(((q - p) * np.log(q / p)).sum()) - delta

    return float(brentq(over, 0.01, 2))


def kinds(seeds: range) -> None:
    """Print how surely other changes are found: of words, missing values, ties, constants, tails."""
    print(f"  {'change':44} baseline | window: warned or drift, drift")
    cases = [*_of_words(), *_of_numbers()]
    for (name, trained, live), baseline_rows in product(cases, (BASELINE_ROWS, 1_000_000)):
        if baseline_rows > BASELINE_ROWS and not name.endswith(("are new", "none before")):
            continue  # it matters where the baseline has none of what is found
        some = _part(seeds, 4 if baseline_rows == BASELINE_ROWS else 50)
        judged = simulated(trained, live, (200, 1000, 5000), baseline_rows, some)
        print(f"  {name:44} {baseline_rows:9,} | {_called(judged)}", flush=True)


def alike(seeds: range) -> None:
    """Print how often windows without drift are called whose rows come in batches of equal ones."""
    print("  rows in a batch | window: warned or drift, drift, of 20 features; without drift")
    some = _part(seeds, 10)
    for size in (1, 2, 3, 5, 10, 20, 50):
        judged = simulated(normals(), batches(normals(), size), (200, 500, 1000, 5000), BASELINE_ROWS, some)
        print(f"  {size:15} | {_called(judged)}", flush=True)


def closeness(seeds: range) -> None:
    """Print by how much the distances read off cells differ from scipy's of the rows, at most over all changes."""
    print("  column          cells | KS off by  Wasserstein/sigma off by  sigma off by")
    for family, draw in FAMILIES.items():
        off, cells = np.zeros(3), 0
        for seed, change, (baseline_rows, rows) in product(
            _part(seeds, 100), CHANGES.values(), ((2000, 300), (10_000, 1000), (100_000, 5000))
        ):
            rng = np.random.default_rng(seed)
            values, live = draw(baseline_rows, rng), draw(rows, rng)
            sigma = float(values.std())
            live = change(live, sigma)
            feature, ours, theirs = numbers(values, live)
            read = ks_distance(ours, theirs), wasserstein_distance(feature, ours, theirs), deviation(feature, ours)
            true = ks_2samp(values, live, method="asymp").statistic, exact_wasserstein(values, live), sigma
            scale = np.array([1.0, sigma or 1.0, sigma or 1.0])
            off = np.maximum(off, [abs((a or 0) - b) for a, b in zip(read, true, strict=True)] / scale)
            cells = max(cells, len(feature.edges) + 1)
        print(f"  {family:15} {cells:5} | {off[0]:8.4f} {off[1]:16.4f} {off[2]:22.4f}", flush=True)


def cost(seeds: range) -> None:
    """Print what judging a window takes, and what loading scipy's part does once."""
    del seeds
    rng = np.random.default_rng(1)
    for features in (20, 1000):
        columns: Columns = normals(features)(BASELINE_ROWS, rng)
        baseline = baseline_of(columns)
        counts = {one.name: counts_of(one, columns[one.name][:1000]) for one in baseline.features}
        judge(baseline, counts, 1000)
        began = time.perf_counter()
        judge(baseline, counts, 1000)
        print(f"  {features:5} features: {(time.perf_counter() - began) * 1000:7.1f} ms a window")


def _of_words() -> list[Case]:
    three = {"a": 0.7, "b": 0.25, "c": 0.05}
    moved = [
        (f"words: {by:.0%} of rows change from a to b", words(three), words({**three, "a": 0.7 - by, "b": 0.25 + by}))
        for by in (0.05, 0.1, 0.2, 0.3)
    ]
    new = [
        (f"words: {by:.1%} are new", words(three), words({**three, "a": 0.7 - by, "new": by}))
        for by in (0.005, 0.01, 0.02, 0.05)
    ]
    return [*moved, *new]


def _of_numbers() -> list[Case]:
    gaps = [(f"missing: {by:.1%}, none before", normals(1), _with_gaps(by)) for by in (0.005, 0.01, 0.02, 0.05)]
    zeros, constant, classes, tail, cauchy = (
        _one(mixed, name) for name in ("mostly zero", "constant", "class", "log-normal", "cauchy")
    )
    return [
        *gaps,
        ("mostly zero: the zeros become -1", zeros, replaced(zeros, _zeros_below)),
        ("a constant changes", constant, shifted(constant, "constant", 0.001)),
        ("a flag from half to 70 %", _flag(0.5), _flag(0.7)),
        ("classes: one more", classes, shifted(classes, "class", 1)),
        ("log-normal, times 1.5", tail, replaced(tail, _larger)),
        ("cauchy, shifted by one quartile", cauchy, shifted(cauchy, "cauchy", 1.0)),
    ]


def _part(seeds: range, of: int) -> range:
    """Return the first of the seeds, for what takes long."""
    return seeds[: max(len(seeds) // of, 10)]


def _called(judged: Mapping[int, list[WindowVerdict]]) -> str:
    found = {rows: alarms(some) for rows, some in judged.items()}
    return "  ".join(f"{rows:,}: {one.by_window:.1%}, {one.drifts_by_window:.1%}" for rows, one in found.items())


def _one(source: Source, name: str) -> Source:
    return lambda rows, rng: {name: source(rows, rng)[name]}


def _with_gaps(share: float) -> Source:
    return lambda rows, rng: {"x0": np.where(rng.random(rows) < share, np.nan, rng.normal(size=rows))}


def _flag(share: float) -> Source:
    return lambda rows, rng: {"flag": (rng.random(rows) < share).astype(np.float64)}


def _zeros_below(columns: Columns) -> Columns:
    return {name: np.where(column == 0, -1.0, column) for name, column in columns.items()}


def _larger(columns: Columns) -> Columns:
    return {name: 1.5 * column for name, column in columns.items()}


TABLES: Mapping[str, tuple[str, Callable[[range], None]]] = {
    "none": ("No drift: share of features and of windows that are called", no_drift),
    "drawn": ("No drift, counts drawn at random", drawn),
    "shifts": ("One normal feature moves: share of windows in which it is found", shifts),
    "edge": ("A feature at the edge of what is allowed", edge),
    "kinds": ("Other changes: share of windows in which they are found", kinds),
    "alike": ("Rows that come in batches of equal ones", alike),
    "closeness": ("Distances read off cells, beside scipy's of the rows themselves", closeness),
    "cost": ("Cost", cost),
}

if __name__ == "__main__":
    main()
