"""A real Prometheus with our configuration and rules asks a platform under load, and every expression finds something.

The platform has a canary, a shadow, a version that keeps dying, a rollout that goes on and one that has ended, a
baseline with drift, and labels. What it does not show yet (``metrics_to_come.py``) comes from an exporter beside it.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

import httpx
import pytest

from tests.e2e.control import Control, Models
from tests.e2e.load import steady_load
from tests.support.metrics_to_come import MODEL, exposition
from tests.support.platform import Platform, until
from tests.support.prometheus import Exporter, Prometheus, exporter, prometheus
from tests.support.promql import Asked, filled, known, of_panels, of_rules, of_variables, rules, selectors

pytestmark = [pytest.mark.e2e, pytest.mark.integration]

GIVEN = {
    "model": MODEL,
    "models": ".*",
    "version": "1",
    "versions": ".*",
    "__rate_interval": "1m",
    "__range": "5m",
    "__interval": "1s",
}
SECONDS = 120
KEY = "a-key-for-metrics"
ALERTS = {f"rule: {rule['alert']}" for rule in rules() if "alert" in rule}
# Asks for what a healthy platform never has: metric, and why. That it is there to be counted is looked up on its page.
NEVER = {
    "headgate_counts_lost_total": "no counts are lost while the registry answers",
    "headgate_table_readers_lost_total": "no body is sent that ends a reader of tables",
}
# What is asked instead of an expression that finds nothing while all is well, and why.
INSTEAD = {
    "platform.json: Loads that failed A": ("headgate_versions", "every version can be loaded"),
    "platform.json: Turns that failed A": ("headgate_background_turns_total", "no turn fails while all stores answer"),
    "rollouts.json: Failed, by model A": ('headgate_rollouts_total{outcome="failed"}', "no rollout fails here"),
    "rule: HeadgateQualityBelowTraining": ("headgate_quality", "no training run logged the quality of this model"),
}


@dataclass(frozen=True, slots=True)
class Watched:
    """A Prometheus that has seen enough."""

    server: Prometheus
    beside: Exporter
    keyless: Exporter
    missing: list[Asked]
    """Expressions that found nothing."""


@pytest.fixture(scope="module")
def watched(
    platform: Platform, control: Control, models: Models, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Watched]:
    """The platform as Prometheus sees it while all of it happens."""
    _register(control, models)
    addresses = {
        "registry": platform.registry_url.removeprefix("http://"),
        "serving": platform.serving_url.removeprefix("http://"),
    }
    home = tmp_path_factory.mktemp("prometheus")
    url = f"{platform.serving_url}/models"
    with (
        exporter(exposition()) as beside,
        exporter("") as keyless,
        prometheus(
            home, {**addresses, "beside": beside.address, "keyless": keyless.address}, {"beside": KEY}
        ) as server,
        steady_load(f"{url}/{MODEL}/predict", 2),
        steady_load(f"{url}/rolling/predict", 2),
    ):
        _happen(server, control)
        yield Watched(server, beside, keyless, _missing(server, control))
        with suppress(httpx.HTTPStatusError):  # it may have come to its end
            control.ask("POST", f"/models/rolling/rollouts/{_rollout(control)}/abort", json={})


def _register(control: Control, models: Models) -> None:
    """Make the models: one with all that a plan can have, one for rollouts."""
    good = control.upload(models.behaving("echoes", "return np.asarray(model_input, dtype=float)[:, 0]"))
    for name in (MODEL, MODEL, MODEL, "rolling", "rolling"):
        control.register(name, good)
    control.register(MODEL, control.upload(models.behaving("ends", "import os; os._exit(3)")))
    for name, versions in ((MODEL, "1234"), ("rolling", "12")):
        for version in versions:
            control.wait_ready(name, version)
            control.wait_known(name, version)
    control.promote("rolling", "1")
    control.promote(MODEL, "1")
    until(lambda: control.predict(MODEL).status_code == 200, 60, "the first answer")


def _happen(server: Prometheus, control: Control) -> None:
    """Have everything happen that there is a metric for."""
    first = f'headgate_plan_revision{{model="{MODEL}"}}'
    until(lambda: bool(server.ask(first)), 20, "the sight of the first plan")  # a change is two values
    plan = {"stable": "1", "canary": {"version": "2", "share": 0.3}, "shadows": [{"version": "3", "sample": 1.0}]}
    headers = {"if-match": f'"{control.revision(MODEL)}"'}
    control.ask("PUT", f"/models/{MODEL}/traffic", json=plan, headers=headers)
    rollout = {"version": "2", "steps": [{"setWeight": 50, "pause": "10m"}], "interval": "1s", "minRequests": 100}
    control.ask("POST", "/models/rolling/rollouts", json=rollout)
    control.ask("POST", f"/models/rolling/rollouts/{_rollout(control)}/abort", json={})
    control.ask("POST", "/models/rolling/rollouts", json=rollout)
    httpx.post(f"{control.platform.serving_url}/models/{MODEL}/versions/2/unload", timeout=30)
    for _ in range(5):  # after the second death it is refused for a while
        control.predict(f"{MODEL}/versions/4")
    if "headgate_drift_psi" in known():
        values = [random.gauss(0, 1) for _ in range(2000)]
        baseline = "x,prediction\n" + "".join(f"{value},{value}\n" for value in values)
        control.ask(
            "PUT", f"/models/{MODEL}/versions/1/baseline", content=baseline, headers={"content-type": "text/csv"}
        )


def _go_on(control: Control) -> None:
    """Do what must go on: a version dies, rows come from elsewhere, labels come back."""
    control.predict(f"{MODEL}/versions/4")
    if "headgate_drift_psi" in known():
        moved = {"dataframe_split": {"columns": ["x"], "data": [[random.gauss(5, 1)] for _ in range(600)]}}
        httpx.post(f"{control.platform.serving_url}/models/{MODEL}/versions/1/predict", json=moved, timeout=30)
    if "headgate_quality" in known():
        identifier = control.predict(MODEL).headers["x-request-id"]
        items = [{"request_id": identifier, "row": row, "label": row + random.random()} for row in (0, 1)]
        httpx.post(f"{control.platform.serving_url}/models/{MODEL}/feedback", json={"items": items}, timeout=30)


def _rollout(control: Control) -> str:
    return str(control.ask("GET", "/models/rolling/rollouts").json()["rollouts"][0]["id"])


def _expressions() -> list[Asked]:
    """Return every expression, with its variables filled in and its time made short."""
    every = (*of_panels(), *of_variables(), *of_rules())
    return [Asked(asked.where, filled(asked.expr, GIVEN).replace(":1m]", ":1s]")) for asked in every]


def _missing(server: Prometheus, control: Control) -> list[Asked]:
    """Wait until every expression has found something; return those that did not."""
    left = _expressions()
    deadline = time.monotonic() + SECONDS
    while left and time.monotonic() < deadline:
        _go_on(control)
        left = [asked for asked in left if not _finds(server, asked)]
        time.sleep(1)
    return left


def _finds(server: Prometheus, asked: Asked) -> bool:
    """Tell whether an expression finds something; for an alert, whether all that it looks at is there."""
    if server.ask(asked.expr):
        return True
    if asked.where in INSTEAD:
        return bool(server.ask(INSTEAD[asked.where][0]))
    wanted = {s for s in selectors(asked.expr) if s.partition("{")[0] not in NEVER}
    if any(asked.where.startswith(alert) for alert in ALERTS):
        return all(server.ask(selector) for selector in wanted)
    return not wanted


def test_every_expression_of_every_panel_and_rule_finds_something(watched: Watched) -> None:
    """A panel that stays empty while there is something to see is broken; so is an alert that looks at nothing."""
    listed = "\n".join(f"{asked.where}\n    {asked.expr}" for asked in watched.missing)
    assert not watched.missing, f"nothing was found for {len(watched.missing)}:\n{listed}"


def test_no_rule_fails_when_it_is_evaluated(watched: Watched) -> None:
    """Such as by matching many with many, which only data shows."""
    assert watched.server.unhealthy_rules() == []


def test_prometheus_reaches_everybody_with_and_without_a_key(watched: Watched) -> None:
    """An empty file of a key sends none, which is harmless; one that has a key in it has it sent."""
    assert watched.server.targets() == dict.fromkeys(("registry", "serving", "beside", "keyless"), "up")
    assert (watched.beside.keys, watched.keyless.keys) == ({f"Bearer {KEY}"}, {"Bearer"})


def test_numbers_are_right_where_they_are_known(watched: Watched) -> None:
    """All comes from one load: the arms' shares are the plan's, and nobody but the version that dies fails."""
    ask = watched.server.ask
    by_arm = f'sum by (arm) (headgate_requests_total{{model="{MODEL}", arm=~"stable|canary"}})'
    counts = {sample["metric"]["arm"]: float(sample["value"][1]) for sample in ask(by_arm)}
    assert 0.1 < counts["canary"] / sum(counts.values()) < 0.4
    failed = ask(f'group by (version) (headgate_requests_total{{code="5xx", model=~"{MODEL}|rolling"}} > 0)')
    assert [sample["metric"] for sample in failed] == [{"version": "4"}]
    roles = ask(f'model_version:headgate_arm:main{{model="{MODEL}"}}')
    assert {s["metric"]["arm"]: s["metric"]["version"] for s in roles} == {"stable": "1", "canary": "2"}


@pytest.mark.parametrize("metric", NEVER)
def test_what_nothing_was_counted_of_could_be_counted(platform: Platform, metric: str) -> None:
    """The page knows the metric, without a series."""
    pages = [httpx.get(f"{url}/metrics", timeout=10).text for url in (platform.registry_url, platform.serving_url)]
    assert any(
        f"# TYPE {metric} counter" in page or f"# TYPE {metric.removesuffix('_total')} counter" in page
        for page in pages
    )
