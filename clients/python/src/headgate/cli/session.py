"""What every command shares: the client it talks through, its options, and how an error is told.

Data goes to stdout, everything else to stderr. Exit codes: 0 done, 1 failed, 2 wrong usage or settings.
"""

from __future__ import annotations

import difflib
import math
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from headgate.cli.hints import in_commands
from headgate.client import Client
from headgate.errors import BadSettings, HeadgateError, ModelFault, NotFound, ServerFault, VersionRejected

FAILED, USAGE = 1, 2
_LOOKED_THROUGH = 200


class Format(StrEnum):
    """How data is printed."""

    TABLE = "table"
    JSON = "json"


Output = Annotated[Format, typer.Option("--output", "-o", help="Print a table, or JSON for programs.")]


@dataclass(frozen=True, slots=True)
class Connection:
    """URLs given on the command line; None where the environment or the default holds."""

    registry_url: str | None = None
    serving_url: str | None = None


@contextmanager
def open_client(context: typer.Context) -> Iterator[Client]:
    """Open a client with the command line's URLs, and close it afterwards."""
    connection = context.obj if isinstance(context.obj, Connection) else Connection()
    with Client(connection.registry_url, connection.serving_url) as client:
        try:
            yield client
        except NotFound as error:
            near = _nearest(client, str(error.details.get("model", ""))) if error.code == "unknown_model" else None
            if near is None:
                error.message = _in_commands(error, context)
                raise
            message = f"{error.message}; did you mean {near}?"
            raise NotFound(message, code=error.code, details=error.details, request_id=error.request_id) from error
        except HeadgateError as error:
            error.message = _in_commands(error, context)
            raise


def _in_commands(error: HeadgateError, context: typer.Context) -> str:
    return in_commands(error.message, error.code, str(context.params.get("name") or "MODEL"))


def _nearest(client: Client, name: str) -> str | None:
    """Return the known name nearest to ``name``, for one more GET; None where none is near or none can be had."""
    if not name:
        return None
    try:
        known = [model.name for model in client.models(name[0], limit=_LOOKED_THROUGH)]
    except HeadgateError:
        return None
    by_lower = {other.lower(): other for other in known if other != name}
    near = difflib.get_close_matches(name.lower(), list(by_lower), n=1)
    return by_lower[near[0]] if near else None


class Root(TyperGroup):
    """The outermost command: here an error becomes a line on stderr and an exit code, never a traceback."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command line."""
        try:
            return super().invoke(ctx)
        except HeadgateError as error:
            report(error)
            raise typer.Exit(USAGE if isinstance(error, BadSettings) else FAILED) from error


class ListByDefault(TyperGroup):
    """A noun whose verb may be left out: ``headgate versions churn`` means ``headgate versions list churn``."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the command that ``args`` begin with, or ``list``."""
        if args and not args[0].startswith("-") and args[0] not in self.commands:
            args = ["list", *args]
        return super().resolve_command(ctx, args)


def finite(number: float | None) -> float | None:
    """Return a number that was given as an option; raise typer.BadParameter for NaN and infinity."""
    if number is not None and not math.isfinite(number):
        raise typer.BadParameter(f"{number} is no number to count with; write one such as 1.5")
    return number


Patience = Annotated[float, typer.Option("--timeout", min=0, callback=finite, help="Seconds to wait for it.")]


def read_text(file: str) -> str:
    """Return what a file has, or stdin for ``-``; raise typer.BadParameter where it cannot be read."""
    if file == "-":
        return sys.stdin.read()
    try:
        return Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        raise typer.BadParameter(f"{Path(file).name} cannot be read: {reason}", param_hint="--file") from error


def say(text: str) -> None:
    """Print a line for people, on stderr."""
    print(printable(text), file=sys.stderr)


def report(error: HeadgateError) -> None:
    """Tell an error: one line, then one for each reason."""
    if isinstance(error, VersionRejected) and error.reasons:
        say(f"error: {error.message.partition(':')[0]}:")
        for reason in error.reasons:
            say(f"  - {reason}")
        return
    trace = (
        f" (request id {error.request_id})" if error.request_id and isinstance(error, (ModelFault, ServerFault)) else ""
    )
    say(f"error: {error.message}{trace}")


def printable(text: str) -> str:
    """Return text with control characters replaced: what a model's author wrote must not steer a terminal."""
    return "".join(c if c.isprintable() else "�" for c in text)
