"""The loop that closes windows of features: seals what is due, then judges it beside its baseline.

Of several registries on one database one leads, by a lease; that saves work and nothing else: a window is sealed and
settled by compare-and-set, and judging is pure, so two that lead at once write the same once. One that is killed
between sealing and judging leaves a sealed window, which is judged by whoever looks next. Windows of versions without
a baseline become a provisional one. Not here: when a window is due (``monitoring/closing.py``), what a verdict is
(``monitoring/drift.py``), what is shown of it (``drift_view.py``).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from registry.baselines import DOCUMENT_BYTES, Baseline, FeatureCounts, Origin, fits
from registry.errors import Conflict, HeadgateError, NotFound, Unavailable
from registry.log import WARNING, event, failure
from registry.monitoring.closing import Closing
from registry.monitoring.drift import Level, WindowVerdict, judge
from registry.monitoring.ports import Baselines
from registry.monitoring.provisional import baseline_of
from registry.monitoring.window_ports import FeatureWindows, SealedWindow
from registry.ports import Artifacts
from registry.records import Digest
from registry.traffic.ports import Leases

LEASE = "monitor"
LEASE_SECONDS = 15.0
RENEW_MS = 5_000
AT_ONCE = 8
"""Sealed windows that are read together: one of a thousand features has a few MB."""
CACHE_BYTES = 64 * 2**20
RETRY_MS = 60_000
"""A baseline that could not be read is tried again after this; others are judged meanwhile."""
BROKEN = (ValueError, ArithmeticError, LookupError, TypeError)
"""What arithmetic on a stranger's numbers may raise."""

Judge = Callable[[Baseline, Mapping[str, FeatureCounts], int], WindowVerdict]


class Gauges(Protocol):
    """Where it is shown who leads."""

    def leads(self, lease: str, *, holds: bool) -> None:
        """Show whether this process holds a lease."""
        ...


@dataclass(frozen=True, slots=True)
class Desk:
    """What the loop works on: windows, baselines and the documents behind them, and who leads."""

    windows: FeatureWindows
    baselines: Baselines
    artifacts: Artifacts
    leases: Leases


class Documents:
    """Baselines that were read lately, within ``CACHE_BYTES`` of documents."""

    def __init__(self, artifacts: Artifacts, most: int = CACHE_BYTES) -> None:
        self._artifacts = artifacts
        self._most = most
        self._kept: OrderedDict[Digest, tuple[Baseline, int]] = OrderedDict()

    def read(self, digest: Digest) -> Baseline:
        """Return a baseline; raise Unavailable where the bucket is away, InvalidRequest or ValueError where the
        document is no baseline."""
        if digest in self._kept:
            self._kept.move_to_end(digest)
            return self._kept[digest][0]
        document = self._artifacts.read(digest, DOCUMENT_BYTES)
        baseline = Baseline.from_bytes(document)
        self._kept[digest] = baseline, len(document)
        while len(self._kept) > 1 and sum(size for _, size in self._kept.values()) > self._most:
            self._kept.popitem(last=False)
        return baseline


class Monitor:
    """Owns the memory of what could not be read, and of documents.

    Args:
        desk: What it works on.
        rule: When windows close.
        gauges: Shown whether this process leads.
        clock: Tells the time in milliseconds.
        holder: The name of this process among the registries.
        judge: Compares a window with its baseline.
    """

    def __init__(
        self,
        desk: Desk,
        rule: Closing,
        *,
        gauges: Gauges,
        clock: Callable[[], int],
        holder: str,
        judge: Judge = judge,
    ) -> None:
        self._desk = desk
        self._rule = rule
        self._gauges = gauges
        self._clock = clock
        self._holder = holder
        self._judge = judge
        self._documents = Documents(desk.artifacts)
        self._unreadable: dict[Digest, int] = {}
        self._leads_until_ms = 0

    def turn(self) -> None:
        """Seal and judge what is due, if this process leads. Raises Unavailable where the database or S3 is gone."""
        if not self._leads():
            return
        self._desk.windows.seal(self._rule)
        while found := self._desk.windows.unjudged(AT_ONCE, self._passed_over()):
            for window in found:
                self._close(window)

    def leave(self) -> None:
        """Let another registry lead at once."""
        self._leads_until_ms = 0
        self._gauges.leads(LEASE, holds=False)
        self._desk.leases.release(LEASE, self._holder)

    def _leads(self) -> bool:
        """Hold the lease, asking for it only every few seconds: a write each time is dear on SQLite."""
        now_ms = self._clock()
        if now_ms >= self._leads_until_ms:
            held = self._desk.leases.hold(LEASE, self._holder, LEASE_SECONDS)
            self._leads_until_ms = now_ms + RENEW_MS if held else 0
            self._gauges.leads(LEASE, holds=held)
        return self._leads_until_ms > 0

    def _passed_over(self) -> list[Digest | None]:
        now_ms = self._clock()
        self._unreadable = {digest: until for digest, until in self._unreadable.items() if until > now_ms}
        return list(self._unreadable)

    def _close(self, window: SealedWindow) -> None:
        if window.span.baseline is None:
            self._make_baseline(window)
            return
        try:
            baseline = self._documents.read(window.span.baseline)
        except (HeadgateError, ValueError) as error:
            if isinstance(error, Unavailable) and error.code != "artifact_corrupt":
                raise
            failure("monitor.unreadable", error, model=window.key.model, version=window.key.version)
            self._unreadable[window.span.baseline] = self._clock() + RETRY_MS
            return
        features = {feature.name: feature for feature in baseline.features}
        counts = {
            name: counted
            for name, counted in window.tally.counts.items()
            if name in features and fits(counted, features[name])
        }
        try:
            verdict = self._judge(baseline, counts, window.tally.rows)
        except BROKEN as error:  # else one window that cannot be judged would keep all after it waiting
            failure("monitor.unjudgeable", error, model=window.key.model, version=window.key.version)
            verdict = WindowVerdict(Level.INSUFFICIENT, window.tally.rows, ())
        settled = self._desk.windows.settle(window.key, verdict.to_json())
        if settled and verdict.verdict is Level.DRIFT:
            moved = [feature.name for feature in verdict.features if feature.verdict is Level.DRIFT]
            event("monitor.drift", WARNING, model=window.key.model, version=window.key.version, features=len(moved))

    def _make_baseline(self, window: SealedWindow) -> None:
        key, tally = window.key, window.tally
        try:
            document = baseline_of(tally).to_bytes()
        except BROKEN as error:
            failure("monitor.no_baseline", error, model=key.model, version=key.version)
        else:
            digest = self._desk.artifacts.seal_bytes(document)
            try:
                self._desk.baselines.put(key.model, key.version, digest, Origin.PROVISIONAL, tally.rows)
            except (NotFound, Conflict):
                pass  # the version went, or was given a baseline meanwhile
            else:
                event("monitor.provisional", model=key.model, version=key.version, rows=tally.rows)
        # Last: whoever is killed before this makes the same baseline again, and it is put only once.
        self._desk.windows.settle(key, None)
