"""What ``Models`` promises. Bound to each ledger by ``test_ledger_*.py``."""

from __future__ import annotations

import pytest

from registry.errors import Conflict
from registry.plans import Plan
from registry.ports import Ledger, Registration
from registry.records import ModelName, VersionState
from tests.support.ledgers import CHAMPION, CHURN, FOR_EVER, Clock, add, catalog_version, number


class ModelPromises:
    """Models that exist, as far as we know."""

    def test_a_model_appears_with_its_first_version(self, ledger: Ledger) -> None:
        """A model is unknown until a version of it was observed."""
        assert ledger.models.get(CHURN) is None
        assert ledger.models.names() == frozenset()
        add(ledger, 1, VersionState.PENDING)
        assert ledger.models.names() == {"churn"}

    def test_summary_shows_the_five_newest_and_counts_all(self, ledger: Ledger) -> None:
        """A summary holds the five newest versions, newest first, the count of all, aliases and the plan in force."""
        for n in (1, 2, 3, 4, 5, 6, 10):
            add(ledger, n)
        ledger.aliases.set(CHURN, CHAMPION, number(2), who="ana")
        line = ledger.plans.append(CHURN, 0, Plan(number(6)), "ana", "try it")
        summary = ledger.models.get(CHURN)
        assert summary is not None
        assert [v.version for v in summary.versions] == ["10", "6", "5", "4", "3"]
        assert summary.version_count == 7
        assert summary.aliases == {"champion": "2"}
        assert summary.plan == line
        assert ledger.models.page(10, "", "") == [summary]

    def test_pages_go_by_name_in_code_point_order(self, ledger: Ledger) -> None:
        """Pages are sorted by code point on every database, hold ``limit`` models, and go on after a name."""
        names = ["B", "a", "a-b", "a.b", "a1", "a_b", "ab", "b"]
        for name in names:
            ledger.versions.observe(catalog_version(1, ModelName(name)))
        assert names == sorted(names), "the test's own list"
        seen: list[str] = []
        while page := ledger.models.page(3, seen[-1] if seen else "", ""):
            assert len(page) <= 3
            seen += [summary.name for summary in page]
        assert seen == names
        assert [len(summary.versions) for summary in ledger.models.page(100, "", "")] == [1] * len(names)

    @pytest.mark.parametrize(
        ("query", "found"),
        [
            ("CHU", ["churn"]),
            ("_", ["a_b"]),
            ("%", []),
            (".", ["x.y"]),
            ("", ["a_b", "churn", "x.y"]),
            ("é", []),
            ("\0", []),
        ],
    )
    def test_query_finds_names_that_contain_it(self, ledger: Ledger, query: str, found: list[str]) -> None:
        """A query is literal text in any case; wildcards of SQL mean nothing."""
        for name in ("churn", "a_b", "x.y"):
            ledger.versions.observe(catalog_version(1, ModelName(name)))
        assert [summary.name for summary in ledger.models.page(10, "", query)] == found

    def test_remove_forgets_all_but_the_journal(self, ledger: Ledger, clock: Clock) -> None:
        """Versions, aliases and keys of a removed model go; its journal stays, and ends by taking the traffic away."""
        add(ledger, 1)
        ledger.aliases.set(CHURN, CHAMPION, number(1), who="ana")
        ledger.plans.append(CHURN, 0, Plan(number(1)), "ana", "")
        ledger.registrations.begin(Registration(CHURN, "k", "f", number(1)))
        clock.now_ms = 7_000
        ledger.models.remove(CHURN)
        assert ledger.models.get(CHURN) is None
        assert ledger.models.names() == frozenset()
        assert list(ledger.models.page(10, "", "")) == []
        assert ledger.versions.get(CHURN, number(1)) is None
        assert list(ledger.aliases.all(CHURN)) == []
        assert ledger.registrations.begin(Registration(CHURN, "k", "other", None)).version is None
        journal = ledger.plans.history(CHURN, 10, 0)
        assert [(line.revision, line.plan) for line in journal] == [(2, None), (1, Plan(number(1)))]
        assert (journal[0].who, journal[0].at_ms) == ("mlflow", 7_000)

    def test_retire_all_retires_every_version(self, ledger: Ledger) -> None:
        """A model that nothing uses retires whole, in one revision; a second time nothing changes."""
        add(ledger, 1)
        add(ledger, 2, VersionState.REJECTED)
        add(ledger, 3, VersionState.CHECKING)
        add(ledger, 4, VersionState.PENDING)
        revision = ledger.snapshots.revision()
        for _ in range(2):
            ledger.models.retire_all(CHURN)
            assert ledger.snapshots.revision() == revision + 1
        assert {record.state for record in ledger.versions.page(CHURN, 10, 0)} == {VersionState.RETIRED}
        assert ledger.versions.claim(FOR_EVER, FOR_EVER) is None
        ledger.models.retire_all(ModelName("never-was"))

    def test_retire_all_spares_a_model_in_use(self, ledger: Ledger) -> None:
        """While any version has traffic or an alias, none is retired."""
        add(ledger, 1)
        add(ledger, 2)
        ledger.aliases.set(CHURN, CHAMPION, number(1), who="ana")
        with pytest.raises(Conflict, match="aliases \\(champion\\)"):
            ledger.models.retire_all(CHURN)
        ledger.aliases.set(CHURN, CHAMPION, None, who="ana")
        ledger.plans.append(CHURN, 0, Plan(number(1)), "ana", "")
        with pytest.raises(Conflict, match="traffic on version 1") as refused:
            ledger.models.retire_all(CHURN)
        assert refused.value.code == "in_use"
        assert {record.state for record in ledger.versions.page(CHURN, 10, 0)} == {VersionState.READY}
        ledger.plans.append(CHURN, 1, None, "ana", "")
        ledger.models.retire_all(CHURN)

    def test_remove_is_idempotent(self, ledger: Ledger) -> None:
        """Removing what is unknown or removed changes nothing."""
        ledger.models.remove(CHURN)
        add(ledger, 1, VersionState.PENDING)
        ledger.models.remove(CHURN)
        revision = ledger.snapshots.revision()
        ledger.models.remove(CHURN)
        assert ledger.snapshots.revision() == revision
        assert list(ledger.plans.history(CHURN, 10, 0)) == [], "there was no traffic to take away"

    def test_a_model_that_comes_back_inherits_nothing_but_its_journal(self, ledger: Ledger) -> None:
        """Made again under its old name, a model has no plan, no alias, no ready version; revisions go on."""
        add(ledger, 1)
        ledger.aliases.set(CHURN, CHAMPION, number(1), who="ana")
        ledger.plans.append(CHURN, 0, Plan(number(1)), "ana", "")
        ledger.models.remove(CHURN)
        assert ledger.versions.observe(catalog_version(1, created_ms=99))
        summary = ledger.models.get(CHURN)
        assert summary is not None
        assert (summary.version_count, summary.aliases) == (1, {})
        assert summary.versions[0].state is VersionState.PENDING
        assert summary.plan is not None
        assert (summary.plan.revision, summary.plan.plan) == (2, None)
        with pytest.raises(Conflict) as refused:
            ledger.plans.append(CHURN, 0, None, "ana", "")
        assert refused.value.details == {"revision": 2}

    def test_numbers_stay_used_when_a_model_goes(self, ledger: Ledger) -> None:
        """The highest number a name ever had is known after the model was removed, and for a model never seen here."""
        add(ledger, 3)
        ledger.models.remove(CHURN)
        assert ledger.models.highest_number(CHURN) == 3
        ledger.models.remember_number(CHURN, 2)
        assert ledger.models.highest_number(CHURN) == 3
        ledger.models.remember_number(ModelName("stranger"), 7)
        ledger.models.remember_number(ModelName("stranger"), 7)
        assert ledger.models.highest_number(ModelName("stranger")) == 7
        assert ledger.models.highest_number(ModelName("nobody")) == 0
