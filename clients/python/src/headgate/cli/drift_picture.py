"""A version's drift as a picture of text: the newest window's features, ranked, with bars, and what moved in them.

``picture`` draws for a width that is given to it, from 50 columns on: what there is no room for is left out, the least
telling first. Not here: asking for it, and looking again and again (``drift.py``).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from headgate.cli import show
from headgate.cli.board import Glyphs, clock, styled
from headgate.cli.session import printable
from headgate.drift import DRIFT, INSUFFICIENT, OK, WARN, DriftReport, DriftWindow, FeatureDrift, OpenWindow

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

FEATURES_SHOWN = 20
_STYLES = {OK: "green", WARN: "yellow", DRIFT: "bold red", INSUFFICIENT: "dim"}
_LEAST_BAR, _LONGEST_BAR = 6, 20
_LONGEST_NAME, _SHORTEST_NAME = 32, 12
_RATIO = 7
_GAP = 2


@dataclass(frozen=True, slots=True)
class _Column:
    """A column of numbers: its heading, and how soon it gives way (the highest first)."""

    heading: str
    measure: str
    gives_way: int


_COLUMNS = (
    _Column("psi", "psi", 0),
    _Column("drift at", "psi_drift", 1),
    _Column("missing", "missing_ratio", 2),
    _Column("ks", "ks", 3),
    _Column("w/sd", "wasserstein", 4),
    _Column("js", "js", 5),
)


def picture(report: DriftReport, width: int, glyphs: Glyphs, *, every_feature: bool = False) -> RenderableType:
    """Draw a report in ``width`` columns; all features of the newest window with ``every_feature``."""
    from rich.console import Group

    rows: list[RenderableType] = [_heading(report)]
    rows += [styled((line, style)) for line, style in _measured_against(report)]
    window = report.newest
    if window is not None:
        shown = window.features if every_feature else window.features[:FEATURES_SHOWN]
        rows += ["", *_table(shown, width, glyphs)]
        if hidden := window.feature_count - len(shown):
            rows.append(styled((f"and {hidden:,} more that drifted less; --all shows them", "dim")))
        rows += _reasons(shown, glyphs)
    if len(report.windows) > 1:
        rows += ["", styled(("windows before, newest first", "bold")), *map(_before, report.windows[1:])]
    return Group(*rows)


def headline(report: DriftReport) -> str:
    """Return what the newest window says, in a few words."""
    window = report.newest
    if window is None:
        return f"insufficient data: {filled(report.open)}" if report.open else "insufficient data: no row came yet"
    if window.verdict == INSUFFICIENT:
        return f"insufficient data: {window.rows:,} rows in window {window.number}"
    return verdict_of(window)


def verdict_of(window: DriftWindow) -> str:
    """Return a window's verdict with the features that it comes from."""
    for verdict in (DRIFT, WARN):
        if found := window.of(verdict):
            names = ", ".join(feature.name for feature in found[:3]) + (" …" if len(found) > 3 else "")
            said = "drift" if verdict == DRIFT else "a warning"
            return f"{said} in {len(found):,} of {window.feature_count:,} features: {names}"
    return {OK: f"no drift in {window.feature_count:,} features"}.get(window.verdict, window.verdict)


def line_of(window: DriftWindow) -> str:
    """Return a window on one line of text: when it was judged (UTC), which, of how many rows, and what came of it."""
    at = f"{clock(window.judged_at)}  " if window.judged_at else ""
    return printable(f"{at}window {window.number}, {window.rows:,} rows: {verdict_of(window)}")


def filled(window: OpenWindow) -> str:
    """Return how far the open window is."""
    closes = (
        "" if window.rows < window.needed_rows or not window.closes_at else f", until {clock(window.closes_at)} UTC"
    )
    return f"{window.rows:,} of {window.needed_rows:,} rows{closes}"


def _heading(report: DriftReport) -> Text:
    title = (f"{report.model} version {report.version}", "bold")
    return styled(title, ("  ", ""), (headline(report), _STYLES.get(report.verdict, "")))


def _measured_against(report: DriftReport) -> Iterator[tuple[str, str]]:
    """Yield what is compared with what, and what is to come."""
    baseline, window = report.baseline, report.newest
    if baseline is None:
        yield "no baseline: live rows become a provisional one", "yellow"
    elif baseline.provisional:
        yield f"provisional baseline: the first {baseline.rows:,} live rows, for want of a table", "yellow"
    else:
        origin = {"run": "logged with the run", "given": "the table that was given"}.get(
            baseline.origin, baseline.origin
        )
        yield f"baseline: {baseline.rows:,} rows ({origin})", "dim"
    if window is not None:
        times = [show.moment(at) for at in (window.first_at, window.last_at)]
        since = f", {times[0]} to {(times[1] or '').rpartition(' ')[2]} UTC" if all(times) else ""
        yield f"window {window.number}: {window.rows:,} rows{since}", "dim"
        if report.open is not None:
            yield f"next window: {filled(report.open)}", "dim"


