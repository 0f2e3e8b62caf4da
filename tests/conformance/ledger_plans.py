"""What ``Plans`` and ``Aliases`` promise. Bound to each ledger by ``test_ledger_*.py``."""

from __future__ import annotations

import pytest

from registry.aliases import AliasRecord
from registry.errors import Conflict, NotFound
from registry.plans import Plan, PlanRevision
from registry.ports import Ledger
from registry.records import AliasName, ModelName, VersionState
from tests.support.ledgers import CHAMPION, CHURN, Clock, add, catalog_version, number

NOT_READY = [s for s in VersionState if s is not VersionState.READY]


class PlanPromises:
    """The journal of each model's plan."""

    def test_append_writes_the_next_line(self, ledger: Ledger, clock: Clock) -> None:
        """A plan is kept with its number, who, why and when, and is the one in force."""
        add(ledger, 1)
        assert ledger.plans.current(CHURN) is None
        clock.now_ms = 5_000
        line = ledger.plans.append(CHURN, 0, Plan(number(1), "a note"), "ana", "try it")
        assert line == PlanRevision(CHURN, 1, Plan(number(1), "a note"), "ana", "try it", 5_000)
        assert ledger.plans.current(CHURN) == line

    def test_a_plan_keeps_how_its_versions_are_kept(self, ledger: Ledger) -> None:
        """Warmth and instances come back as they were said."""
        add(ledger, 1)
        line = ledger.plans.append(CHURN, 0, Plan(number(1), "n", warm=True, instances=3), "ana", "")
        assert ledger.plans.current(CHURN) == line
        assert list(ledger.plans.history(CHURN, 1, 0)) == [line]

    def test_the_journal_keeps_every_line(self, ledger: Ledger) -> None:
        """History is newest first, strictly below ``before``, in pages; nothing is ever overwritten."""
        add(ledger, 1)
        lines = [ledger.plans.append(CHURN, n, Plan(number(1)) if n % 2 else None, "ana", str(n)) for n in range(5)]
        assert ledger.plans.history(CHURN, 10, 0) == lines[::-1]
        assert ledger.plans.history(CHURN, 2, 0) == [lines[4], lines[3]]
        assert ledger.plans.history(CHURN, 2, 4) == [lines[2], lines[1]]
        assert list(ledger.plans.history(CHURN, 2, 1)) == []
        assert len(ledger.plans.history(CHURN, 10, 10**30)) == 5
        assert list(ledger.plans.history(ModelName("other"), 2, 0)) == []

    @pytest.mark.parametrize("expected", [-1, 0, 1, 3, 10**30])
    def test_append_expects_the_newest_revision(self, ledger: Ledger, expected: int) -> None:
        """Any other expectation is a conflict that tells the present revision, and changes nothing."""
        add(ledger, 1)
        for n in range(2):
            ledger.plans.append(CHURN, n, Plan(number(1)), "ana", "")
        with pytest.raises(Conflict) as refused:
            ledger.plans.append(CHURN, expected, Plan(number(1)), "ben", "")
        assert refused.value.code == "revision_conflict"
        assert refused.value.details == {"revision": 2}
        assert len(ledger.plans.history(CHURN, 10, 0)) == 2

    @pytest.mark.parametrize("state", NOT_READY)
    def test_only_ready_versions_get_traffic(self, ledger: Ledger, state: VersionState) -> None:
        """A version that is not ready is refused with its state, and its reason where it has one (R14)."""
        add(ledger, 1)
        add(ledger, 2, state)
        with pytest.raises(Conflict) as refused:
            ledger.plans.append(CHURN, 0, Plan(number(2)), "ana", "")
        assert refused.value.code == "not_ready"
        assert refused.value.details == {"version": "2", "state": state.value}
        assert f"version 2 is {state.value}" in refused.value.message
        assert ("ValueError" in refused.value.message) == (state is VersionState.REJECTED)
        assert ledger.plans.current(CHURN) is None

    def test_unknown_names_are_not_found(self, ledger: Ledger) -> None:
        """An unknown model says so; an unknown version tells at most ten that exist, the newest."""
        with pytest.raises(NotFound) as refused:
            ledger.plans.append(CHURN, 0, None, "ana", "")
        assert refused.value.code == "unknown_model"
        for n in range(1, 13):
            ledger.versions.observe(catalog_version(n))
        with pytest.raises(NotFound) as refused:
            ledger.plans.append(CHURN, 0, Plan(number(99)), "ana", "")
        assert refused.value.code == "unknown_version"
        assert refused.value.message == "churn has no version 99; it has 3, 4, 5, 6, 7, 8, 9, 10, 11, 12"


