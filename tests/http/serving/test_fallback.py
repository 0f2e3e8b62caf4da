"""A canary that cannot answer: stable answers for it, callers never notice, and it is counted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from registry.errors import ModelFault, Unavailable
from registry.plans import WHOLE, Canary, Plan, Rule
from registry.records import VersionNumber
from registry.windows import ArmCounts
from serving.pool.state import State
from serving.routing.ejection import FAILURES
from tests.support.reports import HandSink, Whose
from tests.support.serving_fakes import FakeLoaded, digest_of, eventually, snapshot
from tests.support.serving_node import ROW, FakeWorld, churn, running

pytestmark = pytest.mark.anyio
TWO, THREE = VersionNumber("2"), VersionNumber("3")
RULES = (Rule("x-tenant", "beta", VersionNumber("1")), Rule("x-tenant", "gamma", THREE))
PLAN = Plan(TWO, canary=Canary(THREE, WHOLE, "7"), rules=RULES)
DIED = ModelFault("model_error", "the process of this version died: killed by SIGKILL", {"started": True})


@pytest.fixture
def sink() -> HandSink:
    """Give what takes the node's reports."""
    return HandSink()


@pytest.fixture
async def world(tmp_path: Path, sink: HandSink) -> AsyncIterator[FakeWorld]:
    """Give a node on which every request for churn is version 3's, the canary's; 3 is not loaded before ``gate``."""
    async with running(tmp_path, reports=sink) as world:
        world.runtime.gates[digest_of("churn 3")] = asyncio.Event()
        versions = churn().versions
        world.registry.put(snapshot(versions=versions, plan=PLAN, revision=8))  # type: ignore[arg-type]  # numbers are str
        await eventually(lambda: "churn" in world.node.routes.table.models)
        yield world


async def ask(world: FakeWorld, **headers: str) -> tuple[int, str, str]:
    """Predict; return status, arm and version, which every answer tells, errors too."""
    sent = {name.replace("_", "-"): text for name, text in headers.items()}
    answer = await world.client.post("/models/churn/predict", json=ROW, headers=sent)
    assert answer.headers["x-headgate-revision"] == "8"
    return answer.status_code, answer.headers["x-headgate-arm"], answer.headers["x-headgate-version"]


async def canary(world: FakeWorld) -> FakeLoaded:
    """Let the canary load, and return it."""
    world.runtime.gates[digest_of("churn 3")].set()
    routed = world.node.routes.table.models["churn"].versions[THREE]
    await eventually(lambda: world.node.pool.state(routed.servable) is State.READY)
    copy = world.copy_of("3")
    assert isinstance(copy, FakeLoaded)
    return copy


def counted(page: str, **labels: str) -> float:
    """Return how many requests the metrics page counts with these labels."""
    lines = [line for line in page.splitlines() if line.startswith("headgate_requests_total{")]
    wanted = [f'{name}="{text}"' for name, text in labels.items()]
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if all(part in line for part in wanted))


async def test_while_a_canary_loads_stable_answers(world: FakeWorld) -> None:
    """It is loaded ahead, nobody waits for it, and then it answers."""
    assert await ask(world) == (200, "fallback", "2")
    await canary(world)
    assert await ask(world) == (200, "canary", "3")
    page = (await world.client.get("/metrics")).text
    assert counted(page, arm="fallback", version="2", code="2xx") == 1
    assert counted(page, arm="canary", version="3", code="2xx") == 1


async def test_a_rules_version_is_loaded_ahead_too(world: FakeWorld) -> None:
    """And answers for its header."""
    routed = world.node.routes.table.models["churn"].versions[VersionNumber("1")]
    await eventually(lambda: world.node.pool.state(routed.servable) is State.READY)
    assert await ask(world, x_tenant="beta") == (200, "rule", "1")


async def test_a_request_whose_canary_dies_is_answered_by_stable(world: FakeWorld) -> None:
    """The caller gets an answer, and what it says of the canary is kept for whoever decides."""
    (await canary(world)).error = DIED
    assert await ask(world) == (200, "fallback", "2")


