"""Doctor's checks, each by itself: what they see and what they advise."""

from __future__ import annotations

import datetime as dt

import pytest
from headgate.cli import checks
from headgate.records import ProcessStatus
from headgate.settings import resolve

LOCAL = resolve(environment={})
REMOTE = resolve("https://registry.example.org", "https://serving.example.org", environment={})
NOW = dt.datetime(2026, 11, 20, 8, 0, 0, tzinfo=dt.UTC)


def process(clock: str | None) -> ProcessStatus:
    """Return a process that is ready and tells the time."""
    return ProcessStatus("registry", "http://r", True, True, clock=clock)


@pytest.mark.parametrize(
    ("clock", "verdict"),
    [
        ("Fri, 20 Nov 2026 08:00:03 GMT", checks.OK),
        ("Fri, 20 Nov 2026 08:01:00 GMT", checks.WARNING),
        ("Fri, 20 Nov 2026 07:00:00 GMT", checks.WARNING),
        ("nonsense", checks.OK),
        (None, checks.OK),
    ],
)
def test_clock(clock: str | None, verdict: str) -> None:
    """Clocks that are seconds apart are fine, minutes are not; no time is no complaint."""
    assert checks.check_clock([process(clock)], NOW).verdict == verdict


@pytest.mark.parametrize(
    ("environment", "verdict"),
    [
        ({}, checks.OK),
        ({"HTTPS_PROXY": "http://p"}, checks.WARNING),
        ({"https_proxy": "http://p", "no_proxy": "example.org"}, checks.OK),
        ({"https_proxy": "http://p", "NO_PROXY": ".example.org, x"}, checks.OK),
        ({"ALL_PROXY": "http://p", "NO_PROXY": "*"}, checks.OK),
    ],
)
def test_proxies(environment: dict[str, str], verdict: str) -> None:
    """A proxy before a remote platform is told; this machine's loopback never goes through one."""
    assert checks.check_proxies(environment, REMOTE).verdict == verdict
    assert checks.check_proxies(environment, LOCAL).verdict == checks.OK


def test_mlflow() -> None:
    """Another MLflow than the tested one, or one that logs elsewhere, is told."""
    assert checks.check_mlflow(None, {}, LOCAL).verdict == checks.OK
    assert checks.check_mlflow("3.17.2", {"MLFLOW_TRACKING_URI": "http://127.0.0.1:5000/"}, LOCAL).verdict == checks.OK
    assert checks.check_mlflow("3.17.2", {"MLFLOW_TRACKING_URI": "sqlite:///x"}, LOCAL).verdict == checks.WARNING
    assert checks.check_mlflow("2.9.0", {}, LOCAL).verdict == checks.WARNING


def test_the_key_is_not_shown() -> None:
    """Doctor says that there is a key, never which."""
    found = checks.check_settings(resolve(api_key="hg_secret", environment={})).found
    assert "an API key" in found and "secret" not in found
