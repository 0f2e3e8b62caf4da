"""Draws ``docs/images/drift.svg``: what ``headgate drift`` shows of a model on a platform that is up.

``python -m docs.picture churn`` after the last act of ``make demo``; HEADGATE_REGISTRY_URL says where the registry is.
Narrow, so that it can be read on a narrow screen, and with whatever monospaced font the reader has: nothing is fetched.
Not here: the picture as text (``headgate.cli.drift_picture``).
"""

from __future__ import annotations

import io
import re
import sys
from pathlib import Path

import headgate
from headgate.cli.board import glyphs_for
from headgate.cli.drift_picture import picture
from rich.console import Console
from rich.terminal_theme import MONOKAI

TARGET = Path(__file__).parent / "images" / "drift.svg"
COLUMNS = 58
FONTS = 'ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace'


def main() -> int:
    """Draw the model that is named; return the exit code."""
    (name,) = sys.argv[1:] or ["churn"]
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    with headgate.Client() as client:
        report = client.drift(name)
    console.print(f"[bold]$ headgate drift {name}[/]", highlight=False)
    console.print(picture(report, COLUMNS, glyphs_for("utf-8")), highlight=False)
    drawn = console.export_svg(title=" ", theme=MONOKAI, unique_id="drift")
    TARGET.write_text(local(drawn))
    return 0


def local(svg: str) -> str:
    """Return the drawing with a size of its own, so that wide pages do not blow it up, and no fonts from the web."""
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r"font-family: [^;]+;", f"font-family: {FONTS};", svg)
    svg = re.sub(r" +$", "", svg, flags=re.MULTILINE)
    return re.sub(r'viewBox="0 0 (\d+)[\d.]* (\d+)[\d.]*"', r'width="\1" height="\2" \g<0>', svg, count=1)


if __name__ == "__main__":
    raise SystemExit(main())
