"""The reconciler: our records follow MLflow's registry, whatever people do there."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from registry.adapters.memory.catalog import MemoryCatalog
from registry.errors import Internal, Unavailable
from registry.plans import Plan
from registry.reconciler import Reconciler
from registry.records import AliasName, CatalogModel, CatalogVersion, ModelName, VersionNumber, VersionState
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
    ours = {str(alias): str(version) for alias, version in summary.aliases.items()}
    return ours, dict(registry.catalog.changed_since(0)[0].aliases)


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
    registry.operations.set_alias(CHURN, CHAMPION, VersionNumber("1"), who="ana")
    for _ in range(61):
        registry.reconciler.look()
    assert aliases(registry) == ({"champion": "1"}, {"champion": "1"})
    registry.operations.set_alias(CHURN, CHAMPION, None, who="ana")
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
    registry.ledger.aliases.set(CHURN, CHAMPION, VersionNumber("1"), who="ana")
    registry.catalog.set_alias(CHURN, CHAMPION, VersionNumber("1"))
    registry.ledger.aliases.set(CHURN, CHAMPION, None, who="ana")
    registry.settle()
    assert aliases(registry) == ({}, {})
    assert not registry.ledger.aliases.all(CHURN)


class Meanwhile(MemoryCatalog):
    """A catalog in which things happen between its answer and what is done with it."""

    def __init__(self) -> None:
        super().__init__()
        self.after_changes: Callable[[], object] = lambda: None
        self.after_names: Callable[[], object] = lambda: None
        self.full_reads = 0

    def changed_since(self, updated_ms: int) -> Sequence[CatalogModel]:
        """Read, then let it happen, once."""
        self.full_reads += updated_ms == 0
        seen = super().changed_since(updated_ms)
        happen, self.after_changes = self.after_changes, lambda: None
        happen()
        return seen

    def names(self) -> frozenset[str]:
        """Read, then let it happen, once."""
        seen = super().names()
        happen, self.after_names = self.after_names, lambda: None
        happen()
        return seen


def meanwhile() -> tuple[RegistryInMemory, Meanwhile]:
    """Return a registry in which churn 1 is ready, and its catalog."""
    registry, catalog = RegistryInMemory(), Meanwhile()
    registry.catalog = catalog
    registry.reconciler = Reconciler(catalog, registry.ledger)
    registry.ready("churn")
    return registry, catalog


def registers(registry: RegistryInMemory, model: str) -> Callable[[], object]:
    """Return what registers a version as our own route does: in MLflow, then in our records."""
    source = registry.catalog.changed_since(0)[0].versions[0].source
    return lambda: registry.ledger.versions.observe(registry.catalog.user_creates_version(model, source))


def test_version_registered_during_a_look_is_not_retired() -> None:
    """A version that is missing from an older reading of MLflow alone was not deleted there."""
    registry, catalog = meanwhile()
    happen = registers(registry, "churn")
    registry.log_model("churn")
    catalog.after_changes = happen
    for _ in range(61):
        registry.settle()
    assert [state(registry, version) for version in ("2", "3")] == [VersionState.READY] * 2


def test_model_created_during_a_look_is_not_forgotten() -> None:
    """A model that is made while the names are compared stays, with its version."""
    registry, catalog = meanwhile()
    happen, happened = registers(registry, "fresh"), []
    catalog.after_names = lambda: happened.append(happen())
    while not happened:
        registry.reconciler.look()
    assert registry.ledger.models.get(ModelName("fresh")) is not None


def test_alias_that_waits_costs_no_full_look() -> None:
    """While an alias waits for its version, and after the model is gone, a look reads no more than it must."""
    registry, catalog = meanwhile()
    catalog.user_sets_alias("churn", "champion", registry.log_model("churn"))
    registry.reconciler.look()
    before = catalog.full_reads
    for _ in range(5):
        registry.reconciler.look()
    catalog.user_deletes_model("churn")
    for _ in range(5):
        registry.reconciler.look()
    assert catalog.full_reads == before


def test_alias_set_by_us_survives_an_older_reading() -> None:
    """An alias that was moved here, and mirrored, after MLflow was read is not moved back, not even for a moment."""
    registry, catalog = meanwhile()
    registry.ready("churn")
    registry.operations.set_alias(CHURN, CHAMPION, VersionNumber("1"), who="ana")
    for _ in range(61):
        registry.reconciler.look()

    def other_replica() -> None:
        registry.ledger.aliases.set(CHURN, CHAMPION, VersionNumber("2"), who="ana")
        catalog.set_alias(CHURN, CHAMPION, VersionNumber("2"))
        registry.ledger.aliases.note_mirrored(CHURN, CHAMPION, VersionNumber("2"))
        revisions.append(registry.ledger.snapshots.revision())

    revisions: list[int] = []
    catalog.after_changes = other_replica
    catalog.user_tags_version("churn", "1", "a", "b")
    registry.settle()
    assert aliases(registry) == ({"champion": "2"}, {"champion": "2"})
    assert revisions == [registry.ledger.snapshots.revision()]


def test_alias_moved_on_both_sides_is_ours() -> None:
    """Where somebody moved an alias in MLflow before ours was told of a newer word, the acknowledged one stands."""
    registry = RegistryInMemory()
    registry.ready("churn", 3)
    registry.catalog.user_sets_alias("churn", "champion", "1")
    registry.settle()
    registry.catalog.user_sets_alias("churn", "champion", "2")
    registry.operations.set_alias(CHURN, CHAMPION, VersionNumber("3"), who="ana")
    registry.settle()
    assert aliases(registry) == ({"champion": "3"}, {"champion": "3"})


def test_model_at_fault_holds_up_no_other() -> None:
    """A model whose records cannot be followed is passed over; those after it are followed."""
    registry = RegistryInMemory()
    registry.log_model("broken")
    registry.log_model("churn")
    observe = registry.ledger.versions.observe

    def refuse_broken(version: CatalogVersion) -> bool:
        if version.model == "broken":
            raise Internal("internal", "a row that cannot be written")
        return observe(version)

    registry.ledger.versions.observe = refuse_broken  # type: ignore[method-assign]  # draws a fault of the database
    registry.settle()
    assert state(registry, "1") is VersionState.READY


def test_store_that_goes_away_while_aliases_are_followed_is_said() -> None:
    """An alias that MLflow could not be told of is no settled one: the look says that the store is away."""
    registry = RegistryInMemory()
    registry.ready("churn")
    registry.ledger.aliases.set(CHURN, CHAMPION, VersionNumber("1"), who="ana")
    tell = registry.catalog.set_alias

    def away(model: ModelName, alias: AliasName, version: VersionNumber | None) -> None:
        raise Unavailable("registry_unavailable", "away")

    registry.catalog.set_alias = away  # type: ignore[method-assign]  # draws an outage at this very step
    registry.reconciler = Reconciler(registry.catalog, registry.ledger)
    with pytest.raises(Unavailable):
        registry.reconciler.look()
    registry.catalog.set_alias = tell  # type: ignore[method-assign]  # and its end
    registry.settle()
    assert aliases(registry)[1] == {"champion": "1"}
