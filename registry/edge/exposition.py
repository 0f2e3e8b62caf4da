"""What a metric is, and how many series of one become Prometheus' text, fast.

prometheus_client writes a line in some four microseconds: nothing for a few hundred, and half a second for the series
of a thousand versions. What has a series for each version is kept as plain numbers and written here, each series by a
template that is made once. Shared by both processes. Not here: which metrics there are (each process's catalogue), and
families of a few series, which prometheus_client keeps and writes itself (``collected.py``).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
OTHER = "other"
"""What a label says of all that is beyond a cap, or does not exist."""
MAX_GROUPS = 1000
"""How many models and versions, or whatever else grows with what people make, have series of their own."""

SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Buckets of what answers at once."""
LONG_SECONDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
"""Buckets of what takes its time: a load, an admission."""

Labels = tuple[str, ...]
Joins = Literal["sum", "max", "one"]


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric as ``/metrics`` shows it; ``buckets`` are a histogram's upper bounds in its unit: seconds or rows.

    ``joins`` says what several processes' series of it come to: their ``sum``, their ``max``, or any ``one`` of them,
    because all say the same.
    """

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    labels: Labels
    sentence: str
    buckets: tuple[float, ...] = ()
    joins: Joins = "sum"


BUILD_INFO = Metric(
    "headgate_build_info", "gauge", ("version",), "Always 1; the label is the platform's version.", joins="one"
)
PROCESS = (
    Metric("process_cpu_seconds_total", "counter", (), "Processor time that the process itself has used."),
    Metric("process_resident_memory_bytes", "gauge", (), "Resident memory of the process itself, without its models'."),
    Metric("process_virtual_memory_bytes", "gauge", (), "Address space of the process itself."),
    Metric("process_start_time_seconds", "gauge", (), "When the process began, in seconds since 1970.", joins="max"),
    Metric("process_open_fds", "gauge", (), "Open file descriptors."),
    Metric("process_max_fds", "gauge", (), "How many file descriptors the process may open.", joins="one"),
)
"""What prometheus_client tells of any process."""


def head_of(metric: Metric) -> str:
    """Return the two lines that open a family."""
    sentence = metric.sentence.replace("\\", r"\\").replace("\n", r"\n")
    return f"# HELP {metric.name} {sentence}\n# TYPE {metric.name} {metric.kind}\n"


def labelled(names: Labels, values: Sequence[str]) -> str:
    """Return labels as a series bears them, by name; nothing where there are none."""
    if not names:
        return ""
    order, pattern = _pattern(names)
    return pattern % tuple([_escaped(values[place]) for place in order])


@cache
def _pattern(names: Labels) -> tuple[tuple[int, ...], str]:
    """Return which value comes where, and the text that takes them."""
    order = tuple(sorted(range(len(names)), key=names.__getitem__))
    return order, "{" + ",".join(f'{names[place]}="%s"' for place in order) + "}"


def histogram_template(metric: Metric, values: Sequence[str]) -> str:
    """Return one series of a histogram as a ``%`` template.

    It takes the cumulative count of each bucket, ``+Inf`` last, the count once more, then the sum.
    """
    bounds = [*(repr(float(bound)) for bound in metric.buckets), "+Inf"]
    names, own = (*metric.labels, "le"), [_percent(value) for value in values]
    lines = [f"{metric.name}_bucket{labelled(names, (*own, bound))} %d.0\n" for bound in bounds]
    labels = labelled(metric.labels, own)
    return "".join((*lines, f"{metric.name}_count{labels} %d.0\n", f"{metric.name}_sum{labels} %r\n"))


class _Group:
    """Series of one family with the same first two labels; their text is kept until one of them moves."""

    __slots__ = ("_text", "moved", "values")

    def __init__(self) -> None:
        self.values: dict[Labels, float] = {}
        self.moved = 0
        self._text = (-1, "")

    def text(self, name: str, labels: Labels) -> str:
        moved = self.moved  # before the values: they may move on beside this
        if self._text[0] != moved:
            lines = [f"{name}{labelled(labels, own)} {number(value)}\n" for own, value in list(self.values.items())]
            self._text = moved, "".join(lines)
        return self._text[1]


class Family:
    """All series of one gauge or counter, as plain numbers. Written by one thread; read by any.

    Series beyond ``most`` are not kept unless ``overflow`` says how two values become one: those share the labels
    ``other``. What is shown of a version moves seldom, so its text is kept.
    """

    def __init__(
        self, metric: Metric, most: int = MAX_GROUPS * 100, overflow: Callable[[float, float], float] | None = None
    ) -> None:
        self.metric = metric
        self._most = most
        self._overflow = overflow
        self._groups: dict[Labels, _Group] = {}
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def get(self, labels: Labels) -> float | None:
        """Return the value of a series, or None."""
        group = self._groups.get(labels[:2])
        return None if group is None else group.values.get(labels)

    def set(self, labels: Labels, value: float) -> None:
        """Let a series have a value."""
        if self._size >= self._most and self.get(labels) is None:
            if self._overflow is None:
                return
            labels = (OTHER,) * len(labels)
            before = self.get(labels)
            value = value if before is None else self._overflow(before, value)
        self._put(labels, value)

    def add(self, labels: Labels, by: float = 1) -> None:
        """Let a series rise."""
        before = self.get(labels)
        if before is None and self._size >= self._most:
            labels = (OTHER,) * len(labels)
            before = self.get(labels)
        self._put(labels, (before or 0.0) + by)

    def replace(self, values: Mapping[Labels, float]) -> None:
        """Let these be all series there are."""
        self.drop(lambda labels: labels not in values)
        if self._overflow is not None:
            self.drop(lambda labels: labels[0] == OTHER)
        for labels, value in values.items():
            self.set(labels, value)

    def drop(self, gone: Callable[[Labels], bool]) -> None:
        """Remove the series whose labels are gone."""
        for key, group in list(self._groups.items()):
            lost = [labels for labels in group.values if gone(labels)]
            for labels in lost:
                del group.values[labels]
            self._size -= len(lost)
            group.moved += bool(lost)
            if not group.values:
                del self._groups[key]

    def text(self) -> str:
        """Return the family as Prometheus reads it."""
        name, labels = self.metric.name, self.metric.labels
        groups = [group.text(name, labels) for group in list(self._groups.values())]
        return head_of(self.metric) + "".join(groups)

    def _put(self, labels: Labels, value: float) -> None:
        group = self._groups.get(labels[:2])
        if group is None:
            group = self._groups[labels[:2]] = _Group()
        before = group.values.get(labels)
        if before != value:
            group.values[labels] = value
            group.moved += 1
            self._size += before is None


def number(value: float) -> str:
    """Return a value as the text format spells it."""
    if math.isfinite(value):
        return repr(float(value))
    return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"


def written(families: Iterable[str]) -> bytes:
    """Return a page of families."""
    return "".join(families).encode()


def _escaped(value: str) -> str:
    if "\\" in value or "\n" in value or '"' in value:
        return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
    return value


def _percent(value: str) -> str:
    return value.replace("%", "%%")
