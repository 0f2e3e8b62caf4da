"""Plans on the command line: options become a change of the present plan, and a plan becomes words. Pure.

Not here: asking the platform (``traffic.py``).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import typer

from headgate.errors import InvalidRequest
from headgate.names import model_name, quoted, version_number
from headgate.plans import KEY_HEADER, Canary, Plan, Rule, Shadow, read_share


@dataclass(frozen=True, slots=True)
class Change:
    """What the command line names of a plan; None and empty leave the present plan's alone.

    ``cleared`` has the parts (``canary shadows rules sticky``) that are taken out before anything is put in.
    """

    stable: str | None = None
    canary: str | None = None
    shadows: Sequence[str] = ()
    rules: Sequence[str] = ()
    sticky: str | None = None
    note: str | None = None
    warm: bool | None = None
    instances: int | None = None
    allow_incompatible: bool | None = None
    cleared: frozenset[str] = frozenset()

    @property
    def empty(self) -> bool:
        """Whether nothing is named at all, the note left out."""
        return replace(self, note=None) == Change()


def changed(before: Plan | None, change: Change, name: str) -> Plan:
    """Return the plan with the change in it; its note is the change's own.

    Raises typer.BadParameter where an option cannot be read, or where no plan and no ``--stable`` says who is stable.
    """
    if before is None and change.stable is None:
        hint = f"headgate traffic set {model_name(name)} --stable VERSION"
        raise typer.BadParameter(f"there is no plan to change, so say who is stable: {hint}", param_hint="--stable")
    plan = before or Plan(version_number(change.stable or ""))
    if change.stable is not None:
        plan = replace(plan, stable=version_number(change.stable))
    plan = _cleared(plan, change.cleared)
    if change.canary is not None:
        version, share = _weighted(change.canary, "--canary", None)
        plan = replace(plan, canary=Canary(version, share))
    shadows = [Shadow(*_weighted(text, "--shadow", 1.0)) for text in change.shadows]
    _require_once("--shadow", [shadow.version for shadow in shadows])
    for shadow in shadows:
        plan = _with_shadow(plan, shadow)
    rules = [_rule(text) for text in change.rules]
    _require_once("--rule", [f"{rule.header}={rule.equals}" for rule in rules])
    for rule in rules:
        plan = _with_rule(plan, rule)
    return replace(
        plan,
        sticky=plan.sticky if change.sticky is None else change.sticky.lower(),
        note=change.note or "",
        warm=plan.warm if change.warm is None else change.warm,
        instances=plan.instances if change.instances is None else change.instances,
        allow_incompatible=plan.allow_incompatible if change.allow_incompatible is None else change.allow_incompatible,
    )


def require_consistent(change: Change) -> None:
    """Raise typer.BadParameter where a part that there is one of is both taken out and put in."""
    for part, put_in in (("canary", change.canary), ("sticky", change.sticky)):
        if part in change.cleared and put_in is not None:
            raise typer.BadParameter(
                f"--clear-{part} takes it out and --{part} puts one in; say one of them", param_hint=f"--clear-{part}"
            )


def plan_from_document(text: str) -> Plan:
    """Return the plan that a JSON document has, bare or as ``traffic show --output json`` prints it.

    Raises typer.BadParameter where it is none, and where it has a field that no plan has.
    """
    document = read_object(text)
    if isinstance(document.get("plan"), Mapping):
        document = document["plan"]
    try:
        plan = Plan.from_json(document)
        known = plan.to_json()
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        reason = f"{quoted(error)} is missing" if isinstance(error, KeyError) else quoted(error)
        raise typer.BadParameter(f"this is no plan: {reason}", param_hint="--file") from error
    require_known(document, known, "a plan")
    return plan


def read_object(text: str) -> Mapping[str, Any]:
    """Return the JSON object that ``text`` is; raise typer.BadParameter where it is none."""
    try:
        document = json.loads(text, object_pairs_hook=_once, parse_constant=_no_constant, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        raise typer.BadParameter(f"this is not JSON: {quoted(error, 120)}", param_hint="--file") from error
    if not isinstance(document, dict):
        raise typer.BadParameter("this is JSON, but no object in braces", param_hint="--file")
    return document


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the pairs as a dict; one that is said twice is refused, since one of the two would be lost silently."""
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise typer.BadParameter(f"{quoted(key)} is there twice; say it once", param_hint="--file")
        found[key] = value
    return found


def _no_constant(name: str) -> Any:
    raise typer.BadParameter(f"{name} is no JSON number; write a finite one", param_hint="--file")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise typer.BadParameter(f"{quoted(text)} is too large for a number", param_hint="--file")
    return number


def require_known(document: Any, known: Any, what: str) -> None:
    """Raise typer.BadParameter where ``document`` has a field that did not make it into ``known``: a misspelt one."""
    if isinstance(document, Mapping) and isinstance(known, Mapping):
        for key, value in document.items():
            if key not in known:
                raise typer.BadParameter(
                    f"{what} has no field {quoted(key)} here; it has {', '.join(known)}", param_hint="--file"
                )
            require_known(value, known[key], what)
    elif isinstance(document, list) and isinstance(known, list):
        for item, other in zip(document, known, strict=False):
            require_known(item, other, what)


