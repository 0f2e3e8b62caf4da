"""Writes the dashboards' JSON from their code: ``make dashboards``.

``--check`` writes nothing and fails where a file differs. They are checked in, so that Grafana needs no Python, and
built, so that five dashboards look like one hand's work. Not here: what they show (``boards/``).
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from deploy.grafana.boards import drift, model, overview, platform, rollouts
from deploy.grafana.boards.frame import build

DASHBOARDS = Path(__file__).parent / "dashboards"
BOARDS = {
    "overview.json": overview.board,
    "model.json": model.board,
    "drift.json": drift.board,
    "rollouts.json": rollouts.board,
    "platform.json": platform.board,
}


def main() -> int:
    """Write or check the files; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail where a file is out of date")
    check = parser.parse_args().check
    stale = []
    for name, text in built().items():
        path = DASHBOARDS / name
        if check and (not path.exists() or path.read_text("utf-8") != text):
            stale.append(name)
        elif not check:
            path.write_text(text, "utf-8")
    for name in stale:
        print(f"deploy/grafana/dashboards/{name} is out of date: run `make dashboards`", file=sys.stderr)
    return 1 if stale else 0


def built() -> dict[str, str]:
    """Return each file's name and text."""
    return {
        name: json.dumps(build(board()), cls=JSONEncoder, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
        for name, board in BOARDS.items()
    }


if __name__ == "__main__":
    sys.exit(main())
