"""What ``Versions`` promises. Bound to each ledger by ``test_ledger_*.py``."""

from __future__ import annotations

from dataclasses import replace

import pytest

from registry.errors import Conflict, NotFound
from registry.plans import Plan
from registry.ports import Ledger
from registry.records import ModelName, VersionRecord, VersionState
from tests.support.ledgers import CHAMPION, CHURN, FAILED, FOR_EVER, PASSED, add, catalog_version, number, sealed

MOVES = (VersionState.READY, VersionState.REJECTED)


class VersionPromises:
    """The records of versions and their moves."""

    def test_observe_records_a_pending_version(self, ledger: Ledger) -> None:
        """A version of MLflow's becomes a record with all that MLflow said of it."""
        assert ledger.versions.observe(catalog_version(3))
        assert ledger.versions.get(CHURN, number(3)) == VersionRecord(
            model=CHURN,
            version=number(3),
            state=VersionState.PENDING,
            source="models:/m-3",
            location="mlflow-artifacts:/1/models/m-3/artifacts",
            created_ms=3,
            run_id="run3",
            user="ana",
        )

    def test_versions_are_counted_by_state(self, ledger: Ledger) -> None:
        """Of every model that is there; what is gone with its model counts no more."""
        add(ledger, 1)
        add(ledger, 2, VersionState.REJECTED)
        add(ledger, 3, VersionState.PENDING)
        ledger.versions.observe(replace(catalog_version(1), model=ModelName("other")))
        counts = ledger.versions.counts()
        assert {state: counts.get(state, 0) for state in VersionState if counts.get(state)} == {
            VersionState.READY: 1,
            VersionState.REJECTED: 1,
            VersionState.PENDING: 2,
        }
        ledger.models.remove(ModelName("other"))
        assert ledger.versions.counts()[VersionState.PENDING] == 1

    def test_observe_is_idempotent(self, ledger: Ledger) -> None:
        """Seen again, a version stays as it is, whatever became of it, and nodes are told nothing."""
        add(ledger, 1)
        before = ledger.versions.get(CHURN, number(1))
        revision = ledger.snapshots.revision()
        assert not ledger.versions.observe(catalog_version(1))
        assert ledger.versions.get(CHURN, number(1)) == before
        assert ledger.snapshots.revision() == revision

    def test_optional_facts_may_be_missing(self, ledger: Ledger) -> None:
        """A version without run or user is one too."""
        ledger.versions.observe(replace(catalog_version(1), run_id=None, user=None))
        record = ledger.versions.get(CHURN, number(1))
        assert record is not None
        assert (record.run_id, record.user) == (None, None)

    @pytest.mark.parametrize("state", list(VersionState))
    def test_another_version_under_a_known_number_starts_afresh(self, ledger: Ledger, state: VersionState) -> None:
        """MLflow starts again at 1: a version made at another time replaces the record, with nothing of its seal."""
        add(ledger, 1, state)
        assert ledger.versions.observe(replace(catalog_version(1, created_ms=99), source="models:/new", run_id=None))
        record = ledger.versions.get(CHURN, number(1))
        assert record is not None
        assert (record.state, record.created_ms, record.source) == (VersionState.PENDING, 99, "models:/new")
        assert (record.sealed, record.checks, record.run_id) == (None, (), None)
        summary = ledger.models.get(CHURN)
        assert summary is not None
        assert summary.version_count == 1
        claimed = ledger.versions.claim(0, FOR_EVER)
        assert claimed is not None
        assert claimed.created_ms == 99

    def test_a_version_in_use_is_not_replaced_behind_its_callers(self, ledger: Ledger) -> None:
        """While a plan or alias names the number, the old record stays and the new version waits."""
        add(ledger, 1)
        add(ledger, 2)
        ledger.plans.append(CHURN, 0, Plan(number(1)), "ana", "")
        ledger.aliases.set(CHURN, CHAMPION, number(2), who="ana")
        before = [ledger.versions.get(CHURN, number(n)) for n in (1, 2)]
        for n in (1, 2):
            assert not ledger.versions.observe(catalog_version(n, created_ms=99))
        assert [ledger.versions.get(CHURN, number(n)) for n in (1, 2)] == before
        ledger.plans.append(CHURN, 1, None, "ana", "")
        ledger.aliases.set(CHURN, CHAMPION, None, who="ana")
        for n in (1, 2):
            assert ledger.versions.observe(catalog_version(n, created_ms=99))

    def test_claim_takes_the_oldest_once(self, ledger: Ledger) -> None:
        """Claims go by age; a version that is claimed is not given out again before its time."""
        ledger.versions.observe(catalog_version(2, created_ms=50))
        ledger.versions.observe(catalog_version(1, created_ms=60))
        ledger.versions.observe(catalog_version(1, ModelName("other"), created_ms=40))
        given = [ledger.versions.claim(1000, 2000) for _ in range(4)]
        assert [(r.model, r.version, r.state) for r in given if r is not None] == [
            ("other", "1", VersionState.CHECKING),
            ("churn", "2", VersionState.CHECKING),
            ("churn", "1", VersionState.CHECKING),
        ]
        assert given[3] is None

    def test_a_claim_runs_out_at_its_time(self, ledger: Ledger) -> None:
        """At ``until_ms``, and not before, a version that was left checking is given out again."""
        ledger.versions.observe(catalog_version(1))
        assert ledger.versions.claim(1000, 2000) is not None
        revision = ledger.snapshots.revision()
        assert ledger.versions.claim(1999, 3000) is None
        again = ledger.versions.claim(2000, 3000)
        assert again is not None
        assert again.state is VersionState.CHECKING
        assert ledger.versions.claim(2999, 4000) is None
        assert ledger.snapshots.revision() == revision, "nodes see no difference"

    def test_renew_prolongs_a_claim(self, ledger: Ledger) -> None:
        """A renewed claim runs out later; where there is no claim, there is none to renew."""
        ledger.versions.observe(catalog_version(1))
        with pytest.raises(Conflict):
            ledger.versions.renew(CHURN, number(1), 5000)
        ledger.versions.claim(1000, 2000)
        ledger.versions.renew(CHURN, number(1), 5000)
        assert ledger.versions.claim(4999, 9000) is None
        assert ledger.versions.claim(5000, 9000) is not None
        ledger.versions.settle(CHURN, number(1), VersionState.READY, PASSED, sealed())
        with pytest.raises(Conflict):
            ledger.versions.renew(CHURN, number(1), 5000)
        with pytest.raises(NotFound):
            ledger.versions.renew(CHURN, number(2), 5000)

    def test_settle_ready_keeps_all_that_was_sealed(self, ledger: Ledger) -> None:
        """A ready version gives back its checks and its seal exactly."""
        add(ledger, 1, VersionState.CHECKING)
        what = replace(sealed(), signature=None, python=None, requirements=(), flavors=())
        ledger.versions.settle(CHURN, number(1), VersionState.READY, PASSED, what)
        add(ledger, 2)
        plain, full = (ledger.versions.get(CHURN, number(n)) for n in (1, 2))
        assert plain is not None
        assert full is not None
        assert (plain.state, plain.checks, plain.sealed) == (VersionState.READY, PASSED, what)
        assert full.sealed == sealed("churn 2")

    def test_settle_rejected_keeps_the_reasons(self, ledger: Ledger) -> None:
        """A rejected version says why."""
        add(ledger, 1, VersionState.REJECTED)
        record = ledger.versions.get(CHURN, number(1))
        assert record is not None
        assert (record.state, record.reason, record.sealed) == (VersionState.REJECTED, "it raised ValueError", None)
        assert ledger.versions.claim(FOR_EVER, FOR_EVER) is None, "it is not checked again by itself"

    def test_a_rejected_version_can_be_checked_again(self, ledger: Ledger) -> None:
        """Settled as checking, it leaves no claim behind: the next claim takes it."""
        add(ledger, 1, VersionState.REJECTED)
        ledger.versions.settle(CHURN, number(1), VersionState.CHECKING, (), None)
        again = ledger.versions.claim(0, FOR_EVER)
        assert again is not None
        assert (again.version, again.reason) == ("1", "")
        assert ledger.versions.claim(0, FOR_EVER) is None

    @pytest.mark.parametrize("to", MOVES)
    @pytest.mark.parametrize("state", [VersionState.PENDING, VersionState.RETIRED])
    def test_illegal_moves_are_conflicts(self, ledger: Ledger, state: VersionState, to: VersionState) -> None:
        """Only what is being checked can be settled; nothing changes otherwise."""
        add(ledger, 1, state)
        before = (ledger.versions.get(CHURN, number(1)), ledger.snapshots.revision())
        with pytest.raises(Conflict) as refused:
            ledger.versions.settle(CHURN, number(1), to, PASSED, sealed())
        assert refused.value.code == "not_ready"
        assert (ledger.versions.get(CHURN, number(1)), ledger.snapshots.revision()) == before

    def test_settle_asks_for_what_makes_sense(self, ledger: Ledger) -> None:
        """Ready without a seal, or a check that ends in another state, is a fault of the caller."""
        add(ledger, 1, VersionState.CHECKING)
        with pytest.raises(ValueError, match="sealed"):
            ledger.versions.settle(CHURN, number(1), VersionState.READY, PASSED, None)
        with pytest.raises(ValueError, match="retire"):
            ledger.versions.settle(CHURN, number(1), VersionState.RETIRED, PASSED, None)
        with pytest.raises(NotFound):
            ledger.versions.settle(CHURN, number(2), VersionState.READY, PASSED, sealed())

    def test_a_version_in_use_cannot_be_taken_from_ready(self, ledger: Ledger) -> None:
        """What the plan in force or an alias names stays ready: it is neither retired nor settled otherwise."""
        add(ledger, 1)
        ledger.plans.append(CHURN, 0, Plan(number(1)), "ana", "")
        ledger.aliases.set(CHURN, CHAMPION, number(1), who="ana")
        with pytest.raises(Conflict) as refused:
            ledger.versions.retire(CHURN, number(1))
        assert refused.value.code == "in_use"
        assert refused.value.details == {"plan_revision": 1, "as": ["stable"], "aliases": ["champion"]}
        assert "revision 1) as stable" in refused.value.message
        assert "champion" in refused.value.message
        with pytest.raises(Conflict):
            ledger.versions.settle(CHURN, number(1), VersionState.REJECTED, FAILED, None)
        ledger.plans.append(CHURN, 1, None, "ana", "")
        with pytest.raises(Conflict):
            ledger.versions.retire(CHURN, number(1))
        ledger.aliases.set(CHURN, CHAMPION, None, who="ana")
        ledger.versions.retire(CHURN, number(1))

    @pytest.mark.parametrize("state", list(VersionState))
    def test_retire_works_from_any_state_and_twice(self, ledger: Ledger, state: VersionState) -> None:
        """Retiring ends in retired; doing it again changes nothing; an unknown version is not found."""
        add(ledger, 1, state)
        ledger.versions.retire(CHURN, number(1))
        revision = ledger.snapshots.revision()
        ledger.versions.retire(CHURN, number(1))
        record = ledger.versions.get(CHURN, number(1))
        assert record is not None
        assert record.state is VersionState.RETIRED
        assert ledger.snapshots.revision() == revision
        assert ledger.versions.claim(FOR_EVER, FOR_EVER) is None
        with pytest.raises(NotFound) as refused:
            ledger.versions.retire(CHURN, number(2))
        assert refused.value.code == "unknown_version"

    def test_pages_go_down_from_the_newest(self, ledger: Ledger) -> None:
        """Pages are numeric, newest first, strictly below ``before``, and end with an empty one."""
        for n in (1, 2, 9, 10, 11, 100):
            ledger.versions.observe(catalog_version(n))

        def page(limit: int, before: int) -> list[str]:
            return [record.version for record in ledger.versions.page(CHURN, limit, before)]

        assert page(4, 0) == ["100", "11", "10", "9"]
        assert page(4, 9) == ["2", "1"]
        assert page(1, 10) == ["9"]
        assert page(4, 1) == []
        assert page(10, 10**30) == ["100", "11", "10", "9", "2", "1"]
        assert page(0, 0) == []
        assert list(ledger.versions.page(ModelName("other"), 10, 0)) == []

    def test_text_from_outside_comes_back(self, ledger: Ledger) -> None:
        """Quotes, percent signs, newlines and other scripts are values, never SQL."""
        awkward = "'; DROP TABLE headgate_models; -- %s %(x)s :y \n\t\\ \u05d0\U0001f600"
        ledger.versions.observe(replace(catalog_version(1), source=awkward, user=awkward))
        record = ledger.versions.get(CHURN, number(1))
        assert record is not None
        assert (record.source, record.user) == (awkward, awkward)
