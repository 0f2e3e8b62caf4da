"""The counts of copies for shadows, kept as plain numbers and written as Prometheus' text when somebody asks.

For the event loop's thread; a scrape may write the text beside it. Not here: which labels there are and when a
series goes (``metrics.py``).
"""

from __future__ import annotations

from registry.edge.exposition import Family
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


class ShadowTallies:
    """All of them."""

    def __init__(self) -> None:
        self._tallies: dict[Labels, ShadowTally] = {}
        self._copies, self._share = Family(SHADOWED), Family(SHADOW_DIFFERENCE)

    def of(self, labels: Labels) -> ShadowTally:
        """Return the tally of a model and version, begun if need be."""
        tally = self._tallies.get(labels)
        if tally is None:
            tally = self._tallies[labels] = ShadowTally(labels)
        return tally

    def drop(self, labels: Labels) -> None:
        """Forget a model and version."""
        if self._tallies.pop(labels, None) is not None:
            self._copies.drop(lambda shown: shown[:2] == labels)
            self._share.drop(lambda shown: shown == labels)

    def settle(self) -> None:
        """Take over what was counted; on the event loop, before ``text``."""
        for tally in self._tallies.values():
            for outcome, count in tally.outcomes.items():
                self._copies.set((*tally.labels, outcome), count)
            if tally.share is not None:
                self._share.set(tally.labels, tally.share)

    def text(self) -> str:
        """Return both families."""
        return self._copies.text() + self._share.text()