def _table(features: tuple[FeatureDrift, ...], width: int, glyphs: Glyphs) -> Iterator[RenderableType]:
    from rich.cells import cell_len
    from rich.table import Table
    from rich.text import Text

    names = [printable(feature.name) for feature in features]
    name_width = min(_LONGEST_NAME, max((cell_len(name) for name in (*names, "feature")), default=0))
    verdict_width = max(len(word) for word in ("verdict", *(_short(feature.verdict) for feature in features)))
    columns, name_width = _fitting(width, name_width, verdict_width)
    taken = name_width + verdict_width + sum(_width(column) for column in columns) + _GAP * (len(columns) + 3)
    bar = max(_LEAST_BAR, min(_LONGEST_BAR, width - taken - _RATIO))
    table = Table(box=None, padding=(0, _GAP, 0, 0), pad_edge=False, show_edge=False)
    table.add_column(Text("FEATURE", style="bold"), width=name_width, overflow="fold")
    table.add_column(Text("VERDICT", style="bold"), width=verdict_width, no_wrap=True)
    for column in columns:
        table.add_column(
            Text(column.heading.upper(), style="bold"), justify="right", width=_width(column), no_wrap=True
        )
    table.add_column(Text("PSI/DRIFT AT", style="bold"), width=bar + _RATIO, no_wrap=True)
    for name, feature in zip(names, features, strict=True):
        verdict = Text(_short(feature.verdict), style=_STYLES.get(feature.verdict, ""))
        numbers = (Text(_number(feature, column.measure)) for column in columns)
        table.add_row(Text(name), verdict, *numbers, _bar(feature, bar, glyphs))
    yield table


def _fitting(width: int, name_width: int, verdict_width: int) -> tuple[list[_Column], int]:
    """Return the columns that there is room for, and the room for names; those that tell least go first."""
    columns = list(_COLUMNS)
    fixed = verdict_width + _LEAST_BAR + _RATIO + 3 * _GAP

    def needed(names: int) -> int:
        return names + fixed + sum(_width(column) + _GAP for column in columns)

    while len(columns) > 1 and needed(name_width) > width:
        columns.remove(max(columns, key=lambda column: column.gives_way))
    return columns, max(_SHORTEST_NAME, min(name_width, width - needed(0)))


def _width(column: _Column) -> int:
    return max(6, len(column.heading))


def _short(verdict: str) -> str:
    return "no data" if verdict == INSUFFICIENT else verdict


def _number(feature: FeatureDrift, measure: str) -> str:
    value = getattr(feature, measure)
    if value is None:
        return "-"
    if measure.endswith("_ratio"):
        return percent(value)
    # At most six characters, so that a distance of a million does not break the line.
    return f"{value:.3f}" if value < 99.9995 else f"{value:.0f}" if value < 99_999.5 else "> 1e5"


def _bar(feature: FeatureDrift, length: int, glyphs: Glyphs) -> Text:
    """Draw PSI beside the value from which on it is drift: a full bar is drift."""
    if feature.ratio is None:
        return styled(("-", "dim"))
    full = round(max(0.0, min(1.0, feature.ratio)) * length)
    style = _STYLES.get(feature.verdict, "")
    said = f" {feature.ratio:.2f}" if feature.ratio < 99.995 else " > 99"
    return styled((glyphs.full * full, style), (glyphs.empty * (length - full), "dim"), (said, style))


def _reasons(features: tuple[FeatureDrift, ...], glyphs: Glyphs) -> Iterator[RenderableType]:
    """Tell what moved in each feature that is not as it was."""
    for feature in features:
        if feature.verdict not in (WARN, DRIFT):
            continue
        yield ""
        beside = "".join(f", {said}" for said in _beside(feature, glyphs))
        yield styled((f"{feature.name}: what moved", "bold"), (beside, ""))
        labels = [printable(moved.bin) for moved in feature.moved]
        widest = max(map(len, labels), default=0)
        for label, moved in zip(labels, feature.moved, strict=True):
            before, now = percent(moved.baseline_ratio), percent(moved.window_ratio)
            style = "red" if moved.window_ratio > moved.baseline_ratio else "cyan"
            yield styled((f"  {label:<{widest}}  {before:>7} {glyphs.arrow} ", ""), (f"{now:>7}", style))


def _beside(feature: FeatureDrift, glyphs: Glyphs) -> Iterator[str]:
    before, now = feature.missing_ratio_baseline or 0.0, feature.missing_ratio or 0.0
    if abs(now - before) >= 0.005:
        yield f"missing {percent(before)} {glyphs.arrow} {percent(now)}"
    if (feature.out_of_range_ratio or 0) >= 0.001:
        yield f"{percent(feature.out_of_range_ratio or 0)} beyond all of the baseline"
    if (feature.new_ratio or 0) > 0:
        yield f"{percent(feature.new_ratio or 0)} of new categories"


def _before(window: DriftWindow) -> Text:
    return styled((f"  {line_of(window)}", _STYLES.get(window.verdict, "")))


def percent(ratio: float) -> str:
    """Return a share as people say it."""
    return f"{ratio * 100:.1f} %"
