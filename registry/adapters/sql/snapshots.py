"""What nodes are told, from SQL tables."""

from __future__ import annotations

from sqlalchemy import ColumnElement, Connection, select

from registry.adapters.sql import tables
from registry.adapters.sql.database import Database
from registry.adapters.sql.rows import plan_from, servable_version
from registry.records import AliasName, ModelName, VersionNumber, VersionState
from registry.snapshots import ModelSnapshot, ServableVersion, SnapshotPage, as_planned

_MODEL = tables.models.c


class SqlSnapshots:
    """The ``Snapshots`` port."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def revision(self) -> int:
        """See ``Snapshots.revision``."""
        return self._database.read(_revision)

    def changed(self, model: ModelName) -> int:
        """See ``Snapshots.changed``."""
        query = select(_MODEL.changed).where(_MODEL.name == model)
        return self._database.read(lambda connection: connection.scalar(query)) or 0

    def page(self, since: int) -> SnapshotPage:
        """See ``Snapshots.page``."""
        return self._database.read(lambda connection: _page(connection, since))


def _revision(connection: Connection) -> int:
    return int(connection.execute(select(tables.snapshot.c.revision)).scalar_one())


def _page(connection: Connection, since: int) -> SnapshotPage:
    revision = _revision(connection)
    full = since <= 0 or since > revision
    if since == revision and not full:
        return SnapshotPage(revision, full=False, models=())
    # Four queries, whatever the number of models; `Database.read` shows them all one moment.
    changed = _MODEL.changed > (0 if full else since)
    removed = (
        []
        if full
        else connection.scalars(select(_MODEL.name).where(changed, _MODEL.removed).order_by(_MODEL.name)).all()
    )
    models = _models(connection, changed & ~_MODEL.removed)
    return SnapshotPage(revision, full=full, models=tuple(models), removed=tuple(removed))


def _models(connection: Connection, chosen: ColumnElement[bool]) -> list[ModelSnapshot]:
    versions = _versions(connection, chosen)
    others = _others(connection, chosen)
    aliases = _aliases(connection, chosen)
    journal = tables.plans.c
    in_force = (journal.model == _MODEL.name) & (journal.revision == _MODEL.plan_revision)
    query = (
        select(_MODEL.name, _MODEL.plan_revision, journal.plan)
        .outerjoin(tables.plans, in_force)
        .where(chosen)
        .order_by(_MODEL.name)
    )
    return [
        ModelSnapshot(
            name=ModelName(row.name),
            plan=(plan := plan_from(row.plan)),
            plan_revision=row.plan_revision,
            aliases=(named := aliases.get(row.name, {})),
            versions=as_planned(versions.get(row.name, {}), plan, set(named.values())),
            others=others.get(row.name, {}),
        )
        for row in connection.execute(query)
    ]


def _number(number: int) -> VersionNumber:
    return VersionNumber(str(number))


def _versions(connection: Connection, chosen: ColumnElement[bool]) -> dict[str, dict[VersionNumber, ServableVersion]]:
    at, of = tables.versions.c, tables.baselines.c
    query = (
        select(tables.versions, of.digest.label("baseline"))
        .join(tables.models, at.model == _MODEL.name)
        .outerjoin(tables.baselines, (of.model == at.model) & (of.version == at.number))
        .where(chosen, at.state == VersionState.READY.value)
        .order_by(at.model, at.number)
    )
    found: dict[str, dict[VersionNumber, ServableVersion]] = {}
    for row in connection.execute(query):
        found.setdefault(row.model, {})[_number(row.number)] = servable_version(row)
    return found


def _others(connection: Connection, chosen: ColumnElement[bool]) -> dict[str, dict[VersionNumber, str]]:
    at = tables.versions.c
    query = (
        select(at.model, at.number, at.state)
        .join(tables.models, at.model == _MODEL.name)
        .where(chosen, at.state != VersionState.READY.value)
        .order_by(at.model, at.number)
    )
    found: dict[str, dict[VersionNumber, str]] = {}
    for row in connection.execute(query):
        found.setdefault(row.model, {})[_number(row.number)] = row.state
    return found


def _aliases(connection: Connection, chosen: ColumnElement[bool]) -> dict[str, dict[AliasName, VersionNumber]]:
    at = tables.aliases.c
    query = (
        select(at.model, at.alias, at.version)
        .join(tables.models, at.model == _MODEL.name)
        .where(chosen, at.version.is_not(None))
        .order_by(at.model, at.alias)
    )
    found: dict[str, dict[AliasName, VersionNumber]] = {}
    for row in connection.execute(query):
        found.setdefault(row.model, {})[AliasName(row.alias)] = _number(row.version)
    return found
