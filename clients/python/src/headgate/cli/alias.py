"""``headgate alias``: movable names for versions."""

from __future__ import annotations

from typing import Annotated

import typer

from headgate.cli import show
from headgate.cli.session import Format, ListByDefault, Output, open_client, say

alias = typer.Typer(cls=ListByDefault, help="Aliases of a model: list, set, delete.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="The model's name.")]
Version = Annotated[str, typer.Argument(help="The version's number.")]
AliasName = Annotated[str, typer.Argument(metavar="ALIAS", help="The alias, such as champion.")]


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
