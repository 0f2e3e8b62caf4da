"""What ``headgate doctor`` finds out, each check with its advice. Pure: the environment, a status and a time go in."""

from __future__ import annotations

import datetime as dt
import email.utils
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from headgate.records import ProcessStatus, Status
from headgate.settings import ARGUMENT, Settings, unknown_variables, url_variable

OK, WARNING, FAILURE = "ok", "warning", "failure"

_SKEW_SECONDS = 5.0
_PROXIES = ("http_proxy", "https_proxy", "all_proxy")
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True, slots=True)
class Finding:
    """One check: ``ok``, ``warning`` or ``failure``, what was found, and what to do about it."""

    check: str
    verdict: str
    found: str
    advice: str = ""


def check_settings(settings: Settings) -> Finding:
    """Tell which settings are in force and where the URLs came from; the key only as present or absent."""
    key = "an API key" if settings.api_key else "no API key"
    registry = f"registry {settings.registry_url} ({_origin(settings.registry_origin)})"
    serving = f"serving {settings.serving_url} ({_origin(settings.serving_origin)})"
    return Finding("settings", OK, f"{registry}, {serving}, {key}, {settings.timeout:g} s")


def _origin(origin: str) -> str:
    return "given here" if origin == ARGUMENT else origin


def check_variables(environment: Mapping[str, str]) -> Finding:
    """Find ``HEADGATE_…`` variables that nothing reads."""
    complaints = unknown_variables(environment)
    if complaints:
        return Finding("variables", WARNING, "; ".join(complaints), "rename or unset them")
    return Finding("variables", OK, "every HEADGATE_ variable is known")


def check_proxies(environment: Mapping[str, str], settings: Settings) -> Finding:
    """Find a proxy that would stand between us and the platform."""
    env = {name.lower(): value for name, value in environment.items()}
    names = [name.upper() for name in _PROXIES if env.get(name)]
    exempt = [part.strip().lstrip(".") for part in env.get("no_proxy", "").split(",") if part.strip()]
    hosts = {urlsplit(url).hostname or "" for url in (settings.registry_url, settings.serving_url)} - _LOOPBACK
    behind = sorted(h for h in hosts if "*" not in exempt and not any(h == e or h.endswith(f".{e}") for e in exempt))
    if names and behind:
        return Finding(
            "proxies",
            WARNING,
            f"{', '.join(names)} sends requests for {', '.join(behind)} through a proxy",
            "add them to NO_PROXY unless that is meant",
        )
    return Finding("proxies", OK, "no proxy is in between")


def check_process(process: ProcessStatus) -> Finding:
    """Tell whether a process answers and is ready."""
    variable = url_variable(process.name)
    if process.kind not in (None, process.name):
        return Finding(process.name, FAILURE, process.detail, f"correct {variable}")
    if not process.reachable:
        return Finding(process.name, FAILURE, process.detail, f"start it with `make up`, or correct {variable}")
    if not process.ready:
        return Finding(process.name, FAILURE, f"{process.url} is not ready: {process.detail}", "look at its log")
    return Finding(process.name, OK, f"{process.url} is ready")


def check_clock(processes: Iterable[ProcessStatus], now: dt.datetime) -> Finding:
    """Compare the processes' clocks with ours; a ``Date`` header has whole seconds."""
    worst = -1.0
    for process in processes:
        try:
            theirs = email.utils.parsedate_to_datetime(process.clock or "")
        except ValueError:
            continue
        if theirs.tzinfo is not None:
            worst = max(worst, abs((theirs - now).total_seconds()))
    if worst > _SKEW_SECONDS:
        return Finding("clock", WARNING, f"the clocks differ by {worst:.0f} s", "let every machine keep time by NTP")
    return Finding(
        "clock", OK, "no difference that matters" if worst >= 0 else "not compared: no process told its time"
    )


def check_mlflow(installed: str | None, environment: Mapping[str, str], settings: Settings) -> Finding:
    """Tell whether the MLflow that is installed (None: none) suits, and whether it looks at this registry."""
    if installed is None:
        return Finding("mlflow", OK, "not installed; only registering estimators needs it")
    uri = environment.get("MLFLOW_TRACKING_URI", "").rstrip("/")
    if not installed.startswith("3.17."):
        return Finding("mlflow", WARNING, f"version {installed} is installed", "estimators are registered with 3.17")
    if uri and uri != settings.registry_url:
        return Finding(
            "mlflow",
            WARNING,
            "MLFLOW_TRACKING_URI names another server",
            f"set it to {settings.registry_url} to log here",
        )
    return Finding("mlflow", OK, f"version {installed}")


def check_in_step(status: Status) -> Finding:
    """Compare the plans that serving follows with those of the registry."""
    if not (status.registry.ready and status.serving.ready):
        return Finding("plans", WARNING, "not compared: a process is not ready", "mend that first")
    late = [
        f"{m.name} (serving {status.served.get(m.name, 0)}, registry {m.revision})"
        for m in status.models
        if m.revision and status.served.get(m.name, 0) != m.revision
    ]
    if late:
        return Finding(
            "plans",
            WARNING,
            f"serving follows another revision: {', '.join(late[:5])}",
            "run it again in a second; if it stays, serving cannot reach the registry",
        )
    return Finding("plans", OK, "serving follows the registry's plans")
