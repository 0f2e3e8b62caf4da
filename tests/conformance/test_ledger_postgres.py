"""The ledger's promises, kept by PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import insert, text

from registry.adapters.sql.database import Database
from registry.adapters.sql.ledger import ledger_on
from registry.adapters.sql.tables import metadata, snapshot
from registry.ports import Ledger
from tests.conformance.ledger_baselines import BaselinePromises
from tests.conformance.ledger_intake import RegistrationPromises, UploadPromises
from tests.conformance.ledger_models import ModelPromises
from tests.conformance.ledger_plans import AliasPromises, PlanPromises
from tests.conformance.ledger_predictions import PredictionPromises
from tests.conformance.ledger_races import RacePromises
from tests.conformance.ledger_reports import ReportPromises
from tests.conformance.ledger_rollouts import LeasePromises, RolloutPromises
from tests.conformance.ledger_snapshots import SnapshotPromises
from tests.conformance.ledger_versions import VersionPromises
from tests.conformance.ledger_windows import WindowPromises
from tests.support.ledgers import Clock, opened
from tests.support.postgres import PostgresServer

pytestmark = pytest.mark.integration


@pytest.fixture
def clock() -> Clock:
    """The time, in the test's hand."""
    return Clock()


@pytest.fixture(scope="module")
def database(postgres_server: PostgresServer) -> Iterator[Database]:
    """A migrated database for all tests of this module: making and dropping one costs more than most tests."""
    name = postgres_server.new_database()
    with opened(postgres_server.url(name)) as database:
        database.migrate()
        yield database
    postgres_server.drop_database(name)


@pytest.fixture
def ledger(clock: Clock, database: Database) -> Ledger:
    """An empty ledger."""
    with database.engine.begin() as connection:
        connection.execute(text(f"TRUNCATE {', '.join(metadata.tables)}"))
        connection.execute(insert(snapshot).values(id=1, revision=0))
    return ledger_on(database, clock)


class TestModels(ModelPromises):
    """Models."""


class TestVersions(VersionPromises):
    """Versions."""


class TestPlans(PlanPromises):
    """Plans."""


class TestAliases(AliasPromises):
    """Aliases."""


class TestUploads(UploadPromises):
    """Uploads."""


class TestRegistrations(RegistrationPromises):
    """Registrations."""


class TestSnapshots(SnapshotPromises):
    """Snapshots."""


class TestRaces(RacePromises):
    """Races."""


class TestRollouts(RolloutPromises):
    """Rollouts."""


class TestReports(ReportPromises):
    """Reports."""


class TestPredictions(PredictionPromises):
    """Predictions."""


class TestLeases(LeasePromises):
    """Leases."""


class TestWindows(WindowPromises):
    """Windows of features."""


class TestBaselines(BaselinePromises):
    """Baselines."""
