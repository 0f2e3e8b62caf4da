"""The counts of finished requests, kept as plain numbers and shown as Prometheus families when somebody asks.

prometheus_client takes a lock for every observation, and a request makes six of them: a tenth of all its time in this
process. Here times are put on a list, and the list is counted into buckets as a whole once it is long enough. For the
event loop's thread; a scrape calls ``settle`` there, and may read the families beside it. Not here: which labels there
are and when a series goes (``metrics.py``).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.core import Metric as Family
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from serving.telemetry.catalogue import BATCH_ROWS, REQUEST_SECONDS, REQUESTS, STAGE_SECONDS
from serving.telemetry.finished import Finished

STAGES = ("decode", "queue", "predict", "encode")
PENDING = 256
Labels = tuple[str, str]
_BOUNDS = np.array(REQUEST_SECONDS.buckets)
_SHOWN: tuple[str, ...] = tuple(
    str(floatToGoString(bound))  # type: ignore[no-untyped-call]  # the library gives it no types
    for bound in (*REQUEST_SECONDS.buckets, float("inf"))
)
assert STAGE_SECONDS.buckets == REQUEST_SECONDS.buckets, "all times are counted into the same buckets"


class Tally:
    """The requests of one model and version, and its batches, by how many rows they had."""

    __slots__ = ("_counts", "_pending", "_sums", "batches", "labels", "requests")

    def __init__(self, labels: Labels) -> None:
        self.labels = labels
        self.batches: dict[int, int] | None = None
        self.requests: dict[tuple[str, str, str], int] = {}
        self._pending: list[tuple[float, float, float, float, float]] = []
        # One row for the whole request, one for each stage.
        self._counts = np.zeros((1 + len(STAGES), len(_SHOWN)), dtype=np.int64)
        self._sums = np.zeros(1 + len(STAGES))

    def count(self, arm: str, protocol: str, status: str) -> None:
        """Count an answer by its status class, such as ``2xx``."""
        key = (arm, protocol, status)
        self.requests[key] = self.requests.get(key, 0) + 1

    def time(self, done: Finished) -> None:
        """Count how long a success took."""
        self._pending.append((done.seconds, done.decode, done.queue, done.predict, done.encode))
        if len(self._pending) >= PENDING:
            self.settle()

    def settle(self) -> None:
        """Count what is still on the list."""
        if self._pending:
            times = np.array(self._pending)
            self._pending.clear()
            for row, bucket in enumerate(_BOUNDS.searchsorted(times).T):
                self._counts[row] += np.bincount(bucket, minlength=len(_SHOWN))
            self._sums += times.sum(axis=0)

    def histograms(self) -> Iterator[tuple[list[tuple[str, float]], float]]:
        """Yield cumulative buckets and sum: of the whole request, then of each stage."""
        for counts, total in zip(self._counts.cumsum(axis=1).tolist(), self._sums.tolist(), strict=True):
            yield [(bound, float(count)) for bound, count in zip(_SHOWN, counts, strict=True)], total


class Tallies(Collector):
    """All tallies; what a ``CollectorRegistry`` asks for its families."""

    def __init__(self) -> None:
        self._tallies: dict[Labels, Tally] = {}

    def of(self, labels: Labels) -> Tally:
        """Return the tally of a model and version, begun if need be."""
        tally = self._tallies.get(labels)
        if tally is None:
            tally = self._tallies[labels] = Tally(labels)
        return tally

    def drop(self, labels: Labels) -> None:
        """Forget a model and version."""
        self._tallies.pop(labels, None)

    def settle(self) -> None:
        """Count what is still on lists."""
        for tally in self._tallies.values():
            tally.settle()

    def collect(self) -> Iterator[Family]:
        """Yield the families as they stand."""
        requests = CounterMetricFamily(REQUESTS.name, REQUESTS.sentence, labels=REQUESTS.labels)
        seconds = HistogramMetricFamily(REQUEST_SECONDS.name, REQUEST_SECONDS.sentence, labels=REQUEST_SECONDS.labels)
        stages = HistogramMetricFamily(STAGE_SECONDS.name, STAGE_SECONDS.sentence, labels=STAGE_SECONDS.labels)
        batches = HistogramMetricFamily(BATCH_ROWS.name, BATCH_ROWS.sentence, labels=BATCH_ROWS.labels)
        for tally in list(self._tallies.values()):
            if tally.batches is not None:
                batches.add_metric(tally.labels, *_by_rows(dict(tally.batches)))
            if not tally.requests:
                continue
            for key, count in list(tally.requests.items()):
                requests.add_metric([*tally.labels, *key], count)
            whole, *parts = tally.histograms()
            seconds.add_metric(tally.labels, *whole)
            for stage, part in zip(STAGES, parts, strict=True):
                stages.add_metric((*tally.labels, stage), *part)
        yield from (requests, seconds, stages, batches)


def _by_rows(batches: dict[int, int]) -> tuple[list[tuple[str, float]], float]:
    """Return cumulative buckets and sum of how many rows batches had."""
    buckets = [
        (str(floatToGoString(bound)), float(sum(n for rows, n in batches.items() if rows <= bound)))  # type: ignore[no-untyped-call]  # the library gives it no types
        for bound in (*BATCH_ROWS.buckets, float("inf"))
    ]
    return buckets, float(sum(rows * n for rows, n in batches.items()))
