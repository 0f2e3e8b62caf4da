"""Prometheus and Grafana look where there is something to see."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any, cast

import pytest
import yaml

from registry.edge.gate import RouteTable
from registry.http.routes import REGISTRY_ROUTES

ROOT = Path(__file__).parents[3]
DEPLOY = ROOT / "deploy"
PROMETHEUS = DEPLOY / "prometheus" / "prometheus.yml"
SERVICES = cast("dict[str, dict[str, Any]]", yaml.safe_load((DEPLOY / "compose.yaml").read_text("utf-8"))["services"])
JOBS = cast("list[dict[str, Any]]", yaml.safe_load(PROMETHEUS.read_text("utf-8"))["scrape_configs"])


@pytest.mark.parametrize("job", JOBS, ids=lambda job: str(job["job_name"]))
def test_each_job_asks_a_service_on_the_port_that_it_listens_on(job: dict[str, Any]) -> None:
    """A wrong port would only show as a target that is down."""
    (target,) = job["static_configs"][0]["targets"]
    host, _, port = target.partition(":")
    environment = SERVICES[host]["environment"]
    assert environment[f"HEADGATE_{host.upper()}_PORT"] == port
    assert set(SERVICES[host]["networks"]) & set(SERVICES["prometheus"]["networks"])


def test_both_processes_are_asked() -> None:
    """The registry and serving each have numbers of their own."""
    assert {job["job_name"] for job in JOBS} == {"registry", "serving"}


def test_the_paths_that_are_asked_exist() -> None:
    """/metrics for Prometheus and /livez for the health checks are in both tables of routes."""
    from serving.http.routes import SERVING_ROUTES

    for table in (RouteTable(REGISTRY_ROUTES), RouteTable(SERVING_ROUTES)):
        for path in ("/livez", "/readyz", *(job["metrics_path"] for job in JOBS)):
            assert "GET" in (table.find(path) or {})


def test_grafana_finds_prometheus() -> None:
    """The data source is the service, on the port that Prometheus publishes."""
    path = DEPLOY / "grafana" / "provisioning" / "datasources" / "prometheus.yml"
    (source,) = yaml.safe_load(path.read_text("utf-8"))["datasources"]
    port = SERVICES["prometheus"]["ports"][0].rpartition(":")[2]
    assert source["url"] == f"http://prometheus:{port}"
    assert set(SERVICES["grafana"]["networks"]) & set(SERVICES["prometheus"]["networks"])


def test_prometheus_accepts_its_configuration() -> None:
    """promtool comes with Prometheus: skipped where it is missing, except in CI."""
    promtool = shutil.which("promtool")
    if promtool is None:
        if os.environ.get("CI") == "true":
            pytest.fail("promtool is missing; .ci/run installs it with Prometheus")
        pytest.skip("promtool is not installed")
    done = subprocess.run(
        [promtool, "check", "config", PROMETHEUS], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60
    )
    assert done.returncode == 0, done.stdout.decode()
