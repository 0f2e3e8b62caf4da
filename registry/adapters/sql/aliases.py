"""Movable names and their journals, on SQL tables."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from sqlalchemy import Connection, delete, insert, select, update

from registry.adapters.sql import changes, tables
from registry.adapters.sql.database import Database
from registry.adapters.sql.rows import alias_change, alias_columns, below, number_or_none
from registry.aliases import AliasChange, AliasRecord
from registry.lifecycle import require_revision
from registry.records import AliasName, ModelName, VersionNumber

_AT = tables.aliases.c


class SqlAliases:
    """The ``Aliases`` port."""

    def __init__(self, database: Database, clock: Callable[[], int]) -> None:
        self._database = database
        self._clock = clock

    def all(self, model: ModelName) -> Sequence[AliasRecord]:
        """See ``Aliases.all``."""
        query = select(tables.aliases).where(_AT.model == model).order_by(_AT.alias)
        return self._database.read(
            lambda connection: [
                AliasRecord(AliasName(row.alias), number_or_none(row.version), number_or_none(row.mirrored))
                for row in connection.execute(query)
            ]
        )

    def current(self, model: ModelName, alias: AliasName) -> AliasChange | None:
        """See ``Aliases.current``."""
        return self._database.read(lambda connection: _newest(connection, model, alias))

    def history(self, model: ModelName, alias: AliasName, limit: int, before: int) -> Sequence[AliasChange]:
        """See ``Aliases.history``."""
        return self._database.read(lambda connection: _history(connection, (model, alias), limit, before))

    def set(
        self,
        model: ModelName,
        alias: AliasName,
        version: VersionNumber | None,
        *,
        who: str,
        why: str = "",
        expected: int | None = None,
    ) -> AliasChange | None:
        """See ``Aliases.set``."""
        wanted = AliasChange(model, alias, 0, version, who, why, self._clock())
        return self._database.write(lambda connection: _set(connection, wanted, expected))

    def put_back(self, model: ModelName, alias: AliasName, *, who: str, why: str) -> AliasChange | None:
        """See ``Aliases.put_back``."""
        line = AliasChange(model, alias, 0, None, who, why, self._clock())
        return self._database.write(lambda connection: _put_back(connection, line))

    def note_mirrored(self, model: ModelName, alias: AliasName, version: VersionNumber | None) -> None:
        """See ``Aliases.note_mirrored``."""
        self._database.write(lambda connection: _note_mirrored(connection, model, alias, version))


def _history(connection: Connection, which: tuple[ModelName, AliasName], limit: int, before: int) -> list[AliasChange]:
    at = tables.alias_changes.c
    query = (
        select(tables.alias_changes)
        .where(at.model == which[0], at.alias == which[1], at.revision < below(before))
        .order_by(at.revision.desc())
        .limit(max(limit, 0))
    )
    return [alias_change(row) for row in connection.execute(query)]


def _newest(connection: Connection, model: ModelName, alias: AliasName) -> AliasChange | None:
    found = _history(connection, (model, alias), 1, 0)
    return found[0] if found else None


def _set(connection: Connection, wanted: AliasChange, expected: int | None) -> AliasChange | None:
    changes.lock(connection)
    model, alias, version = wanted.model, wanted.alias, wanted.version
    changes.require_model(connection, model)
    newest = _newest(connection, model, alias)
    require_revision(wanted, newest, expected)
    if version is not None:
        changes.require_ready(connection, model, version)
    here = (_AT.model == model) & (_AT.alias == alias)
    row = connection.execute(select(_AT.version).where(here)).one_or_none()
    if number_or_none(row.version if row is not None else None) == version:
        return newest  # also: removing what is not there
    number = None if version is None else int(version)
    if row is None:
        connection.execute(insert(tables.aliases).values(model=model, alias=alias, version=number, mirrored=None))
    else:
        # A removed alias keeps its row until MLflow is known to have forgotten it: were the row gone, MLflow's alias
        # would look like one that somebody had just made there.
        connection.execute(update(tables.aliases).where(here).values(version=number))
    line = _append(connection, wanted, newest)
    changes.stamp(connection, model)
    return line


def _append(connection: Connection, line: AliasChange, newest: AliasChange | None) -> AliasChange:
    line = replace(line, revision=newest.revision + 1 if newest is not None else 1)
    connection.execute(insert(tables.alias_changes).values(**alias_columns(line)))
    return line


def _put_back(connection: Connection, line: AliasChange) -> AliasChange | None:
    # No node sees this, so there is no new snapshot; the lock keeps the journal in order.
    changes.lock(connection)
    here = (_AT.model == line.model) & (_AT.alias == line.alias)
    row = connection.execute(select(_AT.version).where(here)).one_or_none()
    if row is None:
        return None
    line = replace(line, version=number_or_none(row.version))
    return _append(connection, line, _newest(connection, line.model, line.alias))


def end_journals(connection: Connection, model: ModelName, who: str, why: str, at_ms: int) -> None:
    """Remove all aliases of a model that is going, with a last line in the journal of each that names a version."""
    named = connection.scalars(select(_AT.alias).where(_AT.model == model, _AT.version.is_not(None))).all()
    for alias in named:
        line = AliasChange(model, AliasName(alias), 0, None, who, why, at_ms)
        _append(connection, line, _newest(connection, model, line.alias))
    connection.execute(delete(tables.aliases).where(_AT.model == model))


def _note_mirrored(connection: Connection, model: ModelName, alias: AliasName, version: VersionNumber | None) -> None:
    # No node sees this, so there is no revision; the lock keeps it in order with `set` and `remove`.
    changes.lock(connection)
    if changes.present_model(connection, model) is None:
        return
    here = (_AT.model == model) & (_AT.alias == alias)
    row = connection.execute(select(_AT.version).where(here)).one_or_none()
    number = None if version is None else int(version)
    if row is None:
        if number is not None:
            connection.execute(insert(tables.aliases).values(model=model, alias=alias, version=None, mirrored=number))
    elif row.version is None and number is None:
        connection.execute(delete(tables.aliases).where(here))
    else:
        connection.execute(update(tables.aliases).where(here).values(mirrored=number))
