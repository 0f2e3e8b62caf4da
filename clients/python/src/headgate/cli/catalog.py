"""``headgate models`` and ``headgate versions``: what the registry keeps."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping
from typing import Annotated

import typer

from headgate.cli import plans, show
from headgate.cli.session import Format, ListByDefault, Output, Patience, open_client, printable, say
from headgate.client import Client
from headgate.errors import HeadgateError
from headgate.names import model_name, version_number
from headgate.records import Model, Served, Version

models = typer.Typer(help="Models: list them, show one.")
versions = typer.Typer(
    cls=ListByDefault,
    help="Versions of a model: list them; show, admit, retire or delete one.",
    no_args_is_help=True,
)

Name = Annotated[str, typer.Argument(help="The model's name.")]
Number = Annotated[str, typer.Argument(metavar="VERSION", help="Its number.")]
Limit = Annotated[int, typer.Option("--limit", min=1, help="At most so many.")]
_DEFAULT_LIMIT = 100


@models.callback(invoke_without_command=True, epilog="Example: headgate models")
def models_default(context: typer.Context, output: Output = Format.TABLE) -> None:
    """Models: list them, show one. Without a verb: list."""
    if context.invoked_subcommand is None:
        _list_models(context, "", _DEFAULT_LIMIT, output)


@models.command("list", epilog="Example: headgate models list --query churn --output json")
def list_models(
    context: typer.Context,
    query: Annotated[str, typer.Option("--query", "-q", help="Only names that contain this, in any case.")] = "",
    limit: Limit = _DEFAULT_LIMIT,
    output: Output = Format.TABLE,
) -> None:
    """List models with where their traffic goes."""
    _list_models(context, query, limit, output)


@models.command("show", epilog="Example: headgate models show churn")
def show_model(context: typer.Context, name: Name, output: Output = Format.TABLE) -> None:
    """Show one model: its plan, aliases and newest versions."""
    with open_client(context) as client:
        model = client.model(name)
    if output is Format.JSON:
        show.print_json(model)
        return
    show.print_facts(
        {
            "model": model.name,
            "traffic": plans.in_short(model.plan),
            "revision": model.revision or None,
            "aliases": model.aliases,
        }
    )
    print()
    _version_table(list(model.versions))


@versions.command("list", epilog="Example: headgate versions list churn")
def list_versions(
    context: typer.Context, name: Name, limit: Limit = _DEFAULT_LIMIT, output: Output = Format.TABLE
) -> None:
    """List a model's versions, newest first."""
    with open_client(context) as client:
        found = client.versions(name, limit=limit)
    if output is Format.JSON:
        show.print_json(found)
    else:
        _version_table(found)


@versions.command("show", epilog="Example: headgate versions show churn 3")
def show_version(context: typer.Context, name: Name, version: Number, output: Output = Format.TABLE) -> None:
    """Show one version: its state and why, its checks, signature, requirements and lineage; and how it is served."""
    with open_client(context) as client:
        found = client.version(name, version)
        served = _served(client, found)
    if output is Format.JSON:
        shown = dataclasses.asdict(found)
        show.print_json({**shown, "served": served if isinstance(served, Served) else None})
        return
    _print_version(found, output, _served_facts(served))
    if isinstance(served, Served) and served.last_output:
        print("\nwhat its process printed last:")
        for line in served.last_output:
            print(f"  {printable(line)}")


@versions.command("admit", epilog="Example: headgate versions admit churn 3")
def admit(
    context: typer.Context,
    *,
    name: Name,
    version: Number,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until the version is ready or rejected.")] = True,
    timeout: Patience = 120.0,
    output: Output = Format.TABLE,
) -> None:
    """Check a rejected version again, from the start."""
    with open_client(context) as client:
        found = client.admit(name, version, wait=wait, timeout=timeout)
    _print_version(found, output)


@versions.command("retire", epilog="Example: headgate versions retire churn 3")
def retire(context: typer.Context, name: Name, version: Number, output: Output = Format.TABLE) -> None:
    """Take a version out of service for good; its record stays."""
    with open_client(context) as client:
        found = client.retire(name, version)
    if output is Format.JSON:
        show.print_json(found)
    else:
        say(f"{found.model} version {found.version} is {found.state}")


