"""What the dashboards and the rules of ``deploy`` ask Prometheus, and which metrics the platform says that it has."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
PROMETHEUS = ROOT / "deploy" / "prometheus"
DASHBOARDS = ROOT / "deploy" / "grafana" / "dashboards"
METRICS_PAGE = ROOT / "docs" / "reference" / "metrics.md"
# What a selector begins with: a metric of ours, or a series that a rule of ours records; or one of Prometheus' own.
_NAME = re.compile(r"(?<![\w:])(?:(?:[a-z_]+:)?headgate_\w+(?::\w+)?|process_\w+|up|ALERTS)(?![\w:(])")
_SELECTOR = re.compile(_NAME.pattern + r"(?:\{[^}]*\})?")
_STRINGS = re.compile(r"\"[^\"]*\"")
_LABEL_VALUES = re.compile(r"label_values\((?P<selector>.+), (?P<label>\w+)\)")


@dataclass(frozen=True, slots=True)
class Asked:
    """An expression, and where it stands: a panel or a variable of a dashboard, or a rule."""

    where: str
    expr: str


def boards() -> Mapping[str, dict[str, Any]]:
    """Return the dashboards by file name, as they are checked in."""
    return {path.name: json.loads(path.read_text("utf-8")) for path in sorted(DASHBOARDS.glob("*.json"))}


def panels(board: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return a dashboard's panels without its headings."""
    return [panel for panel in board["panels"] if panel["type"] != "row"]


def of_panels() -> Iterator[Asked]:
    """Yield every expression of every panel."""
    for name, board in boards().items():
        for panel in panels(board):
            for target in panel.get("targets", ()):
                yield Asked(f"{name}: {panel['title']} {target['refId']}", target["expr"])


def of_variables() -> Iterator[Asked]:
    """Yield the selector of every variable that Prometheus fills."""
    for name, board in boards().items():
        for variable in board["templating"]["list"]:
            if variable["type"] == "query":
                match = _LABEL_VALUES.fullmatch(variable["query"]["query"])
                assert match, variable
                yield Asked(f"{name}: ${variable['name']}", f"count by ({match['label']}) ({match['selector']})")


def rules() -> Iterator[dict[str, Any]]:
    """Yield every rule, recording and alerting."""
    for path in sorted((PROMETHEUS / "rules").glob("*.yml")):
        for group in yaml.safe_load(path.read_text("utf-8"))["groups"]:
            yield from group["rules"]


def of_rules() -> Iterator[Asked]:
    """Yield the expression of every rule."""
    for rule in rules():
        window = rule.get("labels", {}).get("window", "")
        yield Asked(" ".join(("rule:", rule.get("record") or rule["alert"], window)).strip(), rule["expr"])


def filled(expr: str, values: Mapping[str, str]) -> str:
    """Put values where an expression has variables; ``$model`` is the key ``model``. The longest names first."""
    for name in sorted(values, key=len, reverse=True):
        expr = expr.replace(f"${name}", values[name])
    return expr


def names(expr: str) -> set[str]:
    """Return the metrics that an expression reads."""
    return set(_NAME.findall(_STRINGS.sub('""', expr)))


def selectors(expr: str) -> list[str]:
    """Return the vector selectors of an expression, without range and offset."""
    return _SELECTOR.findall(expr)


@cache
def known() -> dict[str, tuple[str, frozenset[str] | None]]:
    """Return the metrics of the generated page: kind and labels by name; None where the page does not tell them."""
    found: dict[str, tuple[str, frozenset[str] | None]] = {}
    for line in METRICS_PAGE.read_text("utf-8").splitlines():
        cells = [cell.strip() for cell in line.split("|")[1:-1]]
        if len(cells) >= 3 and re.fullmatch(r"`(?:headgate|process)_\w+`", cells[0]):
            labels = frozenset(re.findall(r"`(\w+)`", cells[2])) if len(cells) >= 4 else None
            found[cells[0].strip("`")] = (cells[1], labels)
    return found


@cache
def recorded() -> set[str]:
    """Return the names that rules of ours record."""
    return {rule["record"] for rule in rules() if "record" in rule}


def family(name: str) -> str:
    """Return the metric that a series of a histogram belongs to; any other name as it is."""
    return re.sub(r"_(bucket|sum|count)$", "", name)


def program(name: str) -> str:
    """Return the path of ``prometheus`` or ``promtool``: skipped where it is missing, except in CI."""
    found = shutil.which(name)
    if found is None:
        if os.environ.get("CI") == "true":
            pytest.fail(f"{name} is missing; .ci/run installs it")
        pytest.skip(f"{name} is not installed")
    return found


def promtool(*arguments: str | Path) -> str:
    """Run promtool; return what it said. Fails the test where promtool fails."""
    done = subprocess.run(
        [program("promtool"), *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120
    )
    said = done.stdout.decode()
    assert done.returncode == 0, said
    return said
