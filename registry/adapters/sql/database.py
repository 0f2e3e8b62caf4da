"""One database, SQLite or PostgreSQL: reads, writes, and what its failures mean.

``read`` and ``write`` are the only ways to a connection, so this is the one place that retries a lost lock and turns
the library's exceptions into ours. Not here: tables, queries, and how engines are set up (``engines.py``).
"""

from __future__ import annotations

import random
import sqlite3
import time
from collections.abc import Callable
from typing import TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError, IntegrityError, InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from registry.adapters.sql.engines import WRITES, make_engine, parse_url
from registry.adapters.sql.migrate import migrate
from registry.errors import HeadgateError, Internal, Unavailable

Result = TypeVar("Result")

RETRY_SECONDS = 15.0
MAX_ATTEMPTS = 8
_LOST_RACES = frozenset({"40001", "40P01"})  # serialization failure, deadlock
_NO_SUCH_THING = sqlite3.SQLITE_ERROR


class Database:
    """A pool of connections to one database. Safe for threads; each process opens its own."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._writer = engine.execution_options(**{WRITES: True})
        options = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
        self._reader = engine.execution_options(**options) if engine.dialect.name == "postgresql" else engine

    def read(self, work: Callable[[Connection], Result]) -> Result:
        """Return ``work``'s result; all its queries see the database at one moment."""
        return self._run(self._reader, work)

    def write(self, work: Callable[[Connection], Result]) -> Result:
        """Run ``work`` in one transaction and return its result once that is on disk; undo all of it where it raises.

        ``work`` may be run again after a lost race, so it must have no effect but on the connection.
        """
        return self._run(self._writer, work)

    def migrate(self) -> None:
        """Bring the tables up to date. Safe when several processes do it at once, or one dies in the middle.

        Raises Internal where a newer Headgate has written to the database.
        """
        try:
            migrate(self.engine)
        except (SQLAlchemyError, OSError) as error:
            raise _translated(error) from error

    def close(self) -> None:
        """Close all connections that are not in use."""
        self.engine.dispose()

    def _run(self, engine: Engine, work: Callable[[Connection], Result]) -> Result:
        deadline = time.monotonic() + RETRY_SECONDS
        attempt = 1
        while True:
            try:
                with engine.begin() as connection:
                    return work(connection)
            # OSError: the address of the server cannot be reached or resolved (engines._refuse_unreachable).
            except (SQLAlchemyError, OSError) as error:
                if attempt >= _attempts_worth(error) or time.monotonic() > deadline:
                    raise _translated(error) from error
            time.sleep(random.uniform(0, 0.01 * 2**attempt))  # noqa: S311 - spreads retries, guards nothing
            attempt += 1


def open_database(url: str) -> Database:
    """Open ``sqlite:///<path>`` (its folder is made) or ``postgresql://…``; connects on first use.

    Raises ValueError for any other URL.
    """
    return Database(make_engine(parse_url(url)))


def _attempts_worth(error: Exception) -> int:
    """Return how often to try: more than once where the transaction lost a race, is undone, and may win now."""
    if isinstance(error, IntegrityError):
        return 3  # two transactions inserted one key: the next attempt sees the other's row; else it is a fault of ours
    if not isinstance(error, DBAPIError) or error.connection_invalidated:
        return 1
    if isinstance(error.orig, sqlite3.OperationalError):
        lost = error.orig.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
    else:
        lost = getattr(error.orig, "sqlstate", None) in _LOST_RACES
    return MAX_ATTEMPTS if lost else 1


def _translated(error: Exception) -> HeadgateError:
    """Return our error for the library's; the message holds nothing of the URL, the statement or its values."""
    missing_table = isinstance(error, DBAPIError) and getattr(error.orig, "sqlite_errorcode", None) == _NO_SUCH_THING
    if isinstance(error, (OperationalError, InterfaceError, PoolTimeout, OSError)) and not missing_table:
        return Unavailable("registry_unavailable", "the registry's database cannot be reached now; try again")
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return Unavailable("registry_unavailable", "the connection to the registry's database broke; try again")
    return Internal("internal", "the registry's database refused a statement; please report this")
