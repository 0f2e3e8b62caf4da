"""``headgate promote``, ``rollback``, ``traffic`` and ``alias``: who answers."""

from __future__ import annotations

from typing import Annotated

import typer

from headgate.cli import show
from headgate.cli.session import Format, ListByDefault, Output, open_client, say
from headgate.records import Traffic

alias = typer.Typer(cls=ListByDefault, help="Aliases of a model: list, set, delete.", no_args_is_help=True)
traffic = typer.Typer(help="The plan of a model: show it, clear it, and its journal.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="The model's name.")]
Version = Annotated[str, typer.Argument(help="The version's number.")]
AliasName = Annotated[str, typer.Argument(metavar="ALIAS", help="The alias, such as champion.")]


def promote(  # noqa: PLR0913 - Typer reads options off parameters
    context: typer.Context,
    *,
    name: Name,
    version: Version,
    note: Annotated[str, typer.Option("--note", help="Why, for the journal.")] = "",
    warm: Annotated[
        bool | None,
        typer.Option("--warm/--no-warm", help="Have nodes load it ahead and keep it; else as in the plan before."),
    ] = None,
    instances: Annotated[
        int | None,
        typer.Option("--instances", min=1, max=64, help="Processes of it on a node; else as in the plan before."),
    ] = None,
    expect: Annotated[
        int | None, typer.Option("--expect", min=0, help="Only if the plan still has this revision.")
    ] = None,
    output: Output = Format.TABLE,
) -> None:
    """Send a model's traffic to a version that is ready."""
    with open_client(context) as client:
        revision = client.promote(name, version, note=note, warm=warm, instances=instances, expect=expect)
    _print(revision, output)


def rollback(
    context: typer.Context,
    name: Name,
    revision: Annotated[
        int | None, typer.Option("--revision", min=1, help="Back to the plan of this revision.")
    ] = None,
    output: Output = Format.TABLE,
) -> None:
    """Go back to the plan before, or to that of a revision."""
    with open_client(context) as client:
        found = client.rollback(name, revision=revision)
    _print(found, output)


@traffic.command("show", epilog="Example: headgate traffic show churn")
def show_traffic(context: typer.Context, name: Name, output: Output = Format.TABLE) -> None:
    """Show the plan in force."""
    with open_client(context) as client:
        found = client.traffic(name)
    _print(found, output)


@traffic.command("clear", epilog="Example: headgate traffic clear churn")
def clear_traffic(
    context: typer.Context,
    name: Name,
    expect: Annotated[
        int | None, typer.Option("--expect", min=0, help="Only if the plan still has this revision.")
    ] = None,
    output: Output = Format.TABLE,
) -> None:
    """Take all traffic away: only versions and aliases that are named answer then."""
    with open_client(context) as client:
        found = client.clear_traffic(name, expect=expect)
    _print(found, output)


@traffic.command("history", epilog="Example: headgate traffic history churn")
def show_history(context: typer.Context, name: Name, output: Output = Format.TABLE) -> None:
    """Show the journal of plans, newest first: who, when, what, why."""
    with open_client(context) as client:
        found = client.history(name)
    if output is Format.JSON:
        show.print_json(found)
        return
    show.print_table(
        ("revision", "stable", "who", "at (utc)", "note", "why"),
        [(t.revision, t.stable, t.who, show.moment(t.at), t.note, t.why) for t in found],
        empty="no plan yet",
    )


@alias.command("list", epilog="Example: headgate alias list churn")
def list_aliases(context: typer.Context, name: Name, output: Output = Format.TABLE) -> None:
    """List a model's aliases."""
    with open_client(context) as client:
        aliases = client.model(name).aliases
    if output is Format.JSON:
        show.print_json(aliases)
    else:
        show.print_table(("alias", "version"), sorted(aliases.items()), empty="no aliases")


@alias.command("set", epilog="Example: headgate alias set churn champion 3")
def set_alias(
    context: typer.Context, *, name: Name, alias: AliasName, version: Version, output: Output = Format.TABLE
) -> None:
    """Point an alias at a version that is ready."""
    with open_client(context) as client:
        client.set_alias(name, alias, version)
    if output is Format.JSON:
        show.print_json({"model": name, "alias": alias, "version": version})
    else:
        say(f"{name}: {alias} names version {version} now")


@alias.command("delete", epilog="Example: headgate alias delete churn challenger")
def delete_alias(context: typer.Context, name: Name, alias: AliasName, output: Output = Format.TABLE) -> None:
    """Remove an alias."""
    with open_client(context) as client:
        client.delete_alias(name, alias)
    if output is Format.JSON:
        show.print_json({"model": name, "alias": alias, "version": None})
    else:
        say(f"{name}: {alias} is removed")


def _print(found: Traffic, output: Format) -> None:
    if output is Format.JSON:
        show.print_json(found)
        return
    show.print_facts(
        {
            "model": found.model,
            "stable": found.stable or "nobody",
            "revision": found.revision or "none yet",
            "warm": "yes" if found.warm else None,
            "instances": found.instances if found.instances != 1 else None,
            "note": found.note,
            "who": found.who,
            "at": show.moment(found.at, zone=True),
        }
    )
