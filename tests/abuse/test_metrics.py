"""What strangers can do to metrics and logs: nothing (group M of the abuse catalogue)."""

from __future__ import annotations

import json
import logging
import random
import string
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from registry import log
from registry.edge.documents import PAGE_POLICY
from registry.edge.exposition import MAX_GROUPS
from registry.edge.gate import Access
from registry.errors import ModelFault
from registry.http.routes import REGISTRY_ROUTES
from registry.records import ModelName, VersionNumber, VersionState
from registry.snapshots import SnapshotPage
from registry.traffic.rollout import RolloutState
from serving.http.routes import SERVING_ROUTES
from serving.routing.table import Table, routed
from serving.telemetry.finished import Finished
from serving.telemetry.metrics import Metrics, Readings
from tests.support.metrics import sample, samples, shown
from tests.support.registry_app import V1, RegistryInMemory
from tests.support.rollouts import rollout
from tests.support.serving_fakes import eventually, servable, snapshot
from tests.support.serving_node import ROW, FakeWorld, churn, running

SECRET = "s3cret-7719"


@pytest.fixture
def anyio_backend() -> str:
    """Run coroutine tests on asyncio alone."""
    return "asyncio"


def page(metrics: Metrics, table: Table) -> bytes:
    """Return what a scrape of a node gets."""
    metrics.read(Readings(table, (), 1.0, 0))
    return metrics.page()


def test_a_hundred_thousand_made_up_names_leave_the_page_as_it_was() -> None:
    """Models and versions that do not exist are one series together, however many are asked for (M01)."""
    metrics, table = Metrics(), Table().merged(SnapshotPage(1, full=True, models=(snapshot(),)))
    metrics.retain(table)
    metrics.observe(Finished("none-at-all", "1", code="unknown_model"))
    before = len(page(metrics, table).splitlines())
    for number in range(100_000):
        metrics.observe(Finished(f"made-up-{number}", "1", code="unknown_model"))
    after = page(metrics, table)
    assert len(after.splitlines()) == before
    assert sum(s.value for s in samples(after, "headgate_requests_total")) == 100_001


def test_a_hundred_thousand_models_are_capped_and_scraped_in_a_second() -> None:
    """Of so many models that were all asked, 1,000 have series of their own and the rest is ``other`` (M02)."""
    one = routed(snapshot(versions={"1": servable("1")}))
    names = [ModelName(f"model-{number}") for number in range(100_000)]
    metrics, table = Metrics(), Table({name: replace(one, name=name) for name in names}, 1, known=True)
    metrics.retain(table)
    for name in names:
        metrics.observe(Finished(name, "1", "stable", seconds=0.004))
        metrics.observe(Finished(name, "1", "stable", code="overloaded"))
    begun = time.perf_counter()
    text = page(metrics, table)
    seconds = time.perf_counter() - begun
    assert seconds < 1
    found = list(samples(text, "headgate_requests_total"))
    assert len(found) == 2 * (MAX_GROUPS + 1)
    assert sum(s.value for s in found) == 200_000
    rest = [s.value for s in found if s.labels["model"] == "other"]
    assert rest == [100_000 - MAX_GROUPS] * 2
    for shown_name in ("headgate_refused_total", "headgate_plan_revision"):
        assert len(list(samples(text, shown_name))) <= MAX_GROUPS + 1


def test_ended_rollouts_of_many_models_are_capped() -> None:
    """What the registry counts for each model is bounded too, and goes when the model does (M02)."""
    metrics = RegistryInMemory().metrics
    ended = replace(rollout(), state=RolloutState.SUCCEEDED)
    for name in [ModelName(f"model-{number}") for number in range(MAX_GROUPS + 50)]:
        metrics.rollout_ended(replace(ended, model=name))
    outcomes = {"outcome": "succeeded"}
    assert sample(metrics.page(), "headgate_rollouts_total", model="other", **outcomes) == 50
    metrics.models_are({"model-1"})
    left = {s.labels["model"] for s in samples(metrics.page(), "headgate_rollouts_total")}
    assert left == {"model-1", "other"}


