"""``headgate promote``, ``rollback`` and ``traffic``: who answers, and how a change arrives."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import typer

from headgate.cli import plans, show
from headgate.cli.replanned import going_on, tell
from headgate.cli.session import Format, Output, open_client, read_text, say
from headgate.nodes import NodeTraffic
from headgate.plans import Plan, Traffic

traffic = typer.Typer(
    help="The plan of a model: show, set or clear it, its journal, where it has arrived.", no_args_is_help=True
)

Name = Annotated[str, typer.Argument(help="The model's name.")]
Version = Annotated[str, typer.Argument(help="The version's number.")]
Expect = Annotated[
    int | None, typer.Option("--expect", min=0, metavar="REVISION", help="Only if the plan still has this revision.")
]
Warm = Annotated[
    bool | None,
    typer.Option("--warm/--no-warm", help="Have nodes load it ahead and keep it; else as in the plan before."),
]
Instances = Annotated[
    int | None,
    typer.Option(
        "--instances", min=1, max=64, metavar="1..64", help="Processes of it on a node; else as in the plan before."
    ),
]

Stable = Annotated[str | None, typer.Option("--stable", metavar="VERSION", help="Answers what nothing else claims.")]
CanaryOption = Annotated[
    str | None, typer.Option("--canary", metavar="CANARY", help="VERSION=SHARE: answers a share, as 4=10%.")
]
Shadows = Annotated[
    list[str] | None,
    typer.Option("--shadow", metavar="SHADOW", help="VERSION or VERSION=SAMPLE: gets copies, as 5=25%. Repeatable."),
]
Rules = Annotated[
    list[str] | None,
    typer.Option("--rule", metavar="RULE", help="Sends a header's value to a version, as x-tenant=beta:4. Repeatable."),
]
Sticky = Annotated[
    str | None, typer.Option("--sticky", metavar="HEADER", help="The header whose value stays on one arm.")
]
Note = Annotated[str | None, typer.Option("--note", help="Why, for the journal.")]
Allow = Annotated[
    bool, typer.Option("--allow-incompatible", help="Versions may refuse some of what stable's callers send.")
]
Forbid = Annotated[bool, typer.Option("--no-allow-incompatible", help="They may not any more.")]
_CHANGES = (
    "--stable 3, --canary 4=10%, --shadow 5=25%, --rule x-tenant=beta:4, --sticky HEADER, --warm, "
    "--instances 2, --allow-incompatible, --clear-canary, --clear-shadows, --clear-rules or --clear-sticky; or a "
    "whole plan with --file"
)
WholePlan = Annotated[
    str | None, typer.Option("--file", "-f", help="A whole plan as JSON, - for stdin; takes no other part.")
]


def promote(  # noqa: PLR0913 - Typer reads options off parameters
    context: typer.Context,
    *,
    name: Name,
    version: Version,
    note: Annotated[str, typer.Option("--note", help="Why, for the journal.")] = "",
    warm: Warm = None,
    instances: Instances = None,
    expect: Expect = None,
    output: Output = Format.TABLE,
) -> None:
    """Make a version that is ready the stable one, and take the canary away.

    Rules, other shadows, stickiness, warmth and instances of the plan stay; `traffic set --replace --stable VERSION`
    leaves nothing else. A rollout that goes on ends by this.
    """
    with open_client(context) as client:
        seen, ending = client.traffic(name), going_on(client, name)
        expected = seen.revision if expect is None else expect
        found = client.promote(name, version, note=note, warm=warm, instances=instances, expect=expected)
    tell(seen, found, ending, output)


def rollback(
    context: typer.Context,
    name: Name,
    revision: Annotated[
        int | None, typer.Option("--revision", min=1, help="Back to the plan of this revision.")
    ] = None,
    output: Output = Format.TABLE,
) -> None:
    """Go back to the plan before, or to that of a revision. A rollout that goes on ends by this."""
    with open_client(context) as client:
        seen, ending = client.traffic(name), going_on(client, name)
        found = client.rollback(name, revision=revision)
    tell(seen, found, ending, output)


traffic.command("rollback", epilog="Example: headgate traffic rollback churn --revision 3")(rollback)


@traffic.command("show", epilog="Example: headgate traffic show churn")
def show_traffic(context: typer.Context, name: Name, output: Output = Format.TABLE) -> None:
    """Show the plan in force."""
    with open_client(context) as client:
        found = client.traffic(name)
    _print(found, output)


@traffic.command("set", epilog="Example: headgate traffic set churn --canary 4=10% --note 'try the new features'")
def set_traffic(  # noqa: PLR0913 - Typer reads options off parameters
    context: typer.Context,
    *,
    name: Name,
    stable: Stable = None,
    canary: CanaryOption = None,
    shadow: Shadows = None,
    rule: Rules = None,
    sticky: Sticky = None,
    note: Note = None,
    warm: Annotated[bool, typer.Option("--warm", help="Have nodes load all versions ahead, and keep them.")] = False,
    no_warm: Annotated[bool, typer.Option("--no-warm", help="They load when asked for, again.")] = False,
    instances: Instances = None,
    allow: Allow = False,
    forbid: Forbid = False,
    clear_canary: Annotated[bool, typer.Option("--clear-canary", help="Without a canary.")] = False,
    clear_shadows: Annotated[bool, typer.Option("--clear-shadows", help="Without the present shadows.")] = False,
    clear_rules: Annotated[bool, typer.Option("--clear-rules", help="Without the present rules.")] = False,
    clear_sticky: Annotated[bool, typer.Option("--clear-sticky", help="Back to x-headgate-key.")] = False,
    whole: Annotated[bool, typer.Option("--replace", help="The options are the whole plan.")] = False,
    file: WholePlan = None,
    expect: Expect = None,
    output: Output = Format.TABLE,
) -> None:
    """Change what is named of a model's plan, and nothing else; if nobody changed it meanwhile.

    A rollout that goes on ends by this.
    """
    given = {"canary": clear_canary, "shadows": clear_shadows, "rules": clear_rules, "sticky": clear_sticky}
    change = plans.Change(
        stable,
        canary,
        tuple(shadow or ()),
        tuple(rule or ()),
        sticky,
        note,
        _yes_or_no("--warm", "--no-warm", yes=warm, no=no_warm),
        instances,
        _yes_or_no("--allow-incompatible", "--no-allow-incompatible", yes=allow, no=forbid),
        cleared=frozenset(part for part, wanted in given.items() if wanted),
    )
    if file is None and change.empty:
        raise typer.BadParameter(f"say what to change: {_CHANGES}")
    if file is not None and not change.empty:
        raise typer.BadParameter("--file is a whole plan, so give no other part of one beside it", param_hint="--file")
    plans.require_consistent(change)
    asked = None if file is None else plans.plan_from_document(read_text(file))
    with open_client(context) as client:
        seen = client.traffic(name)
        wanted = plans.changed(None if whole else seen.plan, change, name) if asked is None else asked
        if asked is not None and note is not None:
            wanted = replace(wanted, note=note)
        ending = None
        if expect in (None, seen.revision) and _says_nothing_new(seen.plan, wanted):
            say(f"{name}: the plan says so already (revision {seen.revision})")
            found = seen
        else:
            ending = going_on(client, name)
            found = client.set_traffic(name, wanted, expect=seen.revision if expect is None else expect)
    tell(seen, found, ending, output)


@traffic.command("clear", epilog="Example: headgate traffic clear churn")
def clear_traffic(context: typer.Context, name: Name, expect: Expect = None, output: Output = Format.TABLE) -> None:
    """Take all traffic away: only versions and aliases that are named answer then. A rollout ends by this."""
    with open_client(context) as client:
        seen, ending = client.traffic(name), going_on(client, name)
        found = seen
        if seen.plan is not None or expect is not None:
            found = client.clear_traffic(name, expect=seen.revision if expect is None else expect)
    if found is seen:
        say(f"{name}: nobody has traffic already")
    tell(seen, found, ending, output)


@traffic.command("history", epilog="Example: headgate traffic history churn")
def show_history(
    context: typer.Context,
    name: Name,
    limit: Annotated[int, typer.Option("--limit", min=1, help="At most so many.")] = 100,
    output: Output = Format.TABLE,
) -> None:
    """Show the journal of plans, newest first: who, when, what, why."""
    with open_client(context) as client:
        found = client.history(name, limit=limit)
    if output is Format.JSON:
        show.print_json([revision.to_json() for revision in found])
    else:
        show.print_table(
            ("revision", "stable", "beside it", "who", "at (utc)", "note", "why"),
            [(t.revision, t.stable, _beside(t.plan), t.who, show.moment(t.at), t.note, t.why) for t in found],
            empty="no plan yet",
        )
    if found and found[-1].revision > 1:
        say(f"older ones: headgate traffic history {name} --limit {found[0].revision}")


@traffic.command("status", epilog="Example: headgate traffic status churn")
def show_status(context: typer.Context, name: Name, output: Output = Format.TABLE) -> None:
    """Show where the plan in force has arrived, node by node."""
    with open_client(context) as client:
        found = client.traffic_status(name)
    if output is Format.JSON:
        plan = None if found.plan is None else found.plan.to_json()
        head = {"model": found.model, "revision": found.revision, "plan": plan, "arrived": found.arrived}
        show.print_json({**head, "nodes": found.nodes})
        return
    show.print_facts({"model": found.model, "revision": found.revision, **plans.parts(found.plan)})
    print(f"\narrived on {found.arrived} of {len(found.nodes)} nodes\n")
    show.print_table(
        ("node", "heard of", "plan", "in force", "awaits", "versions"),
        [_node_row(node) for node in found.nodes],
        empty="no node has reported yet",
    )


def _yes_or_no(yes_option: str, no_option: str, *, yes: bool, no: bool) -> bool | None:
    """Return what two options say that are each other's contrary: two, since a pair of them is cut in narrow help."""
    if yes and no:
        raise typer.BadParameter(f"{yes_option} and {no_option} contradict each other; say one of them")
    return yes or (False if no else None)


