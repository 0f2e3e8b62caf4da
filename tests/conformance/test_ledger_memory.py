"""The ledger's promises, kept by memory."""

from __future__ import annotations

import pytest

from registry.adapters.memory.ledger import memory_ledger
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
from tests.support.ledgers import Clock


@pytest.fixture
def clock() -> Clock:
    """The time, in the test's hand."""
    return Clock()


@pytest.fixture
def ledger(clock: Clock) -> Ledger:
    """An empty ledger."""
    return memory_ledger(clock)


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