def strange_requests(count: int) -> Iterator[tuple[str, str, dict[str, str]]]:
    """Yield methods, paths and headers that nobody would send in earnest; the same ones each time."""
    draw = random.Random(7)
    for _ in range(count):
        method = "".join(draw.choices(string.ascii_uppercase, k=draw.randint(3, 9)))
        name = "".join(draw.choices(string.ascii_letters + string.digits, k=12))
        path = draw.choice([f"/{name}", f"/models/{name}/predict", f"{V1}/models/{name}", f"/metrics/{name}"])
        yield draw.choice([method, "GET", "POST"]), path, {"user-agent": name, "referer": f"http://{name}/"}


def test_the_registry_counts_templates_methods_and_status_classes() -> None:
    """Whatever is asked and however, labels are the table's templates and closed sets (M03)."""
    registry = RegistryInMemory()
    for method, path, headers in strange_requests(300):
        registry.ask(method, path, headers=headers)
    found = list(samples(registry.metrics.page(), "headgate_http_requests_total"))
    assert sum(s.value for s in found) == 300
    assert {s.labels["route"] for s in found} <= {"other", "/metrics", V1 + "/models/{name}"}
    assert {s.labels["method"] for s in found} <= {"GET", "POST", "other"}
    assert {s.labels["code"] for s in found} <= {"2xx", "4xx"}


@pytest.mark.anyio
async def test_a_node_shows_nothing_of_what_strangers_send(tmp_path: Path) -> None:
    """Methods, paths and headers that nobody knows make no series of a node (M03)."""
    async with running(tmp_path, churn()) as world:
        await world.client.post("/models/no-such-model/predict", json=ROW)
        before = (await world.client.get("/metrics")).content
        for method, path, headers in strange_requests(300):
            await world.client.request(method, path, headers=headers)
        after = (await world.client.get("/metrics")).content
    assert len(after.splitlines()) == len(before.splitlines())


@pytest.mark.anyio
async def test_series_go_from_a_running_node_with_their_version(tmp_path: Path) -> None:
    """A version that is retired in the registry takes every series of its own along, and leaves the others'."""
    async with running(tmp_path, churn()) as world:
        for number in ("1", "2"):
            answer = await world.client.post(f"/models/churn/versions/{number}/predict", json=ROW)
            assert answer.status_code == 200
        before = (await world.client.get("/metrics")).text
        assert before.count('version="1"') > 80
        kept = {n: servable(n, f"churn {n}", churn().versions[VersionNumber("2")].signature) for n in ("2", "3")}
        world.registry.put(snapshot(versions=kept, stable="2", revision=8, others={"1": "retired"}))
        await eventually(lambda: "1" not in world.node.routes.table.models["churn"].versions)
        after = (await world.client.get("/metrics")).text
    assert 'version="1"' not in after
    assert after.count('version="2"') == before.count('version="2"')


def test_metrics_are_for_observers() -> None:
    """Both pages need ``observe`` once keys exist; until then the processes listen on loopback alone (M05)."""
    for routes in (REGISTRY_ROUTES, SERVING_ROUTES):
        assert [route.access for route in routes if route.template == "/metrics"] == [Access.OBSERVE]


@pytest.fixture
def _logging_as_before() -> Iterator[None]:
    loggers = [logging.getLogger(name) for name in ("", "headgate", "uvicorn.error")]
    before = loggers[0].handlers[:], [logger.level for logger in loggers]
    yield
    loggers[0].handlers[:] = before[0]
    for logger, level in zip(loggers, before[1], strict=True):
        logger.setLevel(level)


