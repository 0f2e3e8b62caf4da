"""The ledger's promises, kept by SQLite."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

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
from tests.support.ledgers import Clock, sql_ledger, sqlite_url


@pytest.fixture
def clock() -> Clock:
    """The time, in the test's hand."""
    return Clock()


@pytest.fixture
def ledger(clock: Clock, tmp_path: Path) -> Iterator[Ledger]:
    """An empty ledger."""
    with sql_ledger(sqlite_url(tmp_path), clock) as opened:
        yield opened


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