@versions.command("delete", epilog="Example: headgate versions delete churn 3 --yes")
def delete(
    context: typer.Context,
    *,
    name: Name,
    version: Number,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    output: Output = Format.TABLE,
) -> None:
    """Retire a version and delete MLflow's record of it; asks first. Its number is never used again."""
    number = version_number(version)
    if not yes:
        if not sys.stdin.isatty():
            raise typer.BadParameter("nobody can be asked without a terminal; say --yes", param_hint="--yes")
        typer.confirm(f"Delete {model_name(name)} version {number} for good?", abort=True, err=True)
    with open_client(context) as client:
        client.delete_version(name, number)
    if output is Format.JSON:
        show.print_json({"model": name, "version": number, "deleted": True})
    else:
        say(f"{name} version {number} is deleted")


def _list_models(context: typer.Context, query: str, limit: int, output: Format) -> None:
    with open_client(context) as client:
        found = client.models(query, limit=limit)
    if output is Format.JSON:
        show.print_json(found)
        return
    show.print_table(
        ("model", "versions", "newest", "traffic", "aliases"),
        [(m.name, show.counted(m), _newest(m), plans.in_short(m.plan), m.aliases) for m in found],
        empty="no models yet; `headgate register ./model --name NAME` registers one",
    )


def _newest(model: Model) -> str | None:
    return f"{model.versions[0].version} {model.versions[0].state}" if model.versions else None


def _print_version(found: Version, output: Format, more: Mapping[str, object] | None = None) -> None:
    if output is Format.JSON:
        show.print_json(found)
        return
    show.print_facts({**_version_facts(found), **(more or {})})
    if found.checks:
        print()
        show.print_table(("check", "verdict", "reason"), [(c.name, c.verdict, c.reason) for c in found.checks])


def _served(client: Client, version: Version) -> Served | str | None:
    """Return where a ready version stands on the serving node, or why that cannot be had: it may be away."""
    if version.state != "ready":
        return None
    try:
        return client.served_version(version.model, version.version)
    except HeadgateError as error:
        return error.message


def _served_facts(served: Served | str | None) -> dict[str, object]:
    if served is None:
        return {}
    if isinstance(served, str):
        return {"on serving": f"unknown: {served}"}
    memory = show.size(served.memory_bytes) if served.memory_bytes else None
    return {"on serving": served.state, "why": served.reason, "crashes": served.crashes or None, "memory": memory}


def _version_table(found: list[Version]) -> None:
    show.print_table(
        ("version", "state", "traffic", "aliases", "flavours", "size", "created (utc)"),
        [_version_row(v) for v in found],
        empty="no versions",
    )
    if any(v.reason for v in found):
        print()  # below, since a sentence in a column of what is left of 80 is a tower of words
        show.print_facts({f"version {v.version}": v.reason for v in found})


def _version_row(v: Version) -> list[object]:
    return [v.version, v.state, v.traffic, v.aliases, _flavours(v), show.size(v.size), show.moment(v.created_at)]


def _flavours(v: Version) -> tuple[str, ...]:
    """Return what tells one model from another: every MLflow model has ``python_function`` beside its own flavour."""
    return tuple(name for name in v.flavors if name != "python_function") or v.flavors


def _version_facts(v: Version) -> dict[str, object]:
    signature = v.signature or {}
    unsigned = v.signature is None and v.digest is not None  # before it is sealed, nobody has looked
    return {
        "model": v.model,
        "version": v.version,
        "state": v.state,
        "reason": v.reason,
        "traffic": v.traffic,
        "aliases": v.aliases,
        "tier": v.tier,
        "runtime": v.runtime,
        "flavours": _flavours(v),
        "baseline": show.baseline(v.baseline),
        "digest": show.short_digest(v.digest),
        "size": show.size(v.size) if v.size is not None else None,
        "inputs": _schema(signature.get("inputs")) or ("none (no signature)" if unsigned else None),
        "outputs": _schema(signature.get("outputs")),
        "params": _schema(signature.get("params")),
        "python": v.python,
        "requirements": v.requirements,
        "run": v.run_id,
        "user": v.user,
        "created": show.moment(v.created_at, zone=True),
    }


def _schema(part: object) -> list[str]:
    if not isinstance(part, list):
        return []
    return [_field(item) for item in part if isinstance(item, dict)]


def _field(item: dict[str, object]) -> str:
    name, kind = item.get("name", "-"), item.get("type", "?")
    spec = item.get("tensor-spec")
    if isinstance(spec, dict):
        kind = f"{spec.get('dtype')}{spec.get('shape')}"
    return f"{name}: {kind}" + ("" if item.get("required", True) else " (optional)")
