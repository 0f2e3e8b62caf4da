"""What tests of the ledger begin with: a clock in the hand, catalog versions, and versions that are ready."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from registry.adapters.sql.database import Database, open_database
from registry.adapters.sql.ledger import ledger_on
from registry.ports import Ledger
from registry.records import (
    AliasName,
    CatalogVersion,
    Check,
    Digest,
    ModelName,
    Sealed,
    Tier,
    Verdict,
    VersionNumber,
    VersionState,
)

Result = TypeVar("Result")
CHURN = ModelName("churn")
CHAMPION = AliasName("champion")
FOR_EVER = 10**15


@dataclass
class Clock:
    """Milliseconds that move when a test says so."""

    now_ms: int = 1_000

    def __call__(self) -> int:
        """Return the time."""
        return self.now_ms


def number(n: int) -> VersionNumber:
    """Return ``n`` as a version number."""
    return VersionNumber(str(n))


def catalog_version(n: int, model: ModelName = CHURN, created_ms: int | None = None) -> CatalogVersion:
    """Return version ``n`` as MLflow's registry would tell of it; later numbers are later made."""
    return CatalogVersion(
        model=model,
        version=number(n),
        source=f"models:/m-{n}",
        location=f"mlflow-artifacts:/1/models/m-{n}/artifacts",
        created_ms=n if created_ms is None else created_ms,
        run_id=f"run{n}",
        user="ana",
    )


def sealed(content: str = "model") -> Sealed:
    """Return what admission learnt of an artifact with this content."""
    return Sealed(
        digest=Digest("sha256:" + hashlib.sha256(content.encode()).hexdigest()),
        size=1234,
        tier=Tier.CODE,
        runtime="host",
        signature={"inputs": [{"name": "age", "type": "double", "required": True}], "outputs": None, "params": None},
        requirements=("scikit-learn==1.9.0",),
        python="3.11.7",
        flavors=("python_function", "sklearn"),
        lock=Digest("sha256:" + hashlib.sha256(f"lock of {content}".encode()).hexdigest()),
    )


PASSED = (Check("seal", Verdict.PASSED), Check("tier", Verdict.PASSED, "it only parses its file"))
FAILED = (Check("seal", Verdict.PASSED), Check("probe", Verdict.FAILED, "it raised ValueError"))


def add(ledger: Ledger, n: int, state: VersionState = VersionState.READY, model: ModelName = CHURN) -> VersionNumber:
    """Record version ``n`` and bring it to ``state``. No other version may be waiting to be checked."""
    assert ledger.versions.observe(catalog_version(n, model))
    if state is VersionState.PENDING:
        return number(n)
    if state is VersionState.RETIRED:
        ledger.versions.retire(model, number(n))
        return number(n)
    claimed = ledger.versions.claim(0, FOR_EVER)
    assert claimed is not None
    assert (claimed.model, claimed.version) == (model, number(n))
    if state is VersionState.READY:
        ledger.versions.settle(model, number(n), state, PASSED, sealed(f"{model} {n}"))
    elif state is VersionState.REJECTED:
        ledger.versions.settle(model, number(n), state, FAILED, None)
    return number(n)


def add_with(ledger: Ledger, n: int, inputs: Sequence[Mapping[str, object]]) -> VersionNumber:
    """Record version ``n`` of churn and make it ready, with a signature of these inputs."""
    add(ledger, n, VersionState.CHECKING)
    what = replace(sealed(f"with {n}"), signature={"inputs": list(inputs), "outputs": None, "params": None})
    ledger.versions.settle(CHURN, number(n), VersionState.READY, PASSED, what)
    return number(n)


def at_once(count: int, work: Callable[[int], Result]) -> list[Result]:
    """Run ``work(0)`` … ``work(count - 1)`` in as many threads; return the results in order."""
    with ThreadPoolExecutor(count) as threads:
        return list(threads.map(work, range(count)))


@contextmanager
def sql_ledger(url: str, clock: Callable[[], int]) -> Iterator[Ledger]:
    """Open and migrate a database and give its ledger; close it after."""
    database = open_database(url)
    try:
        database.migrate()
        yield ledger_on(database, clock)
    finally:
        database.close()


@contextmanager
def opened(url: str) -> Iterator[Database]:
    """Open a database and close it after."""
    database = open_database(url)
    try:
        yield database
    finally:
        database.close()


def sqlite_url(folder: Path) -> str:
    """Return the URL of a database file in ``folder``."""
    return f"sqlite:///{folder / 'headgate.db'}"
