"""The counts of copies for shadows, kept as plain numbers and shown as Prometheus families when somebody asks.

For the event loop's thread; a scrape may read the families beside it. Not here: which labels there are and when a
series goes (``metrics.py``).
"""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.core import Metric as Family
from prometheus_client.registry import Collector

from serving.telemetry.catalogue import SHADOW_DIFFERENCE, SHADOWED

LATELY = 1000
"""How many comparisons the share of those that differ goes back, about: the older, the less each weighs."""
Labels = tuple[str, str]


class ShadowTally:
    """The copies for one version."""

    __slots__ = ("_weight", "labels", "outcomes", "share")

    def __init__(self, labels: Labels) -> None:
        self.labels = labels
        self.outcomes: dict[str, int] = {}
        self.share: float | None = None
        self._weight = 0

    def count(self, outcome: str) -> None:
        """Count what became of a copy."""
        self.outcomes[outcome] = self.outcomes.get(outcome, 0) + 1

    def compared(self, *, differs: bool) -> None:
        """Take note of a comparison."""
        self._weight = min(self._weight + 1, LATELY)
        share = self.share or 0.0
        self.share = share + (differs - share) / self._weight


class ShadowTallies(Collector):
    """All of them; what a ``CollectorRegistry`` asks for its families."""

    def __init__(self) -> None:
        self._tallies: dict[Labels, ShadowTally] = {}

    def of(self, labels: Labels) -> ShadowTally:
        """Return the tally of a model and version, begun if need be."""
        tally = self._tallies.get(labels)
        if tally is None:
            tally = self._tallies[labels] = ShadowTally(labels)
        return tally

    def drop(self, labels: Labels) -> None:
        """Forget a model and version."""
        self._tallies.pop(labels, None)

    def collect(self) -> Iterator[Family]:
        """Yield the families as they stand."""
        copies = CounterMetricFamily(SHADOWED.name, SHADOWED.sentence, labels=SHADOWED.labels)
        share = GaugeMetricFamily(SHADOW_DIFFERENCE.name, SHADOW_DIFFERENCE.sentence, labels=SHADOW_DIFFERENCE.labels)
        for tally in list(self._tallies.values()):
            for outcome, count in list(tally.outcomes.items()):
                copies.add_metric([*tally.labels, outcome], count)
            if tally.share is not None:
                share.add_metric(tally.labels, tally.share)
        yield from (copies, share)
