"""What ``Snapshots`` promises. Bound to each ledger by ``test_ledger_*.py``."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from registry.plans import Plan, Shadow
from registry.ports import Ledger
from registry.records import ModelName, VersionNumber, VersionState
from registry.snapshots import ModelSnapshot, ServableVersion, SnapshotPage
from tests.support.ledgers import CHAMPION, CHURN, FAILED, FOR_EVER, PASSED, add, catalog_version, number, sealed

OTHER = ModelName("other")


def _retire_two(ledger: Ledger) -> None:
    ledger.versions.retire(CHURN, number(2))


CHANGES: dict[str, Callable[[Ledger], object]] = {
    "a version becomes known": lambda ledger: ledger.versions.observe(catalog_version(9)),
    "a version is replaced": lambda ledger: ledger.versions.observe(catalog_version(2, created_ms=99)),
    "a version is retired": _retire_two,
    "a plan is appended": lambda ledger: ledger.plans.append(CHURN, 0, Plan(number(2)), "ana", ""),
    "an alias is set": lambda ledger: ledger.aliases.set(CHURN, CHAMPION, number(2), who="ana"),
    "the model is removed": lambda ledger: ledger.models.remove(CHURN),
}


def _standing(ledger: Ledger) -> dict[VersionNumber, tuple[int, bool]]:
    """Return how many processes each version gets, and whether in the background."""
    (model,) = ledger.snapshots.page(0).models
    return {n: (v.instances, v.background) for n, v in model.versions.items()}


class SnapshotPromises:
    """What nodes are told."""

    def test_an_empty_ledger_is_at_zero(self, ledger: Ledger) -> None:
        """Before the first change the revision is 0 and the page is full and empty."""
        assert ledger.snapshots.revision() == 0
        assert ledger.snapshots.page(0) == SnapshotPage(0, full=True, models=())

    def test_a_model_is_told_whole(self, ledger: Ledger) -> None:
        """A page holds the plan in force, aliases, what ready versions need, and the state of all others."""
        states = [*reversed(VersionState)]  # the pending one last, or it would be claimed in place of the next
        for n, state in enumerate(states, 1):
            add(ledger, n, state)
        ready = number(states.index(VersionState.READY) + 1)
        ledger.plans.append(CHURN, 0, Plan(ready, "first"), "ana", "")
        ledger.aliases.set(CHURN, CHAMPION, ready, who="ana")
        seal = sealed(f"churn {ready}")
        servable = ServableVersion(
            version=ready,
            digest=seal.digest,
            size=seal.size,
            runtime=seal.runtime,
            signature=seal.signature,
            requirements=seal.requirements,
            python=seal.python,
            flavors=seal.flavors,
            lock=seal.lock,
        )
        assert ledger.snapshots.page(0).models == (
            ModelSnapshot(
                name=CHURN,
                plan=Plan(ready, "first"),
                plan_revision=1,
                aliases={CHAMPION: ready},
                versions={ready: servable},
                others={number(n): s.value for n, s in enumerate(states, 1) if s is not VersionState.READY},
            ),
        )

    def test_a_planned_version_has_the_instances_of_its_plan(self, ledger: Ledger) -> None:
        """Nodes find how many processes a version gets at the version; those that no plan names get one."""
        for n in (1, 2):
            add(ledger, n)
        ledger.plans.append(CHURN, 0, Plan(number(2), instances=4, warm=True), "ana", "")
        (model,) = ledger.snapshots.page(0).models
        assert {n: v.instances for n, v in model.versions.items()} == {"1": 1, "2": 4}
        assert model.plan == Plan(number(2), instances=4, warm=True)
        ledger.plans.append(CHURN, 1, Plan(number(1)), "ana", "")
        (model,) = ledger.snapshots.page(0).models
        assert {n: v.instances for n, v in model.versions.items()} == {"1": 1, "2": 1}

    def test_only_a_shadow_that_nobody_asks_stands_behind(self, ledger: Ledger) -> None:
        """It has one process, in the background; once an alias names it, as many as others, and in front."""
        for n in (1, 2, 3):
            add(ledger, n)
        plan = Plan(number(1), instances=4, shadows=(Shadow(number(2)), Shadow(number(3))))
        ledger.plans.append(CHURN, 0, plan, "ana", "")
        ledger.aliases.set(CHURN, CHAMPION, number(2), who="ana")
        assert _standing(ledger) == {"1": (4, False), "2": (4, False), "3": (1, True)}
        since = ledger.snapshots.revision()
        ledger.aliases.set(CHURN, CHAMPION, None, who="ana")
        assert [m.name for m in ledger.snapshots.page(since).models] == [CHURN]
        assert _standing(ledger) == {"1": (4, False), "2": (1, True), "3": (1, True)}

    @pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
    def test_every_visible_change_is_told(self, ledger: Ledger, change: Callable[[Ledger], object]) -> None:
        """Whatever nodes see raises the revision, and the page since then holds the changed model and no other."""
        add(ledger, 2)
        add(ledger, 1, model=OTHER)
        since = ledger.snapshots.revision()
        change(ledger)
        page = ledger.snapshots.page(since)
        assert page.revision == ledger.snapshots.revision() > since
        assert not page.full
        assert [m.name for m in page.models] + list(page.removed) == [CHURN]

    def test_each_step_of_admission_is_told(self, ledger: Ledger) -> None:
        """Claimed, settled, checked again: nodes see each state."""
        ledger.versions.observe(catalog_version(1))
        steps: list[Callable[[], object]] = [
            lambda: ledger.versions.claim(0, FOR_EVER),
            lambda: ledger.versions.settle(CHURN, number(1), VersionState.REJECTED, FAILED, None),
            lambda: ledger.versions.settle(CHURN, number(1), VersionState.CHECKING, (), None),
            lambda: ledger.versions.settle(CHURN, number(1), VersionState.READY, PASSED, sealed()),
        ]
        seen = []
        for step in steps:
            since = ledger.snapshots.revision()
            step()
            (model,) = ledger.snapshots.page(since).models
            seen.append(model.others.get(number(1), "ready"))
        assert seen == ["checking", "rejected", "checking", "ready"]
        assert number(1) in ledger.snapshots.page(since).models[0].versions

    def test_nothing_new_is_an_empty_page(self, ledger: Ledger) -> None:
        """Asked since the newest revision, there is nothing to tell."""
        add(ledger, 1)
        now = ledger.snapshots.revision()
        assert ledger.snapshots.page(now) == SnapshotPage(now, full=False, models=())

    @pytest.mark.parametrize("since", [0, -5, 10**30])
    def test_the_past_before_and_the_future_get_everything(self, ledger: Ledger, since: int) -> None:
        """A node that knows nothing, or more than there is (a restored backup), is told all instead."""
        add(ledger, 1)
        add(ledger, 1, model=OTHER)
        ledger.models.remove(OTHER)
        page = ledger.snapshots.page(since)
        assert page.full
        assert [m.name for m in page.models] == [CHURN]
        assert page.removed == (), "a full page says it by leaving it out"

    def test_a_removed_model_is_told_until_it_comes_back(self, ledger: Ledger) -> None:
        """A node that was away learns that a model went; one that was away longer sees only that it is back."""
        add(ledger, 1)
        before = ledger.snapshots.revision()
        ledger.models.remove(CHURN)
        gone = ledger.snapshots.page(before)
        assert (gone.models, gone.removed) == ((), ("churn",))
        ledger.versions.observe(catalog_version(1, created_ms=99))
        for since in (before, gone.revision):
            back = ledger.snapshots.page(since)
            assert [m.name for m in back.models] == [CHURN]
            assert back.models[0].others == {"1": "pending"}
            assert back.removed == ()

    def test_a_page_survives_the_wire(self, ledger: Ledger) -> None:
        """The wire form of a page says the same."""
        add(ledger, 1)
        ledger.plans.append(CHURN, 0, Plan(number(1)), "ana", "")
        page = ledger.snapshots.page(0)
        assert SnapshotPage.from_json(page.to_json()) == page
