"""The command line: every command and its place. What a command does stands in its own module."""

from __future__ import annotations

from typing import Annotated

import typer

from headgate.cli import alias, baseline, catalog, drift, health, nodes, predict, quality, register, rollout, traffic
from headgate.cli.session import Connection, Root
from headgate.version import __version__

app = typer.Typer(
    cls=Root,
    name="headgate",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"headgate {__version__}")
        raise typer.Exit


@app.callback(epilog="Example: headgate register ./model --name churn && headgate promote churn 1")
def root(
    context: typer.Context,
    registry_url: Annotated[str | None, typer.Option(help="The registry; else HEADGATE_REGISTRY_URL.")] = None,
    serving_url: Annotated[str | None, typer.Option(help="Serving; else HEADGATE_SERVING_URL.")] = None,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Register models, decide which version answers, and ask them.

    HEADGATE_API_KEY and HEADGATE_TIMEOUT_SECONDS are read too. Exit codes: 0 done, 1 failed, 2 wrong usage or settings.
    """
    context.obj = Connection(registry_url, serving_url)


app.add_typer(catalog.models, name="models")
app.add_typer(catalog.versions, name="versions")
app.command("register", epilog="Example: headgate register ./model --name churn --baseline train.parquet")(
    register.register
)
app.command(
    "predict", epilog="""Example: headgate predict churn --version 3 --data '[{"age": 41, "plan": "basic"}]'"""
)(predict.predict)
app.command("promote", epilog="Example: headgate promote churn 3 --note 'better on new customers'")(traffic.promote)
app.command("rollback", epilog="Example: headgate rollback churn")(traffic.rollback)
app.add_typer(traffic.traffic, name="traffic")
traffic.traffic.command("shadow", epilog="Example: headgate traffic shadow churn 5")(nodes.shadow)
app.add_typer(rollout.rollout, name="rollout")
app.add_typer(baseline.baseline, name="baseline")
app.command("drift", epilog="Example: headgate drift churn 3 --watch")(drift.drift)
app.command("quality", epilog="Example: headgate quality churn 3")(quality.quality)
app.command("feedback", epilog="Example: headgate feedback churn labels.jsonl")(quality.feedback)
app.add_typer(alias.alias, name="alias")
app.add_typer(nodes.nodes, name="nodes")
app.command("status", epilog="Example: headgate status --output json")(health.status)
app.command("doctor", epilog="Example: headgate doctor")(health.doctor)


def main() -> None:
    """Run the command line."""
    app()
