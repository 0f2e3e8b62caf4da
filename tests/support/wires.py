"""Every way to ask a serving node for a prediction, for tests that hold them against one another.

HTTP's ways are paths below the routes of its protocols, gRPC's are ``model`` and ``model/version``; each answers as an
``httpx.Response``, with the status that HTTP has for a fault.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import httpx
import numpy as np

from registry.edge.problems import STATUS
from serving.grpc.messages import message
from serving.grpc.statuses import grpc_status
from tests.support.grpc_calls import Rpc, Said, raw_infer
from tests.support.serving_node import FakeWorld

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
    broken: bytes = b'{"inputs": ['

    @property
    def routes(self) -> tuple[str, ...]:
        """What its paths are of."""
        return ("plan", "version", "alias")[: len(self.paths)]

    def path(self, route: str, model: str = "churn", version: str = "1") -> str:
        """Return the path of a route: ``plan``, ``version``, ``alias``."""
        return self.paths[("plan", "version", "alias").index(route)].format(model=model, version=version)

    async def ask(
        self, world: FakeWorld, path: str, *, rows: list[list[float]] = ROWS, more: Mapping[str, str] | None = None
    ) -> httpx.Response:
        """Ask for the sums of rows."""
        body, headers = self.body(rows), dict(more or {})
        if self.name == "oip binary":
            headers["inference-header-content-length"] = str(body.index(b"}]}") + 3)
        return await self.send(world, path, body, headers)

    async def send(self, world: FakeWorld, path: str, body: bytes, more: Mapping[str, str]) -> httpx.Response:
        """Send a body."""
        return await world.client.post(path, content=body, headers={**dict(self.headers), **more})


class GrpcWire(Wire):
    """gRPC: messages instead of bodies, metadata instead of headers, statuses of its own."""

    async def send(self, world: FakeWorld, path: str, body: bytes, more: Mapping[str, str]) -> httpx.Response:
        """Send the message, to the model and version of the path."""
        model, _, version = path.partition("/")
        asked = message("ModelInferRequest")(model_name=model, model_version=version).SerializeToString()
        door = world.node.grpc
        assert door is not None
        rpc = Rpc(door.port)
        try:
            said = await rpc.call_bytes("ModelInfer", asked + body, metadata=tuple(more.items()))
        finally:
            await rpc.channel.close()
        return httpx.Response(_status(said), headers=said.metadata, content=said.answer or said.message.encode())


def _status(said: Said) -> int:
    """Return the HTTP status of an answer, whose own must be what stands for it."""
    if said.code == "OK":
        return 200
    code = said.metadata.get("x-headgate-code")
    if code is None:  # the library's own refusal
        assert (said.code, "larger than max" in said.message) == ("RESOURCE_EXHAUSTED", True)
        return 413
    assert grpc_status(code).name == said.code
    return STATUS[code]


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


def _examples(rows: list[list[float]]) -> bytes:
    return json.dumps({"examples": [dict(zip("ab", row, strict=True)) for row in rows]}).encode()


def _message(rows: list[list[float]]) -> bytes:
    asked = raw_infer("", [dict(zip("ab", row, strict=True)) for row in rows])
    written: bytes = asked.SerializeToString()
    return written


def _raw(answer: httpx.Response) -> Any:
    said = message("ModelInferResponse").FromString(answer.content)
    return np.frombuffer(said.raw_output_contents[0], "<f8").tolist()


def _predictions(answer: httpx.Response) -> Any:
    return answer.json()["predictions"]


def _tensor(answer: httpx.Response) -> Any:
    return answer.json()["outputs"][0]["data"]


def _regressed(answer: httpx.Response) -> Any:
    return answer.json()["results"]


def _classified(answer: httpx.Response) -> Any:
    return [classes[0][1] for classes in answer.json()["results"]]


def _v1(verb: str) -> tuple[str, ...]:
    return tuple(f"/v1/models/{{model}}{part}:{verb}" for part in ("", "/versions/{version}", "/labels/champion"))


def _v2(verb: str) -> tuple[str, ...]:
    return f"/v2/models/{{model}}/{verb}", f"/v2/models/{{model}}/versions/{{version}}/{verb}"


def _ours(verb: str) -> tuple[str, ...]:
    return tuple(f"/models/{{model}}{part}/{verb}" for part in ("", "/versions/{version}", "/aliases/champion"))


_JSON = (("content-type", "application/json"),)
WIRES = (
    Wire("native", "native", _ours("predict"), _split, _predictions),
    Wire("mlflow", "mlflow", _ours("invocations"), _split, _predictions, _JSON),
    Wire("sagemaker", "mlflow", ("/models/{model}/invoke",), _split, _predictions, _JSON),
    Wire("root", "mlflow", ("/invocations",), _split, _predictions, _JSON),
    Wire("oip", "oip", _v2("infer"), _tensors, _tensor),
    Wire("oip generate", "oip", _v2("generate"), _tensors, _tensor),
    Wire("oip binary", "oip", _v2("infer"), _binary, _tensor),
    Wire("tfs", "tfs", _v1("predict"), _instances, _predictions),
    Wire("tfs columns", "tfs", _v1("predict"), _inputs, lambda answer: answer.json()["outputs"]),
    Wire("tfs regress", "tfs", _v1("regress"), _examples, _regressed),
    Wire("tfs classify", "tfs", _v1("classify"), _examples, _classified),
    GrpcWire("grpc", "grpc", ("{model}", "{model}/{version}"), _message, _raw, broken=b"\x0a\xff\x0f"),
)
"""Of each protocol of the lane at least one, and gRPC."""
STREAMED_PATHS = (*_ours("predict_stream"), *_v2("infer_stream"), *_v2("generate_stream"))
"""Those whose answers come piece by piece; gRPC has a method for it."""
