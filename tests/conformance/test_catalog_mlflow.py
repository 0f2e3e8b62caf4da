"""The catalog on MLflow's own tables keeps the promises, on SQLite and on PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from registry.adapters.mlflow_app.start import _MIGRATION_KEY, prepare_database
from registry.errors import Unavailable
from registry.ports import Catalog
from tests.conformance.catalog import CatalogPromises, model
from tests.support.catalogs import Users, mlflow_catalog, wal_database
from tests.support.postgres import require_postgres

__all__ = ["model"]
pytestmark = pytest.mark.integration

World = tuple[Catalog, Users]


@pytest.fixture(scope="module")
def sqlite_world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """One SQLite file for all tests: making MLflow's tables takes a second."""
    return mlflow_catalog(wal_database(tmp_path_factory.mktemp("catalog")))


@pytest.fixture(scope="module")
def postgres_world() -> Iterator[World]:
    """One PostgreSQL database for all tests."""
    server = require_postgres()
    name = server.new_database()
    yield mlflow_catalog(server.url(name).replace("postgresql:", "postgresql+psycopg:", 1))
    server.drop_database(name)


class TestOnSqlite(CatalogPromises):
    """The binding to a SQLite file."""

    @pytest.fixture
    def catalog(self, sqlite_world: World) -> Catalog:
        """The catalog."""
        return sqlite_world[0]

    @pytest.fixture
    def users(self, sqlite_world: World) -> Users:
        """Its users."""
        return sqlite_world[1]


class TestOnPostgres(CatalogPromises):
    """The binding to PostgreSQL."""

    @pytest.fixture
    def catalog(self, postgres_world: World) -> Catalog:
        """The catalog."""
        return postgres_world[0]

    @pytest.fixture
    def users(self, postgres_world: World) -> Users:
        """Its users."""
        return postgres_world[1]

    def test_a_wait_for_another_upgrade_ends(self, postgres_world: World) -> None:
        """A start that finds another one upgrading the tables says so in time, and goes on once that has ended."""
        server = require_postgres()
        name = server.new_database()
        url = server.url(name)
        with psycopg.connect(url) as other:
            other.execute("SELECT pg_advisory_lock(%s)", (_MIGRATION_KEY,))
            with pytest.raises(Unavailable, match="another registry"):
                prepare_database(url.replace("postgresql:", "postgresql+psycopg:", 1), patience_seconds=1)
        prepare_database(url.replace("postgresql:", "postgresql+psycopg:", 1), patience_seconds=60)
        server.drop_database(name)
