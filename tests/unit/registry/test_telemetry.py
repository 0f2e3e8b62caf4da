"""The registry's metrics: each is in the catalogue, counts what it says, and goes with what it is of."""

from __future__ import annotations

from registry.catalogue import CATALOGUE
from registry.environment import platform_version
from registry.records import VersionState
from registry.telemetry import RegistryMetrics
from registry.traffic.arrival import SeenNode
from registry.traffic.ports import NodeState
from tests.support.metrics import check_with_promtool, sample, samples, shown
from tests.support.registry_app import V1, RegistryInMemory


def test_the_page_holds_exactly_the_catalogue() -> None:
    """What is documented is what is shown, under the same names, types and labels."""
    registry = RegistryInMemory()
    registry.ask("GET", "/livez")
    page = registry.metrics.page()
    assert shown(page) == {(metric.name, metric.kind) for metric in CATALOGUE}
    labels = {metric.name: set(metric.labels) for metric in CATALOGUE}
    for found in samples(page, "headgate_http_requests_total"):
        assert set(found.labels) == labels[found.name]


def test_promtool_finds_nothing_to_say() -> None:
    """Names, units and help keep to Prometheus' own rules."""
    registry = RegistryInMemory()
    registry.ready("churn")
    registry.metrics.turned("nodes", "done")
    registry.metrics.nodes_are([node("a", 5_000)])
    registry.ask("GET", f"{V1}/models/churn")
    check_with_promtool(registry.metrics.page())


def test_requests_are_counted_by_route_and_status_class() -> None:
    """Two models are one route; an answer that never began is ``other``."""
    registry = RegistryInMemory()
    registry.ready("churn")
    for path in ("/models/churn", "/models/absent", "/models/absent"):
        registry.ask("GET", V1 + path)
    page = registry.metrics.page()
    route = {"route": V1 + "/models/{name}", "method": "GET"}
    assert sample(page, "headgate_http_requests_total", code="2xx", **route) == 1
    assert sample(page, "headgate_http_requests_total", code="4xx", **route) == 2
    assert sample(page, "headgate_http_request_seconds_count", **route) == 3


def test_admissions_are_counted_and_timed() -> None:
    """Each verdict counts once, with the seconds from its claim."""
    registry = RegistryInMemory()
    registry.ready("churn", 2)
    page = registry.metrics.page()
    assert sample(page, "headgate_admissions_total", verdict="ready") == 2
    assert sample(page, "headgate_admissions_total", verdict="rejected") == 0
    assert sample(page, "headgate_admission_seconds_count", verdict="ready") == 2


def test_turns_of_tasks_are_counted_and_the_last_good_one_is_shown() -> None:
    """A task that cannot reach its store goes on counting, and its last success stands still."""
    clock = [100.0]
    metrics = RegistryMetrics(lambda: clock[0])
    metrics.turned("rollouts", "done")
    clock[0] = 160.0
    metrics.turned("rollouts", "unavailable")
    page = metrics.page()
    assert sample(page, "headgate_background_turns_total", task="rollouts", outcome="unavailable") == 1
    assert sample(page, "headgate_background_done_timestamp_seconds", task="rollouts") == 100


def node(name: str, seen_ms: int, age_ms: int = 0) -> SeenNode:
    """Return a node that was heard of then."""
    return SeenNode(NodeState(name, "boot", 1, 1, (), (), seen_ms), age_ms)


def test_nodes_are_counted_and_those_that_are_gone_go() -> None:
    """A lost node is shown until it is no longer listed, and is not one of those that are there."""
    metrics = RegistryMetrics()
    metrics.nodes_are([node("a", 5_000), node("b", 1_000, age_ms=90_000)])
    page = metrics.page()
    assert sample(page, "headgate_nodes") == 1
    assert sample(page, "headgate_node_reported_timestamp_seconds", node="b") == 1
    metrics.nodes_are([node("a", 7_000)])
    page = metrics.page()
    assert sample(page, "headgate_node_reported_timestamp_seconds", node="a") == 7
    assert sample(page, "headgate_node_reported_timestamp_seconds", node="b") is None


def test_versions_snapshot_build_and_leases_are_shown() -> None:
    """States that no version is in are 0, the build names itself, and a lease that is lost is 0."""
    metrics = RegistryMetrics()
    metrics.versions_are({VersionState.READY: 3})
    metrics.snapshot_is(41)
    metrics.leads("rollouts", holds=True)
    metrics.leads("rollouts", holds=False)
    page = metrics.page()
    assert sample(page, "headgate_registered_versions", state="ready") == 3
    assert sample(page, "headgate_registered_versions", state="pending") == 0
    assert sample(page, "headgate_snapshot_revision") == 41
    assert sample(page, "headgate_leader", lease="rollouts") == 0
    assert sample(page, "headgate_build_info", version=platform_version()) == 1
