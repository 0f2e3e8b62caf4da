"""The records of versions and their moves, on SQL tables."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, and_, insert, or_, select, update

from registry.adapters.sql import changes, tables
from registry.adapters.sql.baselines import forget
from registry.adapters.sql.database import Database
from registry.adapters.sql.rows import below, checks_column, sealed_columns, version_record
from registry.errors import Conflict, NotFound
from registry.lifecycle import require_move, require_unused
from registry.records import (
    CatalogVersion,
    Check,
    ModelName,
    Sealed,
    VersionNumber,
    VersionRecord,
    VersionState,
)

_AT = tables.versions.c


class SqlVersions:
    """The ``Versions`` port."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def observe(self, version: CatalogVersion) -> bool:
        """See ``Versions.observe``."""
        # Nearly every observation is of something known: it costs a read and no lock.
        if self._database.read(lambda connection: _created_ms(connection, version)) == version.created_ms:
            return False
        return self._database.write(lambda connection: _observe(connection, version))

    def get(self, model: ModelName, version: VersionNumber) -> VersionRecord | None:
        """See ``Versions.get``."""
        return self._database.read(lambda connection: changes.find_version(connection, model, version))

    def page(self, model: ModelName, limit: int, before: int) -> Sequence[VersionRecord]:
        """See ``Versions.page``."""
        query = (
            select(tables.versions)
            .where(_AT.model == model, _AT.number < below(before))
            .order_by(_AT.number.desc())
            .limit(max(limit, 0))
        )
        return self._database.read(lambda connection: [version_record(row) for row in connection.execute(query)])

    def claim(self, now_ms: int, until_ms: int) -> VersionRecord | None:
        """See ``Versions.claim``."""
        # Asked often and mostly in vain: look before taking the lock.
        if self._database.read(lambda connection: _next_in_queue(connection, now_ms)) is None:
            return None
        return self._database.write(lambda connection: _claim(connection, now_ms, until_ms))

    def renew(self, model: ModelName, version: VersionNumber, until_ms: int) -> None:
        """See ``Versions.renew``."""
        self._database.write(lambda connection: _renew(connection, model, version, until_ms))

    def settle(
        self,
        model: ModelName,
        version: VersionNumber,
        state: VersionState,
        checks: Sequence[Check],
        sealed: Sealed | None,
    ) -> None:
        """See ``Versions.settle``."""
        if state not in (VersionState.READY, VersionState.REJECTED, VersionState.CHECKING):
            raise ValueError(f"a check does not end in {state}; retire is a verb of its own")
        if state is VersionState.READY and sealed is None:
            raise ValueError("a version becomes ready with what was sealed")
        columns = {"state": state.value, "checks": checks_column(checks), **sealed_columns(sealed)}
        self._database.write(lambda connection: _settle(connection, model, version, columns))

    def retire(self, model: ModelName, version: VersionNumber) -> None:
        """See ``Versions.retire``."""
        self._database.write(lambda connection: _retire(connection, model, version))


def _created_ms(connection: Connection, version: CatalogVersion) -> int | None:
    query = select(_AT.created_ms).where(_AT.model == version.model, _AT.number == int(version.version))
    return connection.scalar(query)


def _observe(connection: Connection, version: CatalogVersion) -> bool:
    changes.lock(connection)
    model, number = version.model, int(version.version)
    known = connection.execute(select(tables.models.c.name).where(tables.models.c.name == model)).one_or_none()
    if known is None:
        connection.execute(
            insert(tables.models).values(name=model, changed=0, removed=False, version_count=0, plan_revision=0)
        )
    fresh = {
        "state": VersionState.PENDING.value,
        "source": version.source,
        "location": version.location,
        "created_ms": version.created_ms,
        "run_id": version.run_id,
        "user_name": version.user,
        "checks": checks_column(()),
        "claimed_until_ms": 0,
        **sealed_columns(None),
    }
    recorded = _created_ms(connection, version)
    if recorded is None:
        connection.execute(insert(tables.versions).values(model=model, number=number, **fresh))
        changes.stamp(connection, model, removed=False, version_count=tables.models.c.version_count + 1)
        return True
    if recorded == version.created_ms:
        return False
    # MLflow starts again at 1 when a deleted model is made again, so this is another version under a number that we
    # know. It begins at `pending` with nothing of the old one's seal: nodes serve by digest, and the old digest cannot
    # come to stand for the new bytes. But where the plan in force or an alias names the number, callers are being
    # answered by the old version, whose sealed bytes we still have; then it stays until they were moved elsewhere,
    # and this version is found again at a later look.
    planned, aliases = changes.users_of(connection, model, version.version)
    if planned is not None or aliases:
        return False
    forget(connection, model, version.version)
    connection.execute(update(tables.versions).where(_AT.model == model, _AT.number == number).values(**fresh))
    changes.stamp(connection, model)
    return True


