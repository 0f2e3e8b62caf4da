"""The loop that judges windows: who leads, what a crash leaves, what cannot be read. The time is in the test's hand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from registry.baselines import Baseline, FeatureCounts, Origin
from registry.errors import Unavailable
from registry.monitor import LEASE, RETRY_MS, Desk, Documents, Monitor
from registry.monitoring.drift import Level, WindowVerdict
from registry.monitoring.drift import judge as real_judge
from registry.observed import FeatureWindow
from registry.records import Digest, ModelName
from registry.reports import NodeReport
from tests.support.ledgers import CHURN, number
from tests.support.registry_app import RULE, RegistryInMemory
from tests.support.rows import NOW, baseline, window


class Killed(BaseException):
    """The process ends here."""


class Story:
    """A registry with two versions of churn that have baselines, and loops over it."""

    def __init__(self) -> None:
        self.registry = RegistryInMemory()
        self.registry.ready("churn", 2)
        self.registry.clock.now_ms = NOW
        self.windows = self.registry.ledger.feature_windows
        self.digests = [self.give(1, 5_000), self.give(2, 4_000)]
        self.boots = 0
        self.judged = 0
        self.monitor = self.loop()

    def give(self, version: int, rows: int) -> Digest:
        """Give a version a baseline."""
        digest = self.registry.artifacts.seal_bytes(baseline(rows).to_bytes())
        self.registry.ledger.baselines.put(CHURN, number(version), digest, Origin.GIVEN, rows)
        return digest

    def loop(self, holder: str = "one", **more: Any) -> Monitor:
        """Return a loop of another registry."""
        desk = Desk(self.windows, self.registry.ledger.baselines, self.registry.artifacts, self.registry.ledger.leases)
        more.setdefault("judge", self.judge)
        return Monitor(desk, RULE, gauges=self.registry.metrics, clock=self.registry.clock, holder=holder, **more)

    def judge(self, known: Baseline, counts: Mapping[str, FeatureCounts], rows: int) -> WindowVerdict:
        """Judge, and count how often."""
        self.judged += 1
        return real_judge(known, counts, rows)

    def seen(self, *windows: FeatureWindow) -> None:
        """Report windows."""
        self.boots += 1
        self.registry.ledger.reports.take(NodeReport("a", f"{self.boots:032x}", 1, 0, features=windows))

    def full(self) -> None:
        """Report a thousand rows of each version, and let their windows' time be over."""
        now = self.registry.clock.now_ms
        self.seen(*(window(self.digests[n - 1], 1_000, version=n, start_ms=now) for n in (1, 2)))
        self.registry.clock.now_ms += RULE.age_ms

    def verdicts(self, version: int = 1) -> list[str]:
        """Return the verdicts of a version, newest first."""
        return [str(one.verdict["verdict"]) for one in self.windows.page(CHURN, number(version), 100)]


def test_each_window_is_judged_once() -> None:
    """However often the loop turns; a turn with nothing to do does nothing."""
    story = Story()
    story.full()
    for _ in range(5):
        story.monitor.turn()
    assert (story.verdicts(1), story.verdicts(2), story.judged) == (["ok"], ["ok"], 2)


def test_a_crash_between_sealing_and_verdict_loses_nothing() -> None:
    """Whoever looks next judges what was sealed, as if nothing had happened."""
    story = Story()
    story.full()

    def dies(*_: object) -> WindowVerdict:
        raise Killed

    with pytest.raises(Killed):
        story.loop(judge=dies).turn()
    assert story.verdicts() == [] and len(story.windows.unjudged(10)) == 2
    story.seen(window(story.digests[0], 10))
    story.monitor.turn()
    assert (story.verdicts(1), story.verdicts(2)) == (["ok"], ["ok"])
    span = story.windows.open(CHURN, number(1))
    assert span is not None and span.rows == 10


def test_one_leads() -> None:
    """Another takes over when the lease has run out, or at once when it is given back."""
    story = Story()
    other = story.loop("other")
    story.monitor.turn()
    story.full()
    story.registry.clock.now_ms -= RULE.age_ms
    other.turn()
    assert story.judged == 0
    story.registry.clock.now_ms += RULE.age_ms
    other.turn()
    assert story.judged == 2
    other.leave()
    story.full()
    story.monitor.turn()
    assert story.judged == 4


def test_two_that_both_lead_judge_alike() -> None:
    """The lease saves work and nothing else."""
    story = Story()
    story.full()
    first, second = story.loop("first"), story.loop("second")
    first.turn()
    story.registry.ledger.leases.release(LEASE, "first")
    second.turn()
    assert story.verdicts() == ["ok"] and story.judged == 2


