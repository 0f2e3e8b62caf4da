"""The counts of finished requests, kept as plain numbers and written as Prometheus' text when somebody asks.

prometheus_client takes a lock for every observation, and a request makes six of them: a tenth of all its time in this
process. Here times are put on a list, and the list is counted into buckets as a whole once it is long enough. For the
event loop's thread; a scrape calls ``settle`` there, and may write the text beside it. Not here: which labels there are
and when a series goes (``metrics.py``).
"""

from __future__ import annotations

from bisect import bisect_left
from itertools import accumulate
from time import time

import numpy as np

from registry.edge.exposition import Metric, head_of, histogram_template, labelled
from serving.telemetry.catalogue import BATCH_ROWS, LOAD_SECONDS, REQUEST_SECONDS, REQUESTS, STAGE_SECONDS
from serving.telemetry.finished import Finished

STAGES = ("decode", "queue", "predict", "encode")
PENDING = 256
MAX_SIZES = 256
"""How many sizes of batches are told apart: one request alone may have any number of rows."""
Labels = tuple[str, str]
_BOUNDS = np.array(REQUEST_SECONDS.buckets)
_BUCKETS = len(REQUEST_SECONDS.buckets) + 1
assert STAGE_SECONDS.buckets == REQUEST_SECONDS.buckets, "all times are counted into the same buckets"

# One text for all versions: names and numbers are put in. No name holds a control character, so these mark where.
_MODEL, _VERSION = "\x01", "\x02"
_PAIR = (_MODEL, _VERSION)
_TIME_LINES = (
    histogram_template(REQUEST_SECONDS, _PAIR),
    *(histogram_template(STAGE_SECONDS, (*_PAIR, stage)) for stage in STAGES),
)
_BATCH_LINES = histogram_template(BATCH_ROWS, _PAIR)
_LOAD_LINES = histogram_template(LOAD_SECONDS, _PAIR)


class _Sizes:
    """A histogram of a few numbers, counted one by one; its text is kept until the next."""

    __slots__ = ("_bounds", "_counts", "_number", "_sum", "_template", "_text")

    def __init__(self, metric: Metric, template: str) -> None:
        self._bounds = metric.buckets
        self._template = template
        self._counts = [0] * (len(metric.buckets) + 1)
        self._sum = 0.0
        self._number = 0
        self._text = (-1, "")

    def count(self, size: float) -> None:
        self._counts[bisect_left(self._bounds, size)] += 1
        self._sum += size
        self._number += 1

    def lines(self, labels: Labels) -> str:
        number = self._number  # before the counts: the loop may count on beside this
        if self._text[0] != number:
            self._text = number, _filled(self._template, list(accumulate(self._counts)), self._sum, labels)
        return self._text[1]


class Batches:
    """Counts the batches of one version, by how many rows they had.

    ``executions`` is how many have run; ``runs`` how many and for how many seconds, by their rows.
    """

    __slots__ = ("executions", "runs", "sizes")

    def __init__(self) -> None:
        self.sizes = _Sizes(BATCH_ROWS, _BATCH_LINES)
        self.executions = 0
        self.runs: dict[int, tuple[int, float]] = {}

    def batch(self, rows: int, requests: int) -> None:
        """Count one."""
        self.sizes.count(rows)

    def ran(self, rows: int, seconds: float) -> None:
        """Count one that has ended well."""
        self.executions += 1
        runs = self.runs
        count, total = runs.get(rows, (0, 0.0))
        if count or len(runs) < MAX_SIZES:
            runs[rows] = count + 1, total + seconds

    def refused(self, reason: str) -> None:
        """Do nothing: a refused request is counted when it has its answer."""