async def ask_with_secrets(world: FakeWorld) -> list[httpx.Response]:
    """Send the secret in every way that there is: in good requests, bad ones, and ones at which the model fails."""
    url = "/models/churn/predict"
    bodies: list[object] = [
        ROW,
        {"inputs": {"a": [SECRET], "b": [1.0]}},
        {"inputs": {"a": [1.0], SECRET: [1.0]}},
        {"dataframe_split": {"columns": ["a", "b"], "data": [[1.0, SECRET]]}},
        {SECRET: 1},
    ]
    answers = [await world.client.post(url, json=body, headers={"x-headgate-key": SECRET}) for body in bodies]
    for content, kind in (
        (b'{"inputs": "' + SECRET.encode(), "application/json"),
        (b"a,b\n1," + SECRET.encode(), "text/csv"),
    ):
        answers.append(await world.client.post(url, content=content, headers={"content-type": kind}))
    answers.append(await world.client.post(f"/models/{SECRET}/predict", json=ROW))
    for error in (ModelFault("model_error", f"no such row: {SECRET}"), RuntimeError(SECRET)):
        for copy in world.runtime.loaded:
            copy.error = error
        answers.append(await world.client.post(url, json=ROW, headers={"traceparent": f"00-{SECRET}"}))
    return answers


@pytest.mark.anyio
@pytest.mark.usefixtures("_logging_as_before")
@pytest.mark.parametrize("level", ["DEBUG", "INFO", "WARNING", "ERROR"])
async def test_no_log_line_holds_a_requests_values(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], level: str
) -> None:
    """At every level, of good requests, bad ones and failing models: names, numbers and types, never values (M07)."""
    log.configure(level)
    async with running(tmp_path, churn(), log_level=level) as world:
        statuses = [answer.status_code for answer in await ask_with_secrets(world)]
    assert statuses[0] == 200
    assert {400, 404, 422, 500} <= set(statuses)
    written = capsys.readouterr().err
    lines = [json.loads(line) for line in written.splitlines()]
    assert len(lines) >= (len(statuses) if level == "DEBUG" else 1)
    # A name that fits the grammar is a name, and what it names is said; everything else is not.
    told = [line for line in lines if SECRET in json.dumps({k: v for k, v in line.items() if k != "model"})]
    assert not told


SCRIPT = "<script>alert(1)</script>"


@pytest.mark.anyio
async def test_what_is_shown_of_a_request_is_never_a_page(tmp_path: Path) -> None:
    """Errors are JSON that no browser guesses at, and the one page there is has no script and asks for none (M09)."""
    async with running(tmp_path, churn()) as world:
        answers = [
            await world.client.get(f"/models/{SCRIPT}"),
            await world.client.get(f"/{SCRIPT}"),
            await world.client.post("/models/churn/predict", json={SCRIPT: SCRIPT}),
            await world.client.post("/models/churn/predict", json={"inputs": {SCRIPT: [1]}}),
        ]
        docs = await world.client.get("/docs")
    for answer in answers:
        assert answer.status_code >= 400
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["x-content-type-options"] == "nosniff"
    assert docs.headers["content-security-policy"] == PAGE_POLICY
    assert "unsafe-inline" not in PAGE_POLICY and "default-src 'none'" in PAGE_POLICY
    assert "<script" not in docs.text


def test_what_the_registry_shows_of_a_request_is_never_a_page() -> None:
    """The registry's errors and its page keep to the same (M09)."""
    registry = RegistryInMemory()
    for path in (f"{V1}/models/{SCRIPT}", f"/{SCRIPT}"):
        answer = registry.ask("GET", path)
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["x-content-type-options"] == "nosniff"
    docs = registry.ask("GET", "/docs")
    assert docs.headers["content-security-policy"] == PAGE_POLICY
    assert "<script" not in docs.text


def test_the_registrys_page_is_bounded_by_what_exists() -> None:
    """Reading states, nodes and tasks makes series of closed sets alone."""
    registry = RegistryInMemory()
    registry.ready("churn", 2)
    registry.metrics.versions_are(registry.ledger.versions.counts())
    text = registry.metrics.page()
    assert sample(text, "headgate_registered_versions", state="ready") == 2
    states = {s.labels["state"] for s in samples(text, "headgate_registered_versions")}
    assert states == {state.value for state in VersionState}
    assert ("headgate_build_info", "gauge") in shown(text)
