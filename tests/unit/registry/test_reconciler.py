"""The reconciler: our records follow MLflow's registry, whatever people do there."""

from __future__ import annotations

import pytest

from registry.errors import Unavailable
from registry.records import AliasName, ModelName, Plan, VersionNumber, VersionState
from tests.support.registry_app import RegistryInMemory

CHURN = ModelName("churn")
CHAMPION = AliasName("champion")


def state(registry: RegistryInMemory, version: str) -> VersionState:
    """Return the state of a version of churn."""
    record = registry.ledger.versions.get(CHURN, VersionNumber(version))
    assert record is not None
    return record.state


def aliases(registry: RegistryInMemory) -> tuple[dict[str, str], dict[str, str]]:
    """Return churn's aliases as they serve, and as MLflow has them."""
    summary = registry.ledger.models.get(CHURN)
    assert summary is not None
    return dict(summary.aliases), dict(registry.catalog.changed_since(0)[0].aliases)


def test_version_logged_with_mlflow_becomes_ready() -> None:
    """A version that came past our own routes is found, admitted and told to nodes."""
    registry = RegistryInMemory()
    registry.ready("churn", 2)
    assert state(registry, "2") is VersionState.READY
    assert list(registry.ledger.snapshots.page(0).models[0].versions) == ["1", "2"]


def test_looking_twice_changes_nothing() -> None:
    """A look that finds nothing new leaves the snapshot's revision alone."""
    registry = RegistryInMemory()
    registry.ready("churn")
    before = registry.ledger.snapshots.revision()
    for _ in range(130):
        registry.reconciler.look()
    assert registry.ledger.snapshots.revision() == before


def test_version_deleted_in_mlflow_is_retired() -> None:
    """A version that somebody deleted in MLflow serves no more, and its number stays taken."""
    registry = RegistryInMemory()
    registry.ready("churn", 2)
    registry.catalog.user_deletes_version("churn", "2")
    registry.settle()
    assert state(registry, "2") is VersionState.RETIRED
    assert registry.log_model("churn") == "3"


def test_deleted_version_that_has_traffic_goes_on_serving() -> None:
    """Where a version with traffic was deleted past our guard, it goes on serving until the plan changes."""
    registry = RegistryInMemory()
    registry.ready("churn", 2)
    registry.ledger.plans.append(CHURN, 0, Plan(VersionNumber("1")), "t", "t")
    registry.catalog.user_deletes_version("churn", "1")
    registry.settle()
    assert state(registry, "1") is VersionState.READY
    registry.ledger.plans.append(CHURN, 1, Plan(VersionNumber("2")), "t", "t")
    for _ in range(61):
        registry.reconciler.look()
    assert state(registry, "1") is VersionState.RETIRED


def test_deleted_model_is_forgotten_by_nodes() -> None:
    """A model that MLflow no longer has is removed from the snapshot at the next full look."""
    registry = RegistryInMemory()
    registry.ready("churn")
    registry.catalog.user_deletes_model("churn")
    for _ in range(61):
        registry.reconciler.look()
    assert "churn" in registry.ledger.snapshots.page(1).removed


def test_alias_set_in_mlflow_is_adopted_once_the_version_is_ready() -> None:
    """An alias given together with the registration serves from the moment the version is ready."""
    registry = RegistryInMemory()
    registry.log_model("churn")
    registry.catalog.user_sets_alias("churn", "champion", "1")
    registry.reconciler.look()
    assert aliases(registry)[0] == {}
    registry.settle()
    assert aliases(registry)[0] == {"champion": "1"}


def test_alias_set_by_us_is_followed_by_mlflow() -> None:
    """What serves is ours; MLflow's alias follows, and a removed one is removed there."""
    registry = RegistryInMemory()
    registry.ready("churn", 2)
    registry.operations.set_alias(CHURN, CHAMPION, VersionNumber("1"))
    for _ in range(61):
        registry.reconciler.look()
    assert aliases(registry) == ({"champion": "1"}, {"champion": "1"})
    registry.operations.set_alias(CHURN, CHAMPION, None)
    for _ in range(61):
        registry.reconciler.look()
    assert aliases(registry) == ({}, {})


def test_alias_moved_in_mlflow_is_adopted() -> None:
    """An alias that somebody moved in MLflow moves here as well; one removed there is removed here."""
    registry = RegistryInMemory()
    registry.ready("churn", 2)
    registry.catalog.user_sets_alias("churn", "champion", "1")
    registry.settle()
    registry.catalog.user_sets_alias("churn", "champion", "2")
    registry.settle()
    assert aliases(registry)[0] == {"champion": "2"}
    registry.catalog.user_deletes_alias("churn", "champion")
    registry.settle()
    assert aliases(registry) == ({}, {})


def test_alias_moved_to_a_rejected_version_is_put_back() -> None:
    """An alias cannot be moved to a version that will never serve: it is put back in MLflow."""
    registry = RegistryInMemory()
    registry.ready("churn")
    registry.catalog.user_sets_alias("churn", "champion", "1")
    registry.settle()
    registry.log_model("churn", mlmodel=b"flavors: {}")
    registry.settle()
    assert state(registry, "2") is VersionState.REJECTED
    registry.catalog.user_sets_alias("churn", "champion", "2")
    registry.settle()
    assert aliases(registry) == ({"champion": "1"}, {"champion": "1"})


def test_database_that_is_away_is_said_and_then_caught_up() -> None:
    """While MLflow's store is away a look raises Unavailable; afterwards nothing was missed."""
    registry = RegistryInMemory()
    registry.log_model("churn")
    registry.catalog.reachable = False
    with pytest.raises(Unavailable):
        registry.reconciler.look()
    registry.catalog.reachable = True
    registry.settle()
    assert state(registry, "1") is VersionState.READY


def test_removed_alias_does_not_come_back_after_a_crash() -> None:
    """Where we died between telling MLflow of an alias and noting it, a later removal still wins."""
    registry = RegistryInMemory()
    registry.ready("churn")
    registry.ledger.aliases.set(CHURN, CHAMPION, VersionNumber("1"))
    registry.catalog.set_alias(CHURN, CHAMPION, VersionNumber("1"))
    registry.ledger.aliases.set(CHURN, CHAMPION, None)
    registry.settle()
    assert aliases(registry) == ({}, {})
    assert not registry.ledger.aliases.all(CHURN)