class AliasPromises:
    """Movable names."""

    def test_an_alias_moves(self, ledger: Ledger) -> None:
        """An alias names one version and can be pointed at another; setting the same again tells nodes nothing."""
        for n in (1, 2):
            add(ledger, n)
        ledger.aliases.set(CHURN, CHAMPION, number(1), who="ana")
        assert ledger.aliases.all(CHURN) == [AliasRecord(CHAMPION, number(1), None)]
        ledger.aliases.set(CHURN, CHAMPION, number(2), who="ana")
        revision = ledger.snapshots.revision()
        ledger.aliases.set(CHURN, CHAMPION, number(2), who="ana")
        assert ledger.aliases.all(CHURN) == [AliasRecord(CHAMPION, number(2), None)]
        assert ledger.snapshots.revision() == revision

    def test_aliases_are_case_sensitive_and_sorted(self, ledger: Ledger) -> None:
        """``Prod`` and ``prod`` are two aliases; all are listed by code point."""
        add(ledger, 1)
        for alias in ("prod", "a_b", "Prod", "a-b", "ab"):
            ledger.aliases.set(CHURN, AliasName(alias), number(1), who="ana")
        assert [record.alias for record in ledger.aliases.all(CHURN)] == ["Prod", "a-b", "a_b", "ab", "prod"]

    @pytest.mark.parametrize("state", NOT_READY)
    def test_only_ready_versions_get_an_alias(self, ledger: Ledger, state: VersionState) -> None:
        """An alias keeps what it named where the new version is not ready."""
        add(ledger, 1)
        ledger.aliases.set(CHURN, CHAMPION, number(1), who="ana")
        add(ledger, 2, state)
        with pytest.raises(Conflict) as refused:
            ledger.aliases.set(CHURN, CHAMPION, number(2), who="ana")
        assert refused.value.code == "not_ready"
        assert ledger.aliases.all(CHURN) == [AliasRecord(CHAMPION, number(1), None)]

    def test_unknown_names_are_not_found(self, ledger: Ledger) -> None:
        """An alias needs a model and a version that exist."""
        with pytest.raises(NotFound) as refused:
            ledger.aliases.set(CHURN, CHAMPION, None, who="ana")
        assert refused.value.code == "unknown_model"
        add(ledger, 1)
        with pytest.raises(NotFound) as refused:
            ledger.aliases.set(CHURN, CHAMPION, number(7), who="ana")
        assert (refused.value.code, refused.value.message) == ("unknown_version", "churn has no version 7; it has 1")

    def test_a_removed_alias_is_kept_until_mlflow_forgot_it(self, ledger: Ledger) -> None:
        """Removed, it names nothing at once; its record goes when MLflow is known to have none."""
        add(ledger, 1)
        ledger.aliases.set(CHURN, CHAMPION, number(1), who="ana")
        ledger.aliases.note_mirrored(CHURN, CHAMPION, number(1))
        assert ledger.aliases.all(CHURN) == [AliasRecord(CHAMPION, number(1), number(1))]
        ledger.aliases.set(CHURN, CHAMPION, None, who="ana")
        assert ledger.aliases.all(CHURN) == [AliasRecord(CHAMPION, None, number(1))]
        summary = ledger.models.get(CHURN)
        assert summary is not None
        assert summary.aliases == {}
        ledger.aliases.note_mirrored(CHURN, CHAMPION, None)
        assert list(ledger.aliases.all(CHURN)) == []

    def test_a_removed_alias_that_mlflow_was_never_told_of_is_kept_too(self, ledger: Ledger) -> None:
        """Whether MLflow has it is unknown until somebody looked: a crash may have come between telling and noting."""
        add(ledger, 1)
        ledger.aliases.set(CHURN, CHAMPION, number(1), who="ana")
        ledger.aliases.set(CHURN, CHAMPION, None, who="ana")
        assert ledger.aliases.all(CHURN) == [AliasRecord(CHAMPION, None, None)]
        ledger.aliases.note_mirrored(CHURN, CHAMPION, None)
        assert list(ledger.aliases.all(CHURN)) == []

    def test_a_removed_alias_can_be_set_again(self, ledger: Ledger) -> None:
        """Set again before MLflow forgot it, an alias serves again and still knows what MLflow says."""
        for n in (1, 2):
            add(ledger, n)
        ledger.aliases.set(CHURN, CHAMPION, number(1), who="ana")
        ledger.aliases.note_mirrored(CHURN, CHAMPION, number(1))
        ledger.aliases.set(CHURN, CHAMPION, None, who="ana")
        ledger.aliases.set(CHURN, CHAMPION, number(2), who="ana")
        assert ledger.aliases.all(CHURN) == [AliasRecord(CHAMPION, number(2), number(1))]

    def test_removing_what_is_not_there_changes_nothing(self, ledger: Ledger) -> None:
        """Removing twice is the same as once."""
        add(ledger, 1)
        revision = ledger.snapshots.revision()
        ledger.aliases.set(CHURN, CHAMPION, None, who="ana")
        ledger.aliases.note_mirrored(CHURN, CHAMPION, None)
        assert list(ledger.aliases.all(CHURN)) == []
        assert ledger.snapshots.revision() == revision

    def test_what_mlflow_says_changes_nothing_that_serves(self, ledger: Ledger) -> None:
        """Noting MLflow's word of an alias, ours or not, moves no traffic and tells nodes nothing."""
        add(ledger, 1)
        ledger.aliases.set(CHURN, CHAMPION, number(1), who="ana")
        revision = ledger.snapshots.revision()
        ledger.aliases.note_mirrored(CHURN, CHAMPION, number(9))
        ledger.aliases.note_mirrored(CHURN, AliasName("theirs"), number(9))
        ledger.aliases.note_mirrored(ModelName("unknown"), CHAMPION, number(9))
        assert ledger.aliases.all(CHURN) == [
            AliasRecord(CHAMPION, number(1), number(9)),
            AliasRecord(AliasName("theirs"), None, number(9)),
        ]
        assert list(ledger.aliases.all(ModelName("unknown"))) == []
        assert ledger.snapshots.revision() == revision
