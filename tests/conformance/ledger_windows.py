"""What ``FeatureWindows`` promises. Bound to each ledger by ``test_ledger_*.py``."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import partial
from typing import Any

from registry.baselines import NumberCounts, Origin
from registry.monitoring.closing import LONGEST_MS, PROVISIONAL_ROWS, Closing
from registry.monitoring.window_ports import SealedWindow, WindowKey, WindowSpan
from registry.observed import FeatureWindow
from registry.ports import Ledger
from registry.records import Digest, VersionState
from registry.reports import NodeReport
from tests.support.ledgers import CHURN, Clock, add, at_once, catalog_version, number
from tests.support.rollouts import BOOT
from tests.support.rows import NOW, window

RULE = Closing(1_000, 300_000)
ONE = number(1)
VERDICT: Mapping[str, Any] = {"verdict": "drift", "rows": 1_000, "features": [{"name": "age", "psi": 0.5}]}


def digest(name: str) -> Digest:
    """Return a digest of its own for each name."""
    return Digest("sha256:" + hashlib.sha256(name.encode()).hexdigest())


FIRST, SECOND = digest("first"), digest("second")


def watched(ledger: Ledger, clock: Clock, baseline: Digest | None = FIRST, version: int = 1) -> None:
    """Give churn a ready version with a baseline, ten days after the clock began."""
    clock.now_ms = NOW
    add(ledger, version)
    if baseline is not None:
        ledger.baselines.put(CHURN, number(version), baseline, Origin.GIVEN, 5_000)


def said(sequence: int, *windows: FeatureWindow, boot: str = BOOT) -> NodeReport:
    """Return a report of these windows."""
    return NodeReport("node-a", boot, sequence, 1, features=windows)


def taken(ledger: Ledger, *windows: FeatureWindow) -> None:
    """Have windows reported by a process of their own."""
    boot = hashlib.sha256(str(ledger.reports.nodes()).encode() + repr(windows).encode()).hexdigest()[:32]
    ledger.reports.take(said(1, *windows, boot=boot))


def rows(ledger: Ledger, version: int = 1) -> int:
    """Return the rows of a version's open window."""
    span = ledger.feature_windows.open(CHURN, number(version))
    return 0 if span is None else span.rows


def sealed(ledger: Ledger, clock: Clock, count: int = 1) -> SealedWindow:
    """Let the open window's time be over and seal it; return it."""
    clock.now_ms += RULE.age_ms
    assert ledger.feature_windows.seal(RULE) == count
    return ledger.feature_windows.unjudged(10)[-1]


def settled(ledger: Ledger, key: WindowKey, _: int) -> bool:
    """Write a window's verdict."""
    return ledger.feature_windows.settle(key, VERDICT)


def cells(found: SealedWindow, name: str = "age") -> list[int]:
    """Return a feature's counts."""
    counts = found.tally.counts[name]
    assert isinstance(counts, NumberCounts)
    return [int(count) for count in counts.cells]


