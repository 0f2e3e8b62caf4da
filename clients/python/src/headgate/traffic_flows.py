"""Verbs of traffic, as flows: a model's plan, its journal, where it has arrived, and how a shadow compares. No I/O.

A plan is replaced only by somebody who has seen the present one. A conflict is raised, never retried: somebody else
decided, and only the caller knows whether that changes anything.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from headgate import answers, requests
from headgate.errors import HeadgateError, NotFound, RevisionConflict
from headgate.flows import ask, until_served
from headgate.names import quoted, version_number
from headgate.nodes import Node, ShadowComparison, TrafficStatus
from headgate.plans import Plan, Traffic
from headgate.wire import Flow, Request

NO_PLAN = Plan("1")
"""What a first plan takes its settings from."""
_PAGE = 1000
"""How many lines of a journal are asked for at once, which is as many as the platform gives."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Who shall be stable. What is None stays as it is in the plan that is replaced."""

    version: str | int
    note: str = ""
    warm: bool | None = None
    instances: int | None = None


def traffic(name: str) -> Flow[Traffic]:
    """Return the plan in force; revision 0 where there never was one."""
    try:
        answer = yield from ask(requests.get_traffic(name))
    except NotFound as error:
        if error.code != "no_plan":
            raise
        return Traffic(name, 0)
    return answers.read_as(answer, Traffic.from_json)


def history(name: str, limit: int | None = None) -> Flow[list[Traffic]]:
    """Return the journal of plans, newest first, page after page: down to the first revision unless ``limit`` is
    given."""
    found: list[Traffic] = []
    while limit is None or len(found) < limit:
        size = _PAGE if limit is None else min(_PAGE, limit - len(found))
        answer = yield from ask(requests.get_history(name, found[-1].revision if found else 0, size))
        page = answers.read_as(answer, lambda raw: [Traffic.from_json(item) for item in raw["revisions"]])
        found += page
        if not page or page[-1].revision <= 1:
            break
    return found


def promote(name: str, wanted: Wanted, expect: int | None = None) -> Flow[Traffic]:
    """Make a version stable and take the canary away, if the plan is still the one that was seen; the rest stays."""
    seen = yield from traffic(name)
    plan = promoted(seen.plan or NO_PLAN, wanted)
    return (yield from set_traffic(name, plan, seen.revision if expect is None else expect))


def promoted(before: Plan, wanted: Wanted) -> Plan:
    """Return the plan in which a version is stable, as at the end of a rollout: rules, other shadows and settings stay.

    Who is stable is nobody's canary and needs no copies of what it answers itself.
    """
    version = version_number(wanted.version)
    return replace(
        before,
        stable=version,
        canary=None,
        shadows=tuple(shadow for shadow in before.shadows if shadow.version != version),
        note=wanted.note,
        warm=before.warm if wanted.warm is None else wanted.warm,
        instances=before.instances if wanted.instances is None else wanted.instances,
    )


def set_traffic(name: str, plan: Plan, expect: int | None = None) -> Flow[Traffic]:
    """Replace the whole plan, if it is still the one that was seen."""
    if expect is None:
        expect = (yield from traffic(name)).revision
    return (yield from _replanned(name, requests.put_traffic(name, plan, expect)))


def rollback(name: str, revision: int | None = None) -> Flow[Traffic]:
    """Go back to the plan before, or to the plan of ``revision``; that makes a new revision."""
    try:
        return (yield from _replanned(name, requests.post_rollback(name, revision)))
    except NotFound as error:
        if error.code != "no_plan":
            raise
        raise NotFound(
            f"{name} has no plan yet, so nothing to go back to; promote a version first",
            code=error.code,
            details=error.details,
            request_id=error.request_id,
        ) from error


def clear_traffic(name: str, expect: int | None = None) -> Flow[Traffic]:
    """Take all traffic away, if the plan is still the one that was seen; where nobody has any, change nothing."""
    if expect is None:
        seen = yield from traffic(name)
        if seen.plan is None:
            return seen
        expect = seen.revision
    return (yield from _replanned(name, requests.delete_traffic(name, expect)))


def traffic_status(name: str) -> Flow[TrafficStatus]:
    """Return where the plan in force has arrived, node by node."""
    answer = yield from ask(requests.get_traffic_status(name))
    return answers.read_as(answer, TrafficStatus.from_json)


def shadow(name: str, number: str | int) -> Flow[ShadowComparison]:
    """Return how a shadow did beside whoever answered."""
    answer = yield from ask(requests.get_shadow(name, number))
    return answers.read_as(answer, ShadowComparison.from_json)


def nodes() -> Flow[list[Node]]:
    """Return the serving nodes that the registry has heard of."""
    answer = yield from ask(requests.get_nodes())
    return answers.read_as(answer, lambda raw: [Node.from_json(node) for node in raw["nodes"]])


def _replanned(name: str, request: Request) -> Flow[Traffic]:
    try:
        answer = yield from ask(request)
    except RevisionConflict as error:
        raise (yield from _with_who(name, error)) from error
    found = answers.read_as(answer, Traffic.from_json)
    yield from until_served(requests.served_model(name), lambda raw: bool(raw["revision"] >= found.revision))
    return found


def _with_who(name: str, error: RevisionConflict) -> Flow[RevisionConflict]:
    """Return the conflict with who changed the plan and what to do; the error as it was where that cannot be had."""
    try:
        present = yield from traffic(name)
    except HeadgateError:
        return error
    if not (present.who and present.at):
        return error
    why = f" ({quoted(present.why, 120)})" if present.why else ""
    return RevisionConflict(
        f"the plan of {name} is at revision {present.revision} now, made by {present.who} at {present.at}{why}; "
        f"nothing of yours was changed: look at `headgate traffic show {name}`, then decide again",
        code=error.code,
        details={"revision": present.revision, **error.details},
        request_id=error.request_id,
    )
