"""Models, on SQL tables."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, Subquery, delete, func, insert, select, update

from registry.adapters.sql import changes, feature_windows, tables
from registry.adapters.sql.aliases import end_journals
from registry.adapters.sql.baselines import baseline_record, forget
from registry.adapters.sql.database import Database
from registry.adapters.sql.rows import plan_revision, version_record
from registry.lifecycle import require_idle
from registry.monitoring.ports import BaselineRecord
from registry.plans import PlanRevision
from registry.ports import ModelSummary
from registry.records import AliasName, ModelName, VersionNumber, VersionRecord, VersionState

NEWEST = 5
REMOVED_BY = "mlflow"
REMOVED_WHY = "the model was deleted in MLflow"


class SqlModels:
    """The ``Models`` port."""

    def __init__(self, database: Database, clock: Callable[[], int]) -> None:
        self._database = database
        self._clock = clock

    def page(self, limit: int, after: str, query: str) -> Sequence[ModelSummary]:
        """See ``Models.page``."""
        if not (query.isascii() and query.isprintable()):
            return ()  # no name holds anything else
        at = tables.models.c
        chosen = select(tables.models).where(~at.removed, at.name > after).order_by(at.name).limit(max(limit, 0))
        if query:
            chosen = chosen.where(func.lower(at.name).contains(query.lower(), autoescape=True))
        return self._database.read(lambda connection: _summaries(connection, chosen))

    def get(self, model: ModelName) -> ModelSummary | None:
        """See ``Models.get``."""
        chosen = select(tables.models).where(tables.models.c.name == model, ~tables.models.c.removed)
        found = self._database.read(lambda connection: _summaries(connection, chosen))
        return found[0] if found else None

    def names(self) -> frozenset[str]:
        """See ``Models.names``."""
        query = select(tables.models.c.name).where(~tables.models.c.removed)
        return frozenset(self._database.read(lambda connection: connection.scalars(query).all()))

    def highest_number(self, model: ModelName) -> int:
        """See ``Models.highest_number``."""
        return self._database.read(lambda connection: _highest(connection, model))

    def remember_number(self, model: ModelName, number: int) -> None:
        """See ``Models.remember_number``."""
        self._database.write(lambda connection: _remember(connection, model, number))

    def retire_all(self, model: ModelName) -> None:
        """See ``Models.retire_all``."""
        self._database.write(lambda connection: _retire_all(connection, model))

    def remove(self, model: ModelName) -> None:
        """See ``Models.remove``."""
        self._database.write(lambda connection: self._remove(connection, model))

    def _remove(self, connection: Connection, model: ModelName) -> None:
        changes.lock(connection)
        row = changes.present_model(connection, model)
        if row is None:
            return
        end_journals(connection, model, REMOVED_BY, REMOVED_WHY, self._clock())
        _remember(connection, model, _highest(connection, model))
        feature_windows.forget(connection, model)
        forget(connection, model)
        connection.execute(delete(tables.predictions).where(tables.predictions.c.model == model))
        connection.execute(delete(tables.versions).where(tables.versions.c.model == model))
        # Keys of the versions that went: a client that repeats one registers anew instead of being told of nothing.
        connection.execute(delete(tables.registrations).where(tables.registrations.c.model == model))
        journal = tables.plans.c
        query = select(journal.plan).where(journal.model == model, journal.revision == row.plan_revision)
        if connection.scalar(query) is not None:
            # The journal stays, so it must end with no plan: a model of that name made later shall not inherit one.
            line = PlanRevision(model, row.plan_revision + 1, None, REMOVED_BY, REMOVED_WHY, self._clock())
            changes.append_plan(connection, line)
        changes.stamp(connection, model, removed=True, version_count=0)


def _retire_all(connection: Connection, model: ModelName) -> None:
    changes.lock(connection)
    found = _summaries(connection, select(tables.models).where(tables.models.c.name == model, ~tables.models.c.removed))
    if not found:
        return
    plan = found[0].plan
    require_idle(model, None if plan is None else plan.plan, found[0].aliases)
    at = tables.versions.c
    retired = connection.execute(
        update(tables.versions)
        .where(at.model == model, at.state != VersionState.RETIRED.value)
        .values(state=VersionState.RETIRED.value, claimed_until_ms=0)
    )
    if retired.rowcount:
        changes.stamp(connection, model)


def _highest(connection: Connection, model: ModelName) -> int:
    present = select(func.max(tables.versions.c.number)).where(tables.versions.c.model == model)
    remembered = select(tables.used_numbers.c.highest).where(tables.used_numbers.c.model == model)
    return max(connection.scalar(present) or 0, connection.scalar(remembered) or 0)


def _remember(connection: Connection, model: ModelName, number: int) -> None:
    changes.lock(connection)
    at = tables.used_numbers
    known = connection.scalar(select(at.c.highest).where(at.c.model == model))
    if known is None:
        connection.execute(insert(at).values(model=model, highest=number))
    elif known < number:
        connection.execute(update(at).where(at.c.model == model).values(highest=number))


def _summaries(connection: Connection, chosen: Select[Any]) -> list[ModelSummary]:
    """Return the chosen models with all that belongs to them, by five queries however many they are."""
    models = chosen.subquery()
    versions = _newest_versions(connection, models)
    baselines = _baselines(connection, models)
    aliases = _aliases(connection, models)
    plans = _plans(connection, models)
    return [
        ModelSummary(
            name=ModelName(row.name),
            versions=tuple(versions.get(row.name, ())),
            version_count=row.version_count,
            aliases=aliases.get(row.name, {}),
            plan=plans.get(row.name),
            baselines=baselines.get(row.name, {}),
        )
        for row in connection.execute(chosen)
    ]


def _newest_versions(connection: Connection, models: Subquery) -> dict[str, list[VersionRecord]]:
    at = tables.versions.c
    query = (
        select(tables.versions)
        .join(models, (at.model == models.c.name) & (at.number >= _oldest_shown(models)))
        .order_by(at.model, at.number.desc())
    )
    found: dict[str, list[VersionRecord]] = {}
    for row in connection.execute(query):
        found.setdefault(row.model, []).append(version_record(row))
    return found


def _oldest_shown(models: Subquery) -> ColumnElement[int]:
    """Return the number of the fifth newest: a step into the primary key's index, where ranking would read all."""
    inner = tables.versions.alias()
    fifth = (
        select(inner.c.number)
        .where(inner.c.model == models.c.name)
        .order_by(inner.c.number.desc())
        .limit(1)
        .offset(NEWEST - 1)
        .scalar_subquery()
    )
    return func.coalesce(fifth, 0)


