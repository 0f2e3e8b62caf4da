"""Printing data on stdout: tables for people, JSON for programs. rich loads on the first table."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from headgate.cli.session import printable

if TYPE_CHECKING:
    from _typeshed import DataclassInstance
    from rich.console import Console

# Without a terminal nothing is cut or wrapped: the reader is a program, or a file.
_ENDLESS = 100_000


def print_json(value: Any) -> None:
    """Print records (or anything JSON can say) as one JSON document."""
    json.dump(_plain(value), sys.stdout, indent=2)
    sys.stdout.write("\n")


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]], empty: str = "nothing there") -> None:
    """Print rows below their headings; ``empty`` goes to stderr where there are none."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for column in columns:
        table.add_column(Text(column.upper()), overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell(value)) for value in row))
    if table.row_count:
        _console().print(table)
    else:
        print(empty, file=sys.stderr)


def print_facts(facts: Mapping[str, object]) -> None:
    """Print names and values, one a line; what is None or empty is left out."""
    shown = {name: cell(value) for name, value in facts.items() if value not in (None, "", (), {}, [])}
    width = max((len(name) for name in shown), default=0)
    for name, value in shown.items():
        print(f"{name:<{width}}  {value}")


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


def _console() -> Console:
    from rich.console import Console

    return Console() if sys.stdout.isatty() else Console(width=_ENDLESS, color_system=None)


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        instance: DataclassInstance = value
        return {field.name: _plain(getattr(instance, field.name)) for field in dataclasses.fields(instance)}
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value
