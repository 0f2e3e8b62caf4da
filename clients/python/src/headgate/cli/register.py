"""``headgate register``: upload a saved model, wait for the verdict."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from headgate.cli import show
from headgate.cli.baseline import Prediction
from headgate.cli.session import Format, Output, Patience, open_client, say
from headgate.client import Client
from headgate.errors import HeadgateError
from headgate.records import Version
from headgate.registration import Progress
from headgate.tables import Training, check


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
    baseline: Annotated[
        Path | None,
        typer.Option("--baseline", metavar="TABLE", help="What it was trained on: .parquet, .csv, .arrow, .arrows."),
    ] = None,
    prediction: Prediction = None,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until the version is ready or rejected.")] = True,
    timeout: Patience = 120.0,
    output: Output = Format.TABLE,
) -> None:
    """Register a saved MLflow model; an interrupted upload goes on where it stopped.

    The table of --baseline is sent once the version is ready: drift is measured against it.
    """
    training = _training(baseline, prediction, wait)
    with open_client(context) as client:
        with _bar() as progress:
            version = client.register(source, name, alias=alias, wait=False, progress=progress)
        if wait:
            say(f"{version.model} version {version.version} is registered; waiting until it is ready")
            version = client.wait_until_ready(name, version.version, timeout=timeout)
        if training is not None:
            version = _with_baseline(client, version, training)
    _print(version, output)


def _training(baseline: Path | None, prediction: str | None, wait: bool) -> Training | None:
    """Return the table that was given, once it is known to be one: nothing is uploaded before."""
    if baseline is None:
        if prediction is not None:
            raise typer.BadParameter(
                "--prediction is a column of --baseline, so give that too", param_hint="--prediction"
            )
        return None
    if not wait:
        raise typer.BadParameter("a baseline is set once the version is ready, so wait", param_hint="--baseline")
    training = Training(baseline, prediction=prediction)
    check(training)
    return training


def _with_baseline(client: Client, version: Version, training: Training) -> Version:
    say(f"{version.model} version {version.version} is ready; sending its baseline")
    try:
        client.set_baseline(version.model, version.version, training.table, prediction=training.prediction)
    except HeadgateError as error:
        again = f"headgate baseline set {version.model} {version.version} TABLE"
        say(f"{version.model} version {version.version} is ready, but has no baseline; `{again}` sets one")
        raise error
    return client.version(version.model, version.version)


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
            "baseline": show.baseline(version.baseline),
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
