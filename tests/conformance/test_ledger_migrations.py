"""Migrations: from nothing, again, by two at once, killed midway, beside MLflow, and never backwards."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, text

from registry.adapters.sql.database import Database
from registry.adapters.sql.migrate import VERSION_TABLE, alembic_config
from registry.adapters.sql.tables import PREFIX, metadata
from registry.errors import Internal
from registry.records import AliasName
from tests.support.ledgers import CHAMPION, CHURN, Clock, add, number, opened, sql_ledger, sqlite_url

ROOT = Path(__file__).resolve().parents[2]
OURS = {*metadata.tables, VERSION_TABLE}


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.integration)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database, of each kind."""
    if request.param == "sqlite":
        return sqlite_url(tmp_path)
    return str(request.getfixturevalue("postgres_url"))


def child(verb: str, url: str, **options: Any) -> subprocess.Popen[bytes]:
    """Start a process of ``ledger_child``."""
    command = [sys.executable, "-m", "tests.conformance.ledger_child", verb, url]
    return subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, **options)


def finish(process: subprocess.Popen[bytes], word: bytes = b"") -> int:
    """Say ``word`` to a child and return how it ended."""
    process.communicate(word, timeout=120)
    return process.returncode


def table_names(database: Database) -> set[str]:
    """Return the names of all tables."""
    return set(inspect(database.engine).get_table_names())


def test_an_empty_database_gets_all_tables(url: str) -> None:
    """From nothing, migrating makes our tables and no others."""
    with opened(url) as database:
        database.migrate()
        assert table_names(database) == OURS


def test_migrating_again_changes_nothing(url: str) -> None:
    """A second start finds nothing to do and keeps what is there."""
    with sql_ledger(url, Clock()) as ledger:
        add(ledger, 1)
        before = ledger.snapshots.page(0)
    with sql_ledger(url, Clock()) as ledger:
        assert ledger.snapshots.page(0) == before


def at_first_schema(database: Database) -> None:
    """Bring an empty database to where the first release had it, with a version and aliases that were made there."""
    config = alembic_config()
    with database.engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        connection.execute(text("INSERT INTO headgate_models VALUES ('churn', 7, false, 1, 0)"))
        connection.execute(
            text(
                "INSERT INTO headgate_versions (model, number, state, source, location, created_ms, checks, "
                "claimed_until_ms, digest, size, tier, runtime, requirements, python, flavors) VALUES ('churn', 1, "
                "'ready', 's', 'l', 1, '[]', 0, :digest, 9, 'code', 'host', '[\"numpy\"]', '3.11.7', '[\"sklearn\"]')"
            ),
            {"digest": "sha256:" + "0" * 64},
        )
        connection.execute(text("INSERT INTO headgate_aliases VALUES ('churn', 'champion', 1, 1)"))
        connection.execute(text("INSERT INTO headgate_aliases VALUES ('churn', 'removed', NULL, 1)"))
        connection.execute(text("UPDATE headgate_snapshot SET revision = 7"))


def test_a_database_of_the_first_release_is_brought_up_to_date(url: str) -> None:
    """What was admitted before locks were made stays as it was, has none, and goes on being served."""
    with opened(url) as database:
        at_first_schema(database)
    with sql_ledger(url, Clock()) as ledger:
        (model,) = ledger.snapshots.page(0).models
        old = model.versions[number(1)]
        assert (old.lock, old.requirements, old.python) == (None, ("numpy",), "3.11.7")
        record = ledger.versions.get(CHURN, number(1))
        assert record is not None and record.sealed is not None and record.sealed.lock is None
        add(ledger, 2)


def test_an_alias_from_before_the_journal_begins_one(url: str) -> None:
    """What an alias named at the upgrade is its first revision, so that it has one to be changed by."""
    with opened(url) as database:
        at_first_schema(database)
    with sql_ledger(url, Clock()) as ledger:
        first = ledger.aliases.current(CHURN, CHAMPION)
        assert first is not None
        assert (first.revision, first.version, first.who) == (1, number(1), "headgate")
        assert ledger.aliases.current(CHURN, AliasName("removed")) is None
        moved = ledger.aliases.set(CHURN, CHAMPION, None, who="ana", expected=1)
        assert moved is not None and (moved.revision, moved.version) == (2, None)


def test_tables_and_migrations_agree(url: str) -> None:
    """What the migrations make is what the code believes, to the last column and index."""

    def ours(name: str | None, kind: str, _parents: object) -> bool:
        return kind != "table" or ((name or "").startswith(PREFIX) and name != VERSION_TABLE)

    with opened(url) as database:
        database.migrate()
        with database.engine.connect() as connection:
            context = MigrationContext.configure(connection, opts={"include_name": ours, "compare_type": True})
            assert compare_metadata(context, metadata) == []


def test_a_newer_database_is_refused(url: str) -> None:
    """A database that a newer Headgate wrote is left alone, and the message says what to do."""
    with opened(url) as database:
        database.migrate()
        with database.engine.begin() as connection:
            connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '9999'"))
        with pytest.raises(Internal, match=r"schema 9999.*install that one"):
            database.migrate()
        assert table_names(database) == OURS


@pytest.mark.integration
def test_two_at_once_make_one_schema(url: str) -> None:
    """Two registries that start at the same moment both come up, and the tables are made once."""
    children = [child("migrate", url) for _ in range(2)]
    for process in children:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
    assert [finish(process, b"go\n") for process in children] == [0, 0]
    with sql_ledger(url, Clock()) as ledger:
        add(ledger, 1)


@pytest.mark.integration
def test_a_migration_killed_midway_leaves_nothing(url: str) -> None:
    """A process that dies after some tables were made leaves none of them; the next start makes all."""
    assert finish(child("die-migrating", url)) == 137
    with opened(url) as database:
        assert table_names(database) == set()
        database.migrate()
        assert table_names(database) == OURS


@pytest.mark.integration
@pytest.mark.parametrize("ours_first", [True, False])
def test_mlflow_lives_in_the_same_database(tmp_path: Path, ours_first: bool) -> None:
    """Whoever comes first, MLflow's tables and its own version stay as they are, and ours work."""
    url = sqlite_url(tmp_path)

    def make_ours() -> None:
        with opened(url) as database:
            database.migrate()

    def make_theirs() -> None:
        assert finish(child("mlflow", url, stderr=subprocess.DEVNULL)) == 0

    steps: list[Callable[[], None]] = [make_ours, make_theirs]
    for step in steps if ours_first else steps[::-1]:
        step()
    with opened(url) as database, database.engine.connect() as connection:
        theirs = table_names(database) - OURS
        assert {"registered_models", "model_versions", "alembic_version"} <= theirs
        version = connection.scalar(text("SELECT version_num FROM alembic_version"))
    with sql_ledger(url, Clock()) as ledger:
        add(ledger, 1)
    newest = ScriptDirectory.from_config(alembic_config()).get_current_head()
    with opened(url) as database, database.engine.connect() as connection:
        assert table_names(database) == OURS | theirs
        assert connection.scalar(text("SELECT version_num FROM alembic_version")) == version
        assert connection.scalar(text(f"SELECT version_num FROM {VERSION_TABLE}")) == newest
