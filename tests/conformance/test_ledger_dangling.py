"""Setting an alias, or making a plan, against the deletion of its version: a thousand times, never both."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from registry.adapters.sql.database import Database
from registry.adapters.sql.ledger import ledger_on
from registry.errors import Conflict
from registry.plans import Canary, Plan
from registry.records import VersionState
from tests.support.ledgers import CHAMPION, CHURN, at_once, fill, number, opened, sqlite_url

pytestmark = pytest.mark.integration
TIMES = 1000
STABLE = number(TIMES + 1)
DANGLING = text(
    "SELECT count(*) FROM headgate_aliases a JOIN headgate_versions v ON v.model = a.model AND v.number = a.version "
    "WHERE v.state <> 'ready'"
)


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """A database of each kind, with a version for every time."""
    url = sqlite_url(tmp_path) if request.param == "sqlite" else str(request.getfixturevalue("postgres_url"))
    with opened(url) as database:
        database.migrate()
        fill(database, [CHURN], TIMES + 1)
        yield database


def race(acts: list[Callable[[int], object]]) -> list[list[bool]]:
    """Do all ``acts`` for each version at one moment; return which succeeded, for each act."""
    barrier = threading.Barrier(len(acts))

    def runner(which: int) -> list[bool]:
        won = []
        for n in range(1, TIMES + 1):
            barrier.wait(60)
            try:
                acts[which](n)
                won.append(True)
            except Conflict:
                won.append(False)
        return won

    return at_once(len(acts), runner)


def test_an_alias_never_names_a_version_that_is_gone(database: Database) -> None:
    """Whoever is second is refused: the alias names what is ready, or what was deleted was named by none (R05)."""
    ledger = ledger_on(database)
    set_, retired = race(
        [
            lambda n: ledger.aliases.set(CHURN, CHAMPION, number(n), who="ana"),
            lambda n: ledger.versions.retire(CHURN, number(n)),
        ]
    )
    assert all(one != other for one, other in zip(set_, retired, strict=True))
    named = [line.version for line in ledger.aliases.history(CHURN, CHAMPION, TIMES, 0)][::-1]
    assert named == [number(n) for n, won in enumerate(set_, 1) if won]
    with database.engine.connect() as connection:
        assert connection.scalar(DANGLING) == 0


def test_a_plan_never_names_a_version_that_is_gone(database: Database) -> None:
    """The same for a canary: every revision's versions were ready when it was made, and those in force still are."""
    ledger = ledger_on(database)

    def promote(n: int) -> None:
        current = ledger.plans.current(CHURN)
        plan = Plan(STABLE, canary=Canary(number(n), 100))
        ledger.plans.append(CHURN, current.revision if current is not None else 0, plan, "ana", "")

    promoted, retired = race([promote, lambda n: ledger.versions.retire(CHURN, number(n))])
    assert all(one != other for one, other in zip(promoted, retired, strict=True))
    for n, gone in enumerate(retired, 1):
        record = ledger.versions.get(CHURN, number(n))
        assert record is not None and (record.state is VersionState.RETIRED) is gone