def _baselines(connection: Connection, models: Subquery) -> dict[str, dict[VersionNumber, BaselineRecord]]:
    at = tables.baselines.c
    query = select(tables.baselines).join(models, (at.model == models.c.name) & (at.version >= _oldest_shown(models)))
    found: dict[str, dict[VersionNumber, BaselineRecord]] = {}
    for row in connection.execute(query):
        record = baseline_record(row)
        found.setdefault(row.model, {})[record.version] = record
    return found


def _aliases(connection: Connection, models: Subquery) -> dict[str, dict[AliasName, VersionNumber]]:
    at = tables.aliases.c
    query = (
        select(at.model, at.alias, at.version)
        .join(models, at.model == models.c.name)
        .where(at.version.is_not(None))
        .order_by(at.model, at.alias)
    )
    found: dict[str, dict[AliasName, VersionNumber]] = {}
    for row in connection.execute(query):
        found.setdefault(row.model, {})[AliasName(row.alias)] = VersionNumber(str(row.version))
    return found


def _plans(connection: Connection, models: Subquery) -> dict[str, PlanRevision]:
    at = tables.plans.c
    query = select(tables.plans).join(models, (at.model == models.c.name) & (at.revision == models.c.plan_revision))
    return {row.model: plan_revision(row) for row in connection.execute(query)}
