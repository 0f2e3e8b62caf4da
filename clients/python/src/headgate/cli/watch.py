"""Looking at a rollout until it ends: a picture that is drawn anew on a terminal, a line per journal event elsewhere.

Not here: the picture (``board.py``).
"""

from __future__ import annotations

import datetime as dt
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, NoReturn

from headgate.cli.board import board, event_line, glyphs_for, outcome
from headgate.cli.session import Format, say
from headgate.client import Client
from headgate.errors import PASSING, HeadgateError, NotFound
from headgate.rollout_flows import still_going
from headgate.rollouts import Rollout, RolloutEvent

if TYPE_CHECKING:
    from rich.console import Console

LOOK_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Watched:
    """Which rollout is looked at (None: the one that goes on), how often, and for how long (None: until it ends).

    ``nap`` waits between two looks.
    """

    model: str
    rollout: str | None = None
    every: float = LOOK_SECONDS
    timeout: float | None = None
    nap: Callable[[float], None] = time.sleep


def watch(client: Client, watched: Watched, output: Format) -> Rollout:
    """Look until the rollout has ended, and show what happens; return it as it ended.

    Raises Timeout where it had not after ``watched.timeout`` seconds, NotFound where there is none.
    """
    from rich.console import Console

    console = Console(highlight=False)
    looks = _looks(client, watched)
    if output is Format.JSON:
        return _lines(looks, _print_json)
    live = console.is_terminal and not console.is_dumb_terminal
    ended = _live(looks, console) if live else _lines(looks, _print_line)
    if not live:  # the picture says it too
        print(outcome(ended), flush=True)
    return ended


def watch_all(client: Client, watched: Watched, output: Format) -> NoReturn:
    """Watch one rollout of a model after another, as they begin, until the person has seen enough."""
    seen: set[str] | None = None
    while True:
        found = _rollouts(client, watched.model)
        if seen is None:
            seen = {rollout.id for rollout in found if rollout.ended}
            if len(seen) == len(found):
                say(f"no rollout of {watched.model} is going on; the next one is shown here")
        for rollout in reversed(found):
            if rollout.id not in seen:
                watch(client, replace(watched, rollout=rollout.id), output)
                seen.add(rollout.id)
        watched.nap(watched.every)


def _rollouts(client: Client, model: str) -> list[Rollout]:
    """Return a model's rollouts, newest first; none while the model is not there or nobody can be asked."""
    try:
        return client.rollouts(model)
    except (NotFound, *PASSING):
        return []


def follow(client: Client, watched: Watched) -> Rollout:
    """Look until the rollout has ended; tell its journal on stderr, a line an event."""
    return _lines(_looks(client, watched), lambda event: say(event_line(event)))


Look = Rollout | HeadgateError


def _looks(client: Client, watched: Watched) -> Iterator[Look]:
    """Yield the rollout, or what kept us from it, again and again, the last time when it has ended."""
    deadline = None if watched.timeout is None else time.monotonic() + watched.timeout
    rollout_id, state = watched.rollout, "unknown"
    while True:
        try:
            found = client.rollout(watched.model, rollout_id)
        except PASSING as error:
            yield error
        else:
            rollout_id, state = found.id, found.state
            yield found
            if found.ended:
                return
        if deadline is not None and time.monotonic() + watched.every > deadline:
            assert watched.timeout is not None
            raise still_going(watched.model, state, watched.timeout)
        watched.nap(watched.every)


def _live(looks: Iterator[Look], console: Console) -> Rollout:
    from rich.console import Group, RenderableType
    from rich.live import Live
    from rich.text import Text

    glyphs = glyphs_for(console.encoding)
    last: Rollout | None = None
    with Live(console=console, auto_refresh=False, vertical_overflow="crop") as live:
        for look in looks:
            picture: RenderableType = ""
            last = last if isinstance(look, HeadgateError) else look
            if last is not None:
                picture = board(last, dt.datetime.now(dt.UTC), console.width, glyphs)
            if isinstance(look, HeadgateError):
                picture = Group(picture, Text(f"\ncannot look: {look.message}", style="red"))
            live.update(picture, refresh=True)
    assert last is not None  # looks end with a rollout, or raise
    return last


def _lines(looks: Iterator[Look], tell: Callable[[RolloutEvent], None]) -> Rollout:
    told, troubled = 0, False
    last: Rollout | None = None
    for look in looks:
        if isinstance(look, HeadgateError):
            if not troubled:
                say(f"cannot look: {look.message}")
            troubled = True
            continue
        troubled, last = False, look
        for event in look.journal[told:]:
            tell(event)
        told = len(look.journal)
    assert last is not None  # looks end with a rollout, or raise
    return last


def _print_line(event: RolloutEvent) -> None:
    print(event_line(event), flush=True)


def _print_json(event: RolloutEvent) -> None:
    print(json.dumps(asdict(event)), flush=True)
