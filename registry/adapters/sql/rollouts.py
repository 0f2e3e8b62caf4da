"""Rollouts and their journals, on SQL tables. A record and the plan that belongs to it change in one transaction."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update

from registry.adapters.sql import changes, tables
from registry.adapters.sql.database import Database
from registry.adapters.sql.plans import append_line
from registry.errors import Conflict
from registry.plans import Plan, PlanRevision
from registry.records import ModelName, VersionNumber
from registry.traffic.actions import Hold, Wait
from registry.traffic.rollout import Rollout, RolloutEvent, RolloutState, plan_of, replans
from registry.traffic.spec import Spec

_AT = tables.rollouts.c


class SqlRollouts:
    """The ``Rollouts`` port."""

    def __init__(self, database: Database, clock: Callable[[], int]) -> None:
        self._database = database
        self._clock = clock

    def start(self, rollout: Rollout, event: RolloutEvent) -> None:
        """See ``Rollouts.start``."""
        self._database.write(lambda connection: _start(connection, rollout, event, self._clock()))

    def move(self, before: Rollout, after: Rollout, event: RolloutEvent) -> None:
        """See ``Rollouts.move``."""
        self._database.write(lambda connection: _move(connection, before, after, event, self._clock()))

    def active(self) -> Sequence[Rollout]:
        """See ``Rollouts.active``."""
        query = select(tables.rollouts).where(~_AT.ended).order_by(_AT.started_ms, _AT.id)
        return self._database.read(lambda connection: [_rollout(row) for row in connection.execute(query)])

    def get(self, model: ModelName, rollout_id: str) -> Rollout | None:
        """See ``Rollouts.get``."""
        query = select(tables.rollouts).where(_AT.model == model, _AT.id == rollout_id)
        row = self._database.read(lambda connection: connection.execute(query).one_or_none())
        return None if row is None else _rollout(row)

    def page(self, model: ModelName, limit: int) -> Sequence[Rollout]:
        """See ``Rollouts.page``."""
        newest_first = (_AT.started_ms.desc(), _AT.id.desc())
        query = select(tables.rollouts).where(_AT.model == model).order_by(*newest_first).limit(max(limit, 0))
        return self._database.read(lambda connection: [_rollout(row) for row in connection.execute(query)])

    def journal(self, rollout_id: str) -> Sequence[RolloutEvent]:
        """See ``Rollouts.journal``."""
        at = tables.rollout_events.c
        query = select(tables.rollout_events).where(at.rollout == rollout_id).order_by(at.number)
        return self._database.read(lambda connection: [_event(row) for row in connection.execute(query)])


def _start(connection: Connection, rollout: Rollout, event: RolloutEvent, now_ms: int) -> None:
    changes.lock(connection)
    present = connection.scalar(select(_AT.id).where(_AT.model == rollout.model, ~_AT.ended))
    if present is not None:
        raise Conflict(
            "already_exists",
            f"a rollout of {rollout.model} goes on; wait for its end, or promote or abort it",
            {"rollout": present},
        )
    append_line(connection, _line(rollout, event, now_ms))
    connection.execute(insert(tables.rollouts).values(id=rollout.id, model=rollout.model, **_columns(rollout)))
    _write_event(connection, rollout, event)


def _move(connection: Connection, before: Rollout, after: Rollout, event: RolloutEvent, now_ms: int) -> None:
    # The snapshot's lock comes first in every transaction that takes it, so that no two can wait for one another.
    if replans(before, after):
        changes.lock(connection)
    seen = (_AT.id == before.id) & (_AT.model == before.model) & (_AT.turn == before.turn)
    written = connection.execute(update(tables.rollouts).where(seen).values(**_columns(after)))
    if written.rowcount != 1:
        raise Conflict("revision_conflict", "somebody else moved this rollout first; look, then decide again")
    _write_event(connection, after, event)
    if replans(before, after):
        append_line(connection, _line(after, event, now_ms))


def _line(rollout: Rollout, event: RolloutEvent, now_ms: int) -> PlanRevision:
    return PlanRevision(rollout.model, rollout.plan_revision, plan_of(rollout), event.who, event.message, now_ms)


def _write_event(connection: Connection, rollout: Rollout, event: RolloutEvent) -> None:
    connection.execute(
        insert(tables.rollout_events).values(
            rollout=rollout.id,
            number=event.number,
            at_ms=event.at_ms,
            event=event.event,
            message=event.message,
            who=event.who,
            revision=event.revision,
            numbers=json.dumps(dict(event.numbers)),
        )
    )


def _columns(rollout: Rollout) -> dict[str, object]:
    return {
        "turn": rollout.turn,
        "ended": rollout.ended,
        "started_ms": rollout.started_ms,
        "record": json.dumps(_kept(rollout)),
    }


def _kept(rollout: Rollout) -> dict[str, Any]:
    """Return what is kept as one document: nobody asks the database about its parts."""
    hold = rollout.hold
    return {
        "version": rollout.version,
        "spec": rollout.spec.to_json(),
        "base": rollout.base.to_json(),
        "state": rollout.state.value,
        "step": rollout.step,
        "revisions": list(rollout.revisions),
        "plan_revision": rollout.plan_revision,
        "step_started_ms": rollout.step_started_ms,
        "ended_ms": rollout.ended_ms,
        "reason": rollout.reason,
        "hold": None if hold is None else {"wait": hold.wait.value, "message": hold.message},
        "released": rollout.released,
        "looked": rollout.looked,
        "paused_since_ms": rollout.paused_since_ms,
        "paused_ms": rollout.paused_ms,
        "step_paused_ms": rollout.step_paused_ms,
    }


def _rollout(row: Row[Any]) -> Rollout:
    kept = json.loads(row.record)
    hold = kept["hold"]
    return Rollout(
        id=row.id,
        model=ModelName(row.model),
        version=VersionNumber(kept["version"]),
        spec=Spec.from_json(kept["spec"]),
        base=Plan.from_json(kept["base"]),
        state=RolloutState(kept["state"]),
        step=kept["step"],
        revisions=tuple(kept["revisions"]),
        plan_revision=kept["plan_revision"],
        started_ms=row.started_ms,
        step_started_ms=kept["step_started_ms"],
        ended_ms=kept["ended_ms"],
        reason=kept["reason"],
        hold=None if hold is None else Hold(Wait(hold["wait"]), hold["message"]),
        released=kept["released"],
        looked=kept["looked"],
        paused_since_ms=kept["paused_since_ms"],
        paused_ms=kept["paused_ms"],
        step_paused_ms=kept["step_paused_ms"],
        turn=row.turn,
    )


def _event(row: Row[Any]) -> RolloutEvent:
    return RolloutEvent(
        number=row.number,
        at_ms=row.at_ms,
        event=row.event,
        message=row.message,
        who=row.who,
        revision=row.revision,
        numbers=json.loads(row.numbers),
    )
