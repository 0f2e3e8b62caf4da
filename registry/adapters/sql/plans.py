"""The journal of plans, on SQL tables."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sqlalchemy import Connection, select

from registry.adapters.sql import changes, tables
from registry.adapters.sql.database import Database
from registry.adapters.sql.rows import below, plan_revision
from registry.errors import Conflict
from registry.plans import Plan, PlanRevision
from registry.records import ModelName, VersionNumber, VersionRecord
from registry.traffic.fitness import require_fit, require_sound

_AT = tables.plans.c


class SqlPlans:
    """The ``Plans`` port."""

    def __init__(self, database: Database, clock: Callable[[], int]) -> None:
        self._database = database
        self._clock = clock

    def current(self, model: ModelName) -> PlanRevision | None:
        """See ``Plans.current``."""
        found = self.history(model, 1, 0)
        return found[0] if found else None

    def append(self, model: ModelName, expected: int, plan: Plan | None, who: str, why: str) -> PlanRevision:
        """See ``Plans.append``."""
        if plan is not None:
            require_sound(plan)
        line = PlanRevision(model, expected + 1, plan, who, why, self._clock())
        return self._database.write(lambda connection: append_line(connection, line))

    def history(self, model: ModelName, limit: int, before: int) -> Sequence[PlanRevision]:
        """See ``Plans.history``."""
        query = (
            select(tables.plans)
            .where(_AT.model == model, _AT.revision < below(before))
            .order_by(_AT.revision.desc())
            .limit(max(limit, 0))
        )
        return self._database.read(lambda connection: [plan_revision(row) for row in connection.execute(query)])


def append_line(connection: Connection, line: PlanRevision) -> PlanRevision:
    """Append a line of the journal within a transaction that may change more than that."""
    changes.lock(connection)
    present = changes.require_model(connection, line.model).plan_revision
    if line.revision != present + 1:
        raise Conflict(
            "revision_conflict",
            f"the plan of {line.model} is at revision {present}, not {line.revision - 1}; look, then decide again",
            {"revision": present},
        )
    if line.plan is not None:
        require_fit(line.model, line.plan, _ready(connection, line.model, line.plan))
    # Under the lock nobody else can be here; the primary key (model, revision) is the last line of defence.
    changes.append_plan(connection, line)
    return line


def _ready(connection: Connection, model: ModelName, plan: Plan) -> dict[VersionNumber, VersionRecord]:
    """Return the records of the plan's versions, all ready."""
    return {version: changes.require_ready(connection, model, version) for version in sorted(plan.versions, key=int)}
