"""``headgate rollout``: let a version become stable by steps, on evidence."""

from __future__ import annotations

import datetime as dt
import sys
from typing import Annotated

import typer

from headgate.cli import show
from headgate.cli.board import answered, board, glyphs_for
from headgate.cli.rollout_options import METRICS, Asked, spec
from headgate.cli.session import FAILED, Format, Output, finite, open_client, read_text, say
from headgate.cli.watch import LOOK_SECONDS, Watched, follow, watch, watch_all
from headgate.rollouts import Rollout

rollout = typer.Typer(help="Rollouts: start one, look at it, pause, resume, promote or abort it.", no_args_is_help=True)

_INTERRUPTED = 130

Name = Annotated[str, typer.Argument(help="The model's name.")]
Version = Annotated[str, typer.Argument(help="Who is to become stable.")]
Id = Annotated[str | None, typer.Argument(metavar="[ID]", help="Without one: the rollout that goes on.")]
Why = Annotated[str, typer.Option("--why", help="Why, for the journal.")]
Every = Annotated[float, typer.Option("--every", min=0.05, callback=finite, help="Seconds between two looks.")]
Timeout = Annotated[
    float | None, typer.Option("--timeout", min=0, callback=finite, help="Look for at most so many seconds.")
]

Steps = Annotated[
    str | None,
    typer.Option(
        "--steps",
        metavar="STEPS",
        help="PERCENT:PAUSE, separated by commas; without :PAUSE it waits for you. Default: 5:10m,25:10m,50:30m.",
    ),
]
Metrics = Annotated[
    list[str] | None,
    typer.Option(
        "--metric",
        metavar="METRIC",
        help=f"What may fail it: {', '.join(METRICS)}; then :TOLERANCE and :max=LIMIT as "
        "invalid:2:max=0.1. The limit of latency is in seconds. Repeatable. "
        "Default: error-rate, latency and invalid at 1.25.",
    ),
]
MinRequests = Annotated[
    int | None,
    typer.Option("--min-requests", min=0, help="That it must answer in a step before the next. Default: 200."),
]
Alpha = Annotated[
    float | None,
    typer.Option("--alpha", help="How often, at most, a version that is no worse may be rolled back. Default: 0.05."),
]
AllowIncompatible = Annotated[
    bool, typer.Option("--allow-incompatible", help="It may refuse some of what stable's callers send.")
]
Document = Annotated[
    str | None, typer.Option("--file", "-f", help="The rollout as JSON, - for stdin; options win over it.")
]


@rollout.command("start", epilog="Example: headgate rollout start churn 4 --steps 5:10m,25:10m,50:30m --wait")
def start(  # noqa: PLR0913 - Typer reads options off parameters
    context: typer.Context,
    *,
    name: Name,
    version: Version,
    steps: Steps = None,
    metric: Metrics = None,
    min_requests: MinRequests = None,
    interval: Annotated[str | None, typer.Option("--interval", help="Between two looks. Default: 30s.")] = None,
    max_duration: Annotated[str | None, typer.Option("--max-duration", help="Then it expires. Default: 24h.")] = None,
    alpha: Alpha = None,
    note: Annotated[str | None, typer.Option("--note", help="Why, for the journal.")] = None,
    allow_incompatible: AllowIncompatible = False,
    file: Document = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for its end: 0 succeeded, 1 anything else.")] = False,
    timeout: Timeout = None,
    every: Every = LOOK_SECONDS,
    output: Output = Format.TABLE,
) -> None:
    """Give a version a growing share of the requests, and make it stable unless evidence speaks against it."""
    asked = Asked(
        steps,
        tuple(metric or ()),
        alpha,
        min_requests,
        interval,
        max_duration,
        note,
        allow_incompatible=allow_incompatible,
    )
    wanted = spec(version, asked, None if file is None else read_text(file))
    if timeout is not None and not wait:
        raise typer.BadParameter("--timeout is how long to wait, so say --wait too", param_hint="--timeout")
    with open_client(context) as client:
        started = client.start_rollout(name, wanted)
        if not wait:
            _print(started, output)
            say(f"next: headgate rollout watch {name}")
            return
        try:
            ended = follow(client, Watched(name, started.id, every, timeout))
        except KeyboardInterrupt:
            _leave(name)
    _print(ended, output, journal=False)  # it went by while it was waited for
    _end(ended)


@rollout.command("status", epilog="Example: headgate rollout status churn")
def status(context: typer.Context, name: Name, rollout: Id = None, output: Output = Format.TABLE) -> None:
    """Show a rollout as it is now: the one that goes on, or else the newest."""
    with open_client(context) as client:
        found = client.rollout(name, rollout)
    _print(found, output)


