"""Which baseline each version has, on SQL tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Row, delete, exists, insert, select, update

from registry.adapters.sql import changes, tables
from registry.adapters.sql.database import Database
from registry.adapters.sql.rows import checks_column, version_record
from registry.baselines import Origin, outranks
from registry.monitoring.ports import BASELINE_CHECK, BaselineRecord
from registry.records import Check, Digest, ModelName, VersionNumber, VersionRecord, VersionState

_AT = tables.baselines.c


class SqlBaselines:
    """The ``Baselines`` port."""

    def __init__(self, database: Database, clock: Callable[[], int]) -> None:
        self._database = database
        self._clock = clock

    def put(
        self, model: ModelName, version: VersionNumber, digest: Digest, origin: Origin, rows: int
    ) -> BaselineRecord:
        """See ``Baselines.put``."""
        record = BaselineRecord(model, version, digest, origin, rows, self._clock())
        return self._database.write(lambda connection: _put(connection, record))

    def get(self, model: ModelName, version: VersionNumber) -> BaselineRecord | None:
        """See ``Baselines.get``."""
        return self._database.read(lambda connection: _get(connection, model, version))

    def of_model(self, model: ModelName) -> Mapping[VersionNumber, BaselineRecord]:
        """See ``Baselines.of_model``."""
        query = select(tables.baselines).where(_AT.model == model).order_by(_AT.version)
        found = self._database.read(lambda connection: [baseline_record(row) for row in connection.execute(query)])
        return {record.version: record for record in found}

    def unlooked(self, limit: int) -> Sequence[VersionRecord]:
        """See ``Baselines.unlooked``."""
        at = tables.versions.c
        # Names stand in the JSON of checks as they do nowhere inside of a text there, whose quotes are escaped.
        looked = at.checks.contains(f'["{BASELINE_CHECK}", "', autoescape=True)
        query = (
            select(tables.versions)
            .where(at.state == VersionState.READY.value, ~looked)
            .where(~exists().where(_AT.model == at.model, _AT.version == at.number))
            .order_by(at.created_ms, at.model, at.number)
            .limit(max(limit, 0))
        )
        return self._database.read(lambda connection: [version_record(row) for row in connection.execute(query)])

    def note(self, model: ModelName, version: VersionNumber, check: Check) -> None:
        """See ``Baselines.note``."""
        self._database.write(lambda connection: _note(connection, model, version, check))


def forget(connection: Connection, model: ModelName, version: VersionNumber | None = None) -> None:
    """Forget the baseline of a version that goes, or of all versions of a model."""
    of_model = delete(tables.baselines).where(_AT.model == model)
    connection.execute(of_model if version is None else of_model.where(_AT.version == int(version)))


def _put(connection: Connection, record: BaselineRecord) -> BaselineRecord:
    changes.lock(connection)
    changes.require_ready(connection, record.model, record.version)
    present = _get(connection, record.model, record.version)
    if present is not None and not outranks(record.origin, present.origin):
        return present
    if present is not None and (present.digest, present.origin) == (record.digest, record.origin):
        return present
    values = {
        "digest": record.digest,
        "origin": record.origin.value,
        "rows": record.rows,
        "at_ms": record.at_ms,
    }
    if present is None:
        new = insert(tables.baselines).values(model=record.model, version=int(record.version), **values)
        connection.execute(new)
    else:
        mine = (_AT.model == record.model) & (_AT.version == int(record.version))
        connection.execute(update(tables.baselines).where(mine).values(**values))
    changes.stamp(connection, record.model)
    return record


def _get(connection: Connection, model: ModelName, version: VersionNumber) -> BaselineRecord | None:
    query = select(tables.baselines).where(_AT.model == model, _AT.version == int(version))
    row = connection.execute(query).one_or_none()
    return None if row is None else baseline_record(row)


def _note(connection: Connection, model: ModelName, version: VersionNumber, check: Check) -> None:
    changes.lock(connection)
    found = changes.find_version(connection, model, version)
    if found is None:
        return
    checks = [*(one for one in found.checks if one.name != check.name), check]
    at = tables.versions.c
    mine = (at.model == model) & (at.number == int(version))
    connection.execute(update(tables.versions).where(mine).values(checks=checks_column(checks)))


def baseline_record(row: Row[Any]) -> BaselineRecord:
    """Return a row of ``headgate_baselines`` as a record."""
    return BaselineRecord(
        model=ModelName(row.model),
        version=VersionNumber(str(row.version)),
        digest=Digest(row.digest),
        origin=Origin(row.origin),
        rows=row.rows,
        at_ms=row.at_ms,
    )
