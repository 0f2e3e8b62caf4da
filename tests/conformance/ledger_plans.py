"""What ``Plans`` and ``Aliases`` promise. Bound to each ledger by ``test_ledger_*.py``."""

from __future__ import annotations

from dataclasses import replace

import pytest

from registry.aliases import AliasChange, AliasRecord
from registry.errors import Conflict, InvalidRequest, NotFound
from registry.plans import Canary, Plan, PlanRevision, Rule, Shadow
from registry.ports import Ledger
from registry.records import AliasName, ModelName, VersionState
from tests.support.ledgers import CHAMPION, CHURN, Clock, add, add_with, catalog_version, number

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

    def test_a_whole_plan_comes_back_as_it_was(self, ledger: Ledger) -> None:
        """Canary with its seed, shadows, rules and sticky key are kept to the last part, newest and old."""
        for n in range(1, 5):
            add(ledger, n)
        plan = Plan(
            number(1),
            canary=Canary(number(2), 1_234, "seed"),
            shadows=(Shadow(number(3), 1), Shadow(number(4))),
            rules=(Rule("x-tenant", "beta", number(3)), Rule("x-tenant", "old", number(1))),
            sticky="x-user",
            allow_incompatible=True,
        )
        line = ledger.plans.append(CHURN, 0, plan, "ana", "")
        ledger.plans.append(CHURN, 1, None, "ana", "")
        assert line.plan == plan
        assert list(ledger.plans.history(CHURN, 1, 2)) == [line]

    @pytest.mark.parametrize(
        "plan",
        [
            Plan(number(1), canary=Canary(number(1), 1)),
            Plan(number(1), shadows=(Shadow(number(1)),)),
            Plan(number(1), shadows=(Shadow(number(2)), Shadow(number(2), 1))),
            Plan(number(1), rules=(Rule("a", "b", number(1)), Rule("a", "b", number(2)))),
        ],
    )
    def test_a_plan_that_contradicts_itself_is_refused(self, ledger: Ledger, plan: Plan) -> None:
        """Whoever makes it, and whatever the journal is at."""
        add(ledger, 1)
        add(ledger, 2)
        with pytest.raises(InvalidRequest) as refused:
            ledger.plans.append(CHURN, 7, plan, "ana", "")
        assert refused.value.code == "invalid_argument"

    @pytest.mark.parametrize(
        "plan",
        [
            Plan(number(1), canary=Canary(number(2), 0)),
            Plan(number(1), shadows=(Shadow(number(2)),)),
            Plan(number(1), rules=(Rule("a", "b", number(2)),)),
        ],
    )
    def test_a_version_that_refuses_what_callers_send_is_refused(self, ledger: Ledger, plan: Plan) -> None:
        """Whatever it is named as; unless the plan insists; and a new stable version alone is anybody's choice."""
        add_with(ledger, 1, [{"name": "age", "type": "double", "required": True}])
        add_with(ledger, 2, [{"name": "age", "type": "long", "required": True}])
        with pytest.raises(Conflict) as refused:
            ledger.plans.append(CHURN, 0, plan, "ana", "")
        assert refused.value.code == "incompatible_signature"
        told = {key: refused.value.details[key] for key in ("version", "column", "expected", "got")}
        assert told == {"version": "2", "column": "age", "expected": "long", "got": "double"}
        assert "'age'" in refused.value.message and plan.roles(number(2))[0] in refused.value.message
        assert ledger.plans.current(CHURN) is None
        insisting = replace(plan, allow_incompatible=True)
        assert ledger.plans.append(CHURN, 0, insisting, "ana", "").plan == insisting
        ledger.plans.append(CHURN, 1, Plan(number(2)), "ana", "")

    def test_a_retired_version_is_named_first(self, ledger: Ledger) -> None:
        """A plan whose versions are not all ready is told that, before what they take."""
        add(ledger, 1)
        add_with(ledger, 2, [{"name": "other", "type": "long", "required": True}])
        ledger.versions.retire(CHURN, number(2))
        with pytest.raises(Conflict) as refused:
            ledger.plans.append(CHURN, 0, Plan(number(1), canary=Canary(number(2), 1)), "ana", "")
        assert (refused.value.code, refused.value.details["version"]) == ("not_ready", "2")

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

    def test_every_change_is_in_the_journal(self, ledger: Ledger, clock: Clock) -> None:
        """Setting, moving and removing are lines with who, why and when; what changes nothing is none."""
        for n in (1, 2):
            add(ledger, n)
        assert ledger.aliases.current(CHURN, CHAMPION) is None
        assert ledger.aliases.set(CHURN, CHAMPION, None, who="ana") is None
        clock.now_ms = 5_000
        first = ledger.aliases.set(CHURN, CHAMPION, number(1), who="ana", why="best so far")
        assert first == AliasChange(CHURN, CHAMPION, 1, number(1), "ana", "best so far", 5_000)
        assert ledger.aliases.set(CHURN, CHAMPION, number(1), who="ben") == first
        second = ledger.aliases.set(CHURN, CHAMPION, number(2), who="ben")
        third = ledger.aliases.set(CHURN, CHAMPION, None, who="ana")
        assert second is not None and third is not None
        assert [(line.revision, line.version) for line in (second, third)] == [(2, number(2)), (3, None)]
        assert ledger.aliases.current(CHURN, CHAMPION) == third
        assert ledger.aliases.history(CHURN, CHAMPION, 10, 0) == [third, second, first]
        assert ledger.aliases.history(CHURN, CHAMPION, 1, 3) == [second]
        assert list(ledger.aliases.history(CHURN, AliasName("other"), 10, 0)) == []

    def test_a_removed_alias_goes_on_counting(self, ledger: Ledger) -> None:
        """Set again after MLflow forgot it too, an alias has the next revision: nobody's old one fits by chance."""
        add(ledger, 1)
        ledger.aliases.set(CHURN, CHAMPION, number(1), who="ana")
        ledger.aliases.set(CHURN, CHAMPION, None, who="ana")
        ledger.aliases.note_mirrored(CHURN, CHAMPION, None)
        again = ledger.aliases.set(CHURN, CHAMPION, number(1), who="ana", expected=2)
        assert again is not None and again.revision == 3

    @pytest.mark.parametrize("expected", [0, 2, -1, 10**30])
    def test_an_alias_that_is_not_as_it_was_seen_stays(self, ledger: Ledger, expected: int) -> None:
        """Another revision than the newest is a conflict that tells it, also where nothing would change."""
        add(ledger, 1)
        ledger.aliases.set(CHURN, CHAMPION, number(1), who="ana", expected=0)
        for version in (number(1), None):
            with pytest.raises(Conflict) as refused:
                ledger.aliases.set(CHURN, CHAMPION, version, who="ben", expected=expected)
            assert (refused.value.code, refused.value.details) == ("revision_conflict", {"revision": 1})
        assert len(ledger.aliases.history(CHURN, CHAMPION, 10, 0)) == 1

    def test_what_was_put_back_is_in_the_journal(self, ledger: Ledger) -> None:
        """A line of its own that names what the alias names; nodes are told nothing; no alias, no line."""
        add(ledger, 1)
        assert ledger.aliases.put_back(CHURN, CHAMPION, who="mlflow", why="") is None
        assert ledger.aliases.put_back(ModelName("none"), CHAMPION, who="mlflow", why="") is None
        ledger.aliases.set(CHURN, CHAMPION, number(1), who="ana")
        revision = ledger.snapshots.revision()
        line = ledger.aliases.put_back(CHURN, CHAMPION, who="mlflow", why="moved to 9")
        assert line is not None
        assert (line.revision, line.version, line.who, line.why) == (2, number(1), "mlflow", "moved to 9")
        assert ledger.aliases.current(CHURN, CHAMPION) == line
        assert ledger.snapshots.revision() == revision

    def test_a_model_that_goes_takes_its_aliases_along(self, ledger: Ledger) -> None:
        """Each journal ends with the removal, and stays."""
        add(ledger, 1)
        ledger.aliases.set(CHURN, CHAMPION, number(1), who="ana")
        ledger.aliases.set(CHURN, AliasName("gone"), number(1), who="ana")
        ledger.aliases.set(CHURN, AliasName("gone"), None, who="ana")
        ledger.models.remove(CHURN)
        last = ledger.aliases.current(CHURN, CHAMPION)
        assert last is not None
        assert (last.revision, last.version, last.who) == (2, None, "mlflow")
        assert [line.revision for line in ledger.aliases.history(CHURN, AliasName("gone"), 10, 0)] == [2, 1]

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
