"""How MLflow's stores reach the database: one writer of the model registry at a time, and errors without SQL.

MLflow reads before it writes and keeps no lock between, so its own concurrent writers can leave an alias that points at
a deleted version, and its timestamps run backwards: they are taken before the wait for the database. Here a write to
the model registry first takes the database's lock (``BEGIN IMMEDIATE``; an advisory lock on PostgreSQL). Under it,
every model that the transaction touched gets a ``last_updated_time`` later than any other: whoever has seen all up to
one stamp has missed nothing older, which is what lets the reconciler poll cheaply. Not here: what is written.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session, sessionmaker

from registry.adapters.mlflow_app.faults import MISTAKE, MISTAKEN
from registry.adapters.mlflow_app.private import (
    DEFAULT_WORKSPACE,
    INVALID_PARAMETER_VALUE,
    STAGE_DELETED,
    ErrorCode,
    MlflowException,
    SqlModelVersion,
    SqlRegisteredModel,
    managed_sessions,
)

LOCK_SECONDS = 20
_ADVISORY_KEY = 0x68656164
"""Any number, as long as every replica has the same."""


class SessionSource(Protocol):
    """MLflow's ``ManagedSessionMaker``: commits at the end of the block, rolls back on an error."""

    def __call__(self, read_only: bool = True) -> AbstractContextManager[Session]:
        """Open a session."""
        ...


def plain_sessions(engine: sa.Engine, db_type: str) -> SessionSource:
    """Return MLflow's sessions on ``engine``, with errors that repeat no SQL."""
    inner = managed_sessions(sessionmaker(bind=engine), db_type)

    @contextmanager
    def opened(read_only: bool = True) -> Iterator[Session]:
        with without_sql(), inner(read_only=read_only) as session:
            yield session

    return opened


def registry_sessions(
    engine: sa.Engine, db_type: str, floor: Callable[[str], int], changed: Callable[[str], None]
) -> SessionSource:
    """Return sessions for the model registry's store.

    Args:
        engine: The database.
        db_type: ``sqlite`` or ``postgresql``.
        floor: Asked, under the lock, for the highest version number that a newly created name ever had.
        changed: Told each model that a committed transaction touched.
    """
    reading = plain_sessions(engine, db_type)

    @contextmanager
    def opened(read_only: bool = True) -> Iterator[Session]:
        if read_only:
            with reading(read_only=True) as session:
                yield session
            return
        touched = _Touched(floor)
        with reading(read_only=False) as session:
            _lock(session, db_type)
            sa.event.listen(session, "before_flush", touched.before_flush)
            yield session
            session.flush()
            touched.stamp(session)
        for name in touched.names | touched.gone:
            changed(name)

    return opened


def _lock(session: Session, db_type: str) -> None:
    if db_type == "sqlite":
        # The driver begins a transaction of its own only before the first write: too late for what was read before it.
        session.execute(sa.text("BEGIN IMMEDIATE"))
        return
    session.execute(sa.text(f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'"))
    session.execute(sa.select(sa.func.pg_advisory_xact_lock(_ADVISORY_KEY)))


class _Touched:
    """The models that one transaction changes."""

    def __init__(self, floor: Callable[[str], int]) -> None:
        self._floor = floor
        self.names: set[str] = set()
        self.gone: set[str] = set()

    def before_flush(self, session: Session, _context: object, _instances: object) -> None:
        for entity in list(session.new):
            if isinstance(entity, SqlRegisteredModel):
                self._keep_numbers(session, entity)
        for entity in (*session.new, *session.dirty, *session.deleted):
            name = getattr(entity, "name", None)
            if isinstance(name, str):
                self.names.add(name)
        self.gone.update(e.name for e in session.deleted if isinstance(e, SqlRegisteredModel))

    def _keep_numbers(self, session: Session, model: Any) -> None:
        """Give a model that is created again a deleted version of its highest number: MLflow counts on from there."""
        highest = self._floor(model.name)
        if highest > 0:
            session.add(
                SqlModelVersion(
                    workspace=model.workspace,
                    name=model.name,
                    version=highest,
                    creation_time=model.creation_time,
                    last_updated_time=model.creation_time,
                    current_stage=STAGE_DELETED,
                )
            )

    def stamp(self, session: Session) -> None:
        names = self.names - self.gone
        if not names:
            return
        newest = session.scalar(sa.select(sa.func.max(SqlRegisteredModel.last_updated_time))) or 0
        session.execute(
            sa.update(SqlRegisteredModel)
            .where(SqlRegisteredModel.workspace == DEFAULT_WORKSPACE, SqlRegisteredModel.name.in_(names))
            .values(last_updated_time=max(time.time_ns() // 1_000_000, newest + 1))
            .execution_options(synchronize_session=False)
        )


@contextmanager
def without_sql() -> Iterator[None]:
    """Replace the message of an MLflow error that quotes the database's, with SQL, parameters, sometimes an address.

    A value that the database's driver cannot take is the caller's, though MLflow calls it an internal error.
    """
    try:
        yield
    except MlflowException as error:
        told = error.__cause__ or error.__context__
        if error.error_code == "INTERNAL_ERROR" and isinstance(told, MISTAKEN):
            raise MlflowException(MISTAKE, error_code=INVALID_PARAMETER_VALUE) from told
        if not isinstance(told, SQLAlchemyError) or str(told) not in str(error.message):
            raise
        raise _plain(error) from told


def _plain(error: Any) -> Any:
    ours, _, quoted = str(error.message).partition(" Error: ")
    if not quoted:
        busy = error.error_code == "TEMPORARILY_UNAVAILABLE"
        ours = (
            "the database is busy or cannot be reached; try again in a moment"
            if busy
            else "the database refused a value: a text is longer than its field, or a character cannot be stored"
        )
    return MlflowException(ours, error_code=ErrorCode.Value(error.error_code))
