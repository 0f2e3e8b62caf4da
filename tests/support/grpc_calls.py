"""Calls of a serving node's gRPC methods with our own messages, for tests in process."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import grpc
import numpy as np

from registry.snapshots import ModelSnapshot
from serving.grpc.messages import SERVICE, Message, message
from tests.support.platform import free_ports
from tests.support.serving_node import FakeWorld, churn, running


class Said(NamedTuple):
    """What a call came to: its answer, or the status and message of its error; and its trailing metadata."""

    answer: Message
    metadata: dict[str, str]
    code: str = "OK"
    message: str = ""


class Rpc:
    """A channel to a node."""

    def __init__(self, port: int) -> None:
        self.channel = grpc.aio.insecure_channel(f"127.0.0.1:{port}")

    async def call(self, method: str, asked: Message | None = None, /, **options: Any) -> Said:
        """Call a method of the service, without a message with an empty one; options are gRPC's (metadata, timeout)."""
        asked = message(f"{method}Request")() if asked is None else asked
        said = await self.call_bytes(method, asked.SerializeToString(), **options)
        return said if said.code != "OK" else said._replace(answer=message(f"{method}Response").FromString(said.answer))

    async def call_bytes(self, method: str, body: bytes, /, *, service: str = SERVICE, **options: Any) -> Said:
        """Call a method with bytes; the answer is bytes too."""
        ask: Any = self.channel.unary_unary(f"/{service}/{method}")
        call = ask(body, **options)
        try:
            answer = await call
        except grpc.aio.AioRpcError as error:
            return Said(None, flat(error.trailing_metadata()), error.code().name, error.details() or "")
        return Said(answer, flat(await call.trailing_metadata()))

    def stream(self, requests: Any = None, **options: Any) -> Any:
        """Begin ModelStreamInfer with an iterator of messages, or to write them; iterate over it for the answers."""
        method: Any = self.channel.stream_stream(
            f"/{SERVICE}/ModelStreamInfer",
            request_serializer=lambda each: each.SerializeToString(),
            response_deserializer=message("ModelStreamInferResponse").FromString,
        )
        return method(requests, **options)


def flat(metadata: Iterable[tuple[str, Any]] | None) -> dict[str, str]:
    """Return metadata by name."""
    return {name: str(value) for name, value in metadata or ()}


def raw_infer(
    model: str = "churn", rows: Sequence[Mapping[str, float]] = ({"a": 1.0, "b": 2.0},), **more: Any
) -> Message:
    """Return a ModelInferRequest of columns, each a raw FP64 tensor."""
    names = list(rows[0])
    raw = [np.array([row[name] for row in rows], "<f8").tobytes() for name in names]
    inputs = [{"name": name, "datatype": "FP64", "shape": [len(rows)]} for name in names]
    return message("ModelInferRequest")(model_name=model, inputs=inputs, raw_input_contents=raw, **more)


def typed_infer(model: str = "churn", **more: Any) -> Message:
    """Return one row as typed FP64 tensors."""
    inputs = [
        {"name": name, "datatype": "FP64", "shape": [1], "contents": {"fp64_contents": [value]}}
        for name, value in (("a", 1.0), ("b", 2.0))
    ]
    return message("ModelInferRequest")(model_name=model, inputs=inputs, **more)


@asynccontextmanager
async def answering(home: Path, *models: ModelSnapshot, **settings: Any) -> AsyncIterator[tuple[FakeWorld, Rpc]]:
    """Give a node in memory that speaks gRPC, and a channel to it; it knows churn unless told otherwise."""
    port = free_ports(1)[0]
    async with running(home, *(models or (churn(),)), grpc_port=port, **settings) as world:
        rpc = Rpc(port)
        try:
            await rpc.channel.channel_ready()
            yield world, rpc
        finally:
            await rpc.channel.close()
