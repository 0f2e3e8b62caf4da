"""``headgate quality`` and ``headgate feedback``: labels, and how good a version is by them."""

from __future__ import annotations

from typing import Annotated

import typer

from headgate.cli import show
from headgate.cli.drift_picture import percent
from headgate.cli.labels import Form, read_labels
from headgate.cli.session import FAILED, Format, Output, open_client, say
from headgate.quality import ArmQuality, FeedbackResult, QualityReport

_REFUSED_SHOWN = 20
_DAYS_SHOWN = 14
_ORDER = ("accuracy", "precision", "recall", "f1", "log_loss", "auc", "calibration_error", "mae", "rmse", "r2")

Name = Annotated[str, typer.Argument(help="The model's name.")]


def quality(
    context: typer.Context,
    name: Name,
    version: Annotated[
        str | None, typer.Argument(metavar="[VERSION]", help="Its number; without one, the stable version.")
    ] = None,
    output: Output = Format.TABLE,
) -> None:
    """Show how good a version is by the labels that came, arm by arm, beside its training."""
    with open_client(context) as client:
        found = client.quality(name, version)
    if output is Format.JSON:
        show.print_json(found)
        return
    averages = {arm.average for arm in found.arms if arm.average}
    show.print_facts(
        {
            "model": found.model,
            "version": found.version,
            "task": found.task or "nobody can say yet",
            "precision, recall, f1": "the mean over all classes, each alike" if "macro" in averages else None,
        }
    )
    print()
    columns = ("", *(arm.arm for arm in found.arms), *(("training",) if found.training else ()))
    show.print_table(columns, _lines(found) if len(columns) > 1 else (), empty="no predictions with labels yet")
    if found.windows:
        print()
        _print_days(found)
    if not any(arm.labelled for arm in found.arms):
        say(f"next: headgate feedback {found.model} LABELS.jsonl sends back what turned out to be true")


def feedback(
    context: typer.Context,
    *,
    name: Name,
    file: Annotated[str, typer.Argument(metavar="FILE", help="Labels as .jsonl or .csv; - for stdin.")],
    form: Annotated[Form | None, typer.Option("--format", help="What it is, where its name does not tell.")] = None,
    output: Output = Format.TABLE,
) -> None:
    """Send back what turned out to be true of predictions; exit code 1 where a label was refused.

    Each line has request_id and label, and may have row (else 0) and observed_at. The last label of a row counts, so
    sending again does no harm.
    """
    with open_client(context) as client, read_labels(file, form) as labels:
        found = client.feedback(name, labels)
    if output is Format.JSON:
        show.print_json(found)
    else:
        _print_result(name, found)
    if found.refused:
        raise typer.Exit(FAILED)


def _print_result(name: str, found: FeedbackResult) -> None:
    say(f"{found.accepted:,} labels accepted, {len(found.refused):,} refused")
    if found.refused:
        show.print_table(
            ("label no.", "code", "why"),
            [(one.index + 1, one.code, one.message) for one in found.refused[:_REFUSED_SHOWN]],
        )
        if len(found.refused) > _REFUSED_SHOWN:
            say(f"and {len(found.refused) - _REFUSED_SHOWN:,} more (all with --output json)")
    elif found.accepted:
        say(f"next: headgate quality {name}")


def _lines(found: QualityReport) -> list[list[object]]:
    known = {name for arm in found.arms for name in arm.metrics} | set(found.training)
    names = [*(name for name in _ORDER if name in known), *sorted(known - set(_ORDER))]
    last: list[object] = [None] if found.training else []
    lines: list[list[object]] = [
        ["labelled", *(_labelled(arm) for arm in found.arms), *last],
        ["rows", *(f"{arm.rows:,}" if arm.rows else None for arm in found.arms), *last],
        ["label delay", *(_delay(arm) for arm in found.arms), *last],
    ]
    for name in names:
        training = [_metric(found.training.get(name))] if found.training else []
        lines.append([name.replace("_", " "), *(_metric(arm.metrics.get(name)) for arm in found.arms), *training])
    return lines


def _labelled(arm: ArmQuality) -> str:
    share = "" if arm.coverage_ratio is None else f" ({percent(arm.coverage_ratio)})"
    return f"{arm.labelled:,} of {arm.predictions:,} requests{share}"


def _delay(arm: ArmQuality) -> str | None:
    usual, late = arm.delay_seconds.get("p50"), arm.delay_seconds.get("p90")
    return None if usual is None or late is None else f"{_time(usual)}, p90 {_time(late)}"


def _time(seconds: float) -> str:
    return show.seconds(seconds) if seconds < 60 else show.period(seconds)


def _metric(value: float | None) -> str | None:
    return None if value is None else f"{value:.4g}"


def _print_days(found: QualityReport) -> None:
    key = "rmse" if found.task == "regression" else "accuracy"
    show.print_table(
        ("day (utc)", "arm", "rows", key),
        [
            ((one.since or "-")[:10], one.arm, f"{one.rows:,}", _metric(one.metrics.get(key)))
            for one in found.windows[:_DAYS_SHOWN]
        ],
    )
