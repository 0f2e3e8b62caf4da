"""The SQL ledger with much in it, or strange things: as many queries as with little, quick pages, no text refused."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import event

from registry.adapters.sql.database import Database
from registry.adapters.sql.ledger import ledger_on
from tests.support.ledgers import CHURN, catalog_version, fill, number, opened, sqlite_url


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.integration)])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """A migrated database, of each kind."""
    url = sqlite_url(tmp_path) if request.param == "sqlite" else str(request.getfixturevalue("postgres_url"))
    with opened(url) as database:
        database.migrate()
        yield database


@pytest.mark.integration
def test_pages_of_a_model_with_100_000_versions_are_quick(database: Database) -> None:
    """Any page of versions of such a model comes in under 200 ms, 95 times of 100 (R16); so does its summary."""
    fill(database, [CHURN], 100_000)
    ledger = ledger_on(database)
    seconds = []
    for turn in range(40):
        begun = time.perf_counter()
        page = ledger.versions.page(CHURN, 100, 0 if turn == 0 else 100_000 - 2_400 * turn)
        seconds.append(time.perf_counter() - begun)
        assert len(page) == 100
    assert sorted(seconds)[37] < 0.2
    begun = time.perf_counter()
    summary = ledger.models.get(CHURN)
    assert time.perf_counter() - begun < 0.2
    assert summary is not None
    assert [v.version for v in summary.versions] == ["100000", "99999", "99998", "99997", "99996"]


def test_more_models_need_no_more_queries(database: Database) -> None:
    """A page of models, and a full snapshot, take the same few queries for 1 model as for 300."""
    ledger = ledger_on(database)
    executed = []

    @event.listens_for(database.engine, "after_cursor_execute")
    def _count(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        if statement.startswith("SELECT"):
            executed.append(statement)

    counts = []
    for models in (["m"], [f"m{n}" for n in range(299)]):
        fill(database, models, 3)
        for ask in (lambda: ledger.models.page(1_000, "", ""), lambda: ledger.snapshots.page(0)):
            executed.clear()
            ask()
            counts.append(len(executed))
    assert counts[:2] == counts[2:]
    assert max(counts) <= 5
    assert len(ledger.models.page(1_000, "", "")) == len(ledger.snapshots.page(0).models) == 300


def test_text_that_a_database_cannot_keep_is_kept_as_well_as_can_be(database: Database) -> None:
    """NUL and lone surrogates, which MLflow lets through, become U+FFFD on both databases instead of an error."""
    ledger = ledger_on(database)
    ledger.versions.observe(replace(catalog_version(1), source="a\0b", user="\ud800\u00e9"))
    record = ledger.versions.get(CHURN, number(1))
    assert record is not None
    assert (record.source, record.user) == ("a\ufffdb", "\ufffd\u00e9")
