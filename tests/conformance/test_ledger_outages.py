"""Processes, files and servers that fail: nothing acknowledged is lost, and the errors are ours."""

from __future__ import annotations

import contextlib
import socket
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from registry.adapters.sql.database import open_database
from registry.adapters.sql.ledger import ledger_on
from registry.errors import Internal, Unavailable
from registry.ports import Ledger
from registry.records import VersionState
from tests.conformance.test_ledger_migrations import child
from tests.support.ledgers import CHURN, Clock, add, catalog_version, number, opened, sql_ledger, sqlite_url
from tests.support.postgres import PostgresServer, require_postgres, start_postgres


@pytest.mark.integration
@pytest.mark.parametrize("acknowledged", [1, 7, 40])
@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_kill_9_loses_nothing_acknowledged(
    kind: str, acknowledged: int, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Whatever a writer was told is done is there after it was killed, whole, in a journal without gaps."""
    url = sqlite_url(tmp_path) if kind == "sqlite" else str(request.getfixturevalue("postgres_url"))
    with opened(url) as database:
        database.migrate()
    process = child("write", url)
    assert process.stdout is not None
    said = [process.stdout.readline() for _ in range(acknowledged)]
    process.kill()
    said += [line for line in process.communicate(timeout=30)[0].splitlines(keepends=True) if line.endswith(b"\n")]
    last, revision = (int(word) for word in said[-1].split())
    assert last >= acknowledged
    with sql_ledger(url, Clock()) as ledger:
        journal = [line.revision for line in ledger.plans.history(CHURN, 10_000, 0)]
        assert journal[0] >= last
        assert journal == list(range(journal[0], 0, -1))
        for n in range(1, last + 1):
            record = ledger.versions.get(CHURN, number(n))
            assert record is not None
            assert record.state is VersionState.READY
        assert ledger.snapshots.revision() >= revision


def every_port(ledger: Ledger) -> dict[str, Callable[[], object]]:
    """Return a call of each port."""
    return {
        "models": lambda: ledger.models.page(1, "", ""),
        "versions": lambda: ledger.versions.observe(catalog_version(1)),
        "plans": lambda: ledger.plans.append(CHURN, 0, None, "ana", ""),
        "aliases": lambda: ledger.aliases.all(CHURN),
        "uploads": lambda: ledger.uploads.commit("u"),
        "registrations": lambda: ledger.registrations.complete(CHURN, "k", number(1)),
        "snapshots": lambda: ledger.snapshots.page(0),
        "rollouts": ledger.rollouts.active,
        "reports": ledger.reports.nodes,
        "leases": lambda: ledger.leases.hold("l", "a", 1),
        "predictions": ledger.predictions.newest,
    }


def refusing_port() -> int:
    """Return a port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.parametrize(
    "port_name",
    [
        "models",
        "versions",
        "plans",
        "aliases",
        "uploads",
        "registrations",
        "snapshots",
        "rollouts",
        "reports",
        "leases",
    ],
)
def test_a_server_that_is_down_is_said_at_once(port_name: str) -> None:
    """Every port answers ``registry_unavailable`` within a second, and nobody learns the URL or its password."""
    database = open_database(f"postgresql://ana:s3cret-word@127.0.0.1:{refusing_port()}/secretdb")
    begun = time.monotonic()
    with pytest.raises(Unavailable) as refused:
        every_port(ledger_on(database))[port_name]()
    assert time.monotonic() - begun < 1
    assert refused.value.code == "registry_unavailable"
    for secret in ("s3cret-word", "secretdb", "127.0.0.1", "ana"):
        assert secret not in refused.value.message
    with pytest.raises(Unavailable):
        database.migrate()
    assert "s3cret-word" not in repr(database.engine)
    database.close()


def test_a_host_that_swallows_packets_is_said_within_a_second() -> None:
    """A server whose queue is full and never answers does not hold the caller."""
    with socket.socket() as listener, contextlib.ExitStack() as held:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):  # fill the queue of connections: further ones get no answer at all
            filler = held.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        database = open_database(f"postgresql://ana@127.0.0.1:{listener.getsockname()[1]}/x")
        begun = time.monotonic()
        with pytest.raises(Unavailable):
            ledger_on(database).snapshots.revision()
        assert time.monotonic() - begun < 1.5
        database.close()


