"""What ``Reports`` promises. Bound to each ledger by ``test_ledger_*.py``."""

from __future__ import annotations

from dataclasses import replace

from registry.plans import Canary, Plan, Shadow
from registry.ports import Ledger
from registry.records import ModelName
from registry.reports import HeldPlan, NodeReport
from registry.traffic.actions import Abort
from registry.traffic.ports import BUCKET_MS, NodeState
from registry.windows import ArmCounts, Difference, ShadowCounts, ShadowWindow
from tests.conformance.ledger_rollouts import started, step
from tests.support.ledgers import CHURN, Clock, add, at_once, number
from tests.support.rollouts import BOOT, arm, counts, loaded, report

DAY_MS = 24 * 3_600_000
NOW = 10 * DAY_MS


def watched(ledger: Ledger, clock: Clock) -> None:
    """Give churn plan 1 (version 1 stable, 2 canary, 3 shadow), ten days after the clock began."""
    clock.now_ms = NOW
    for n in (1, 2, 3):
        add(ledger, n)
    plan = Plan(number(1), canary=Canary(number(2), 1_000, "s"), shadows=(Shadow(number(3)),))
    ledger.plans.append(CHURN, 0, plan, "ana", "")


def canary(requests: int, sequence: int = 1) -> NodeReport:
    """Return a report of what the canary did."""
    return report(sequence, arm(counts(requests), 1, start_ms=NOW))


def seen(ledger: Ledger) -> int:
    """Return how many requests of the canary are known."""
    return sum(part.window.counts.requests for part in ledger.reports.arms(CHURN, [1]))


def shadowed(requests: int, start_ms: int = NOW, revision: int = 1) -> ShadowWindow:
    """Return what a shadow did."""
    difference = Difference(requests, 1, {"n:17617": 1}, {}, {("a", "b"): 1})
    examples = ({"input": {"age": 1}, "n": requests},)
    compared = ShadowCounts(
        {"compared": requests}, requests, 1, {5: requests}, {9: requests}, {"": difference}, examples
    )
    return ShadowWindow(CHURN, revision, number(3), start_ms, compared)


