"""``headgate nodes`` and ``headgate traffic shadow``: what serving nodes have told the registry."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import typer

from headgate.cli import show
from headgate.cli.session import Format, Output, open_client
from headgate.errors import NotFound
from headgate.nodes import Node, OutputComparison, ShadowComparison
from headgate.plans import Traffic

nodes = typer.Typer(help="Serving nodes: list them.", no_args_is_help=True)

_MOST_PAIRS = 10


@nodes.command("list", epilog="Example: headgate nodes list")
def list_nodes(context: typer.Context, output: Output = Format.TABLE) -> None:
    """List the serving nodes that the registry has heard of in the last hour."""
    with open_client(context) as client:
        found = client.nodes()
    if output is Format.JSON:
        show.print_json(found)
        return
    show.print_table(
        ("node", "heard of", "state", "loaded", "memory", "waits for"),
        [
            (n.node, show.ago(n.age_seconds), "lost" if n.lost else "here", _loaded(n), _memory(n), _held(n))
            for n in found
        ],
        empty="no node has reported yet",
    )


def shadow(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="The model's name.")],
    version: Annotated[str, typer.Argument(help="The shadow's number.")],
    output: Output = Format.TABLE,
) -> None:
    """Show how a shadow compares with who answers, and whether it would have been a good canary."""
    with open_client(context) as client:
        found = client.shadow_comparison(name, version)
        if not (found.requests or found.outcomes):
            _require_shadow(client.traffic(name), found.version)
    if output is Format.JSON:
        show.print_json(found)
        return
    show.print_facts(dict(_facts(found)))
    if found.outputs:
        print()
        show.print_table(
            ("output", "compared", "differ", "by, p50", "p99", "most", "relative, p50", "p99"),
            [_output_row(output_name, one) for output_name, one in found.outputs.items()],
        )
    for output_name, one in found.outputs.items():
        pairs = [pair for pair in one.agreement if pair.primary != pair.shadow]
        if pairs:
            print(f"\n{output_name or 'answers'}: where they disagree most")
            show.print_table(
                ("primary", "shadow", "times"), [(p.primary, p.shadow, p.count) for p in pairs[:_MOST_PAIRS]]
            )


def _require_shadow(traffic: Traffic, version: str) -> None:
    """Raise NotFound where a version that was never compared is no shadow either, so that nothing will come."""
    shadows = [] if traffic.plan is None else [shadow.version for shadow in traffic.plan.shadows]
    said = f": {', '.join(shadows)}" if shadows else " none"
    if version not in shadows:
        raise NotFound(
            f"version {version} is no shadow of {traffic.model}; it has{said}; "
            f"`headgate traffic set {traffic.model} --shadow {version}` makes it one"
        )


def _facts(found: ShadowComparison) -> Iterator[tuple[str, object]]:
    yield "model", found.model
    yield "shadow", found.version
    good = {True: "yes", False: "no", None: "nobody can say yet"}[found.good_canary]
    yield "good canary", f"{good}: {found.reason}" if found.reason else good
    yield "since", show.moment(found.since, zone=True)
    yield "requests", str(found.requests) if found.requests else "nothing counted yet"
    yield "copies", found.outcomes
    compared = found.outcomes.get("compared", 0)
    yield "differing", f"{found.differing} of {compared} ({found.differing / compared:.2%})" if compared else None
    for name, times in found.latency.items():
        yield f"{name} p50, p99", f"{show.seconds(times.p50)}, {show.seconds(times.p99)}"
    for name, one in found.evidence.items():
        yield name, None if one.evidence is None else f"evidence {one.evidence:.2f} of 1"
    yield "examples", f"{len(found.examples)} (with --output json)" if found.examples else None


def _output_row(name: str, one: OutputComparison) -> list[object]:
    differ = f"{one.differed} ({one.differed / one.compared:.2%})" if one.compared else "0"
    absolute, relative = one.absolute, one.relative
    numbers = [_number(value) for value in (absolute.p50, absolute.p99, absolute.max, relative.p50, relative.p99)]
    return [name or "answers", one.compared, differ, *numbers]


def _number(value: float | None) -> str | None:
    return None if value is None else f"{value:.3g}"


def _loaded(node: Node) -> list[str]:
    return [f"{v.model} {v.version}" + ("" if v.state == "ready" else f" ({v.state})") for v in node.versions]


def _memory(node: Node) -> str | None:
    return show.size(sum(v.memory_bytes for v in node.versions)) if node.versions else None


def _held(node: Node) -> list[str]:
    return [f"{held.model} {' and '.join(held.awaits)}" for held in node.held]
