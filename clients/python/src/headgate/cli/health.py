"""``headgate status`` and ``headgate doctor``: how the platform is, and what keeps us from it."""

from __future__ import annotations

import datetime as dt
import importlib.metadata
import os
from collections.abc import Mapping

import typer

from headgate.cli import checks, plans, show
from headgate.cli.replanned import going_on
from headgate.cli.session import FAILED, USAGE, Format, Output, open_client
from headgate.errors import BadSettings
from headgate.records import Model, ProcessStatus, Status
from headgate.rollouts import Rollout


def status(context: typer.Context, output: Output = Format.TABLE) -> None:
    """Show both processes, all models, and where their traffic goes; exit code 1 unless both are ready."""
    with open_client(context) as client:
        found = client.status()
        # Only a plan with a canary can be a rollout's, so nobody else is asked for one.
        going = {m.name: going_on(client, m.name) for m in found.models if m.plan is not None and m.plan.canary}
    if output is Format.JSON:
        show.print_json(found)
    else:
        show.print_table(
            ("process", "url", "state", "detail"),
            [(p.name, p.url, _state(p), p.detail) for p in (found.registry, found.serving)],
        )
        if found.registry.reachable and found.registry.kind in (None, found.registry.name):
            print()
            show.print_table(
                ("model", "versions", "traffic", "revision", "serving", "aliases"),
                [
                    (m.name, show.counted(m), _traffic(m, going), m.revision or None, _in_step(m, found), m.aliases)
                    for m in found.models
                ],
                empty="no models",
            )
    if not (found.registry.ready and found.serving.ready):
        raise typer.Exit(FAILED)


def _traffic(model: Model, going: Mapping[str, Rollout | None]) -> str | None:
    said, rollout = plans.in_short(model.plan), going.get(model.name)
    return said if rollout is None else f"{said}; rollout of {rollout.version} {rollout.state}"


def doctor(context: typer.Context, output: Output = Format.TABLE) -> None:
    """Check settings, variables, connections, clocks and versions, with advice; exit code 1 if anything failed."""
    findings: list[checks.Finding] = [checks.check_variables(os.environ)]
    code = 0
    try:
        findings += _connected(context)
    except BadSettings as error:
        findings.append(checks.Finding("settings", checks.FAILURE, error.message, "correct it, then run this again"))
        code = USAGE
    if output is Format.JSON:
        show.print_json(findings)
    else:
        show.print_table(
            ("check", "verdict", "found", "advice"), [(f.check, f.verdict, f.found, f.advice) for f in findings]
        )
    if code or any(f.verdict == checks.FAILURE for f in findings):
        raise typer.Exit(code or FAILED)


def _connected(context: typer.Context) -> list[checks.Finding]:
    with open_client(context) as client:
        settings = client.settings
        found = client.status()
    now = dt.datetime.now(dt.UTC)
    return [
        checks.check_settings(settings),
        checks.check_proxies(os.environ, settings),
        checks.check_process(found.registry),
        checks.check_process(found.serving),
        checks.check_clock((found.registry, found.serving), now),
        checks.check_mlflow(_installed("mlflow"), os.environ, settings),
        checks.check_in_step(found),
    ]


def _installed(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def _state(process: ProcessStatus) -> str:
    if process.kind not in (None, process.name):
        return "wrong"
    return "ready" if process.ready else "not ready" if process.reachable else "down"


def _in_step(model: Model, status: Status) -> str | None:
    if not model.revision or not status.serving.reachable:
        return None
    served = status.served.get(model.name, 0)
    return "in step" if served == model.revision else f"at revision {served}"
