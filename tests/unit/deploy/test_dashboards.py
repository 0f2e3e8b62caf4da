"""The dashboards: built from their code, laid out without holes, and asking for nothing that does not exist."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from deploy.grafana.boards.frame import REGISTRY_URL, SOURCE_UID, TAG
from deploy.grafana.build import DASHBOARDS, built
from tests.support.metrics_to_come import TO_COME
from tests.support.promql import (
    Asked,
    boards,
    family,
    filled,
    known,
    names,
    of_panels,
    of_rules,
    of_variables,
    panels,
    promtool,
    recorded,
    selectors,
)

ROOT = Path(__file__).parents[3]
DEPLOY = ROOT / "deploy"
BOARDS = boards()
EVERY = [*of_panels(), *of_variables(), *of_rules()]
PANELS = [(name, panel) for name, board in BOARDS.items() for panel in panels(board)]
GIVEN = {
    "model": "churn",
    "models": "churn",
    "version": "3",
    "versions": "3",
    "__rate_interval": "1m",
    "__range": "1h",
    "__interval": "15s",
}
# Prometheus' own.
FOREIGN = {"up", "ALERTS"}
FOREIGN_LABELS = {"instance", "job", "worker", "le"}


def named(item: object) -> str:
    """Return a test's name for a dashboard's panel or an expression."""
    if isinstance(item, Asked):
        return item.where
    return item["title"] if isinstance(item, dict) else str(item)


def test_the_files_are_what_the_code_builds() -> None:
    """Whoever changes the code runs `make dashboards`; nothing else is in the folder."""
    made = built()
    assert {path.name for path in DASHBOARDS.iterdir()} == set(made)
    stale = [name for name, text in made.items() if (DASHBOARDS / name).read_text("utf-8") != text]
    assert not stale, f"run `make dashboards`: {stale}"


def test_there_are_the_five_that_operators_look_for() -> None:
    """One for each question, each with an address that stays."""
    assert {board["uid"] for board in BOARDS.values()} == {
        f"headgate-{name}" for name in ("overview", "model", "drift", "rollouts", "platform")
    }
    assert all(board["title"].startswith("Headgate: ") and board["description"] for board in BOARDS.values())


@pytest.mark.parametrize("name", BOARDS)
def test_grafanas_own_schema_knows_every_field_of_a_board(name: str) -> None:
    """Read and written by the SDK's types it is the same: nothing is in it that Grafana would overlook."""
    register_default_plugins()
    read = Dashboard.from_json(BOARDS[name])
    assert json.loads(json.dumps(read, cls=JSONEncoder)) == BOARDS[name]
    assert read.schema_version == 42


@pytest.mark.parametrize("name", BOARDS)
def test_panels_fill_the_grid_without_holes_or_overlaps(name: str) -> None:
    """Every row of panels is 24 columns wide, and no two panels share a field."""
    fields: set[tuple[int, int]] = set()
    for panel in BOARDS[name]["panels"]:
        at = panel["gridPos"]
        mine = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not mine & fields, panel["title"]
        fields |= mine
    height = max(y for _, y in fields) + 1
    assert fields == {(x, y) for x in range(24) for y in range(height)}


@pytest.mark.parametrize("name", BOARDS)
def test_panels_have_numbers_of_their_own(name: str) -> None:
    """Links to one panel stay right."""
    numbers = [panel["id"] for panel in BOARDS[name]["panels"]]
    assert len(set(numbers)) == len(numbers)


@pytest.mark.parametrize(("name", "panel"), PANELS, ids=named)
def test_a_panel_says_what_it_shows_and_what_it_means_when_there_is_nothing(name: str, panel: dict[str, Any]) -> None:
    """Title, description, a text for no data, unit and thresholds; every query with a letter of its own."""
    assert panel["title"]
    assert panel["description"].endswith(".")
    if panel["type"] == "text":
        assert panel["options"]["content"]
        return
    defaults = panel["fieldConfig"]["defaults"]
    assert defaults["noValue"]
    assert defaults["unit"]
    assert defaults["thresholds"]["steps"][0]["value"] is None
    letters = [target["refId"] for target in panel["targets"]]
    assert letters
    assert len(set(letters)) == len(letters)
    for source in (panel["datasource"], *(target["datasource"] for target in panel["targets"])):
        assert source == {"type": "prometheus", "uid": "${datasource}"}


@pytest.mark.parametrize("panel", [p for _, p in PANELS if p["type"] == "timeseries"], ids=named)
def test_the_largest_stands_first_where_lines_are_named(panel: dict[str, Any]) -> None:
    """Legends and tooltips are sorted."""
    legend, tooltip = panel["options"]["legend"], panel["options"]["tooltip"]
    assert (legend["displayMode"], legend["sortBy"], legend["sortDesc"]) == ("table", "Last *", True)
    assert legend["calcs"][-1] == "lastNotNull"
    assert (tooltip["mode"], tooltip["sort"]) == ("multi", "desc")


@pytest.mark.parametrize("name", BOARDS)
def test_every_variable_that_is_used_exists(name: str) -> None:
    """In expressions, titles and links; Grafana's own begin with two underscores."""
    board = BOARDS[name]
    has = {variable["name"] for variable in board["templating"]["list"]}
    used = set(re.findall(r"\$\{?([a-z]\w*)", json.dumps(board)))
    assert used <= has
    assert {"datasource", "registry"} <= has


