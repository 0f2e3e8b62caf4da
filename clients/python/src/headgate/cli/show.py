"""Printing data on stdout: tables for people, JSON for programs. rich loads on the first table."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import shutil
import sys
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from headgate.cli.session import printable
from headgate.cli.widths import fit
from headgate.drift import BaselineRef
from headgate.plans import Plan
from headgate.records import Model
from headgate.rollouts import Rollout

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


PIPE_WIDTH = 120
"""Characters in a line where there is no terminal; a word that is longer makes the line longer."""

_GAP = 2
_DIGEST_CHARACTERS = 12


def print_json(value: Any) -> None:
    """Print records (or anything JSON can say) as one JSON document."""
    text = json.dumps(_plain(value), indent=2, ensure_ascii=False)
    print("".join(c if c == "\n" or _can_print(c) else json.dumps(c)[1:-1] for c in text))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]], empty: str = "nothing there") -> None:
    """Print rows below their headings; ``empty`` goes to stderr where there are none."""
    from rich import box
    from rich.cells import cell_len
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    headings = [column.upper() for column in columns]
    body = [[cell(value) for value in row] for row in rows]
    if not body:
        print(empty, file=sys.stderr)
        return
    by_column = list(zip(headings, *body, strict=True))
    widths = fit(
        [max(cell_len(text) for text in texts) for texts in by_column],
        [max(cell_len(word) for text in texts for word in text.split() or [""]) for texts in by_column],
        _width() - _GAP * (len(headings) - 1),
        breakable=sys.stdout.isatty(),
    )
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    for heading, width in zip(headings, widths, strict=True):
        table.add_column(Text(heading), overflow="fold", width=width)
    for texts in body:
        table.add_row(*(Text(text) for text in texts))
    needed = sum(widths) + _GAP * (len(widths) - 1)
    if sys.stdout.isatty():
        Console().print(table)
    else:
        Console(width=max(needed, 1), color_system=None).print(table)


def print_facts(facts: Mapping[str, object]) -> None:
    """Print names and values, one a line; what is None or empty is left out, long values go on below themselves."""
    shown = {name: cell(value) for name, value in facts.items() if value not in (None, "", (), {}, [])}
    indent = max((len(name) for name in shown), default=0) + _GAP
    for name, value in shown.items():
        lines = textwrap.wrap(value, max(_width() - indent, 20), break_long_words=False, break_on_hyphens=False)
        print(f"{name:<{indent}}" + f"\n{' ' * indent}".join(lines or [""]))


def cell(value: object) -> str:
    """Return a value as a table shows it."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{cell(key)}={cell(item)}" for key, item in value.items()) or "-"
    if isinstance(value, (list, tuple)):
        return ", ".join(cell(item) for item in value) or "-"
    return printable(str(value))


def size(count: int | None) -> str:
    """Return bytes as people say them."""
    if count is None:
        return "-"
    amount = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000 or unit == "GB":
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1000
    raise AssertionError("the last unit has no limit")


def seconds(value: float | None) -> str:
    """Return a short time as people say it: ``3.1 ms``, ``1.20 s``."""
    if value is None:
        return "-"
    return f"{value * 1000:.3g} ms" if value < 0.9995 else f"{value:.3g} s"


def period(length: float) -> str:
    """Return a length of time in seconds in its two largest units: ``3m 12s``, ``2d 4h``."""
    rest = max(0, round(length))
    parts: list[str] = []
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        count, rest = divmod(rest, size)
        if count or (unit == "s" and not parts):
            parts.append(f"{count}{unit}")
    return " ".join(parts[:2])


def ago(age: float) -> str:
    """Return an age in seconds as people say it."""
    return f"{period(age)} ago"


def moment(at: str | None, *, zone: bool = False) -> str | None:
    """Return a time of the platform's as people write it, in UTC (``2026-11-20 06:41``), and with ``zone`` say so."""
    parsed = parsed_time(at)
    return at if parsed is None else parsed.strftime("%Y-%m-%d %H:%M") + (" UTC" if zone else "")


def parsed_time(at: str | None) -> dt.datetime | None:
    """Return a moment of the platform's in UTC; None where it is none."""
    try:
        parsed = dt.datetime.fromisoformat(at or "")
    except ValueError:
        return None
    return parsed.astimezone(dt.UTC) if parsed.tzinfo is not None else parsed.replace(tzinfo=dt.UTC)


def short_digest(digest: str | None) -> str | None:
    """Return as much of a digest as tells artifacts apart; JSON has it whole."""
    if digest is None:
        return None
    algorithm, _, value = digest.rpartition(":")
    if len(value) <= _DIGEST_CHARACTERS:
        return digest
    return f"{algorithm}:{value[:_DIGEST_CHARACTERS]}…".removeprefix(":")


def baseline(found: BaselineRef | None) -> str | None:
    """Return which baseline a version has: of how many rows, and where they came from."""
    return None if found is None else f"{found.rows:,} rows, {found.origin}"


def counted(model: Model) -> str:
    """Return how many versions a model has, and how many of them are retired where all of them are at hand."""
    retired = sum(version.state == "retired" for version in model.versions)
    if retired and len(model.versions) >= model.version_count:
        return f"{model.version_count}, {retired} retired"
    return str(model.version_count)


def _width() -> int:
    return shutil.get_terminal_size((PIPE_WIDTH, 24)).columns if sys.stdout.isatty() else PIPE_WIDTH


def _can_print(c: str) -> bool:
    """Tell whether a character can go out as it is: an escape says the same where it could steer a terminal."""
    if c.isascii():
        return c.isprintable()
    try:
        c.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        return False
    return c.isprintable()


def _plain(value: Any) -> Any:
    if isinstance(value, (Plan, Rollout)):
        return value.to_json()  # the contract's form, so that it can be sent back
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        instance: DataclassInstance = value
        return {field.name: _plain(getattr(instance, field.name)) for field in dataclasses.fields(instance)}
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value