def test_the_lease_is_not_written_each_turn() -> None:
    """A leader prolongs it every few seconds."""
    story = Story()
    held: list[int] = []
    hold = story.registry.ledger.leases.hold

    class Counting:
        def hold(self, name: str, holder: str, seconds: float) -> bool:
            held.append(1)
            return hold(name, holder, seconds)

        def release(self, name: str, holder: str) -> None:
            return None

    desk = Desk(story.windows, story.registry.ledger.baselines, story.registry.artifacts, Counting())
    monitor = Monitor(desk, RULE, gauges=story.registry.metrics, clock=story.registry.clock, holder="one")
    for _ in range(10):
        story.registry.clock.now_ms += 1_000
        monitor.turn()
    assert len(held) == 2


def test_a_baseline_that_cannot_be_read_holds_up_nobody_else() -> None:
    """Its version waits and is tried again; the others are judged."""
    story = Story()
    story.full()
    key = next(key for key in story.registry.artifacts.objects if story.digests[0].removeprefix("sha256:") in key)
    kept = story.registry.artifacts.objects[key]
    story.registry.artifacts.objects[key] = b"damaged"
    story.monitor.turn()
    assert (story.verdicts(1), story.verdicts(2)) == ([], ["ok"])
    story.registry.artifacts.objects[key] = kept
    story.monitor.turn()
    assert story.verdicts(1) == []
    story.registry.clock.now_ms += RETRY_MS
    story.monitor.turn()
    assert story.verdicts(1) == ["ok"]


def test_a_bucket_that_is_away_is_waited_for() -> None:
    """The turn says so, and the next one goes on."""
    story = Story()
    story.full()

    class Away:
        def read(self, digest: Digest, limit: int) -> bytes:
            raise Unavailable("artifact_unavailable", "S3 is away")

    desk = Desk(story.windows, story.registry.ledger.baselines, Away(), story.registry.ledger.leases)  # type: ignore[arg-type]  # only reads
    with pytest.raises(Unavailable):
        Monitor(desk, RULE, gauges=story.registry.metrics, clock=story.registry.clock, holder="one").turn()
    story.monitor.turn()
    assert story.verdicts() == ["ok"]


def test_a_window_that_cannot_be_judged_says_so() -> None:
    """And keeps nobody waiting."""
    story = Story()
    story.full()

    def fails(known: Baseline, counts: Mapping[str, FeatureCounts], rows: int) -> WindowVerdict:
        raise OverflowError

    story.loop(judge=fails).turn()
    assert story.verdicts(1) == story.verdicts(2) == [Level.INSUFFICIENT.value]


def test_counts_that_fit_no_feature_are_left_out() -> None:
    """What a node counted by cells of its own is not compared."""
    story = Story()
    strange = window(story.digests[0], 1_000)
    counts = {**strange.counts, "age": strange.counts["plan"], "unheard of": strange.counts["plan"]}
    story.seen(FeatureWindow(CHURN, number(1), NOW, 1_000, story.digests[0], counts))
    story.registry.clock.now_ms += RULE.age_ms
    story.monitor.turn()
    (judged,) = story.windows.page(CHURN, number(1), 1)
    found = {one["name"]: one for one in judged.verdict["features"]}
    assert found.keys() == {"age", "plan", "prediction"}
    assert found["prediction"]["rows"] == 1_000


def test_documents_are_read_once_and_kept_within_bounds() -> None:
    """The least used goes first."""
    story = Story()
    reads: list[Digest] = []
    read = story.registry.artifacts.read

    class Counting:
        def read(self, digest: Digest, limit: int) -> bytes:
            reads.append(digest)
            return read(digest, limit)

    one, other = story.digests
    documents = Documents(Counting(), most=len(baseline().to_bytes()) + 10)  # type: ignore[arg-type]  # only reads
    for digest in (one, one, other, other, one):
        documents.read(digest)
    assert reads == [one, other, one]


def test_a_version_that_went_leaves_nothing() -> None:
    """The first rows of a version that was deleted meanwhile make no baseline."""
    story = Story()
    story.registry.ready("other")
    other = ModelName("other")
    for seed in range(10):
        story.seen(window(None, 1_000, seed, model=other))
    story.windows.seal(RULE)
    story.registry.ledger.models.remove(other)
    story.monitor.turn()
    assert list(story.windows.unjudged(10)) == []
