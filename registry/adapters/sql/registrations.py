"""Idempotency keys, on SQL tables."""

from __future__ import annotations

from sqlalchemy import ColumnElement, Connection, insert, select, update

from registry.adapters.sql import tables
from registry.adapters.sql.database import Database
from registry.adapters.sql.rows import number_or_none, text_key
from registry.errors import Conflict, NotFound
from registry.intake import Registration
from registry.records import ModelName, VersionNumber

_AT = tables.registrations.c


class SqlRegistrations:
    """The ``Registrations`` port."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def begin(self, registration: Registration) -> Registration:
        """See ``Registrations.begin``."""
        return self._database.write(lambda connection: _begin(connection, registration))

    def complete(self, model: ModelName, key: str, version: VersionNumber) -> None:
        """See ``Registrations.complete``."""
        self._database.write(lambda connection: _complete(connection, model, key, version))


def _here(model: ModelName, key: str) -> ColumnElement[bool]:
    return (_AT.model == model) & (_AT.key_sha256 == text_key(key))


def _begin(connection: Connection, asked: Registration) -> Registration:
    row = connection.execute(select(tables.registrations).where(_here(asked.model, asked.key))).one_or_none()
    if row is not None:
        return Registration(asked.model, asked.key, row.fingerprint, number_or_none(row.version))
    # Where another transaction inserts the same key at this moment, this one fails on the primary key and
    # `Database.write` runs it again, which then finds the other's row.
    connection.execute(
        insert(tables.registrations).values(
            model=asked.model,
            key_sha256=text_key(asked.key),
            key=asked.key,
            fingerprint=asked.fingerprint,
            version=None if asked.version is None else int(asked.version),
        )
    )
    return asked


def _complete(connection: Connection, model: ModelName, key: str, version: VersionNumber) -> None:
    here = _here(model, key)
    noted = connection.execute(
        update(tables.registrations).where(here, _AT.version.is_(None)).values(version=int(version))
    )
    if noted.rowcount:
        return
    row = connection.execute(select(_AT.version).where(here)).one_or_none()
    if row is None:
        raise NotFound("not_found", f"no registration of {model} was begun with this key")
    if row.version != int(version):
        raise Conflict("already_exists", f"this key already stands for {model} version {row.version}, not {version}")