class ReportPromises:
    """What nodes report."""

    def test_a_report_is_kept(self, ledger: Ledger, clock: Clock) -> None:
        """The node's state, and its windows by bucket."""
        watched(ledger, clock)
        held = (HeldPlan(CHURN, 3, (number(4),)),)
        said = report(1, arm(counts(10), 1, start_ms=NOW + 1_234), revision=7, held=held, versions=(loaded(2),))
        clock.now_ms = NOW + 5_000
        assert ledger.reports.take(said) == 1
        assert list(ledger.reports.nodes()) == [
            NodeState("node-a", BOOT, 1, 7, held, (loaded(2),), NOW + 5_000),
        ]
        (part,) = ledger.reports.arms(CHURN, [1, 2])
        assert part.node == "node-a"
        assert part.window == arm(counts(10), 1, start_ms=NOW - NOW % BUCKET_MS)
        assert list(ledger.reports.arms(CHURN, [2])) == list(ledger.reports.arms(ModelName("other"), [1])) == []

    def test_a_report_counts_once(self, ledger: Ledger, clock: Clock) -> None:
        """The same one again, and one that comes late, are acknowledged with the newest and change nothing."""
        watched(ledger, clock)
        assert ledger.reports.take(canary(10)) == 1
        before = list(ledger.reports.nodes())
        clock.now_ms += 1_000
        assert ledger.reports.take(canary(10)) == 1
        assert list(ledger.reports.nodes()) == before
        assert ledger.reports.take(canary(5, sequence=4)) == 4
        assert ledger.reports.take(canary(7, sequence=3)) == 4
        assert seen(ledger) == 15

    def test_the_same_report_at_once_counts_once(self, ledger: Ledger, clock: Clock) -> None:
        """However many deliver it at the same moment, to however many registries."""
        watched(ledger, clock)
        assert at_once(8, lambda _: ledger.reports.take(canary(10))) == [1] * 8
        assert seen(ledger) == 10

    def test_many_nodes_add_up(self, ledger: Ledger, clock: Clock) -> None:
        """Eight processes, two on each node, report at once into the same buckets: nothing is lost."""
        watched(ledger, clock)

        def send(n: int) -> int:
            for sequence in range(1, 6):
                arms = [
                    arm(counts(3, 1), 1, start_ms=NOW),
                    arm(counts(5), 1, "stable", 1, start_ms=NOW),
                    arm(counts(2), 1, start_ms=NOW - BUCKET_MS),
                ]
                said = report(sequence, *arms, shadows=(shadowed(4),), node=f"node-{n // 2}", boot=f"{n:032x}")
                ledger.reports.take(said)
            return 5

        at_once(8, send)
        parts = ledger.reports.arms(CHURN, [1])
        assert sum(part.window.counts.requests for part in parts) == 8 * 5 * 10
        assert len(parts) == 4 * 3
        assert [(p.window.start_ms, p.node, p.window.arm) for p in parts] == sorted(
            (p.window.start_ms, p.node, p.window.arm) for p in parts
        )
        (window,) = ledger.reports.shadows(CHURN, number(3))
        assert (window.counts.requests, window.counts.outputs[""].compared) == (160, 160)
        assert [node.node for node in ledger.reports.nodes()] == [f"node-{n // 2}" for n in range(8)]

    def test_counts_are_added_whole(self, ledger: Ledger, clock: Clock) -> None:
        """Times and predictions add up with the rest, within a report and across reports."""
        watched(ledger, clock)
        one = ArmCounts(5, 1, 2, {3: 2, 7: 2}, {"n:1": 4, "c:yes": 1})
        other = ArmCounts(7, 0, 0, {7: 5, 9: 2}, {"n:1": 1, "nan": 6})
        ledger.reports.take(report(1, arm(one, 1, start_ms=NOW), arm(other, 1, start_ms=NOW)))
        ledger.reports.take(report(2, arm(one, 1, start_ms=NOW)))
        (part,) = ledger.reports.arms(CHURN, [1])
        assert part.window.counts == one.plus(other).plus(one)

    def test_only_what_a_plan_accounts_for_counts(self, ledger: Ledger, clock: Clock) -> None:
        """Other models, revisions, versions and shadows than the journal has are left out; the report is taken."""
        watched(ledger, clock)
        strays = [
            arm(counts(1), 1, model=ModelName("other"), start_ms=NOW),
            arm(counts(1), 2, start_ms=NOW),
            arm(counts(1), 1, version=3, start_ms=NOW),
            arm(counts(1), 1, "stable", 2, start_ms=NOW),
        ]
        shadow = replace(shadowed(1), version=number(2))
        assert ledger.reports.take(report(1, *strays, shadows=(shadow, shadowed(1, revision=2)))) == 1
        assert list(ledger.reports.arms(CHURN, [1, 2])) == []
        assert list(ledger.reports.arms(ModelName("other"), [1])) == []
        assert list(ledger.reports.shadows(CHURN, number(2))) == list(ledger.reports.shadows(CHURN, number(3))) == []

    def test_windows_of_a_model_that_is_gone_are_left_out(self, ledger: Ledger, clock: Clock) -> None:
        """A node that has not heard of it yet is not refused."""
        watched(ledger, clock)
        ledger.models.remove(CHURN)
        assert ledger.reports.take(canary(10)) == 1
        assert seen(ledger) == 0

    def test_a_clock_that_is_wrong_is_put_right(self, ledger: Ledger, clock: Clock) -> None:
        """What began in the future began now; what began long ago began a day ago."""
        watched(ledger, clock)
        ledger.reports.take(
            report(1, arm(counts(1), 1, start_ms=NOW * 9), arm(counts(1), 1, start_ms=0)),
        )
        buckets = [part.window.start_ms for part in ledger.reports.arms(CHURN, [1])]
        assert buckets == [NOW - DAY_MS - (NOW - DAY_MS) % BUCKET_MS, NOW - NOW % BUCKET_MS]

    def test_shadows_by_revision(self, ledger: Ledger, clock: Clock) -> None:
        """One window a revision, oldest first, from its first bucket on; examples are the newest."""
        watched(ledger, clock)
        current = ledger.plans.current(CHURN)
        assert current is not None
        ledger.plans.append(CHURN, 1, current.plan, "ana", "again")
        late, early = shadowed(2, NOW), shadowed(1, NOW - 3 * BUCKET_MS)
        ledger.reports.take(report(1, shadows=(late, shadowed(3, revision=2))))
        ledger.reports.take(report(2, shadows=(early,)))
        first, second = ledger.reports.shadows(CHURN, number(3))
        assert (first.revision, first.start_ms, first.counts.requests) == (1, NOW - 3 * BUCKET_MS, 3)
        assert first.counts == early.counts.plus(late.counts)
        assert (second.revision, second.counts.requests) == (2, 3)

    def test_what_nobody_needs_is_swept(self, ledger: Ledger, clock: Clock) -> None:
        """Old windows go, but for those of the plan in force and of rollouts that go on; silent processes go."""
        clock.now_ms = NOW
        at = started(ledger)
        old = arm(counts(1), 2, start_ms=NOW)
        ledger.reports.take(report(1, old, boot="1" * 32, shadows=()))
        clock.now_ms += 9 * DAY_MS
        ledger.reports.take(report(1, boot="2" * 32))
        ledger.reports.sweep(clock.now_ms - 7 * DAY_MS, clock.now_ms - DAY_MS)
        assert [node.boot[0] for node in ledger.reports.nodes()] == ["2"]
        assert len(ledger.reports.arms(CHURN, [2])) == 1
        step(ledger, at, Abort(""))
        ledger.reports.take(report(2, arm(counts(1), 2, start_ms=clock.now_ms), boot="2" * 32))
        ledger.reports.sweep(clock.now_ms - 7 * DAY_MS, clock.now_ms - DAY_MS)
        (kept,) = ledger.reports.arms(CHURN, [2])
        assert kept.window.start_ms > NOW

    def test_shadows_of_plans_in_force_are_kept(self, ledger: Ledger, clock: Clock) -> None:
        """However long ago they were compared."""
        watched(ledger, clock)
        ledger.reports.take(report(1, shadows=(shadowed(3),)))
        ledger.reports.sweep(NOW + DAY_MS, 0)
        assert len(ledger.reports.shadows(CHURN, number(3))) == 1
        ledger.plans.append(CHURN, 1, Plan(number(1)), "ana", "")
        ledger.reports.sweep(NOW + DAY_MS, 0)
        assert list(ledger.reports.shadows(CHURN, number(3))) == []
