"""Metrics of a few series, kept and written by prometheus_client, made from their line in a catalogue. Not here: those
with a series for each version (``exposition.py``)."""

from __future__ import annotations

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)

from registry.edge.exposition import BUILD_INFO, Metric


class Collected:
    """The small families of one process. Safe to use from any thread."""

    def __init__(self, version: str) -> None:
        # One `_created` series beside each counter and histogram would double the page, and nobody reads them.
        disable_created_metrics()  # type: ignore[no-untyped-call]  # the library gives it no types
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.gauge(BUILD_INFO).labels(version).set(1)

    def counter(self, metric: Metric, *known: tuple[str, ...]) -> Counter:
        """Return a counter; series with ``known`` labels begin at 0, so that their first rise can be seen."""
        made = Counter(metric.name, metric.sentence, metric.labels, registry=self.registry)
        for labels in known:
            made.labels(*labels)
        return made

    def gauge(self, metric: Metric) -> Gauge:
        """Return a gauge."""
        return Gauge(metric.name, metric.sentence, metric.labels, registry=self.registry)

    def histogram(self, metric: Metric) -> Histogram:
        """Return a histogram."""
        return Histogram(metric.name, metric.sentence, metric.labels, registry=self.registry, buckets=metric.buckets)

    def text(self) -> str:
        """Return all of them as Prometheus reads them."""
        return generate_latest(self.registry).decode()
