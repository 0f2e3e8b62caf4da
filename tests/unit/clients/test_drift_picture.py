"""The picture of drift: what a newcomer reads off it, in any width and alphabet. Pure."""

from __future__ import annotations

import io
from typing import Any

import pytest
from headgate import DriftReport
from headgate.cli.board import glyphs_for
from headgate.cli.drift_picture import headline, line_of, picture
from rich.cells import cell_len
from rich.console import Console

from tests.support.fake_monitoring import DRIFT, OPEN, feature, window


def report(**more: Any) -> DriftReport:
    """Return a report as the registry says it."""
    return DriftReport.from_json({"model": "churn", "version": "3", **DRIFT, **more})


def drawn(width: int = 100, encoding: str = "utf-8", *, every_feature: bool = False, **more: Any) -> str:
    """Return the picture as text."""
    out = io.StringIO()
    console = Console(file=out, width=width, highlight=False, color_system=None)
    console.print(picture(report(**more), width, glyphs_for(encoding), every_feature=every_feature))
    return out.getvalue()


def test_it_tells_which_feature_drifted_how_far_and_what_moved() -> None:
    """The verdict, what is compared with what, each distance, and the bins that moved."""
    shown = drawn()
    for words in (
        "churn version 3  drift in 1 of 3 features: price",
        "baseline: 4,000 rows (the table that was given)",
        "window 14: 1,020 rows, 2026-11-20 08:07 to 08:12 UTC",
        "next window: 340 of 1,000 rows",
        "price: what moved, missing 1.0 % → 8.0 %, 2.1 % beyond all of the baseline",
        "above 64.3   10.0 % →  36.8 %",
        "08:12:03  window 13, 1,020 rows: no drift in 3 features",
    ):
        assert words in shown
    (price,) = (line.split() for line in shown.splitlines() if line.startswith("price  "))
    assert price[:7] == ["price", "drift", "0.912", "0.298", "8.0", "%", "0.382"]
    assert price[-1] == "3.06"
    assert shown.index("price  ") < shown.index("months  ")


@pytest.mark.parametrize("width", [50, 60, 72, 80, 100, 200])
def test_every_width_is_kept_and_no_number_is_cut(width: int) -> None:
    """No line is wider than the terminal; columns that tell less go, and those that are left are whole."""
    long = feature("a_feature_with_quite_a_long_name_of_its_own", 123456.0, "drift", psi_drift=0.3)
    shown = drawn(width, windows=[window(1, "drift", long, feature("b", 0.1))])
    assert all(cell_len(line) <= width for line in shown.splitlines())
    assert "…" not in shown and "VERDICT" in shown and "PSI/DRIFT AT" in shown
    assert {"1e5", "0.100"} <= set(shown.split())


def test_a_bar_is_full_where_it_is_drift() -> None:
    """PSI at its critical value fills the bar, a part of it less, and nothing is drawn where nothing was measured."""

    def bar(psi: float | None) -> str:
        shown = drawn(120, windows=[window(1, "ok", feature("price", psi, psi_drift=0.3))])
        line = next(line for line in shown.splitlines() if line.startswith("price"))
        return "".join(c for c in line if c in "█░")

    assert set(bar(0.3)) == set(bar(9.0)) == {"█"}
    assert bar(0.15).count("█") == len(bar(0.15)) / 2
    assert set(bar(0.0)) == {"░"}
    assert bar(None) == ""


def test_insufficient_data_is_said_plainly() -> None:
    """Before a window is full, and where one had too few rows, that is said with the number of rows."""
    assert "insufficient data: 340 of 1,000 rows" in drawn(windows=[])
    assert "insufficient data: no row came yet" in drawn(windows=[], open=None)
    few = window(1, "insufficient data", feature("price", None, "insufficient data"), rows=120)
    shown = drawn(windows=[few])
    assert "insufficient data: 120 rows in window 1" in shown and "no data" in shown


def test_a_full_window_that_is_too_young_says_until_when() -> None:
    """The open window is judged once both its rows and its time are reached."""
    assert headline(report(windows=[], open={**OPEN, "rows": 4000})).endswith("4,000 of 1,000 rows, until 08:17:00 UTC")


def test_a_provisional_baseline_is_marked() -> None:
    """What was made of live rows says so; so does what is not there yet."""
    assert "provisional baseline: the first 10,000 live rows" in drawn(
        baseline={"origin": "provisional", "rows": 10_000, "digest": "sha256:0"}
    )
    assert "no baseline: live rows become a provisional one" in drawn(baseline=None, windows=[])
    assert "100 rows (logged with the run)" in drawn(baseline={"origin": "run", "rows": 100})


def test_a_wide_model_shows_what_drifted_most() -> None:
    """Twenty features of a thousand, unless all are asked for."""
    wide = [window(1, "ok", *(feature(f"f{number}", 0.01) for number in range(1000)))]
    shown = drawn(windows=wide)
    assert "and 980 more that drifted less" in shown and "f20 " not in shown
    assert "f999 " in drawn(windows=wide, every_feature=True)


def test_a_warning_is_no_drift() -> None:
    """A window that only warns says so, and names at most three features."""
    warned = [feature(name, 0.2, "warn") for name in "abcd"]
    found = report(windows=[window(7, "warn", *warned)])
    assert headline(found) == "a warning in 4 of 4 features: a, b, c …"
    assert line_of(found.windows[0]) == "08:12:03  window 7, 1,020 rows: a warning in 4 of 4 features: a, b, c …"


def test_new_categories_are_told() -> None:
    """A category that the baseline does not have is one that a person wants to know of."""
    found = feature("payment", 0.5, "drift", kind="category", new_ratio=0.125, ks=None)
    assert "payment: what moved, 12.5 % of new categories" in drawn(windows=[window(1, "drift", found)])


def test_an_output_without_unicode_gets_plain_signs() -> None:
    """Bars and arrows are ASCII where nothing else can be written."""
    assert drawn(encoding="ascii").isascii()


def test_what_data_says_steers_no_terminal() -> None:
    """Control characters and markup in names of features and bins are shown, not obeyed."""
    bad = "\x1b[31m[bold]x"
    moved = [{"bin": bad, "baseline_ratio": 0.1, "window_ratio": 0.2}]
    shown = drawn(windows=[window(1, "drift", feature(bad, 0.9, "drift", moved=moved))])
    assert "\x1b" not in shown and shown.count("[bold]x") == 4
