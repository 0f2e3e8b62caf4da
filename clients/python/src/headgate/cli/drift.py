"""``headgate drift``: how a version's live rows differ from what it was trained on, once or again and again."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from headgate.cli import show
from headgate.cli.board import glyphs_for
from headgate.cli.drift_picture import headline, line_of, picture
from headgate.cli.session import FAILED, Format, Output, finite, open_client, say
from headgate.client import Client
from headgate.drift import DRIFT, DriftReport
from headgate.errors import PASSING, HeadgateError

if TYPE_CHECKING:
    from rich.console import Console

LOOK_SECONDS = 2.0
ALL_FEATURES = 1200
"""As many as the registry watches of a version; unasked, it tells a hundred."""
_INTERRUPTED = 130

Name = Annotated[str, typer.Argument(help="The model's name.")]
Number = Annotated[str | None, typer.Argument(metavar="[VERSION]", help="Its number; without one, the stable version.")]
Look = DriftReport | HeadgateError


def drift(  # noqa: PLR0913 - Typer reads options off parameters
    context: typer.Context,
    *,
    name: Name,
    version: Number = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=100, help="At most so many windows.")] = 5,
    every_feature: Annotated[
        bool, typer.Option("--all", help="Every feature, not only those that drifted most.")
    ] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Look again and again, until Ctrl-C.")] = False,
    every: Annotated[
        float, typer.Option("--every", min=0.05, callback=finite, help="Seconds between two looks.")
    ] = LOOK_SECONDS,
    fail: Annotated[bool, typer.Option("--fail", help="Exit code 1 where the newest window has drift.")] = False,
    output: Output = Format.TABLE,
) -> None:
    """Show how live rows differ from the training data: features ranked by how far, and which of their bins moved.

    PSI is drift from a value on that knows how many rows were seen: there the bar is full. W/SD is how far values
    moved, in standard deviations.
    """
    if watch and fail:
        raise typer.BadParameter("--watch never ends by itself, so --fail says nothing with it", param_hint="--fail")
    features = ALL_FEATURES if every_feature else None
    with open_client(context) as client:
        if watch:
            try:
                watch_drift(
                    client, Watched(name, version, limit, every, features=features), output, every_feature=every_feature
                )
            except KeyboardInterrupt:
                raise typer.Exit(_INTERRUPTED) from None
        found = client.drift(name, version, limit=limit, features=features)
    if output is Format.JSON:
        show.print_json(found)
    else:
        _print(found, every_feature)
        _hint(found)
    if fail and found.verdict == DRIFT:
        raise typer.Exit(FAILED)


def _print(found: DriftReport, every_feature: bool) -> None:
    from rich.console import Console

    console = Console(highlight=False) if sys.stdout.isatty() else Console(highlight=False, width=show.PIPE_WIDTH)
    console.print(picture(found, console.width, glyphs_for(console.encoding), every_feature=every_feature))


def _hint(found: DriftReport) -> None:
    place = f"{found.model} {found.version}"
    if found.baseline is None or found.baseline.provisional:
        say(f"next: headgate baseline set {place} TABLE, so that it is measured against its training data")
    elif found.verdict == DRIFT:
        say(f"next: headgate quality {place}, which tells by labels whether it does harm")


@dataclass(frozen=True, slots=True)
class Watched:
    """Whose drift is looked at, in how many windows and features, and how often; ``nap`` waits between two looks."""

    model: str
    version: str | None
    limit: int
    every: float = LOOK_SECONDS
    nap: Callable[[float], None] = time.sleep
    features: int | None = None


def watch_drift(client: Client, watched: Watched, output: Format, *, every_feature: bool) -> NoReturn:
    """Show drift until Ctrl-C: a picture on a terminal, else a line for each window once it is judged."""
    from rich.console import Console

    console = Console(highlight=False)
    looks = _looks(client, watched)
    if output is Format.TABLE and console.is_terminal and not console.is_dumb_terminal:
        draw(looks, console, every_feature=every_feature)
    else:
        _lines(looks, output)
    raise AssertionError("looks never end")


def _looks(client: Client, watched: Watched) -> Iterator[Look]:
    while True:
        try:
            yield client.drift(watched.model, watched.version, limit=watched.limit, features=watched.features)
        except PASSING as error:
            yield error
        watched.nap(watched.every)


def draw(looks: Iterator[Look], console: Console, *, every_feature: bool) -> None:
    """Draw each look over the one before; what keeps us from looking is said below the last."""
    from rich.console import Group, RenderableType
    from rich.live import Live
    from rich.text import Text

    shown: RenderableType = ""
    with Live(console=console, auto_refresh=False, vertical_overflow="crop") as live:
        for look in looks:
            if isinstance(look, HeadgateError):
                live.update(Group(shown, Text(f"\ncannot look: {look.message}", style="red")), refresh=True)
                continue
            shown = picture(look, console.width, glyphs_for(console.encoding), every_feature=every_feature)
            live.update(shown, refresh=True)


def _lines(looks: Iterator[Look], output: Format) -> None:
    told: dict[str, int] = {}
    said = ""
    for look in looks:
        if isinstance(look, HeadgateError):
            news = f"cannot look: {look.message}"
        else:
            news = "" if look.windows else f"{look.model} version {look.version}: {headline(look)}"
            for window in reversed(look.windows):
                if window.number > told.get(look.version, 0):
                    told[look.version] = window.number
                    place = {"model": look.model, "version": look.version}
                    line = line_of(window) if output is Format.TABLE else json.dumps({**place, **asdict(window)})
                    print(line, flush=True)
        if news and news != said:
            say(news)
        said = news
