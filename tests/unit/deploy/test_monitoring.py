"""Prometheus and Grafana look where there is something to see."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, cast

import pytest
import yaml

from registry.edge.gate import RouteTable
from registry.http.routes import REGISTRY_ROUTES
from registry.variables import KNOWN
from tests.support.metrics_to_come import TO_COME
from tests.support.promql import family, known, names, promtool, recorded, rules

ROOT = Path(__file__).parents[3]
DEPLOY = ROOT / "deploy"
PROMETHEUS = DEPLOY / "prometheus" / "prometheus.yml"
SERVICES = cast("dict[str, dict[str, Any]]", yaml.safe_load((DEPLOY / "compose.yaml").read_text("utf-8"))["services"])
JOBS = cast("list[dict[str, Any]]", yaml.safe_load(PROMETHEUS.read_text("utf-8"))["scrape_configs"])

ALERTS = [rule for rule in rules() if "alert" in rule]


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
    """With its rules and the file of its key, all of which compose.yaml mounts beside it."""
    assert "SUCCESS" in promtool("check", "config", PROMETHEUS)
    mounts = [volume.split(":") for volume in SERVICES["prometheus"]["volumes"]]
    inside = {target for *_, target, mode in (m for m in mounts if len(m) > 2) if mode == "ro"}
    assert inside == {f"/etc/prometheus/{name}" for name in ("prometheus.yml", "rules", "credentials")}


def test_the_key_that_is_checked_in_is_none() -> None:
    """Whoever has access control names a file of their own."""
    assert (PROMETHEUS.parent / "credentials").read_bytes() == b""
    assert all(job["authorization"] == {"type": "Bearer", "credentials_file": "credentials"} for job in JOBS)


@pytest.mark.parametrize("path", sorted((PROMETHEUS.parent / "tests").glob("*.yml")), ids=lambda path: path.stem)
def test_the_rules_pass_their_own_tests(path: Path) -> None:
    """Every alert fires where it must and only there: deploy/prometheus/tests."""
    assert "SUCCESS" in promtool("test", "rules", path)


def test_every_alert_is_tested_both_ways() -> None:
    """For each there is a moment at which it fires, and one at which it does not."""
    fires: set[str] = set()
    silent: set[str] = set()
    for path in (PROMETHEUS.parent / "tests").glob("*.yml"):
        for test in yaml.safe_load(path.read_text("utf-8"))["tests"]:
            for case in test.get("alert_rule_test", ()):
                (fires if case["exp_alerts"] else silent).add(case["alertname"])
            for case in test.get("promql_expr_test", ()):
                fires |= set(re.findall(r'alertname="(\w+)"', case["expr"])) if case["exp_samples"] else set()
    assert fires == silent == {rule["alert"] for rule in ALERTS}


@pytest.mark.parametrize(
    "alert", ALERTS, ids=lambda rule: f"{rule['alert']} {rule['labels'].get('window', '')}".strip()
)
def test_an_alert_says_how_bad_it_is_what_it_means_and_what_to_do(alert: dict[str, Any]) -> None:
    """Severity, a summary that names the culprit, a description with the value, and a runbook that exists."""
    assert alert["alert"].startswith("Headgate")
    assert alert["labels"]["severity"] in ("page", "ticket")
    annotations = alert["annotations"]
    assert set(annotations) == {"summary", "description", "runbook_url"}
    assert annotations["description"].endswith(".") or "{{ end }}" in annotations["description"]
    name = re.sub(r"(?<!^)(?=[A-Z])", "-", alert["alert"].removeprefix("Headgate")).lower()
    assert annotations["runbook_url"] == f"docs/guides/runbooks/{name}.md"
    assert (ROOT / annotations["runbook_url"]).exists()


def test_every_runbook_is_some_alerts_and_has_its_four_parts() -> None:
    """What it means, how to see it, what to do first, how to know that it is over."""
    folder = ROOT / "docs" / "guides" / "runbooks"
    wanted = {Path(rule["annotations"]["runbook_url"]).name for rule in ALERTS}
    assert {path.name for path in folder.glob("*.md")} == wanted | {"README.md"}
    index = (folder / "README.md").read_text("utf-8")
    for name in wanted:
        text = (folder / name).read_text("utf-8")
        parts = ["What it means", "See it", "Do first", "It is over when"]
        assert re.findall(r"^## (.+)$", text, flags=re.MULTILINE) == parts, name
        assert f"]({name})" in index


def test_runbooks_name_commands_metrics_and_settings_that_exist() -> None:
    """At three in the morning nobody wants to find out that there is no such command."""
    commands = set(
        re.findall(r"^## `headgate ([a-z ]+[a-z])", (ROOT / "docs/reference/cli.md").read_text("utf-8"), re.M)
    )
    have = known().keys() | TO_COME.keys() | recorded()
    for path in (ROOT / "docs" / "guides" / "runbooks").glob("*.md"):
        text = path.read_text("utf-8")
        for words in re.findall(r"(?:^|`)headgate ([a-z]+(?: [a-z]+)?)", text, flags=re.MULTILINE):
            assert words in commands or words.split()[0] in commands, f"{path.name}: headgate {words}"
        for name in names(text):
            assert name in have | {"up", "ALERTS"} or family(name) in have, f"{path.name}: {name}"
        assert set(re.findall(r"HEADGATE_[A-Z0-9_]+", text)) <= KNOWN