class WindowPromises:
    """What nodes saw of rows."""

    def test_rows_are_added_up(self, ledger: Ledger, clock: Clock) -> None:
        """Of all reports, in one open window, with when they were seen."""
        watched(ledger, clock)
        assert ledger.feature_windows.open(CHURN, ONE) is None
        taken(ledger, window(FIRST, 300, start_ms=NOW - 20_000), window(FIRST, 50, 1, start_ms=NOW - 5_000))
        clock.now_ms += 1_000
        taken(ledger, window(FIRST, 700, 2, start_ms=NOW - 9_000))
        assert ledger.feature_windows.open(CHURN, ONE) == WindowSpan(FIRST, 1_050, NOW, NOW - 20_000, NOW - 5_000)
        found = sealed(ledger, clock)
        assert found.key == WindowKey(CHURN, ONE, 1)
        assert found.tally.rows == sum(cells(found)) == found.tally.counts["plan"].rows == 1_050

    def test_a_report_counts_once(self, ledger: Ledger, clock: Clock) -> None:
        """Sent again, late, and by many to many registries at once."""
        watched(ledger, clock)
        first, second = said(1, window(FIRST, 10)), said(2, window(FIRST, 5))
        assert at_once(8, lambda _: ledger.reports.take(first)) == [1] * 8
        for again in (second, first, second):
            ledger.reports.take(again)
        assert rows(ledger) == 15

    def test_any_order_gives_the_same(self, ledger: Ledger, clock: Clock) -> None:
        """The same windows forwards for one version and backwards for another: the same counts in every cell."""
        watched(ledger, clock)
        watched(ledger, clock, FIRST, 2)
        sizes = [400, 1, 250, 33, 500]
        for seed, size in enumerate(sizes):
            taken(ledger, window(FIRST, size, seed))
        for seed, size in reversed(list(enumerate(sizes))):
            taken(ledger, window(FIRST, size, seed, version=2))
        sealed(ledger, clock, 2)
        one, other = ledger.feature_windows.unjudged(10)
        assert {one.key.version, other.key.version} == {"1", "2"}
        assert cells(one) == cells(other)
        assert one.tally.counts["plan"].to_json() == other.tally.counts["plan"].to_json()

    def test_many_nodes_at_once_lose_nothing(self, ledger: Ledger, clock: Clock) -> None:
        """Eight nodes report two versions in opposite orders, and the first rows of both: all is counted."""
        watched(ledger, clock)
        watched(ledger, clock, FIRST, 2)

        def send(n: int) -> int:
            for sequence in range(1, 6):
                both = [window(FIRST, 10, n), window(FIRST, 20, n, version=2)]
                ledger.reports.take(said(sequence, *both[:: (-1) ** n], boot=f"{n:032x}"))
            return n

        at_once(8, send)
        assert (rows(ledger), rows(ledger, 2)) == (8 * 5 * 10, 8 * 5 * 20)

    def test_sealing_while_nodes_report_loses_nothing(self, ledger: Ledger, clock: Clock) -> None:
        """Whatever comes after a window was sealed is in the next one: sealed and open rows are all rows."""
        watched(ledger, clock)
        eager = Closing(1, 0)

        def work(n: int) -> int:
            if n < 2:
                return sum(ledger.feature_windows.seal(eager) for _ in range(15))
            for sequence in range(1, 8):
                ledger.reports.take(said(sequence, window(FIRST, 3, n), boot=f"{n:032x}"))
            return 0

        at_once(6, work)
        found = ledger.feature_windows.unjudged(1_000)
        assert sum(one.span.rows for one in found) + rows(ledger) == 4 * 7 * 3
        assert all(one.tally.rows == one.span.rows == sum(cells(one)) for one in found)
        numbers = [one.key.number for one in found]
        assert sorted(numbers) == list(range(1, len(numbers) + 1))

    def test_late_arrivals_are_in_the_next_window(self, ledger: Ledger, clock: Clock) -> None:
        """However old: what was sealed is never touched again."""
        watched(ledger, clock)
        taken(ledger, window(FIRST, 1_000))
        before = sealed(ledger, clock)
        taken(ledger, window(FIRST, 7, start_ms=NOW - 60_000))
        (after,) = ledger.feature_windows.unjudged(10)
        assert (after.tally.rows, cells(after)) == (1_000, cells(before))
        span = ledger.feature_windows.open(CHURN, ONE)
        assert span is not None and (span.rows, span.first_ms) == (7, NOW - 60_000)

    def test_a_wrong_clock_is_not_believed(self, ledger: Ledger, clock: Clock) -> None:
        """Rows are neither of the future nor of long ago."""
        watched(ledger, clock)
        taken(ledger, window(FIRST, 1, start_ms=0), window(FIRST, 1, start_ms=2 * NOW))
        span = ledger.feature_windows.open(CHURN, ONE)
        assert span is not None and (span.first_ms, span.last_ms) == (NOW - LONGEST_MS, NOW)

    def test_rows_of_nothing_we_know_are_left_out(self, ledger: Ledger, clock: Clock) -> None:
        """Versions that are not there or retired, and baselines that a version does not have: the rest is taken."""
        watched(ledger, clock)
        add(ledger, 2, VersionState.RETIRED)
        strange = [window(FIRST, 5, version=2), window(None, 5, version=2), window(FIRST, 5, version=9)]
        taken(ledger, *strange, window(SECOND, 5), window(None, 5), window(FIRST, 4))
        assert rows(ledger) == 4
        assert [rows(ledger, n) for n in (2, 9)] == [0, 0]

    def test_a_version_without_a_baseline_has_samples(self, ledger: Ledger, clock: Clock) -> None:
        """They wait for enough rows, however long; with a baseline they are of no use any more."""
        watched(ledger, clock, None)
        taken(ledger, window(None, 300), window(FIRST, 10))
        clock.now_ms += 2 * LONGEST_MS
        assert ledger.feature_windows.seal(RULE) == 0
        for seed in range(PROVISIONAL_ROWS // 2_000):
            taken(ledger, window(None, 2_000, seed))
        assert ledger.feature_windows.seal(RULE) == 1
        (found,) = ledger.feature_windows.unjudged(10)
        assert found.span.baseline is None and found.tally.rows == PROVISIONAL_ROWS + 300
        assert sum(found.tally.samples["age"].weights) == found.tally.rows
        taken(ledger, window(None, 5))
        ledger.baselines.put(CHURN, ONE, FIRST, Origin.PROVISIONAL, found.tally.rows)
        assert rows(ledger) == 0
        taken(ledger, window(None, 5), window(FIRST, 6))
        assert rows(ledger) == 6
        assert ledger.feature_windows.settle(found.key, None)
        assert not ledger.feature_windows.settle(found.key, None)
        assert list(ledger.feature_windows.unjudged(10)) == []

    def test_another_baseline_begins_another_window(self, ledger: Ledger, clock: Clock) -> None:
        """Rows counted by the one before are neither added nor judged, and swept."""
        watched(ledger, clock)
        taken(ledger, window(FIRST, 2_000))
        ledger.baselines.put(CHURN, ONE, SECOND, Origin.GIVEN, 9_000)
        taken(ledger, window(FIRST, 5), window(SECOND, 1_500))
        clock.now_ms += RULE.age_ms
        assert ledger.feature_windows.seal(RULE) == 1
        (found,) = ledger.feature_windows.unjudged(10)
        assert (found.span.baseline, found.tally.rows) == (SECOND, 1_500)
        ledger.feature_windows.sweep(0)
        ledger.baselines.put(CHURN, ONE, FIRST, Origin.GIVEN, 5_000)
        assert rows(ledger) == 0

    def test_when_a_window_is_sealed(self, ledger: Ledger, clock: Clock) -> None:
        """With enough rows and old enough; after a day in any case; once."""
        watched(ledger, clock)
        watched(ledger, clock, FIRST, 2)
        taken(ledger, window(FIRST, 1_000), window(FIRST, 999, version=2))
        clock.now_ms = NOW + RULE.age_ms - 1
        assert ledger.feature_windows.seal(RULE) == 0
        clock.now_ms += 1
        assert ledger.feature_windows.seal(RULE) == 1
        assert ledger.feature_windows.seal(RULE) == 0
        clock.now_ms = NOW + LONGEST_MS
        assert ledger.feature_windows.seal(RULE) == 1
        assert [one.key.version for one in ledger.feature_windows.unjudged(10)] == ["1", "2"]

    def test_a_verdict_is_kept_in_place_of_the_counts(self, ledger: Ledger, clock: Clock) -> None:
        """By the first who has one; the window is then on the page, newest first."""
        watched(ledger, clock)
        for round_ in range(3):
            taken(ledger, window(FIRST, 1_000 + round_, start_ms=clock.now_ms))
            key = sealed(ledger, clock).key
            assert at_once(4, partial(settled, ledger, key)).count(True) == 1
        assert list(ledger.feature_windows.unjudged(10)) == []
        newest, second = ledger.feature_windows.page(CHURN, ONE, 2)
        assert (newest.key.number, second.key.number) == (3, 2)
        assert (newest.span.rows, newest.judged_ms, newest.verdict) == (1_002, clock.now_ms, VERDICT)
        assert len(ledger.feature_windows.page(CHURN, ONE, 10)) == 3
        assert list(ledger.feature_windows.page(CHURN, number(2), 10)) == []

    def test_only_what_was_sealed_can_be_settled(self, ledger: Ledger, clock: Clock) -> None:
        """An open window, one of another number, one of a model that never was."""
        watched(ledger, clock)
        taken(ledger, window(FIRST, 10))
        for key in (WindowKey(CHURN, ONE, 1), WindowKey(CHURN, ONE, 2), WindowKey(CHURN, number(7), 1)):
            assert not ledger.feature_windows.settle(key, VERDICT)
        assert rows(ledger) == 10

    def test_what_waits_for_a_verdict_can_be_passed_over(self, ledger: Ledger, clock: Clock) -> None:
        """By its baseline, and only so many are given at a time, those with the oldest rows first."""
        watched(ledger, clock)
        watched(ledger, clock, SECOND, 2)
        taken(ledger, window(FIRST, 1_000, start_ms=NOW), window(SECOND, 1_000, version=2, start_ms=NOW - 10))
        sealed(ledger, clock, 2)
        assert [one.span.baseline for one in ledger.feature_windows.unjudged(10)] == [SECOND, FIRST]
        assert [one.span.baseline for one in ledger.feature_windows.unjudged(1)] == [SECOND]
        assert [one.span.baseline for one in ledger.feature_windows.unjudged(10, [SECOND])] == [FIRST]
        assert list(ledger.feature_windows.unjudged(10, [SECOND, FIRST, None])) == []

    def test_the_newest_of_each_live_version(self, ledger: Ledger, clock: Clock) -> None:
        """Judged by the baseline that it has now, and gone when the version is retired."""
        for version in (1, 2, 3):
            watched(ledger, clock, FIRST, version)
        for _ in range(2):
            taken(ledger, *(window(FIRST, 1_000, version=n, start_ms=clock.now_ms) for n in (1, 2)))
            sealed(ledger, clock, 2)
            for found in ledger.feature_windows.unjudged(10):
                ledger.feature_windows.settle(found.key, VERDICT)
        taken(ledger, window(FIRST, 1_000), window(FIRST, 1_000, version=2))
        assert dict(ledger.feature_windows.newest()) == {(CHURN, ONE): 2, (CHURN, number(2)): 2}
        ledger.baselines.put(CHURN, number(2), SECOND, Origin.GIVEN, 10)
        assert dict(ledger.feature_windows.newest()) == {(CHURN, ONE): 2}
        ledger.versions.retire(CHURN, ONE)
        assert dict(ledger.feature_windows.newest()) == {}
        assert len(ledger.feature_windows.page(CHURN, ONE, 10)) == 2

    def test_old_windows_are_swept(self, ledger: Ledger, clock: Clock) -> None:
        """Verdicts after their time; of retired versions what was never judged at once."""
        watched(ledger, clock)
        watched(ledger, clock, FIRST, 2)
        taken(ledger, window(FIRST, 1_000, start_ms=NOW))
        ledger.feature_windows.settle(sealed(ledger, clock).key, VERDICT)
        later = clock.now_ms
        taken(ledger, window(FIRST, 1_000, start_ms=later))
        ledger.feature_windows.settle(sealed(ledger, clock).key, VERDICT)
        taken(ledger, window(FIRST, 5), window(FIRST, 1_000, version=2))
        sealed(ledger, clock)
        ledger.versions.retire(CHURN, number(2))
        ledger.feature_windows.sweep(NOW + 1)
        assert [one.key.number for one in ledger.feature_windows.page(CHURN, ONE, 10)] == [2]
        assert list(ledger.feature_windows.unjudged(10)) == []
        assert dict(ledger.feature_windows.newest()) == {(CHURN, ONE): 2}

    def test_a_deleted_model_takes_its_windows_along(self, ledger: Ledger, clock: Clock) -> None:
        """One of that name made later begins with none."""
        watched(ledger, clock)
        taken(ledger, window(FIRST, 1_000))
        ledger.feature_windows.settle(sealed(ledger, clock).key, VERDICT)
        taken(ledger, window(FIRST, 1_000))
        ledger.models.remove(CHURN)
        assert list(ledger.feature_windows.page(CHURN, ONE, 10)) == []
        assert dict(ledger.feature_windows.newest()) == {}
        add(ledger, 1)
        assert list(ledger.feature_windows.page(CHURN, ONE, 10)) == []
        assert rows(ledger) == 0

    def test_a_version_made_anew_takes_its_windows_along(self, ledger: Ledger, clock: Clock) -> None:
        """Under a number that MLflow gave again it is another version."""
        watched(ledger, clock)
        taken(ledger, window(FIRST, 1_000))
        ledger.feature_windows.settle(sealed(ledger, clock).key, VERDICT)
        assert ledger.versions.observe(catalog_version(1, created_ms=NOW))
        assert list(ledger.feature_windows.page(CHURN, ONE, 10)) == []

    def test_deleting_while_nodes_report(self, ledger: Ledger, clock: Clock) -> None:
        """Neither fails nor waits for the other, and nothing is left of the model."""
        watched(ledger, clock)

        def work(n: int) -> None:
            if n == 0:
                ledger.models.remove(CHURN)
                return
            for sequence in range(1, 6):
                ledger.reports.take(said(sequence, window(FIRST, 3, n), boot=f"{n:032x}"))

        at_once(5, work)
        add(ledger, 1)
        assert rows(ledger) == 0
        assert list(ledger.feature_windows.unjudged(10)) == []
