"""One inference path for all: whatever the protocol and the route, the same prediction, the same class of status for
the same fault, the same counts. The ways are those of ``tests/support/wires.py``, and no protocol lacks one."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from registry.errors import ModelFault, Refused, Unavailable
from serving.exchange import ArrayOutput
from serving.http.spoken import all_spoken
from serving.routing.choose import Ask
from tests.support.grpc_calls import Rpc, raw_infer
from tests.support.platform import free_ports
from tests.support.serving_fakes import FakeLoaded, eventually, snapshot
from tests.support.serving_node import FakeWorld, churn, running
from tests.support.wires import ROWS, STREAMED_PATHS, SUMS, WIRES, Wire

pytestmark = pytest.mark.anyio


@pytest.fixture(params=WIRES, ids=lambda wire: wire.name)
def wire(request: pytest.FixtureRequest) -> Wire:
    """Give each way to ask."""
    one: Wire = request.param
    return one


@pytest.fixture
async def world(tmp_path: Path, wire: Wire) -> AsyncIterator[FakeWorld]:
    """Give a node that knows churn, which answers at the root too, and a model without a plan."""
    models = churn(), snapshot("planless", stable=None)
    port = free_ports(1)[0] if wire.label == "grpc" else 0
    async with running(tmp_path, *models, body_bytes=10_000, default_model="churn", grpc_port=port) as world:
        if port:
            await eventually(lambda: world.node.grpc is not None and world.node.grpc.port == port)
        yield world


def test_every_protocol_has_a_way_to_ask() -> None:
    """Each ending of each path that the lane takes is one of a way here: a new one is held against the others."""
    paths = [path for wire in WIRES for path in wire.paths] + list(STREAMED_PATHS)
    for spoken in all_spoken(Ask("churn")):  # type: ignore[arg-type]  # names are str
        for ending in spoken.endings:
            mine = [path for path in paths if spoken.speaks(path) and path.endswith(ending)]
            assert mine, (spoken.name, spoken.prefix, ending)
            assert (spoken.events is not None) == any(path in STREAMED_PATHS for path in mine)
    assert {spoken.name for spoken in all_spoken()} | {"grpc"} == {wire.label for wire in WIRES}


async def test_every_route_predicts_alike_and_says_who_answered(world: FakeWorld, wire: Wire) -> None:
    """Plan, version and alias: the same sums, the same headers."""
    expected = {"plan": ("2", "stable"), "version": ("1", "pinned"), "alias": ("3", "alias")}
    for route, (version, arm) in expected.items():
        if route not in wire.routes:
            continue
        answer = await wire.ask(world, wire.path(route), more={"x-request-id": "abc"})
        assert answer.status_code == 200, answer.text
        assert wire.read(answer) == SUMS
        told = {name: answer.headers[f"x-headgate-{name}"] for name in ("model", "version", "arm", "revision")}
        assert told == {"model": "churn", "version": version, "arm": arm, "revision": "7"}
        assert answer.headers["x-request-id"] == "abc"


def _raising(error: Exception) -> Callable[[FakeLoaded], None]:
    def set_error(loaded: FakeLoaded) -> None:
        loaded.error = error

    return set_error


def _hanging(loaded: FakeLoaded) -> None:
    loaded.hold = asyncio.Event()


_MODEL_FAULTS: dict[str, tuple[Callable[[FakeLoaded], None], int]] = {
    "raises": (_raising(ModelFault("model_error", "ValueError: no")), 500),
    "overloaded": (_raising(Refused("overloaded", "the queue is full", retry_after=1)), 429),
    "away": (_raising(Unavailable("artifact_unavailable", "S3 is away", retry_after=1)), 503),
    "hangs": (_hanging, 504),
}


@pytest.mark.parametrize("fault", sorted(_MODEL_FAULTS))
async def test_a_models_fault_has_the_same_status(world: FakeWorld, wire: Wire, fault: str) -> None:
    """What goes wrong behind the protocol is told with the same status, in the protocol's own body."""
    route, number = ("version", "1") if "version" in wire.routes else ("plan", "2")
    path = wire.path(route)
    assert (await wire.ask(world, path)).status_code == 200
    loaded = world.copy_of(number)
    assert isinstance(loaded, FakeLoaded)
    arrange, status = _MODEL_FAULTS[fault]
    arrange(loaded)
    answer = await wire.ask(world, path, more={"x-request-timeout-ms": "100"})
    assert answer.status_code == status, answer.text
    assert (answer.headers.get("retry-after") == "1") == (status in (429, 503))
    assert "traceback" not in answer.text.lower()