@rollout.command("watch", epilog="Example: headgate rollout watch churn")
def watch_rollout(  # noqa: PLR0913 - Typer reads options off parameters
    context: typer.Context,
    *,
    name: Name,
    rollout: Id = None,
    follow_next: Annotated[
        bool, typer.Option("--follow", help="Wait for a rollout, and go on with the next; Ctrl-C ends it.")
    ] = False,
    every: Every = LOOK_SECONDS,
    timeout: Timeout = None,
    output: Output = Format.TABLE,
) -> None:
    """Look at a rollout until it ends; exit code 0 if it succeeded, 1 otherwise.

    A picture on a terminal, else a line for each event of its journal (with --output json, a JSON object).
    """
    if follow_next and (rollout is not None or timeout is not None):
        raise typer.BadParameter("--follow shows all rollouts until Ctrl-C; give neither an id nor --timeout with it")
    with open_client(context) as client:
        try:
            if follow_next:
                watch_all(client, Watched(name, every=every), output)
            ended = watch(client, Watched(name, rollout, every, timeout), output)
        except KeyboardInterrupt:
            _leave(name)
    _end(ended)


@rollout.command("list", epilog="Example: headgate rollout list churn")
def list_rollouts(context: typer.Context, name: Name, output: Output = Format.TABLE) -> None:
    """List a model's rollouts, newest first."""
    with open_client(context) as client:
        found = client.rollouts(name)
    if output is Format.JSON:
        show.print_json(found)
        return
    show.print_table(
        ("id", "version", "state", "share", "started (utc)", "ended (utc)", "reason"),
        [
            (r.id, r.version, r.state, f"{r.weight:g} %", show.moment(r.started_at), show.moment(r.ended_at), r.reason)
            for r in found
        ],
        empty="no rollouts yet",
    )


@rollout.command("pause", epilog="Example: headgate rollout pause churn --why 'a release goes out'")
def pause(
    context: typer.Context, *, name: Name, rollout: Id = None, why: Why = "", output: Output = Format.TABLE
) -> None:
    """Stop its clocks; the canary keeps its share, and evidence may still roll it back."""
    with open_client(context) as client:
        _told(client.pause_rollout(name, rollout, why=why), output)


@rollout.command("resume", epilog="Example: headgate rollout resume churn")
def resume(
    context: typer.Context, *, name: Name, rollout: Id = None, why: Why = "", output: Output = Format.TABLE
) -> None:
    """Let it go on, where it is paused or waits for somebody to look."""
    with open_client(context) as client:
        _told(client.resume_rollout(name, rollout, why=why), output)


@rollout.command("promote", epilog="Example: headgate rollout promote churn --why 'seen enough'")
def promote(
    context: typer.Context, *, name: Name, rollout: Id = None, why: Why = "", output: Output = Format.TABLE
) -> None:
    """Make its version stable now, whatever steps are left."""
    with open_client(context) as client:
        _told(client.promote_rollout(name, rollout, why=why), output)


@rollout.command("abort", epilog="Example: headgate rollout abort churn --why 'wrong version'")
def abort(
    context: typer.Context, *, name: Name, rollout: Id = None, why: Why = "", output: Output = Format.TABLE
) -> None:
    """End it and go back to the plan before it."""
    with open_client(context) as client:
        _told(client.abort_rollout(name, rollout, why=why), output)


def _print(found: Rollout, output: Format, *, journal: bool = True) -> None:
    if output is Format.JSON:
        show.print_json(found)
        return
    from rich.console import Console

    console = Console(highlight=False) if sys.stdout.isatty() else Console(highlight=False, width=show.PIPE_WIDTH)
    now, glyphs = dt.datetime.now(dt.UTC), glyphs_for(console.encoding)
    console.print(board(found, now, console.width, glyphs, journal=journal))


def _told(found: Rollout, output: Format) -> None:
    """Print a rollout after a person moved it: all of it as JSON, else a line."""
    if output is Format.JSON:
        show.print_json(found)
    elif found.ended:
        say(answered(found))
    else:
        say(f"{found.model}: the rollout of version {found.version} is {found.state}, at {found.weight:g} %")


def _leave(name: str) -> None:
    say(f"\na rollout goes on without us; look again with `headgate rollout watch {name}`")
    raise typer.Exit(_INTERRUPTED)


def _end(ended: Rollout) -> None:
    if ended.state != "succeeded":
        raise typer.Exit(FAILED)
