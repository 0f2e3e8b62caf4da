"""Databases with a model that is ready to be rolled out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from registry.adapters.sql.ledger import system_clock
from registry.plans import Plan
from tests.integration.rollouts.stage import Nurse
from tests.support.ledgers import CHURN, add, number, sql_ledger, sqlite_url
from tests.support.postgres import postgres_server, postgres_url

__all__ = ["postgres_server", "postgres_url"]


@pytest.fixture(scope="session")
def nurse() -> Iterator[Nurse]:
    """Who forks registries."""
    started = Nurse()
    yield started
    started.close()


def prepared(url: str) -> str:
    """Migrate a database and give it versions 1 to 3 of churn, the first of which is stable; return the URL."""
    with sql_ledger(url, system_clock) as ledger:
        for n in (1, 2, 3):
            add(ledger, n)
        ledger.plans.append(CHURN, 0, Plan(number(1)), "ana", "")
    return url


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database of each kind."""
    if request.param == "sqlite":
        return prepared(sqlite_url(tmp_path))
    return prepared(str(request.getfixturevalue("postgres_url")))


@pytest.fixture
def shared(postgres_url: str) -> str:
    """A PostgreSQL that several registries may share."""
    return prepared(postgres_url)
