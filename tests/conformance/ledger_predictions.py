"""What ``Predictions`` promises. Bound to each ledger by ``test_ledger_*.py``."""

from __future__ import annotations

from dataclasses import replace

from registry.labels import Coverage, LabelledRow
from registry.observed import Answered
from registry.plans import Plan
from registry.ports import Ledger
from registry.records import ModelName, VersionState
from tests.support.labels import answered, label
from tests.support.ledgers import CHURN, Clock, add, at_once, number
from tests.support.rollouts import BOOT, report


def reported(ledger: Ledger, *answers: Answered, sequence: int = 1) -> None:
    """Have a node report answers."""
    assert ledger.reports.take(replace(report(sequence, boot=BOOT), answers=answers)) == sequence


def truths(ledger: Ledger, version: int = 1) -> list[object]:
    """Return the labels of a version, the newest first."""
    return [row.label for row in ledger.predictions.labelled(CHURN, number(version), 0, 1000)]


class PredictionPromises:
    """Answered requests, and labels."""

    def test_a_label_joins_what_was_reported(self, ledger: Ledger, clock: Clock) -> None:
        """Days later too: the row, what was predicted, and when both came."""
        add(ledger, 1)
        rows = (1, 2.5, "yes", True, None, (0.25, 0.75))
        reported(ledger, answered("r-1", *rows, arm="canary", revision=3, at_ms=500))
        clock.now_ms = 90_000
        said = [(n, label("r-1", n + 1, n)) for n in range(6)]
        assert list(ledger.predictions.label(CHURN, said, ())) == []
        found = ledger.predictions.labelled(CHURN, number(1), 0, 10)
        assert list(found) == [
            LabelledRow(number(1), "canary", 3, 500, 90_000, row, n + 1) for n, row in enumerate(rows)
        ]
        assert [type(row.predicted) for row in found] == [type(row) for row in rows]

    def test_a_label_comes_with_its_answer(self, ledger: Ledger) -> None:
        """Which the node reports later, and which then changes nothing."""
        add(ledger, 1)
        both = [answered("r-1", 1, 0), answered("r-2", model=ModelName("other"))]
        refused = ledger.predictions.label(CHURN, [(0, label("r-1", 0)), (1, label("r-2"))], both)
        assert [(one.index, one.code) for one in refused] == [(1, "unknown_request")]
        reported(ledger, answered("r-1", 7, 7, 7), answered("r-1", 8))
        assert [(row.predicted, row.label) for row in ledger.predictions.labelled(CHURN, number(1), 0, 9)] == [(1, 0)]
        assert list(ledger.predictions.coverage(CHURN, number(1), 0)) == [Coverage("stable", 1, 1)]

    def test_what_joins_nothing_is_refused_by_itself(self, ledger: Ledger) -> None:
        """An unknown request, another model's, a row that is not there; the rest is kept."""
        add(ledger, 1)
        reported(ledger, answered("r-1", 1, 1))
        said = [(0, label("no")), (3, label("r-1", 0, 2)), (5, label("r-1", "yes", 1))]
        refused = ledger.predictions.label(CHURN, said, ())
        assert [(one.index, one.code) for one in refused] == [(0, "unknown_request"), (3, "unknown_row")]
        assert "HEADGATE_WINDOW_SECONDS" in refused[0].message
        assert truths(ledger) == ["yes"]
        other = ModelName("other")
        assert [one.code for one in ledger.predictions.label(other, [(0, label("r-1"))], ())] == ["unknown_request"]

    def test_no_more_requests_are_read_than_have_so_many_rows(self, ledger: Ledger, clock: Clock) -> None:
        """A request may have a thousand: the newest come first, each with all its rows."""
        add(ledger, 1)
        names = ["r-1", "r-2", "r-3"]
        reported(ledger, *[answered(name, 1, 1, 1, revision=1) for name in names])
        for at, name in enumerate(names):
            clock.now_ms += 5
            ledger.predictions.label(CHURN, [(row, label(name, at, row)) for row in range(3)], ())
        assert [row.label for row in ledger.predictions.labelled(CHURN, number(1), 0, 4)] == [2, 2, 2, 1, 1, 1]
        assert [row.label for row in ledger.predictions.compared(CHURN, [number(1)], [1], 3)] == [2, 2, 2]

    def test_the_last_label_wins(self, ledger: Ledger, clock: Clock) -> None:
        """Within one call and across calls; one that was observed before what is known changes nothing."""
        add(ledger, 1)
        reported(ledger, answered("r-1", 1, 1))
        ledger.predictions.label(CHURN, [(0, label("r-1", 0)), (1, label("r-1", 1))], ())
        assert truths(ledger) == [1]
        clock.now_ms += 5
        ledger.predictions.label(CHURN, [(0, label("r-1", 2, observed_ms=70)), (1, label("r-1", 5, 1))], ())
        assert truths(ledger) == [2, 5]
        clock.now_ms += 5
        ledger.predictions.label(CHURN, [(0, label("r-1", 3, observed_ms=60))], ())
        assert truths(ledger) == [2, 5]
        assert {row.came_ms for row in ledger.predictions.labelled(CHURN, number(1), 0, 9)} == {clock.now_ms - 5}

    def test_labels_at_once_all_count(self, ledger: Ledger) -> None:
        """Of different rows of one answer, from several callers, with the answer and without."""
        add(ledger, 1)
        whole = answered("r-1", *range(8))
        others = [answered(f"s-{n}") for n in range(8)]

        def send(n: int) -> int:
            said = [(0, label("r-1", n, n)), *((k, label(f"s-{k}", n)) for k in range(8))]
            return len(ledger.predictions.label(CHURN, said, [whole, *others]))

        assert at_once(8, send) == [0] * 8
        rows = ledger.predictions.labelled(CHURN, number(1), 0, 100)
        assert sorted(str(row.label) for row in rows if row.predicted == row.label)[:1] == ["0"]
        assert len(rows) == 16
        assert list(ledger.predictions.coverage(CHURN, number(1), 0)) == [Coverage("stable", 9, 9)]

    def test_a_version_that_is_not_there_has_no_predictions(self, ledger: Ledger) -> None:
        """Nor has a model that is gone; one that is made anew under its name begins with none."""
        add(ledger, 1)
        reported(ledger, answered("r-1"), answered("r-2", version=9), answered("r-3", model=ModelName("no")))
        refused = ledger.predictions.label(CHURN, [(n, label(f"r-{n + 1}")) for n in range(3)], [answered("r-3")])
        assert [(one.index, one.code) for one in refused] == [(1, "unknown_request")]
        ledger.models.remove(CHURN)
        assert ledger.predictions.newest() == {}
        assert [one.code for one in ledger.predictions.label(CHURN, [(0, label("r-1"))], [answered("r-9")])] == [
            "unknown_request"
        ]
        add(ledger, 2)
        assert truths(ledger, 2) == []

    def test_what_is_compared(self, ledger: Ledger, clock: Clock) -> None:
        """Rows of both arms under some revisions, in the order in which labels came; of the newest requests."""
        for n in (1, 2):
            add(ledger, n)
        reported(
            ledger,
            answered("a", at_ms=3),
            answered("b", version=2, arm="canary", revision=2, at_ms=1),
            answered("c", version=2, arm="pinned", revision=2),
            answered("d", revision=3),
            answered("e", version=2, arm="canary", revision=2, at_ms=2),
        )
        for name in ("b", "c", "d", "a"):
            clock.now_ms += 1
            ledger.predictions.label(CHURN, [(0, label(name, name))], ())

        def compared(limit: int = 10, *revisions: int) -> list[object]:
            both = (number(1), number(2))
            return [row.label for row in ledger.predictions.compared(CHURN, both, revisions or (1, 2), limit)]

        assert compared() == ["b", "a"]
        assert compared(1) == ["a"]
        assert compared(10, 1, 2, 3) == ["b", "d", "a"]
        assert list(ledger.predictions.compared(CHURN, [number(2)], (1, 2), 9)) == [
            LabelledRow(number(2), "canary", 2, 1, clock.now_ms - 3, 1, "b")
        ]

    def test_the_newest_labels_come_first(self, ledger: Ledger, clock: Clock) -> None:
        """Of a version alone, of so many requests, of answers that are not too old."""
        for n in (1, 2):
            add(ledger, n)
        reported(ledger, *(answered(f"r-{n}", at_ms=n) for n in range(5)), answered("other", version=2))
        for name in ("r-3", "r-1", "r-4", "other"):
            clock.now_ms += 1
            ledger.predictions.label(CHURN, [(0, label(name, name))], ())
        assert truths(ledger) == ["r-4", "r-1", "r-3"]
        newest = ledger.predictions.labelled(CHURN, number(1), 2, 1)
        assert [row.label for row in newest] == ["r-4"]
        assert list(ledger.predictions.coverage(CHURN, number(1), 2)) == [Coverage("stable", 3, 2)]

    def test_when_the_last_label_came(self, ledger: Ledger, clock: Clock) -> None:
        """Of each version that has one and is ready."""
        for n in (1, 2, 3):
            add(ledger, n)
        reported(ledger, *(answered(f"r-{n}", version=n) for n in (1, 2, 3)))
        clock.now_ms = 40
        ledger.predictions.label(CHURN, [(0, label("r-1")), (1, label("r-2"))], ())
        clock.now_ms = 50
        ledger.predictions.label(CHURN, [(0, label("r-2", 3))], ())
        assert ledger.predictions.newest() == {(CHURN, number(1)): 40, (CHURN, number(2)): 50}
        ledger.plans.append(CHURN, 0, Plan(number(1)), "ana", "")
        ledger.versions.retire(CHURN, number(2))
        found = ledger.versions.get(CHURN, number(2))
        assert found is not None and found.state is VersionState.RETIRED
        assert ledger.predictions.newest() == {(CHURN, number(1)): 40}

    def test_the_oldest_go_first(self, ledger: Ledger) -> None:
        """Those that are too old, and of each model those beyond its newest; labelled or not."""
        add(ledger, 1)
        add(ledger, 1, model=ModelName("other"))
        others = [answered(f"o-{n}", at_ms=n, model=ModelName("other")) for n in range(3)]
        reported(ledger, *(answered(f"r-{n}", at_ms=n) for n in range(10)), *others)
        ledger.predictions.label(CHURN, [(0, label("r-1"))], ())

        def left() -> tuple[int, int]:
            counts = [ledger.predictions.coverage(model, number(1), 0) for model in (CHURN, ModelName("other"))]
            return sum(one.predictions for one in counts[0]), sum(one.predictions for one in counts[1])

        ledger.predictions.sweep(1_000, 0)
        assert left() == (10, 3)
        ledger.predictions.sweep(6, 0)
        assert left() == (6, 3)
        ledger.predictions.sweep(6, 7)
        assert left() == (3, 0)
        assert truths(ledger) == []
