"""What ``Baselines`` promises. Bound to each ledger by ``test_ledger_*.py``."""

from __future__ import annotations

import hashlib

import pytest

from registry.baselines import Origin
from registry.errors import Conflict, NotFound
from registry.monitoring.ports import BASELINE_CHECK, BaselineRecord
from registry.ports import Ledger
from registry.records import Check, Digest, ModelName, Verdict, VersionState
from tests.support.ledgers import CHURN, PASSED, Clock, add, at_once, catalog_version, number

OTHER = ModelName("other")
FOUND = Check(BASELINE_CHECK, Verdict.PASSED, "the run logged none")


def digest(text: str) -> Digest:
    """Return the digest of a document."""
    return Digest("sha256:" + hashlib.sha256(text.encode()).hexdigest())


class BaselinePromises:
    """Which baseline each version has."""

    def test_a_baseline_is_recorded_and_found(self, ledger: Ledger, clock: Clock) -> None:
        """What was put is got, with the time; a version without one has none, and no other model's."""
        add(ledger, 1)
        add(ledger, 2)
        add(ledger, 1, model=OTHER)
        put = ledger.baselines.put(CHURN, number(1), digest("a"), Origin.GIVEN, 70)
        assert put == BaselineRecord(CHURN, number(1), digest("a"), Origin.GIVEN, 70, clock())
        assert ledger.baselines.get(CHURN, number(1)) == put
        assert ledger.baselines.of_model(CHURN) == {number(1): put}
        assert ledger.baselines.get(CHURN, number(2)) is None
        assert ledger.baselines.get(OTHER, number(1)) is None
        assert ledger.baselines.get(ModelName("nobody"), number(1)) is None

    def test_nodes_hear_of_it(self, ledger: Ledger) -> None:
        """A baseline raises the snapshot's revision and comes with its version; the same again changes nothing."""
        add(ledger, 1)
        since = ledger.snapshots.revision()
        for _ in range(2):
            ledger.baselines.put(CHURN, number(1), digest("a"), Origin.GIVEN, 70)
        assert ledger.snapshots.revision() == since + 1
        (model,) = ledger.snapshots.page(since).models
        assert model.versions[number(1)].baseline == digest("a")

    @pytest.mark.parametrize("present", Origin)
    @pytest.mark.parametrize("new", Origin)
    def test_what_is_given_outranks_the_runs_which_outranks_live_rows(
        self, ledger: Ledger, present: Origin, new: Origin
    ) -> None:
        """A baseline replaces one of lower or equal rank, but live rows replace none; who loses is told what stays."""
        add(ledger, 1)
        ledger.baselines.put(CHURN, number(1), digest("a"), present, 70)
        revision = ledger.snapshots.revision()
        wins = new is Origin.GIVEN or (new is Origin.RUN and present is not Origin.GIVEN)
        kept = ledger.baselines.put(CHURN, number(1), digest("b"), new, 80)
        assert (kept.digest, kept.origin) == ((digest("b"), new) if wins else (digest("a"), present))
        assert ledger.baselines.get(CHURN, number(1)) == kept
        assert ledger.snapshots.revision() == revision + wins

    @pytest.mark.parametrize("state", [s for s in VersionState if s is not VersionState.READY])
    def test_only_a_ready_version_gets_one(self, ledger: Ledger, state: VersionState) -> None:
        """A version in any other state is a conflict, one that is unknown is not found."""
        add(ledger, 1, state)
        with pytest.raises(Conflict, match="churn version 1"):
            ledger.baselines.put(CHURN, number(1), digest("a"), Origin.GIVEN, 70)
        for model, version in ((CHURN, 9), (ModelName("nobody"), 1)):
            with pytest.raises(NotFound):
                ledger.baselines.put(model, number(version), digest("a"), Origin.GIVEN, 70)

    def test_it_goes_with_its_version(self, ledger: Ledger) -> None:
        """Neither a model that is removed nor a version that is replaced under its number leaves a baseline behind."""
        for n in (1, 2):
            add(ledger, n)
            ledger.baselines.put(CHURN, number(n), digest("a"), Origin.GIVEN, 70)
        ledger.versions.observe(catalog_version(2, created_ms=99))
        assert list(ledger.baselines.of_model(CHURN)) == [number(1)]
        ledger.models.remove(CHURN)
        ledger.versions.observe(catalog_version(1, created_ms=100))
        assert ledger.baselines.get(CHURN, number(1)) is None

    def test_ready_versions_are_looked_at_once(self, ledger: Ledger) -> None:
        """Ready versions without a baseline wait to be looked at, oldest first, until a check says that they were."""
        for n in (1, 2, 3):
            add(ledger, n)
        add(ledger, 4, VersionState.REJECTED)
        ledger.baselines.put(CHURN, number(2), digest("a"), Origin.GIVEN, 70)
        assert [r.version for r in ledger.baselines.unlooked(9)] == [number(1), number(3)]
        assert [r.version for r in ledger.baselines.unlooked(1)] == [number(1)]
        ledger.baselines.note(CHURN, number(1), FOUND)
        assert [r.version for r in ledger.baselines.unlooked(9)] == [number(3)]
        found = ledger.versions.get(CHURN, number(1))
        assert found is not None
        assert found.checks == (*PASSED, FOUND)

    def test_a_check_is_noted_once(self, ledger: Ledger) -> None:
        """Noting a check again replaces it, whatever its text says; of a version that is gone, nothing happens."""
        add(ledger, 1)
        other = Check("other", Verdict.PASSED, '["baseline", "passed"')
        ledger.baselines.note(CHURN, number(1), other)
        assert [r.version for r in ledger.baselines.unlooked(9)] == [number(1)]
        for reason in ("a", "b"):
            ledger.baselines.note(CHURN, number(1), Check(BASELINE_CHECK, Verdict.PASSED, reason))
        ledger.baselines.note(CHURN, number(9), FOUND)
        ledger.baselines.note(ModelName("nobody"), number(1), FOUND)
        found = ledger.versions.get(CHURN, number(1))
        assert found is not None
        assert [(c.name, c.reason) for c in found.checks[-2:]] == [("other", other.reason), (BASELINE_CHECK, "b")]

    def test_of_many_at_once_one_given_stays(self, ledger: Ledger) -> None:
        """Baselines that are put at the same moment: what is recorded then is one of those that were given, whole."""
        add(ledger, 1)
        origins = [Origin.GIVEN, Origin.RUN, Origin.PROVISIONAL] * 3
        at_once(9, lambda at: ledger.baselines.put(CHURN, number(1), digest(str(at)), origins[at], at + 1))
        kept = ledger.baselines.get(CHURN, number(1))
        assert kept is not None and kept.origin is Origin.GIVEN
        assert kept.digest == digest(str(kept.rows - 1))
