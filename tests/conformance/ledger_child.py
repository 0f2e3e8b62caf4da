"""Processes that the ledger's tests start, to kill them or to race them.

    python -m tests.conformance.ledger_child <verb> <url>

``write`` registers and promotes for ever and says each version on a line of its own once it is acknowledged;
``migrate`` waits for a line on its standard input, then migrates; ``die-migrating`` is killed after the third table;
``mlflow`` makes MLflow's own tables. Not here: what is expected of them.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from itertools import count

from sqlalchemy import event

from registry.adapters.sql.database import open_database
from registry.adapters.sql.ledger import ledger_on
from registry.plans import Plan
from registry.records import VersionState
from tests.support.ledgers import CHURN, FOR_EVER, PASSED, catalog_version, number, sealed


def _write(url: str) -> None:
    ledger = ledger_on(open_database(url))
    for n in count(1):
        ledger.versions.observe(catalog_version(n))
        claimed = ledger.versions.claim(0, FOR_EVER)
        assert claimed is not None
        ledger.versions.settle(CHURN, claimed.version, VersionState.READY, PASSED, sealed(str(n)))
        ledger.plans.append(CHURN, n - 1, Plan(number(n)), "child", "")
        os.write(1, f"{n} {ledger.snapshots.revision()}\n".encode())


def _migrate(url: str) -> None:
    database = open_database(url)
    os.write(1, b"ready\n")
    sys.stdin.readline()
    database.migrate()


def _die_migrating(url: str) -> None:
    database = open_database(url)
    made = count(1)

    @event.listens_for(database.engine, "after_cursor_execute")
    def _die(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        if "CREATE TABLE headgate_" in statement and next(made) == 3:
            os._exit(137)

    database.migrate()


def _mlflow(url: str) -> None:
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    make_store: Callable[[str, str], object] = SqlAlchemyStore  # the class ships no types of its own
    make_store(url, "mlflow-artifacts:/")


if __name__ == "__main__":
    {"write": _write, "migrate": _migrate, "die-migrating": _die_migrating, "mlflow": _mlflow}[sys.argv[1]](sys.argv[2])
