"""``headgate baseline``: the table that a version was trained on, which drift is measured against."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from headgate.cli import show
from headgate.cli.drift_picture import percent
from headgate.cli.session import Format, Output, finite, open_client, say
from headgate.drift import Baseline, FeatureSummary
from headgate.monitoring_flows import BASELINE_SECONDS

baseline = typer.Typer(
    help="Baselines: give a version its training data, or show what it looked like.", no_args_is_help=True
)

_MOST_CATEGORIES = 3

Name = Annotated[str, typer.Argument(help="The model's name.")]
Prediction = Annotated[
    str | None,
    typer.Option(
        "--prediction", metavar="COLUMN", help="The column with what the model predicts. Default: prediction."
    ),
]


@baseline.command("set", epilog="Example: headgate baseline set churn 3 train.parquet")
def set_baseline(  # noqa: PLR0913 - Typer reads options off parameters
    context: typer.Context,
    *,
    name: Name,
    version: Annotated[str, typer.Argument(help="Its number.")],
    table: Annotated[Path, typer.Argument(metavar="TABLE", help="A .parquet, .csv, .arrow or .arrows file.")],
    prediction: Prediction = None,
    timeout: Annotated[
        float, typer.Option("--timeout", min=0, callback=finite, help="Seconds that the platform may read it.")
    ] = BASELINE_SECONDS,
    output: Output = Format.TABLE,
) -> None:
    """Give a version the table that it was trained on; it replaces the baseline before."""
    with open_client(context) as client:
        found = client.set_baseline(name, version, table, prediction=prediction, timeout=timeout)
    print_baseline(found, output)
    if output is Format.TABLE:
        say(f"next: headgate drift {found.model} {found.version}")


@baseline.command("show", epilog="Example: headgate baseline show churn 3")
def show_baseline(
    context: typer.Context,
    name: Name,
    version: Annotated[
        str | None, typer.Argument(metavar="[VERSION]", help="Its number; without one, the stable version.")
    ] = None,
    output: Output = Format.TABLE,
) -> None:
    """Show what the training data of a version looked like, feature by feature."""
    with open_client(context) as client:
        found = client.baseline(name, version)
    print_baseline(found, output)


def print_baseline(found: Baseline, output: Format) -> None:
    """Print a baseline."""
    if output is Format.JSON:
        show.print_json(found)
        return
    show.print_facts(
        {
            "model": found.model,
            "version": found.version,
            "origin": found.origin,
            "rows": f"{found.rows:,}",
            "digest": show.short_digest(found.digest),
            "made": show.moment(found.at, zone=True),
            "quality": {name: f"{value:.4g}" for name, value in found.quality.items()},
            "ignored columns": found.ignored,
        }
    )
    print()
    show.print_table(
        ("feature", "kind", "missing", "min", "median", "max", "values"),
        [list(_row(feature)) for feature in found.features],
        empty="no features",
    )


def _row(feature: FeatureSummary) -> Iterator[object]:
    yield feature.name
    yield feature.kind
    yield percent(feature.missing_ratio)
    for number in (feature.min, feature.quantiles.get("p50"), feature.max):
        yield None if number is None else f"{number:.4g}"
    if feature.min is not None or not feature.bins:
        low, high = feature.quantiles.get("p10"), feature.quantiles.get("p90")
        yield None if low is None or high is None else f"80 % from {low:.4g} to {high:.4g}"
        return
    most = sorted((one for one in feature.bins if one.ratio), key=lambda one: -one.ratio)
    more = [f"{len(most) - _MOST_CATEGORIES} more"] if len(most) > _MOST_CATEGORIES else []
    yield [*(f"{one.label} {percent(one.ratio)}" for one in most[:_MOST_CATEGORIES]), *more]