def parts(plan: Plan | None) -> dict[str, str]:
    """Return what a plan says, part by part, in words; the note and what is as usual are left out."""
    if plan is None:
        return {"stable": "nobody"}
    said = {"stable": plan.stable}
    if plan.canary is not None:
        said["canary"] = at_share(plan.canary)
    said |= {f"shadow {shadow.version}": percent(shadow.sample) for shadow in plan.shadows}
    said |= {f"rule {rule.header}={rule.equals}": f"to {rule.version}" for rule in plan.rules}
    if plan.sticky != KEY_HEADER:
        said["sticky"] = plan.sticky
    if plan.warm:
        said["warm"] = "yes"
    if plan.instances != 1:
        said["instances"] = str(plan.instances)
    if plan.allow_incompatible:
        said["incompatible"] = "allowed"
    return said


def differences(before: Plan | None, after: Plan | None) -> list[tuple[str, str | None, str | None]]:
    """Return what changed: the part, what it said, and what it says now, each None where it is not there."""
    old, new = parts(before), parts(after)
    rows = [(part, old.get(part), new.get(part)) for part in (*new, *(part for part in old if part not in new))]
    return [row for row in rows if row[1] != row[2]]


def at_share(canary: Canary) -> str:
    """Return a canary in words."""
    return f"{canary.version} at {percent(canary.share)}"


def in_short(plan: Plan | None) -> str | None:
    """Return who gets a model's traffic, on one line: ``1, canary 2 at 10 %, 1 shadow, 2 rules``; None without one."""
    if plan is None:
        return None
    said = [plan.stable] + ([f"canary {at_share(plan.canary)}"] if plan.canary else [])
    for count, what in ((len(plan.shadows), "shadow"), (len(plan.rules), "rule")):
        if count:
            said.append(f"{count} {what}" + ("s" if count > 1 else ""))
    return ", ".join(said)


def percent(share: float) -> str:
    """Return a share from 0 to 1 in percent, with as many decimals as it needs, at most two."""
    return f"{share * 100:.2f}".rstrip("0").rstrip(".") + " %"


def share_of(text: str, option: str) -> float:
    """Return a share that is written ``10%`` or ``0.1``; raise typer.BadParameter where it is none."""
    try:
        return read_share(text)
    except InvalidRequest as error:
        raise typer.BadParameter(error.message, param_hint=option) from error


def _require_once(option: str, named: Sequence[str]) -> None:
    """Raise typer.BadParameter where the command line names one thing twice: one of the two would be lost silently."""
    twice = next((name for name in named if named.count(name) > 1), None)
    if twice is not None:
        raise typer.BadParameter(f"{quoted(twice)} is named twice; name it once", param_hint=option)


def _cleared(plan: Plan, cleared: frozenset[str]) -> Plan:
    return replace(
        plan,
        canary=None if "canary" in cleared else plan.canary,
        shadows=() if "shadows" in cleared else plan.shadows,
        rules=() if "rules" in cleared else plan.rules,
        sticky=KEY_HEADER if "sticky" in cleared else plan.sticky,
    )


def _weighted(text: str, option: str, otherwise: float | None) -> tuple[str, float]:
    version, given, share = text.partition("=")
    if not version.strip():
        form = "VERSION=SHARE, as 4=10%" if otherwise is None else "VERSION or VERSION=SAMPLE, as 5=25%"
        raise typer.BadParameter(f"{quoted(text)} names no version: write {form}", param_hint=option)
    if not given and otherwise is None:
        raise typer.BadParameter(f"{quoted(text)} names no share: write it as 4=10%", param_hint=option)
    return version_number(version.strip()), share_of(share, option) if given else otherwise or 0.0


def _with_shadow(plan: Plan, shadow: Shadow) -> Plan:
    """Put a shadow in: in the place of the same version, else at the end."""
    if any(s.version == shadow.version for s in plan.shadows):
        return replace(plan, shadows=tuple(shadow if s.version == shadow.version else s for s in plan.shadows))
    return replace(plan, shadows=(*plan.shadows, shadow))


def _rule(text: str) -> Rule:
    header, has_header, rest = text.partition("=")
    equals, has_version, version = rest.rpartition(":")
    if not (has_header and has_version and header.strip() and version.strip()):
        raise typer.BadParameter(
            f"{quoted(text)} is no rule: write header=value:version, as x-tenant=beta:4", param_hint="--rule"
        )
    return Rule(header.strip().lower(), equals, version_number(version.strip()))


def _with_rule(plan: Plan, rule: Rule) -> Plan:
    """Put a rule in: in the place of the one for the same header and value, else at the end."""
    key = (rule.header, rule.equals)
    if any((r.header, r.equals) == key for r in plan.rules):
        return replace(plan, rules=tuple(rule if (r.header, r.equals) == key else r for r in plan.rules))
    return replace(plan, rules=(*plan.rules, rule))
