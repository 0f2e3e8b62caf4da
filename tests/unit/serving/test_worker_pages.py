"""One metrics page of several workers' pages."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from serving.workers.pages import join_pages


def page(count: int, name: str = "churn") -> bytes:
    """Return what one worker shows."""
    registry = CollectorRegistry()
    Counter("asked_total", "How often.", ["model"], registry=registry).labels(name).inc(count)
    Gauge("age_seconds", "How old.", registry=registry).set(count / 2)
    return generate_latest(registry)


def test_each_series_says_whose_it_is() -> None:
    """Every worker's series are there, each with its worker, and nothing is added up or lost."""
    families = {f.name: f for f in text_string_to_metric_families(join_pages({1: page(5), 0: page(3)}).decode())}
    asked = [(s.labels, s.value) for s in families["asked"].samples if s.name == "asked_total"]
    assert asked == [({"worker": "0", "model": "churn"}, 3), ({"worker": "1", "model": "churn"}, 5)]
    assert [(s.labels, s.value) for s in families["age_seconds"].samples] == [
        ({"worker": "0"}, 1.5),
        ({"worker": "1"}, 2.5),
    ]


def test_families_are_said_once_and_values_may_hold_anything() -> None:
    """A family's head stands once before all its samples, and a label's odd value passes unharmed."""
    joined = join_pages({0: page(1, 'a b{"c'), 1: page(2)})
    assert joined.count(b"# TYPE asked_total counter") == 1
    families = {f.name: f for f in text_string_to_metric_families(joined.decode())}
    assert {s.labels["model"] for s in families["asked"].samples} == {'a b{"c', "churn"}
