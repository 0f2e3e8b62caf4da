"""One inference path for all: whatever the protocol and the route, the same prediction, the same class of status for
the same fault, the same counts. gRPC: ``test_grpc_parity.py``."""

from __future__ import annotations

import asyncio
import json
import struct
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from registry.errors import ModelFault, Refused, Unavailable
from tests.support.serving_fakes import FakeLoaded, snapshot
from tests.support.serving_node import FakeWorld, churn, running

pytestmark = pytest.mark.anyio

ROWS = [[1.0, 2.0], [3.0, 4.5]]
SUMS = [3.0, 7.5]


@dataclass(frozen=True)
class Wire:
    """One way to ask: the paths of the plan, a version and perhaps an alias, the body, and where the answer has it."""

    name: str
    label: str
    paths: tuple[str, ...]
    body: Callable[[list[list[float]]], bytes]
    read: Callable[[httpx.Response], Any]
    headers: tuple[tuple[str, str], ...] = ()

    def path(self, route: str, model: str = "churn", version: str = "1") -> str:
        """Return the path of a route: ``plan``, ``version``, ``alias``."""
        return self.paths[("plan", "version", "alias").index(route)].format(model=model, version=version)

    async def ask(
        self, world: FakeWorld, path: str, *, rows: list[list[float]] = ROWS, more: Mapping[str, str] | None = None
    ) -> httpx.Response:
        """Ask for the sums of rows."""
        body = self.body(rows)
        headers = {**dict(self.headers), **(more or {})}
        if self.name == "oip binary":
            headers["inference-header-content-length"] = str(body.index(b"}]}") + 3)
        return await world.client.post(path, content=body, headers=headers)


def _columns(rows: list[list[float]]) -> dict[str, list[float]]:
    return {"a": [row[0] for row in rows], "b": [row[1] for row in rows]}


def _tensors(rows: list[list[float]]) -> bytes:
    inputs = [{"name": n, "datatype": "FP64", "shape": [len(v)], "data": v} for n, v in _columns(rows).items()]
    return json.dumps({"inputs": inputs}).encode()


def _binary(rows: list[list[float]]) -> bytes:
    inputs = [
        {"name": n, "datatype": "FP64", "shape": [len(v)], "parameters": {"binary_data_size": 8 * len(v)}}
        for n, v in _columns(rows).items()
    ]
    head = json.dumps({"inputs": inputs}, separators=(",", ":")).encode()
    return head + b"".join(struct.pack(f"<{len(v)}d", *v) for v in _columns(rows).values())


def _split(rows: list[list[float]]) -> bytes:
    return json.dumps({"dataframe_split": {"columns": ["a", "b"], "data": rows}}).encode()


def _instances(rows: list[list[float]]) -> bytes:
    return json.dumps({"instances": [dict(zip("ab", row, strict=True)) for row in rows]}).encode()


def _inputs(rows: list[list[float]]) -> bytes:
    return json.dumps({"inputs": _columns(rows)}).encode()


def _predictions(answer: httpx.Response) -> Any:
    return answer.json()["predictions"]


def _tensor(answer: httpx.Response) -> Any:
    return answer.json()["outputs"][0]["data"]


_V2 = ("/v2/models/{model}/infer", "/v2/models/{model}/versions/{version}/infer")
_V1 = tuple(f"/v1/models/{{model}}{part}:predict" for part in ("", "/versions/{version}", "/labels/champion"))
_OURS = tuple(f"/models/{{model}}{part}/" for part in ("", "/versions/{version}", "/aliases/champion"))
_JSON = (("content-type", "application/json"),)
WIRES = (
    Wire("native", "native", tuple(f"{one}predict" for one in _OURS), _split, _predictions),
    Wire("mlflow", "mlflow", tuple(f"{one}invocations" for one in _OURS), _split, _predictions, _JSON),
    Wire("oip", "oip", _V2, _tensors, _tensor),
    Wire("oip binary", "oip", _V2, _binary, _tensor),
    Wire("tfs", "tfs", _V1, _instances, _predictions),
    Wire("tfs columns", "tfs", _V1, _inputs, lambda answer: answer.json()["outputs"]),
)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[FakeWorld]:
    """Give a node that knows churn, and a model without a plan."""
    async with running(tmp_path, churn(), snapshot("planless", stable=None), body_bytes=10_000) as world:
        yield world


each_wire = pytest.mark.parametrize("wire", WIRES, ids=lambda wire: wire.name)


@each_wire
async def test_every_route_predicts_alike_and_says_who_answered(world: FakeWorld, wire: Wire) -> None:
    """Plan, version and alias: the same sums, the same headers."""
    expected = {"plan": ("2", "stable"), "version": ("1", "pinned"), "alias": ("3", "alias")}
    for route, (version, arm) in expected.items():
        if route == "alias" and len(wire.paths) < 3:
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


@each_wire
@pytest.mark.parametrize("fault", sorted(_MODEL_FAULTS))
async def test_a_models_fault_has_the_same_status(world: FakeWorld, wire: Wire, fault: str) -> None:
    """What goes wrong behind the protocol is told with the same status, in the protocol's own body."""
    path = wire.path("version")
    assert (await wire.ask(world, path)).status_code == 200
    loaded = world.copy_of("1")
    assert isinstance(loaded, FakeLoaded)
    arrange, status = _MODEL_FAULTS[fault]
    arrange(loaded)
    answer = await wire.ask(world, path, more={"x-request-timeout-ms": "100"})
    assert answer.status_code == status, answer.text
    assert (answer.headers.get("retry-after") == "1") == (status in (429, 503))
    assert "traceback" not in answer.text.lower()


@each_wire
async def test_a_callers_fault_is_a_callers_fault(world: FakeWorld, wire: Wire) -> None:
    """Who is unknown is not found; a body that does not fit is the caller's fault, and a large one too large."""
    for path in (wire.path("plan", model="nobody"), wire.path("version", version="9"), wire.path("plan", "planless")):
        assert (await wire.ask(world, path)).status_code == 404, path
    for version in ("01", "x", "6"):  # no version's name, twice, and one that is retired
        assert (await wire.ask(world, wire.path("version", version=version))).status_code // 100 == 4
    broken = await world.client.post(wire.path("plan"), content=b'{"inputs": [', headers=dict(wire.headers))
    assert broken.status_code in (400, 422)
    large = await wire.ask(world, wire.path("plan"), rows=ROWS * 1000)
    assert large.status_code == 413


@each_wire
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