async def test_a_callers_fault_is_a_callers_fault(world: FakeWorld, wire: Wire) -> None:
    """Who is unknown is not found; a body that does not fit is the caller's fault, and a large one too large."""
    unknown = [wire.path("plan", model) for model in ("nobody", "planless") if "{model}" in wire.paths[0]]
    wrong = []
    if "version" in wire.routes:
        unknown.append(wire.path("version", version="9"))
        wrong = [wire.path("version", version=each) for each in ("01", "x", "6")]  # no name, twice; and a retired one
    for path in unknown:
        assert (await wire.ask(world, path)).status_code == 404, path
    for path in wrong:
        assert (await wire.ask(world, path)).status_code // 100 == 4
    broken = await wire.send(world, wire.path("plan"), wire.broken, {})
    assert broken.status_code in (400, 422)
    large = await wire.ask(world, wire.path("plan"), rows=ROWS * 1000)
    assert large.status_code == 413


async def test_every_protocol_is_counted_alike(world: FakeWorld, wire: Wire) -> None:
    """A success and a failure of each show under its label, with arm and class; their times in one histogram."""
    assert (await wire.ask(world, wire.path("plan"))).status_code == 200
    loaded = world.copy_of("2")
    assert isinstance(loaded, FakeLoaded)
    loaded.error = ModelFault("model_error", "ValueError: no")
    assert (await wire.ask(world, wire.path("plan"))).status_code == 500
    page = (await world.client.get("/metrics")).text
    samples = [sample for family in text_string_to_metric_families(page) for sample in family.samples]
    counted = {
        (sample.labels["protocol"], sample.labels["arm"], sample.labels["code"]): sample.value
        for sample in samples
        if sample.name == "headgate_requests_total" and sample.labels["model"] == "churn"
    }
    assert counted == {(wire.label, "stable", "2xx"): 1, (wire.label, "stable", "5xx"): 1}
    (seconds,) = [
        s.value for s in samples if s.name == "headgate_request_seconds_count" and s.labels["model"] == "churn"
    ]
    assert seconds >= 1


async def test_every_stream_has_the_same_pieces(tmp_path: Path) -> None:
    """Native, of the Open Inference Protocol, by gRPC: one version's pieces, each counted under its label."""
    port = free_ports(1)[0]
    async with running(tmp_path, churn(), grpc_port=port) as world:
        await world.client.post("/models/churn/versions/2/load")
        loaded = world.copy_of("2")
        assert isinstance(loaded, FakeLoaded)
        loaded.pieces = [ArrayOutput(np.array([value])) for value in SUMS]
        found = {
            path: await _pieces_by_http(world, path.format(model="churn", version="2"))
            for path in STREAMED_PATHS
            if "champion" not in path
        }
        rpc = Rpc(port)
        await rpc.channel.channel_ready()
        stream = rpc.stream(iter([raw_infer()]))
        found["grpc"] = [
            np.frombuffer(answer.infer_response.raw_output_contents[0], "<f8").tolist() async for answer in stream
        ]
        await rpc.channel.close()
        assert found == {path: [[value] for value in SUMS] for path in found}
        page = (await world.client.get("/metrics")).text
        counted = {
            sample.labels["protocol"]: sample.value
            for family in text_string_to_metric_families(page)
            for sample in family.samples
            if sample.name == "headgate_requests_total" and sample.labels["arm"] == "stable"
        }
        assert counted == {"native": 1, "oip": 2, "grpc": 1}


async def _pieces_by_http(world: FakeWorld, path: str) -> list[object]:
    wire = next(wire for wire in WIRES if wire.name == ("oip" if path.startswith("/v2") else "native"))
    answer = await world.client.post(path, content=wire.body(ROWS[:1]), headers={"content-type": "application/json"})
    events = [json.loads(line.removeprefix("data: ")) for line in answer.text.splitlines() if line.startswith("data")]
    pieces = [event for event in events if "pieces" not in event]
    return [piece["outputs"][0]["data"] if "outputs" in piece else piece["predictions"] for piece in pieces]