def _next_in_queue(connection: Connection, now_ms: int) -> VersionRecord | None:
    waiting = _AT.state == VersionState.PENDING.value
    abandoned = and_(_AT.state == VersionState.CHECKING.value, _AT.claimed_until_ms <= now_ms)
    query = (
        select(tables.versions)
        # Said in these words too, so that the partial index of the queue is used.
        .where(_AT.state.in_([VersionState.PENDING.value, VersionState.CHECKING.value]))
        .where(or_(waiting, abandoned))
        .order_by(_AT.created_ms, _AT.model, _AT.number)
        .limit(1)
    )
    row = connection.execute(query).one_or_none()
    return None if row is None else version_record(row)


def _claim(connection: Connection, now_ms: int, until_ms: int) -> VersionRecord | None:
    changes.lock(connection)
    chosen = _next_in_queue(connection, now_ms)
    if chosen is None:
        return None
    require_move(chosen.state, VersionState.CHECKING)
    taken = connection.execute(
        update(tables.versions)
        .where(_AT.model == chosen.model, _AT.number == int(chosen.version))
        # `renew` takes no snapshot lock, so the row must still be free at the moment of writing.
        .where(or_(_AT.state == VersionState.PENDING.value, _AT.claimed_until_ms <= now_ms))
        .values(state=VersionState.CHECKING.value, claimed_until_ms=until_ms)
    )
    if taken.rowcount == 0:
        return None
    if chosen.state is not VersionState.CHECKING:
        changes.stamp(connection, chosen.model)
    return changes.find_version(connection, chosen.model, chosen.version)


def _renew(connection: Connection, model: ModelName, version: VersionNumber, until_ms: int) -> None:
    renewed = connection.execute(
        update(tables.versions)
        .where(_AT.model == model, _AT.number == int(version), _AT.state == VersionState.CHECKING.value)
        .values(claimed_until_ms=until_ms)
    )
    if renewed.rowcount == 0:
        record = _require(connection, model, version)
        raise Conflict("not_ready", f"{model} version {version} is {record.state}: there is no claim to prolong")


def _require(connection: Connection, model: ModelName, version: VersionNumber) -> VersionRecord:
    record = changes.find_version(connection, model, version)
    if record is None:
        raise NotFound("unknown_version", f"{model} has no version {version}")
    return record


def _settle(connection: Connection, model: ModelName, version: VersionNumber, columns: dict[str, object]) -> None:
    changes.lock(connection)
    record = _require(connection, model, version)
    require_move(record.state, VersionState(str(columns["state"])))
    if record.state is VersionState.READY:
        _require_unused(connection, model, version)
    _update(connection, record, **columns)


def _retire(connection: Connection, model: ModelName, version: VersionNumber) -> None:
    changes.lock(connection)
    record = _require(connection, model, version)
    if record.state is VersionState.RETIRED:
        return
    require_move(record.state, VersionState.RETIRED)
    _require_unused(connection, model, version)
    _update(connection, record, state=VersionState.RETIRED.value)


def _require_unused(connection: Connection, model: ModelName, version: VersionNumber) -> None:
    planned, aliases = changes.users_of(connection, model, version)
    require_unused(model, version, planned=planned, aliases=aliases)


def _update(connection: Connection, record: VersionRecord, **columns: object) -> None:
    connection.execute(
        update(tables.versions)
        .where(_AT.model == record.model, _AT.number == int(record.version))
        .values(claimed_until_ms=0, **columns)
    )
    changes.stamp(connection, record.model)