@pytest.mark.parametrize("name", BOARDS)
def test_links_lead_to_boards_that_exist_and_set_variables_that_they_have(name: str) -> None:
    """A link to a board keeps the time and hands over what was chosen."""
    targets = {board["uid"]: {v["name"] for v in board["templating"]["list"]} for board in BOARDS.values()}
    text = json.dumps(BOARDS[name])
    for uid, query in re.findall(r"/d/([\w-]+)\?([^\"]+)", text):
        assert set(re.findall(r"&var-(\w+)=", query)) <= targets[uid]
        assert "${__url_time_range}" in query
    (all_boards,) = [link for link in BOARDS[name]["links"] if link["type"] == "dashboards"]
    assert (all_boards["tags"], all_boards["keepTime"], all_boards["includeVars"]) == ([TAG], True, True)
    assert TAG in BOARDS[name]["tags"]


def test_several_values_are_handed_to_no_board_that_takes_one() -> None:
    """A link hands over variables by name: "all" of one board would be a model called "all" on another."""
    several: dict[str, set[bool]] = {}
    for board in BOARDS.values():
        for variable in board["templating"]["list"]:
            several.setdefault(variable["name"], set()).add(variable["multi"])
    assert [name for name, kinds in several.items() if len(kinds) > 1] == []


def test_links_to_the_registry_are_pages_that_it_has() -> None:
    """Its routes, or MLflow's pages, which begin with #."""
    from registry.edge.gate import RouteTable
    from registry.http.routes import REGISTRY_ROUTES

    routes = RouteTable(REGISTRY_ROUTES)
    found = set(re.findall(r"\$\{registry:raw\}([^\"]*)", json.dumps(list(BOARDS.values()))))
    assert found
    for path in found:
        exact = path.replace("${model}", "churn").replace("${version}", "3")
        assert exact == "/" or exact.startswith("/#/") or routes.find(exact), path


def test_grafana_is_given_the_boards_and_their_data_source() -> None:
    """Provisioning reads the folder that compose.yaml mounts; the source's name is fixed."""
    services = yaml.safe_load((DEPLOY / "compose.yaml").read_text("utf-8"))["services"]
    mounts = dict(volume.split(":")[:2] for volume in services["grafana"]["volumes"])
    (provider,) = yaml.safe_load((DEPLOY / "grafana/provisioning/dashboards/headgate.yml").read_text("utf-8"))[
        "providers"
    ]
    assert provider["options"]["path"] == mounts["./grafana/dashboards"]
    assert mounts["./grafana/provisioning/dashboards"] == "/etc/grafana/provisioning/dashboards"
    (source,) = yaml.safe_load((DEPLOY / "grafana/provisioning/datasources/prometheus.yml").read_text("utf-8"))[
        "datasources"
    ]
    assert source["uid"] == SOURCE_UID
    assert f":-{REGISTRY_URL.rpartition(':')[2]}}}" in services["registry"]["ports"][0]


def test_every_expression_is_promql(tmp_path: Path) -> None:
    """promtool reads them as rules: one file, one answer."""
    listed = [{"record": f"asked:{i}", "expr": filled(asked.expr, GIVEN)} for i, asked in enumerate(EVERY)]
    path = tmp_path / "asked.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "asked", "rules": listed}]}), "utf-8")
    assert f"{len(EVERY)} rules found" in promtool("check", "rules", "--lint=none", path)


@pytest.mark.parametrize("asked", EVERY, ids=named)
def test_an_expression_asks_only_for_metrics_that_exist(asked: Asked) -> None:
    """Those of the generated page, those that our rules record, and Prometheus' own; with labels that they have."""
    have, made = known(), recorded()
    asked_for = names(asked.expr)
    assert asked_for
    for name in asked_for - FOREIGN - made:
        metric = name if name in have or name in TO_COME else family(name)
        assert metric in have or metric in TO_COME, f"no metric is called {name}"
    for selector in selectors(asked.expr):
        name = selector.partition("{")[0]
        labels = have.get(name, have.get(family(name), ("", None)))[1]
        if labels is not None:
            assert set(re.findall(r"(\w+)(?==|!)", selector)) <= labels | FOREIGN_LABELS, selector


def test_what_was_to_come_and_has_come_is_waited_for_no_more() -> None:
    """A metric that the generated page has is the platform's to show: take it out of metrics_to_come.py."""
    assert sorted(TO_COME.keys() & known().keys()) == []


def test_every_metric_that_was_agreed_on_is_on_some_board() -> None:
    """What nobody looks at need not be measured; the exceptions are shown elsewhere."""
    shown = {name for asked in EVERY for name in names(asked.expr)}
    shown |= {family(name) for name in shown}
    # Who leads, which release runs, and what becomes of what is off by default is asked seldom; the other numbers of a
    # process are Prometheus' own habit.
    elsewhere = {"headgate_leader", "headgate_build_info", "headgate_capture_total", "headgate_traces_total"}
    assert TO_COME.keys() - shown == set()
    assert {name for name in known() if name.startswith("headgate_")} - shown <= elsewhere
