"""Puts the last figures into docs/benchmarks.md, between its two markers: ``python -m tests.bench.report "what run"``.

Reads what ``make bench`` and ``make bench-peers`` wrote. Not here: measuring.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.bench.machine import ROOT
from tests.bench.promises import PROMISES
from tests.bench.speed import WHO

PAGE = ROOT / "docs" / "benchmarks.md"
BEGIN, END = "<!-- last figures: begin -->\n", "<!-- last figures: end -->\n"
_RATE = re.compile(r"(.+)_(\d+)_headgate_per_s")

Figures = Mapping[str, float]


def main() -> int:
    """Write the page."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.report", description=__doc__)
    parser.add_argument("words", help="which run this was: said above the tables")
    parser.add_argument("--latest", type=Path, default=ROOT / "var" / "bench" / "latest.json")
    parser.add_argument("--peers", type=Path, default=ROOT / "var" / "bench" / "peers.json")
    arguments = parser.parse_args()
    documents = [json.loads(path.read_text()) for path in (arguments.latest, arguments.peers) if path.exists()]
    figures: dict[str, float] = {}
    for document in documents:
        figures |= {name: math.nan if x is None else x for name, x in document["figures"].items()}
    machine = documents[0]["machine"] if documents else {}
    where = f"{machine.get('cores')} cores, {machine.get('processor')}, Python {machine.get('python')}"
    lines = [f"{arguments.words} ({where})", "", *promised(figures), *speeds(figures), *beside(figures)]
    PAGE.write_text(replaced(PAGE.read_text(), "\n".join(lines) + "\n"))
    return 0


def replaced(page: str, tables: str) -> str:
    """Return the page with other tables between its markers."""
    head, _, rest = page.partition(BEGIN)
    _, _, tail = rest.partition(END)
    return f"{head}{BEGIN}\n{tables}\n{END}{tail}"


def promised(figures: Figures) -> Iterator[str]:
    """Yield the table of promises."""
    yield from ("| figure | promised | measured | |", "|---|---|---|---|")
    for promise in PROMISES:
        if promise.figure in figures:
            value = figures[promise.figure]
            shown = "not measured" if math.isnan(value) else f"{value:.2f}"
            yield f"| `{promise.figure}` | {promise.words} | {shown} | {'kept' if promise.kept(value) else 'MISSED'} |"
    yield ""


def speeds(figures: Figures) -> Iterator[str]:
    """Yield the table of single rows."""
    columns = sorted({int(m[1]) for name in figures if (m := re.fullmatch(r"echo_(\d+)_per_s", name))})
    if not columns:
        return
    yield f"| single rows, requests/s (p50 ms) | {' | '.join(f'{c} connections' for c in columns)} |"
    yield "|---" * (len(columns) + 1) + "|"
    for who in WHO:
        cells = [f"{figures[f'{who}_{c}_per_s']:,.0f} ({figures[f'{who}_{c}_p50_ms']:.2f})" for c in columns]
        yield f"| `{who}` | {' | '.join(cells)} |"
    yield ""


def beside(figures: Figures) -> Iterator[str]:
    """Yield the table of peers."""
    found = [m for name in figures if (m := _RATE.fullmatch(name))]
    columns = sorted({int(m[2]) for m in found})
    if not columns:
        return
    yield f"| requests/s: theirs, ours, ratio | {' | '.join(f'{c} connections' for c in columns)} | private MB |"
    yield "|---" * (len(columns) + 2) + "|"
    for name in dict.fromkeys(m[1] for m in found):
        work, _, peer = name.partition("_")
        cells = [
            f"{figures[f'{name}_{c}_per_s']:,.0f}, {figures[f'{name}_{c}_headgate_per_s']:,.0f}, "
            f"**{figures[f'{work}_over_{peer}_{c}']:.2f}**"
            for c in columns
        ]
        yield f"| {work}: {peer} | {' | '.join(cells)} | {figures[f'{name}_private_mb']:.0f} |"


if __name__ == "__main__":
    sys.exit(main())
