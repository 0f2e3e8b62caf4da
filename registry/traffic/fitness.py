"""Whether a plan may be made: sound in itself, and fit for its versions. Pure.

What callers of the stable version send must be acceptable to every version that the plan names: the canary and the
rules would refuse them otherwise, and a shadow's refusals would say nothing of it. Not here: whether the versions are
ready (``lifecycle.py``), and the rules of acceptance (``acceptance.py``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from itertools import islice

from registry.errors import Conflict, InvalidRequest, quote
from registry.plans import WHOLE, Plan
from registry.records import ModelName, VersionNumber, VersionRecord
from registry.signature import Signature, parse_signature
from registry.traffic.acceptance import Misfit, misfits

_NAMED, _LISTED = 3, 8


def share_of(value: float, path: str) -> int:
    """Return a share, 0 to 1, in ten-thousandths; ``path`` names it in messages.

    Raises InvalidRequest ``invalid_input`` where it is not finite, out of range, or no whole number of ten-thousandths
    (after what floating point adds, as in 0.1 + 0.2).
    """
    scaled = value * WHOLE if -1 <= value <= 2 else -1.0  # NaN compares with nothing
    share = round(scaled)
    if not 0 <= value <= 1 or abs(scaled - share) > 1e-9 or (share == 0) != (value == 0):
        raise InvalidRequest(
            "invalid_input",
            f"{path}: {quote(f'{value:g}')} is no share; write a fraction from 0 to 1 in steps of 0.0001, "
            "such as 0.1 for 10 %",
            {"path": path, "expected": "0 to 1 in steps of 0.0001", "got": quote(f"{value:g}")},
        )
    return share


def require_sound(plan: Plan) -> None:
    """Raise InvalidRequest ``invalid_argument`` where the plan contradicts itself."""
    if plan.canary is not None and plan.canary.version == plan.stable:
        raise _contradiction("canary.version", f"version {plan.stable} is stable already; name another, or no canary")
    shadowed = Counter(shadow.version for shadow in plan.shadows)
    if plan.stable in shadowed:
        raise _contradiction("shadows", f"version {plan.stable} is stable, so it cannot be its own shadow")
    twice = next((version for version, count in shadowed.items() if count > 1), None)
    if twice is not None:
        raise _contradiction("shadows", f"version {twice} is named twice; name each shadow once")
    rules = Counter((rule.header, rule.equals) for rule in plan.rules)
    again = next((rule for rule, count in rules.items() if count > 1), None)
    if again is not None:
        raise _contradiction("rules", f"two rules look for one value of {again[0]}, so the second never decides")


def _contradiction(path: str, message: str) -> InvalidRequest:
    return InvalidRequest("invalid_argument", f"{path}: {message}", {"path": path})


def require_fit(model: ModelName, plan: Plan, records: Mapping[VersionNumber, VersionRecord]) -> None:
    """Raise Conflict ``incompatible_signature`` where a version refuses something that callers of the stable one send.

    Nothing is raised where the plan insists (``allow_incompatible``). ``records`` has every version that it names.
    """
    if plan.allow_incompatible:
        return
    for version in sorted(plan.versions - {plan.stable}, key=int):
        found = _misfits(records[plan.stable], records[version])
        if found:
            raise _incompatible(model, plan, version, found)


def _misfits(stable: VersionRecord, other: VersionRecord) -> list[Misfit]:
    if other.sealed is None or stable.sealed is None:
        return []
    try:
        if stable.sealed.signature == other.sealed.signature:
            return []
        callers, version = _signature(stable), _signature(other)
        return list(islice(misfits(callers, version), _LISTED))
    except (ValueError, TypeError, AttributeError, RecursionError):  # damaged deep inside: nobody can enforce it either
        return [Misfit("inputs", "what cannot be told", "what cannot be told: a signature is damaged")]


def _signature(record: VersionRecord) -> Signature:
    return parse_signature(record.sealed.signature if record.sealed is not None else None)


def _incompatible(model: ModelName, plan: Plan, version: VersionNumber, found: list[Misfit]) -> Conflict:
    named = "; ".join(str(misfit) for misfit in found[:_NAMED])
    more = "; and more" if len(found) > _NAMED else ""
    listed = [{"column": quote(m.place), "expected": m.expected, "got": m.got} for m in found]
    return Conflict(
        "incompatible_signature",
        f"{model} version {version} ({', '.join(plan.roles(version))}) does not take all that callers of version "
        f'{plan.stable} send: {named}{more}. "allow_incompatible": true insists',
        {"version": version, **listed[0], "misfits": listed},
    )
