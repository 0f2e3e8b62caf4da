"""What every change goes through: the snapshot's lock, the present state under it, and the new revision.

A transaction that changes what nodes see calls ``lock`` first and ``stamp`` last. The lock is the row of
``headgate_snapshot`` (on SQLite the file's own write lock, which ``Database.write`` takes), held until the commit: so
revisions are given in commit order, and a reader who saw revision n can never find a change stamped n or less later.
The same lock is why a promotion and a retirement of one version cannot both win.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update

from registry import lifecycle
from registry.adapters.sql import tables
from registry.adapters.sql.rows import plan_column, plan_revision, version_record
from registry.errors import NotFound
from registry.plans import PlanRevision
from registry.records import AliasName, ModelName, VersionNumber, VersionRecord


def lock(connection: Connection) -> None:
    """Wait until no other transaction changes what nodes see."""
    connection.execute(select(tables.snapshot.c.revision).with_for_update())


def stamp(connection: Connection, model: ModelName, **columns: object) -> None:
    """Give the model the next snapshot revision, and the values in ``columns``."""
    connection.execute(update(tables.snapshot).values(revision=tables.snapshot.c.revision + 1))
    newest = select(tables.snapshot.c.revision).scalar_subquery()
    connection.execute(update(tables.models).where(tables.models.c.name == model).values(changed=newest, **columns))


def present_model(connection: Connection, model: ModelName) -> Row[Any] | None:
    """Return the row of a model that exists."""
    query = select(tables.models).where(tables.models.c.name == model, ~tables.models.c.removed)
    return connection.execute(query).one_or_none()


def require_model(connection: Connection, model: ModelName) -> Row[Any]:
    """Return the row of a model; raise NotFound ``unknown_model``."""
    row = present_model(connection, model)
    if row is None:
        raise NotFound("unknown_model", f"there is no model {model}; register a version of it first")
    return row


def find_version(connection: Connection, model: ModelName, version: VersionNumber) -> VersionRecord | None:
    """Return the record of a version, or None."""
    at = tables.versions.c
    query = select(tables.versions).where(at.model == model, at.number == int(version))
    row = connection.execute(query).one_or_none()
    return None if row is None else version_record(row)


def require_ready(connection: Connection, model: ModelName, version: VersionNumber) -> VersionRecord:
    """Return the record of a version that may answer requests; raise NotFound or Conflict where it may not."""
    record = find_version(connection, model, version)
    existing = _newest_numbers(connection, model) if record is None else ()
    return lifecycle.require_ready(model, version, record, existing=existing)


def _newest_numbers(connection: Connection, model: ModelName) -> list[VersionNumber]:
    """Return the numbers of the ten newest versions."""
    at = tables.versions.c
    query = select(at.number).where(at.model == model).order_by(at.number.desc()).limit(10)
    return [VersionNumber(str(number)) for number in connection.scalars(query)]


def users_of(
    connection: Connection, model: ModelName, version: VersionNumber
) -> tuple[PlanRevision | None, Sequence[AliasName]]:
    """Return the plan in force if it names the version, and the aliases that do."""
    journal, named = tables.plans.c, tables.aliases.c
    newest = (
        select(tables.plans)
        .join(
            tables.models, (tables.models.c.name == journal.model) & (tables.models.c.plan_revision == journal.revision)
        )
        .where(journal.model == model)
    )
    row = connection.execute(newest).one_or_none()
    line = None if row is None else plan_revision(row)
    planned = line if line is not None and line.plan is not None and version in line.plan.versions else None
    query = select(named.alias).where(named.model == model, named.version == int(version)).order_by(named.alias)
    return planned, [AliasName(alias) for alias in connection.scalars(query)]


def append_plan(connection: Connection, line: PlanRevision) -> None:
    """Write a line of the journal and make it the one in force."""
    connection.execute(
        insert(tables.plans).values(
            model=line.model,
            revision=line.revision,
            plan=plan_column(line.plan),
            who=line.who,
            why=line.why,
            at_ms=line.at_ms,
        )
    )
    stamp(connection, line.model, plan_revision=line.revision)