def _node_row(node: NodeTraffic) -> list[object]:
    state = "lost" if node.lost else "arrived" if node.arrived else "on its way"
    return [node.node, show.ago(node.age_seconds), state, node.in_force, node.awaits, node.versions]


def _says_nothing_new(before: Plan | None, after: Plan) -> bool:
    return before is not None and not after.note and replace(before, note="") == after


def _beside(plan: Plan | None) -> str | None:
    """Return what a plan names besides the stable version, shortly."""
    if plan is None or not (plan.canary or plan.shadows or plan.rules):
        return None
    said = [f"canary {plans.at_share(plan.canary)}"] if plan.canary else []
    said += [f"shadow {shadow.version} at {plans.percent(shadow.sample)}" for shadow in plan.shadows]
    said += [f"rule {rule.header}={rule.equals} to {rule.version}" for rule in plan.rules]
    return ", ".join(said)


def _print(found: Traffic, output: Format) -> None:
    if output is Format.JSON:
        show.print_json(found.to_json())
        return
    said = plans.parts(found.plan)
    show.print_facts(
        {
            "model": found.model,
            "stable": said.pop("stable"),
            **said,
            "revision": found.revision or "none yet",
            "note": found.note,
            "who": found.who,
            "at": show.moment(found.at, zone=True),
        }
    )