@pytest.mark.parametrize(
    ("headers", "errors"), [({}, {("churn", 8, "canary", "3"): ArmCounts(1, 1)}), ({"x_tenant": "gamma"}, {})]
)
async def test_only_who_is_drawn_by_lot_charges_a_canary_that_dies(
    world: FakeWorld, sink: HandSink, headers: dict[str, str], errors: dict[Whose, ArmCounts]
) -> None:
    """By its share: one request, one error. By a rule, whose successes count for nobody: nothing."""
    (await canary(world)).error = DIED
    assert await ask(world, **headers) == (200, "fallback", "2")
    await world.node._reporter.close()
    assert sink.book.arms == errors


@pytest.mark.parametrize(("headers", "count"), [({}, 1), ({"x_tenant": "gamma"}, 0)])
async def test_only_who_is_drawn_by_lot_charges_a_broken_canary(
    world: FakeWorld, sink: HandSink, headers: dict[str, str], count: int
) -> None:
    """One that cannot be loaded owes its share, and nothing to a rule."""
    world.runtime.errors[digest_of("churn 3")] = ModelFault("model_error", "ValueError: no", {"type": "ValueError"})
    world.runtime.gates[digest_of("churn 3")].set()
    routed = world.node.routes.table.models["churn"].versions[THREE]
    await eventually(lambda: world.node.pool.state(routed.servable) is State.FAILED)
    assert await ask(world, **headers) == (200, "fallback", "2")
    await world.node._reporter.close()
    assert sink.book.requests == count


async def test_what_a_canary_raises_is_its_answer(world: FakeWorld) -> None:
    """An error of the model itself goes to its caller, with the arm that gave it."""
    (await canary(world)).error = ModelFault("model_error", "ValueError: no", {"type": "ValueError"})
    assert await ask(world) == (500, "canary", "3")


async def test_after_a_few_failures_the_share_returns_to_stable(world: FakeWorld) -> None:
    """Five running put it out; the sixth caller is answered by stable."""
    (await canary(world)).error = ModelFault("model_error", "ValueError: no", {"type": "ValueError"})
    seen = [await ask(world) for _ in range(FAILURES + 1)]
    assert seen == [(500, "canary", "3")] * FAILURES + [(200, "fallback", "2")]


async def test_a_broken_canary_is_never_asked(world: FakeWorld) -> None:
    """One that cannot be loaded leaves all its share with stable."""
    world.runtime.errors[digest_of("churn 3")] = ModelFault("model_error", "ValueError: no", {"type": "ValueError"})
    world.runtime.gates[digest_of("churn 3")].set()
    routed = world.node.routes.table.models["churn"].versions[THREE]
    await eventually(lambda: world.node.pool.state(routed.servable) is State.FAILED)
    assert {await ask(world) for _ in range(20)} == {(200, "fallback", "2")}


async def test_stable_has_nobody_behind_it(world: FakeWorld) -> None:
    """Where stable cannot answer for a canary either, the caller hears why, and no request is tried a third time."""
    world.runtime.errors[digest_of("churn 2")] = Unavailable("artifact_unavailable", "S3 does not answer")
    (await canary(world)).error = DIED
    assert await ask(world) == (503, "fallback", "2")


async def test_a_pinned_version_has_nobody_behind_it(world: FakeWorld) -> None:
    """Who names a version gets that one or an error."""
    (await canary(world)).error = DIED
    answer: httpx.Response = await world.client.post("/models/churn/versions/3/predict", json=ROW)
    assert (answer.status_code, answer.headers["x-headgate-arm"]) == (500, "pinned")


async def test_the_node_shows_the_whole_plan(world: FakeWorld) -> None:
    """``GET /models/churn`` has canary, rules and key as the contract spells them."""
    plan = (await world.client.get("/models/churn")).json()["plan"]
    assert plan["canary"] == {"version": "3", "share": 1.0}
    assert plan["rules"] == [{"header": r.header, "equals": r.equals, "version": r.version} for r in RULES]
    assert plan["sticky"] == {"header": "x-headgate-key"}
