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


def labelled(names: Sequence[str], values: Sequence[str]) -> str:
    """Return labels as a series bears them, by name; nothing where there are none."""
    pairs = sorted(zip(names, values, strict=True))
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in pairs) + "}" if pairs else ""


def histogram_template(metric: Metric, values: Sequence[str]) -> str:
    """Return one series of a histogram as a ``%`` template.

    It takes the cumulative count of each bucket, ``+Inf`` last, the count once more, then the sum.
    """
    bounds = [*(repr(float(bound)) for bound in metric.buckets), "+Inf"]
    names, own = (*metric.labels, "le"), [_percent(value) for value in values]
    lines = [f"{metric.name}_bucket{labelled(names, (*own, bound))} %d.0\n" for bound in bounds]
    labels = labelled(metric.labels, own)
    return "".join((*lines, f"{metric.name}_count{labels} %d.0\n", f"{metric.name}_sum{labels} %r\n"))


class Family:
    """All series of one gauge or counter, as plain numbers. Written by one thread; read by any.

    Series beyond ``most`` are not kept unless ``overflow`` says how two values become one: those share the labels
    ``other``. The text's names are kept until a series comes or goes: then only numbers are written.
    """

    def __init__(
        self, metric: Metric, most: int = MAX_GROUPS * 100, overflow: Callable[[float, float], float] | None = None
    ) -> None:
        self.metric = metric
        self._most = most
        self._overflow = overflow
        self._values: dict[Labels, float] = {}
        self._template: tuple[tuple[Labels, ...], str] = ((), _percent(head_of(metric)))

    def __len__(self) -> int:
        return len(self._values)

    def set(self, labels: Labels, value: float) -> None:
        """Let a series have a value."""
        if labels not in self._values and len(self._values) >= self._most:
            if self._overflow is None:
                return
            labels = (OTHER,) * len(labels)
            value = self._overflow(self._values[labels], value) if labels in self._values else value
        self._values[labels] = float(value)

    def add(self, labels: Labels, by: float = 1) -> None:
        """Let a series rise."""
        values = self._values
        if labels not in values and len(values) >= self._most:
            labels = (OTHER,) * len(labels)
        values[labels] = values.get(labels, 0.0) + by

    def replace(self, values: Mapping[Labels, float]) -> None:
        """Let these be all series there are."""
        self._values = {}
        for labels, value in values.items():
            self.set(labels, value)

    def drop(self, gone: Callable[[Labels], bool]) -> None:
        """Remove the series whose labels are gone."""
        for labels in [labels for labels in self._values if gone(labels)]:
            del self._values[labels]

    def text(self) -> str:
        """Return the family as Prometheus reads it."""
        now = self._values.copy()
        names, values = tuple(now), tuple(now.values())
        known, template = self._template
        if known != names:
            shown, own = self.metric.name, self.metric.labels
            lines = (f"{shown}{_percent(labelled(own, labels))} %s\n" for labels in names)
            template = _percent(head_of(self.metric)) + "".join(lines)
            self._template = names, template
        # Of a float, %s is what repr says; only what is no number is spelt otherwise.
        return template % (values if math.isfinite(sum(values)) else tuple(map(number, values)))


def number(value: float) -> str:
    """Return a value as the text format spells it."""
    if math.isfinite(value):
        return repr(float(value))
    return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"


def written(families: Iterable[str]) -> bytes:
    """Return a page of families."""
    return "".join(families).encode()


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def _percent(value: str) -> str:
    return value.replace("%", "%%")
