"""Writes the generated pages: settings, errors, HTTP routes, metrics, the command line.

``--check`` writes nothing and fails where one is out of date.

Generated, so that they cannot drift: each page is made from the very objects that the code runs on.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from headgate.cli.app import app as cli
from headgate.settings import SETTINGS as CLIENT_SETTINGS
from pydantic_settings import BaseSettings
from typer.main import get_command

from deploy.local.settings import LocalSettings
from registry.adapters.mlflow_app.routes import MLFLOW_ROUTES
from registry.catalogue import CATALOGUE as REGISTRY_METRICS
from registry.edge.exposition import Metric
from registry.edge.gate import Route
from registry.edge.problems import STATUS
from registry.environment import PlatformSettings
from registry.errors import BRANCHES
from registry.http.routes import REGISTRY_ROUTES
from registry.settings import RegistrySettings
from registry.variables import PREFIX
from serving.http.routes import SERVING_ROUTES
from serving.settings import ServingSettings
from serving.telemetry.catalogue import CATALOGUE as SERVING_METRICS

REFERENCE = Path(__file__).parent / "reference"
NOTE = "<!-- Made by `make docs-write`; change the code, not this page. -->\n\n"


def main() -> int:
    """Write or check the pages; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail where a page is out of date")
    check = parser.parse_args().check
    stale = []
    for name, text in pages().items():
        page = REFERENCE / name
        if check and (not page.exists() or page.read_text() != text):
            stale.append(name)
        elif not check:
            page.write_text(text)
    for name in stale:
        print(f"docs/reference/{name} is out of date: run `make docs-write`", file=sys.stderr)
    return 1 if stale else 0


def pages() -> dict[str, str]:
    """Return each page's name and text."""
    return {
        "settings.md": NOTE + "\n".join(settings_page()) + "\n",
        "errors.md": NOTE + "\n".join(errors_page()) + "\n",
        "http.md": NOTE + "\n".join(http_page()) + "\n",
        "metrics.md": NOTE + "\n".join(metrics_page()) + "\n",
        "cli.md": NOTE + "\n".join(cli_page()) + "\n",
    }


def settings_page() -> Iterator[str]:
    """Yield the page of settings."""
    yield "# Settings\n"
    yield "Every setting is one environment variable. An unknown `HEADGATE_…` variable stops a process at its start.\n"
    shared = set(PlatformSettings.model_fields)
    yield from settings_table("Registry and serving", PlatformSettings, set())
    yield from settings_table("Registry", RegistrySettings, shared)
    yield from settings_table("Serving", ServingSettings, shared)
    seen = shared | set(RegistrySettings.model_fields) | set(ServingSettings.model_fields)
    if set(LocalSettings.model_fields) - seen:
        yield from settings_table("`make up`", LocalSettings, seen)
    yield "## Clients\n\n| variable | default | what it is |\n|---|---|---|"
    for setting in CLIENT_SETTINGS:
        yield f"| `{setting.name}` | {shown(setting.default)} | {setting.sentence} |"


def settings_table(title: str, settings: type[BaseSettings], leave_out: set[str]) -> Iterator[str]:
    """Yield one table of settings."""
    yield f"## {title}\n\n| variable | default | what it is |\n|---|---|---|"
    for name, field in settings.model_fields.items():
        if name not in leave_out:
            yield f"| `{PREFIX}{name.upper()}` | {shown(field.default)} | {field.description} |"
    yield ""


def shown(default: object) -> str:
    """Return a default as a table cell."""
    return "–" if default in (None, "", ()) else f"`{default}`"


def errors_page() -> Iterator[str]:
    """Yield the page of errors."""
    yield "# Errors\n"
    yield 'Native routes of both processes answer `{"error": {"code", "message", "request_id", "details"}}`.\n'
    yield "| kind | code | status | when |\n|---|---|---|---|"
    for branch in BRANCHES:
        for code, sentence in branch.codes.items():
            yield f"| {branch.__name__} | `{code}` | {STATUS[code]} | {sentence} |"


def http_page() -> Iterator[str]:
    """Yield the page of routes."""
    yield "# HTTP routes\n"
    yield (
        "Each process answers the routes below and nothing else; the gate refuses the rest. *Access* is what a key "
        "will have to allow once identities come. Bodies and answers are in `/openapi.json` of each process.\n"
    )
    yield from routes_table("Serving", SERVING_ROUTES)
    yield from routes_table("Registry", REGISTRY_ROUTES)
    yield from routes_table("MLflow, mounted in the registry", MLFLOW_ROUTES)


def routes_table(title: str, routes: tuple[Route, ...]) -> Iterator[str]:
    """Yield one table of routes."""
    yield f"## {title}\n\n| methods | path | access |\n|---|---|---|"
    for route in routes:
        yield f"| {route.methods} | `{route.template}` | {route.access.value} |"
    yield ""


def metrics_page() -> Iterator[str]:
    """Yield the page of metrics."""
    yield "# Metrics\n"
    yield (
        "Answered by `GET /metrics` of each process, in Prometheus' text format; both pages hold nothing else. *Over "
        "processes* says what the series of several nodes, workers (label `worker`) or registries come to: their sum, "
        "their largest, or any one of them. Labels name models and versions that exist, at most 1,000 of them; what is "
        "beyond counts as `other`, and series go with their version.\n"
    )
    yield from metrics_table("Serving", SERVING_METRICS)
    yield from metrics_table("Registry", REGISTRY_METRICS)


def metrics_table(title: str, metrics: tuple[Metric, ...]) -> Iterator[str]:
    """Yield one table of metrics."""
    yield f"## {title}\n\n| name | type | labels | over processes | what it is |\n|---|---|---|---|---|"
    for metric in metrics:
        labels = ", ".join(f"`{label}`" for label in metric.labels) or "–"
        yield f"| `{metric.name}` | {metric.kind} | {labels} | {metric.joins} | {metric.sentence} |"
    yield ""


def cli_page() -> Iterator[str]:
    """Yield the page of the command line."""
    yield "# Command line\n"
    yield (
        "`headgate --help`, and `--help` of each command, say the same. Data goes to stdout, words to stderr. "
        "Exit codes: 0 done, 1 failed, 2 wrong usage or settings.\n"
    )
    yield from command_section("headgate", get_command(cli))


def command_section(name: str, command: Any) -> Iterator[str]:
    """Yield a command's section, or a section for each of a group's commands."""
    inner: Mapping[str, Any] = getattr(command, "commands", {})
    for word in sorted(inner):
        yield from command_section(f"{name} {word}", inner[word])
    if inner:
        return
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    usage = " ".join([name, *(argument_word(argument) for argument in arguments)])
    yield f"## `{usage}`\n\n{paragraph(command.help)}\n\n| option | what it is |\n|---|---|"
    for param in command.params:
        if param.param_type_name == "option" and param.name != "help":
            words = "/".join([*param.opts, *param.secondary_opts]) + (f" {param.metavar}" if param.metavar else "")
            yield f"| `{words}` | {paragraph(param.help)} |"
    yield f"\n{command.epilog.replace('Example: ', 'Example: `', 1)}`\n"


def argument_word(argument: Any) -> str:
    """Return an argument as a line of usage has it."""
    word = argument.metavar or argument.name.upper()
    return word if argument.required or word.startswith("[") else f"[{word}]"


def paragraph(text: str | None) -> str:
    """Return text on one line, fit for a table."""
    return " ".join((text or "").split()).replace("|", "\\|")


if __name__ == "__main__":
    sys.exit(main())
