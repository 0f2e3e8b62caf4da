"""Movable names, on SQL tables."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, delete, insert, select, update

from registry.adapters.sql import changes, tables
from registry.adapters.sql.database import Database
from registry.adapters.sql.rows import number_or_none
from registry.lifecycle import require_ready
from registry.ports import AliasRecord
from registry.records import AliasName, ModelName, VersionNumber

_AT = tables.aliases.c


class SqlAliases:
    """The ``Aliases`` port."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def all(self, model: ModelName) -> Sequence[AliasRecord]:
        """See ``Aliases.all``."""
        query = select(tables.aliases).where(_AT.model == model).order_by(_AT.alias)
        return self._database.read(
            lambda connection: [
                AliasRecord(AliasName(row.alias), number_or_none(row.version), number_or_none(row.mirrored))
                for row in connection.execute(query)
            ]
        )

    def set(self, model: ModelName, alias: AliasName, version: VersionNumber | None) -> None:
        """See ``Aliases.set``."""
        self._database.write(lambda connection: _set(connection, model, alias, version))

    def note_mirrored(self, model: ModelName, alias: AliasName, version: VersionNumber | None) -> None:
        """See ``Aliases.note_mirrored``."""
        self._database.write(lambda connection: _note_mirrored(connection, model, alias, version))


def _set(connection: Connection, model: ModelName, alias: AliasName, version: VersionNumber | None) -> None:
    changes.lock(connection)
    changes.require_model(connection, model)
    if version is not None:
        record = changes.find_version(connection, model, version)
        existing = changes.newest_numbers(connection, model) if record is None else ()
        require_ready(model, version, record, existing=existing)
    here = (_AT.model == model) & (_AT.alias == alias)
    row = connection.execute(select(_AT.version).where(here)).one_or_none()
    if number_or_none(row.version if row is not None else None) == version:
        return  # also: removing what is not there
    number = None if version is None else int(version)
    if row is None:
        connection.execute(insert(tables.aliases).values(model=model, alias=alias, version=number, mirrored=None))
    else:
        # A removed alias keeps its row until MLflow is known to have forgotten it: were the row gone, MLflow's alias
        # would look like one that somebody had just made there.
        connection.execute(update(tables.aliases).where(here).values(version=number))
    changes.stamp(connection, model)


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