@pytest.mark.integration
def test_a_server_that_comes_back_is_used_again() -> None:
    """Connections that died with the server are replaced without anybody's help."""
    require_postgres()
    server = start_postgres()
    try:
        with sql_ledger(server.url(), Clock()) as ledger:
            add(ledger, 1)
            _end_all_sessions(server)
            assert ledger.versions.get(CHURN, number(1)) is not None
            server.process.kill()
            server.process.wait(10)
            with pytest.raises(Unavailable):
                ledger.versions.observe(catalog_version(2))
    finally:
        server.stop()


def _end_all_sessions(server: PostgresServer) -> None:
    import psycopg

    with psycopg.connect(server.url(), autocommit=True) as connection:
        connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()")


def test_writers_wait_for_another_engine_on_the_file(tmp_path: Path) -> None:
    """MLflow writes to the same file with connections of its own: we wait for it and lose nothing."""
    with sql_ledger(sqlite_url(tmp_path), Clock()) as ledger:
        other = sqlite3.connect(tmp_path / "headgate.db", isolation_level=None, check_same_thread=False)
        other.execute("BEGIN IMMEDIATE")
        writer = threading.Thread(target=ledger.versions.observe, args=(catalog_version(1),))
        writer.start()
        assert ledger.versions.get(CHURN, number(1)) is None, "readers never wait"
        writer.join(0.2)
        assert writer.is_alive()
        other.execute("COMMIT")
        writer.join(20)
        other.close()
        assert ledger.versions.get(CHURN, number(1)) is not None


def test_sqlite_is_opened_to_keep_its_word(tmp_path: Path) -> None:
    """The folder is made; the file has a write-ahead log, full synchronisation and foreign keys."""
    with opened(sqlite_url(tmp_path / "deep" / "er")) as database, database.engine.connect() as connection:
        pragmas = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }
    assert pragmas == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 15_000}


def test_a_damaged_file_is_our_error(tmp_path: Path) -> None:
    """A file that is no database, and a database without our tables, raise errors of ours without a path or SQL."""
    (tmp_path / "headgate.db").write_bytes(b"this is no database" * 500)
    with opened(sqlite_url(tmp_path)) as database, pytest.raises((Internal, Unavailable)) as refused:
        database.migrate()
    assert str(tmp_path) not in refused.value.message
    with opened(sqlite_url(tmp_path / "empty")) as database, pytest.raises(Internal) as missing:
        ledger_on(database).snapshots.revision()
    assert "headgate_" not in missing.value.message


@pytest.mark.parametrize(
    "url",
    [
        "mysql://ana:s3cret@host/db",
        "s3cret",
        "",
        "sqlite://",
        "sqlite:///:memory:",
        "postgresql+psycopg2://a:s3cret@h/d",
        "://",
    ],
)
def test_other_urls_are_refused_without_quoting_them(url: str) -> None:
    """What we cannot open is refused with what would be right, and without a password."""
    with pytest.raises(ValueError, match=r"sqlite:///<path>") as refused:
        open_database(url)
    assert "s3cret" not in str(refused.value)


@pytest.mark.parametrize("url", ["postgresql://h/d", "postgres://h/d", "postgresql+psycopg://h/d"])
def test_postgres_urls_name_one_driver(url: str) -> None:
    """However it is written, PostgreSQL is spoken by psycopg 3."""
    database = open_database(url)
    assert database.engine.url.drivername == "postgresql+psycopg"
    database.close()
