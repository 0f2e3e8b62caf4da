"""The legal moves of a version. Pure.

    pending ──► checking ──► ready ──► retired
                   │  ▲        │
                   │  └────────┤ (admit again)
                   ▼           │
               rejected ◄──────┘
                   │
                   └──► checking (admit again) · retired

A crash while checking leaves the version ``checking``; its claim runs out and it is checked again from the start, which
is why every step of admission is idempotent.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from registry.aliases import AliasChange
from registry.errors import Conflict, NotFound
from registry.plans import Plan, PlanRevision
from registry.records import AliasName, ModelName, VersionNumber, VersionRecord, VersionState

_MOVES: dict[VersionState, frozenset[VersionState]] = {
    VersionState.PENDING: frozenset({VersionState.CHECKING, VersionState.RETIRED}),
    VersionState.CHECKING: frozenset(
        {VersionState.CHECKING, VersionState.READY, VersionState.REJECTED, VersionState.RETIRED}
    ),
    VersionState.READY: frozenset({VersionState.CHECKING, VersionState.REJECTED, VersionState.RETIRED}),
    VersionState.REJECTED: frozenset({VersionState.CHECKING, VersionState.RETIRED}),
    VersionState.RETIRED: frozenset(),
}


def may_move(before: VersionState, after: VersionState) -> bool:
    """Tell whether the arrow from ``before`` to ``after`` is drawn above."""
    return after in _MOVES[before]


def require_move(before: VersionState, after: VersionState) -> None:
    """Raise Conflict ``not_ready`` unless the move is legal."""
    if not may_move(before, after):
        legal = ", ".join(sorted(_MOVES[before])) or "nothing else"
        raise Conflict("not_ready", f"a {before} version cannot become {after}; it can become {legal}")


def require_ready(
    model: ModelName, version: VersionNumber, record: VersionRecord | None, *, existing: Sequence[VersionNumber]
) -> VersionRecord:
    """Return ``record``, which is ``version`` of ``model``; raise unless it may answer requests.

    NotFound ``unknown_version`` where it is None; ``existing`` are the model's newest versions, which the message
    lists.
    """
    if record is None:
        known = sorted(existing, key=int)[-10:]
        has = f"it has {', '.join(known)}" if known else "it has none"
        raise NotFound("unknown_version", f"{model} has no version {version}; {has}", {"versions": known})
    if record.state is VersionState.READY:
        return record
    why = {
        VersionState.PENDING: "its checks have not begun; wait until it is ready",
        VersionState.CHECKING: "its checks are running; wait until it is ready",
        VersionState.REJECTED: record.reason or "its checks failed",
        VersionState.RETIRED: "name a version that is ready",
    }[record.state]
    raise Conflict(
        "not_ready",
        f"{model} version {version} is {record.state}: {why}",
        {"version": version, "state": record.state.value},
    )


def require_revision(wanted: AliasChange, newest: AliasChange | None, expected: int | None) -> None:
    """Raise Conflict ``revision_conflict`` where ``expected`` is given and is not the alias's newest revision."""
    present = newest.revision if newest is not None else 0
    if expected is not None and expected != present:
        raise Conflict(
            "revision_conflict",
            f"the alias {wanted.alias} of {wanted.model} is at revision {present}, not {expected}; "
            "look, then decide again",
            {"revision": present},
        )


def require_unused(
    model: ModelName, version: VersionNumber, *, planned: PlanRevision | None, aliases: Sequence[AliasName]
) -> None:
    """Raise Conflict ``in_use`` where the plan in force (``planned``) or an alias names the version."""
    roles = planned.plan.roles(version) if planned is not None and planned.plan is not None else ()
    users = [f"the plan in force (revision {planned.revision}) as {' and '.join(roles)}"] if planned and roles else []
    users += [f"the alias {alias}" for alias in aliases]
    if users:
        raise Conflict(
            "in_use",
            f"{model} version {version} is named by {' and '.join(users)}; give its place to another version first",
            {
                "plan_revision": planned.revision if planned and roles else None,
                "as": list(roles),
                "aliases": list(aliases),
            },
        )


def require_idle(model: ModelName, plan: Plan | None, aliases: Iterable[AliasName]) -> None:
    """Raise Conflict ``in_use`` where the model has a plan in force or an alias."""
    if plan is not None:
        raise Conflict(
            "in_use", f"{model} has traffic on version {plan.stable}; take that away first (headgate traffic clear)"
        )
    named = ", ".join(sorted(aliases))
    if named:
        raise Conflict("in_use", f"{model} has aliases ({named}); remove them first")