class Tally:
    """The requests of one model and version, its batches and its loads.

    Attributes:
        requests: How many, by arm, protocol and status class.
        failed_seconds: How long those took that ended with an error.
        last: When the last one ended, in seconds since the epoch; 0 before the first.
    """

    __slots__ = (
        "_counts",
        "_heads",
        "_pending",
        "_settled",
        "_sums",
        "_text",
        "batches",
        "failed_seconds",
        "labels",
        "last",
        "loads",
        "requests",
    )

    def __init__(self, labels: Labels) -> None:
        self.labels = labels
        self.batches: Batches | None = None
        self.loads: _Sizes | None = None
        self.requests: dict[tuple[str, str, str], int] = {}
        self._heads: dict[tuple[str, str, str], str] = {}
        self._pending: list[tuple[float, float, float, float, float, int]] = []
        # One row for the whole request, one for each stage.
        self._counts = np.zeros((1 + len(STAGES), _BUCKETS), dtype=np.int64)
        self._sums = np.zeros(1 + len(STAGES) + 1)  # the last sums rows
        self.failed_seconds = 0.0
        self.last = 0.0
        self._settled = 0
        self._text = (-1, "", "")

    def count(self, arm: str, protocol: str, status: str) -> None:
        """Count an answer by its status class, such as ``2xx``."""
        key = (arm, protocol, status)
        self.requests[key] = self.requests.get(key, 0) + 1
        self.last = time()

    def time(self, done: Finished) -> None:
        """Count how long a success took."""
        self._pending.append((done.seconds, done.decode, done.queue, done.predict, done.encode, done.rows))
        if len(self._pending) >= PENDING:
            self.settle()

    def failed(self, seconds: float) -> None:
        """Count how long an error took."""
        self.failed_seconds += seconds

    @property
    def seconds(self) -> list[float]:
        """How long all successes took, as a whole and then by stages, as of the last ``settle``."""
        total: list[float] = self._sums[:-1].tolist()
        return total

    @property
    def rows(self) -> int:
        """How many rows they had, as of the last ``settle``."""
        return int(self._sums[-1])

    def loaded(self, seconds: float) -> None:
        """Count a load."""
        if self.loads is None:
            self.loads = _Sizes(LOAD_SECONDS, _LOAD_LINES)
        self.loads.count(seconds)

    def settle(self) -> None:
        """Count what is still on the list."""
        if self._pending:
            times = np.array(self._pending)
            self._pending.clear()
            for row, bucket in enumerate(_BOUNDS.searchsorted(times[:, :-1]).T):
                self._counts[row] += np.bincount(bucket, minlength=_BUCKETS)
            self._sums += times.sum(axis=0)
            self._settled += 1

    def request_lines(self) -> str:
        """Return the series of ``headgate_requests_total``."""
        heads = self._heads
        for key in self.requests.keys() - heads.keys():
            heads[key] = f"{REQUESTS.name}{labelled(REQUESTS.labels, (*self.labels, *key))}"
        return "".join([f"{heads[key]} {count}.0\n" for key, count in self.requests.items() if key in heads])

    def time_lines(self) -> tuple[str, str]:
        """Return the series of the whole request's time, and of its stages'; kept until there are newer times."""
        settled = self._settled  # before the counts: the loop may count on beside this
        if self._text[0] != settled:
            counts, sums = self._counts.cumsum(axis=1).tolist(), self.seconds
            parts = [_filled(*one, self.labels) for one in zip(_TIME_LINES, counts, sums, strict=True)]
            self._text = settled, parts[0], "".join(parts[1:])
        return self._text[1:]


class Tallies:
    """All tallies."""

    def __init__(self) -> None:
        self._tallies: dict[Labels, Tally] = {}

    def of(self, labels: Labels) -> Tally:
        """Return the tally of a model and version, begun if need be."""
        tally = self._tallies.get(labels)
        if tally is None:
            tally = self._tallies[labels] = Tally(labels)
        return tally

    def find(self, labels: Labels) -> Tally | None:
        """Return the tally of a model and version; None where nothing was counted."""
        return self._tallies.get(labels)

    def names(self) -> list[Labels]:
        """Return whose tallies there are."""
        return list(self._tallies)

    def drop(self, labels: Labels) -> None:
        """Forget a model and version."""
        self._tallies.pop(labels, None)

    def settle(self) -> None:
        """Count what is still on lists."""
        for tally in self._tallies.values():
            tally.settle()

    def text(self) -> str:
        """Return the families as they stand."""
        requests, seconds, stages = [head_of(REQUESTS)], [head_of(REQUEST_SECONDS)], [head_of(STAGE_SECONDS)]
        batches, loads = [head_of(BATCH_ROWS)], [head_of(LOAD_SECONDS)]
        for tally in list(self._tallies.values()):
            if tally.batches is not None:
                batches.append(tally.batches.sizes.lines(tally.labels))
            if tally.loads is not None:
                loads.append(tally.loads.lines(tally.labels))
            if not tally.requests:
                continue
            requests.append(tally.request_lines())
            whole, parts = tally.time_lines()
            seconds.append(whole)
            stages.append(parts)
        return "".join((*requests, *seconds, *stages, *batches, *loads))


def _filled(template: str, cumulative: list[int], total: float, labels: Labels) -> str:
    """Return the lines of one histogram: its numbers, then the names, put into their template."""
    lines = template % (*cumulative, cumulative[-1], total)
    return lines.replace(_MODEL, labels[0]).replace(_VERSION, labels[1])
