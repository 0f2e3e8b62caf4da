"""``headgate register``: upload a saved model, wait for the verdict."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from headgate.cli import show
from headgate.cli.session import Format, Output, Patience, open_client, say
from headgate.records import Version
from headgate.registration import Progress


def register(  # noqa: PLR0913 - Typer reads options off parameters
    context: typer.Context,
    *,
    source: Annotated[
        str,
        typer.Argument(
            metavar="PATH", help="A saved MLflow model directory; or runs:/<run id>/<path>, or models:/m-<id>."
        ),
    ],
    name: Annotated[str, typer.Option("--name", "-n", help="The model's name; it is created if it is new.")],
    alias: Annotated[
        str | None, typer.Option("--alias", help="Point this alias at the version once it is ready.")
    ] = None,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until the version is ready or rejected.")] = True,
    timeout: Patience = 120.0,
    output: Output = Format.TABLE,
) -> None:
    """Register a saved MLflow model; an interrupted upload goes on where it stopped."""
    with open_client(context) as client:
        with _bar() as progress:
            version = client.register(source, name, alias=alias, wait=False, progress=progress)
        if wait:
            say(f"{version.model} version {version.version} is registered; waiting until it is ready")
            version = client.wait_until_ready(name, version.version, timeout=timeout)
    _print(version, output)


def _print(version: Version, output: Format) -> None:
    if output is Format.JSON:
        show.print_json(version)
        return
    show.print_facts(
        {
            "model": version.model,
            "version": version.version,
            "state": version.state,
            "digest": show.short_digest(version.digest),
            "size": show.size(version.size) if version.size is not None else None,
        }
    )
    if version.state == "ready":
        say(f"next: headgate promote {version.model} {version.version}")


@contextmanager
def _bar() -> Iterator[Progress | None]:
    """Draw a progress bar on stderr where that is a terminal, from the first byte on; else say nothing."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TransferSpeedColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn("uploading"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    bar = Bar(*columns, console=Console(stderr=True), transient=True)
    task = bar.add_task("upload", total=None)

    def tell(sent: int, total: int) -> None:
        bar.start()  # only now is it known that there is something to send; again, it does nothing
        bar.update(task, completed=sent, total=total)

    try:
        yield tell
    finally:
        bar.stop()
