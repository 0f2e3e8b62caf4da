"""The ledger on a SQL database: all its ports on one pool of connections."""

from __future__ import annotations

import time
from collections.abc import Callable

from registry.adapters.sql.aliases import SqlAliases
from registry.adapters.sql.baselines import SqlBaselines
from registry.adapters.sql.database import Database
from registry.adapters.sql.feature_windows import SqlFeatureWindows
from registry.adapters.sql.leases import SqlLeases
from registry.adapters.sql.models import SqlModels
from registry.adapters.sql.plans import SqlPlans
from registry.adapters.sql.predictions import SqlPredictions
from registry.adapters.sql.registrations import SqlRegistrations
from registry.adapters.sql.reports import SqlReports
from registry.adapters.sql.rollouts import SqlRollouts
from registry.adapters.sql.snapshots import SqlSnapshots
from registry.adapters.sql.uploads import SqlUploads
from registry.adapters.sql.versions import SqlVersions
from registry.ports import Ledger


def system_clock() -> int:
    """Return the time in milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def ledger_on(database: Database, clock: Callable[[], int] = system_clock) -> Ledger:
    """Return the ledger that ``database`` (migrated) holds; ``clock`` tells when things happen, in milliseconds."""
    return Ledger(
        models=SqlModels(database, clock),
        versions=SqlVersions(database),
        plans=SqlPlans(database, clock),
        aliases=SqlAliases(database, clock),
        uploads=SqlUploads(database, clock),
        registrations=SqlRegistrations(database),
        snapshots=SqlSnapshots(database),
        rollouts=SqlRollouts(database, clock),
        reports=SqlReports(database, clock),
        leases=SqlLeases(database, clock),
        feature_windows=SqlFeatureWindows(database, clock),
        baselines=SqlBaselines(database, clock),
        predictions=SqlPredictions(database, clock),
    )
