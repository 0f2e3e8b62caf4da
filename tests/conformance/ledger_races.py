"""What the ledger promises when many do the same thing at once. Bound to each ledger by ``test_ledger_*.py``."""

from __future__ import annotations

import threading

from registry.errors import Conflict, NotFound
from registry.plans import Plan
from registry.ports import Ledger, Registration
from registry.records import AliasName, ModelName, VersionState
from tests.conformance.ledger_intake import upload
from tests.support.ledgers import CHURN, FOR_EVER, PASSED, add, at_once, catalog_version, number, sealed

THREADS = 8


class RacePromises:
    """At once: one wins, the others are told, and nothing is lost."""

    def test_no_version_is_claimed_twice(self, ledger: Ledger) -> None:
        """Eight checkers get each version exactly once between them."""
        for n in range(1, 41):
            ledger.versions.observe(catalog_version(n))

        def drain(_: int) -> list[str]:
            mine: list[str] = []
            while (record := ledger.versions.claim(0, FOR_EVER)) is not None:
                mine.append(record.version)
            return mine

        claimed = [version for mine in at_once(THREADS, drain) for version in mine]
        # A claimer that lost a race may leave early; then one more look finds the rest.
        claimed += drain(0)
        assert sorted(claimed, key=int) == [number(n) for n in range(1, 41)]

    def test_one_observer_is_first(self, ledger: Ledger) -> None:
        """Eight reconcilers that see the same versions record each once, and count right."""

        def look(_: int) -> int:
            return sum(ledger.versions.observe(catalog_version(n)) for n in range(1, 21))

        assert sum(at_once(THREADS, look)) == 20
        summary = ledger.models.get(CHURN)
        assert summary is not None
        assert summary.version_count == 20

    def test_the_journal_is_linear_and_gapless(self, ledger: Ledger) -> None:
        """Of eight who append to one revision, one wins and the others learn the revision (R04)."""
        for n in (1, 2):
            add(ledger, n)

        def promote(who: int) -> list[int]:
            won: list[int] = []
            while len(won) < 5:
                current = ledger.plans.current(CHURN)
                seen = 0 if current is None else current.revision
                try:
                    won.append(ledger.plans.append(CHURN, seen, Plan(number(who % 2 + 1)), str(who), "").revision)
                except Conflict as refused:
                    assert refused.code == "revision_conflict"
                    assert refused.details["revision"] > seen
            return won

        won = at_once(THREADS, promote)
        assert sorted(revision for mine in won for revision in mine) == list(range(1, 41))
        journal = ledger.plans.history(CHURN, 100, 0)
        assert [line.revision for line in journal] == list(range(40, 0, -1))
        assert all(line.revision in won[int(line.who)] for line in journal)

    def test_promote_and_retire_never_both_win(self, ledger: Ledger) -> None:
        """A version that got the plan or an alias is not retired; one that was retired gets neither (R05)."""
        for n in range(1, 101):
            add(ledger, n)
            barrier = threading.Barrier(3)

            def attempt(what: int, n: int = n, barrier: threading.Barrier = barrier) -> bool:
                barrier.wait(10)
                try:
                    if what == 0:
                        ledger.versions.retire(CHURN, number(n))
                    elif what == 1:
                        current = ledger.plans.current(CHURN)
                        ledger.plans.append(CHURN, current.revision if current else 0, Plan(number(n)), "ana", "")
                    else:
                        ledger.aliases.set(CHURN, AliasName("a"), number(n), who="ana")
                except Conflict:
                    return False
                return True

            retired, promoted, aliased = at_once(3, attempt)
            record = ledger.versions.get(CHURN, number(n))
            assert record is not None
            assert retired != (promoted or aliased)
            assert record.state is (VersionState.RETIRED if retired else VersionState.READY)

    def test_one_key_is_one_registration(self, ledger: Ledger) -> None:
        """Eight that begin one key at once are told the same content, that of one of them (R02)."""
        for key in ("a", "b", "c", "d", "e"):

            def begin(who: int, key: str = key) -> Registration:
                return ledger.registrations.begin(Registration(CHURN, key, str(who), None))

            def complete(who: int, key: str = key) -> bool:
                try:
                    ledger.registrations.complete(CHURN, key, number(who + 1))
                except Conflict:
                    return False
                return True

            told = at_once(THREADS, begin)
            assert len({registration.fingerprint for registration in told}) == 1
            completed = at_once(THREADS, complete)
            assert sum(completed) == 1
            assert ledger.registrations.begin(told[0]).version == number(completed.index(True) + 1)

    def test_one_upload_has_one_end(self, ledger: Ledger) -> None:
        """Uploads of one id that begin at once are one; the others are told that it exists."""

        def create(_: int) -> bool:
            try:
                ledger.uploads.create(upload())
            except Conflict:
                return False
            return True

        assert sum(at_once(THREADS, create)) == 1

    def test_an_upload_is_committed_or_given_up(self, ledger: Ledger) -> None:
        """However a commit and a sweep fall together, a commit that was acknowledged keeps its upload."""
        for n in range(12):
            name = f"u{n}"
            ledger.uploads.create(upload(name, 0))

            def attempt(who: int, name: str = name) -> bool:
                if who:
                    return name in ledger.uploads.abandon(FOR_EVER)
                try:
                    ledger.uploads.commit(name)
                except NotFound:
                    return False
                return True

            committed, given_up = at_once(2, attempt)
            assert committed != given_up
            assert (ledger.uploads.get(name) is not None) is committed

    def test_readers_never_miss_a_change(self, ledger: Ledger) -> None:
        """Following page by page while others write, a node ends up with what a fresh node is told."""
        left = [THREADS - 3]
        done = threading.Lock()

        def write(who: int) -> None:
            model = ModelName(f"m{who}")
            for n in range(1, 11):
                ledger.versions.observe(catalog_version(n, model))
                while (record := ledger.versions.claim(0, FOR_EVER)) is not None:
                    ledger.versions.settle(record.model, record.version, VersionState.READY, PASSED, sealed())
                try:
                    ledger.plans.append(model, n - 1, Plan(number(n)), "ana", "")
                except Conflict:  # another thread has claimed it and not settled it yet
                    ledger.plans.append(model, n - 1, None, "ana", "")

        def follow(_: int) -> dict[str, object]:
            known: dict[str, object] = {}
            revision = 0
            going = True
            while going:
                going = left[0] > 0
                page = ledger.snapshots.page(revision)
                assert page.revision >= revision
                known.update({model.name: model for model in page.models})
                revision = page.revision
            return known

        def act(who: int) -> dict[str, object]:
            if who < 3:
                return follow(who)
            try:
                write(who)
            finally:
                with done:
                    left[0] -= 1
            return {}

        results = at_once(THREADS, act)
        fresh = {model.name: model for model in ledger.snapshots.page(0).models}
        assert len(fresh) == THREADS - 3
        assert results[:3] == [fresh, fresh, fresh]
