"""Engines for the two databases we support: how each is opened so that it keeps its word.

SQLite: write-ahead log, every commit on disk before it is acknowledged, foreign keys, writers queue. PostgreSQL: a
connection that is down is noticed within a second, and no statement, lock or forgotten transaction waits for ever.
Not here: transactions, retries and what errors mean (``database.py``).
"""

from __future__ import annotations

import socket
import sqlite3
import time
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Dialect, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.pool import ConnectionPoolEntry

from registry.errors import Unavailable

SQLITE_BUSY_SECONDS = 15
"""How long a writer waits for another one; MLflow writes to the same file with an engine of its own."""

WRITES = "headgate_writes"
"""Execution option of connections that are going to write."""

_PROBE_SECONDS = 0.8
_POSTGRES_DEFAULTS = {
    # psycopg raises anything below 2 to 2; `_refuse_unreachable` answers sooner for a host that is gone.
    "connect_timeout": "2",
    "application_name": "headgate-registry",
    "keepalives_idle": "10",
    "keepalives_interval": "2",
    "keepalives_count": "3",
    "tcp_user_timeout": "5000",
}
_POSTGRES_SESSION = (
    "SET statement_timeout = '10s'",
    "SET lock_timeout = '5s'",
    "SET idle_in_transaction_session_timeout = '30s'",
)


def parse_url(url: str) -> URL:
    """Return the URL with its driver named; raise ValueError, never quoting it, for a database we do not support."""
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        parsed = None
    if parsed is None:
        raise ValueError(
            "the database URL cannot be read; write sqlite:///<path> or postgresql://<user>@<host>/<database>"
        )
    if parsed.drivername in ("postgresql", "postgres", "postgresql+psycopg"):
        return parsed.set(drivername="postgresql+psycopg")
    if parsed.drivername in ("sqlite", "sqlite+pysqlite"):
        if not parsed.database or parsed.database == ":memory:" or parsed.database.startswith("file:"):
            raise ValueError("the SQLite database must be a file: write sqlite:///<path>")
        return parsed.set(drivername="sqlite+pysqlite")
    raise ValueError(
        f"the database URL names the driver '{parsed.drivername}'; use sqlite:///<path> or postgresql://<user>@<host>/<database>"
    )


def make_engine(url: URL) -> Engine:
    """Return the engine for a URL that ``parse_url`` gave. Connects to nothing yet."""
    return _sqlite_engine(url) if url.get_backend_name() == "sqlite" else _postgres_engine(url)


def _sqlite_engine(url: URL) -> Engine:
    try:
        Path(url.database or "").parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Unavailable("registry_unavailable", "the folder of the database file cannot be made") from error
    engine = create_engine(
        url,
        hide_parameters=True,
        pool_size=8,
        max_overflow=24,
        pool_timeout=SQLITE_BUSY_SECONDS,
        # The driver's own transactions begin late and never IMMEDIATE; with None it leaves BEGIN to us.
        connect_args={"isolation_level": None, "timeout": SQLITE_BUSY_SECONDS},
    )

    @event.listens_for(engine, "connect")
    def _configure(connection: sqlite3.Connection, _entry: ConnectionPoolEntry) -> None:
        _use_wal(connection)
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        # A writer takes its lock at once: one that read first and then had to upgrade could only fail.
        writes = connection.get_execution_options().get(WRITES, False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _use_wal(connection: sqlite3.Connection) -> None:
    """Switch the file to its write-ahead log, once for ever; the switch itself does not heed the busy timeout."""
    deadline = time.monotonic() + SQLITE_BUSY_SECONDS
    while True:
        try:
            if connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
                connection.execute("PRAGMA journal_mode = WAL").fetchone()
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def _postgres_engine(url: URL) -> Engine:
    engine = create_engine(
        url,
        hide_parameters=True,
        pool_size=8,
        max_overflow=24,
        pool_timeout=5,
        pool_pre_ping=True,
        # Said, not left to the server's default: a writer must see, after it waited for a lock, what the lock's last
        # holder committed.
        isolation_level="READ COMMITTED",
        connect_args={k: v for k, v in _POSTGRES_DEFAULTS.items() if k not in url.query},
    )

    @event.listens_for(engine, "do_connect")
    def _probe(_dialect: Dialect, _entry: ConnectionPoolEntry, _cargs: list[Any], cparams: dict[str, Any]) -> None:
        _refuse_unreachable(cparams)

    @event.listens_for(engine, "connect")
    def _configure(connection: Any, _entry: ConnectionPoolEntry) -> None:
        # By statements and not by the `options` parameter, which connection poolers refuse.
        connection.autocommit = True
        for statement in _POSTGRES_SESSION:
            connection.execute(statement)
        connection.autocommit = False

    return engine


def _refuse_unreachable(cparams: dict[str, Any]) -> None:
    """Raise OSError within a second where nobody listens; sockets in the file system and lists of hosts pass."""
    host = str(cparams.get("host") or "")
    if not host or host.startswith("/") or "," in host or cparams.get("hostaddr"):
        return
    socket.create_connection((host, int(cparams.get("port") or 5432)), timeout=_PROBE_SECONDS).close()
