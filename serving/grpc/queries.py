"""The service's other methods: who is ready, what a model takes, what has been counted, load and unload.

Translate and delegate: each is one verb of ``serving/http/repository.py``, which the REST spelling uses too. Not here:
predicting (``infer.py``), errors (``calls.py``).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import TypeVar

from google.protobuf.json_format import ParseDict
from google.protobuf.message import DecodeError

from registry.environment import platform_version
from registry.errors import Conflict, InvalidRequest, NotFound
from serving.grpc.calls import GrpcCall, Work
from serving.grpc.messages import Message, message
from serving.grpc.wire import broken
from serving.http.counted import VersionStatistics, statistics
from serving.http.repository import (
    VersionStanding,
    describe_model,
    index,
    load_model,
    standing_of,
    unload_model,
)
from serving.http.view import NodeView, beside, why_not_ready
from serving.protocols.oip.orders import refuse_overrides
from serving.protocols.oip.server import EXTENSIONS, SERVER, config_of
from serving.protocols.oip.values import TensorMetadata
from serving.telemetry.statistics import Timed

MAX_BYTES = 64 * 1024
"""How long a request may be: it is names, and read on the event loop."""
Row = TypeVar("Row")
Reply = Callable[[Message], Awaitable[Message]]


def queries(node: NodeView) -> Mapping[str, Work]:
    """Return the work of each method that is one message for one, but for ModelInfer."""
    bound = _Queries(node)
    return {
        "ServerLive": _work("ServerLive", bound.live),
        "ServerReady": _work("ServerReady", bound.ready),
        "ServerMetadata": _work("ServerMetadata", bound.server),
        "ModelReady": _work("ModelReady", bound.model_ready),
        "ModelMetadata": _work("ModelMetadata", bound.metadata),
        "ModelConfig": _work("ModelConfig", bound.config),
        "ModelStatistics": _listing("ModelStatistics", bound.statistics, _statistics),
        "RepositoryIndex": _listing("RepositoryIndex", bound.index, _index),
        "RepositoryModelLoad": _work("RepositoryModelLoad", bound.load),
        "RepositoryModelUnload": _work("RepositoryModelUnload", bound.unload),
    }


def _work(name: str, reply: Reply) -> Work:
    async def work(body: bytes, _call: GrpcCall) -> bytes:
        written: bytes = (await reply(_read(name, body))).SerializeToString()
        return written

    return work


def _listing(
    name: str, gather: Callable[[Message], Awaitable[Sequence[Row]]], write: Callable[[Sequence[Row]], bytes]
) -> Work:
    """Return work whose answer has a row for each version, which may be many: it is written beside the loop."""

    async def work(body: bytes, _call: GrpcCall) -> bytes:
        return await beside(partial(write, await gather(_read(name, body))))

    return work


def _read(name: str, body: bytes) -> Message:
    if len(body) > MAX_BYTES:
        why = f"a {name}Request may have at most {MAX_BYTES:,} bytes; no files can be sent with it"
        raise InvalidRequest("body_too_large", why, {"limit": MAX_BYTES})
    try:
        return message(f"{name}Request").FromString(body)
    except DecodeError:
        raise broken(f"it is no {name}Request") from None


class _Queries:
    def __init__(self, node: NodeView) -> None:
        self._node = node

    async def live(self, _asked: Message) -> Message:
        return message("ServerLiveResponse")(live=True)

    async def ready(self, _asked: Message) -> Message:
        return message("ServerReadyResponse")(ready=not why_not_ready(self._node))

    async def server(self, _asked: Message) -> Message:
        return message("ServerMetadataResponse")(name=SERVER, version=platform_version(), extensions=EXTENSIONS)

    async def model_ready(self, asked: Message) -> Message:
        try:
            ready = standing_of(self._node, asked.name, asked.version).ready
        except (NotFound, InvalidRequest, Conflict):
            # As Triton has it: who waits for a model asks until it is there, and an error would end that.
            ready = False
        return message("ModelReadyResponse")(ready=ready)

    async def metadata(self, asked: Message) -> Message:
        found = await describe_model(self._node, asked.name, asked.version)
        answer = message("ModelMetadataResponse")(name=found.model, versions=found.versions, platform=found.platform)
        for said, tensors in ((answer.inputs, found.tensors.inputs), (answer.outputs, found.tensors.outputs)):
            for tensor in tensors:
                _say_tensor(said.add(), tensor)
        return answer

    async def config(self, asked: Message) -> Message:
        found = await describe_model(self._node, asked.name, asked.version)
        config = config_of(found.model, found.platform, found.served, found.instances, found.tensors)
        return ParseDict({"config": config}, message("ModelConfigResponse")())

    async def statistics(self, asked: Message) -> Sequence[VersionStatistics]:
        return await statistics(self._node, asked.name, asked.version)

    async def index(self, asked: Message) -> Sequence[VersionStanding]:
        return await index(self._node, ready=asked.ready)

    async def load(self, asked: Message) -> Message:
        refuse_overrides(asked.parameters)
        name = _model_named(asked)
        await load_model(self._node, name)
        return message("RepositoryModelLoadResponse")(model_name=name, isLoaded=True)

    async def unload(self, asked: Message) -> Message:
        name = _model_named(asked)
        await unload_model(self._node, name)
        return message("RepositoryModelUnloadResponse")(model_name=name, isUnloaded=True)


def _statistics(rows: Sequence[VersionStatistics]) -> bytes:
    answer = message("ModelStatisticsResponse")()
    for row in rows:
        _say_statistics(answer.model_stats.add(), row)
    written: bytes = answer.SerializeToString()
    return written


def _index(rows: Sequence[VersionStanding]) -> bytes:
    answer = message("RepositoryIndexResponse")()
    for row in rows:
        answer.models.add(name=row.model, version=row.version, state=row.standing.value, reason=row.reason)
    written: bytes = answer.SerializeToString()
    return written


def _model_named(asked: Message) -> str:
    """Return the model's name: KServe's clients write it where Triton's write the name of a repository."""
    name: str = asked.model_name or asked.repository_name
    return name


def _say_tensor(said: Message, tensor: TensorMetadata) -> None:
    said.name, said.datatype = tensor.name, tensor.datatype
    said.shape.extend(tensor.shape)


def _say_statistics(said: Message, row: VersionStatistics) -> None:
    found, stats = row.statistics, said.inference_stats
    said.name, said.version = row.model, row.version
    said.last_inference, said.inference_count = found.last_inference, found.inferences
    said.execution_count = found.executions
    for name in ("success", "fail", "queue", "compute_input", "compute_infer", "compute_output"):
        _say_timed(getattr(stats, name), getattr(found, name))
    for each in found.batches:
        _say_timed(said.batch_stats.add(batch_size=each.rows).compute_infer, each.ran)
    if row.memory_bytes:
        said.memory_usage.add(byte_size=row.memory_bytes)


def _say_timed(said: Message, timed: Timed) -> None:
    said.count, said.ns = timed.count, timed.ns
