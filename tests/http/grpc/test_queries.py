"""The methods beside predicting on a node in memory: readiness, metadata, the repository, health, reflection."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from serving.grpc.messages import SERVICE, Message, message
from tests.support.grpc_calls import Rpc, answering, raw_infer

pytestmark = pytest.mark.anyio


def asked(method: str, **fields: Any) -> Message:
    """Return a method's request."""
    return message(f"{method}Request")(**fields)


async def states(rpc: Rpc, *, ready: bool = False) -> dict[str, str]:
    """Return how each version stands."""
    said = await rpc.call("RepositoryIndex", asked("RepositoryIndex", ready=ready))
    return {row.version: row.state for row in said.answer.models}


async def test_a_node_says_that_it_is_ready(tmp_path: Path) -> None:
    """Live at once, ready once it knows its models, and which server it is."""
    async with answering(tmp_path) as (_, rpc):
        assert (await rpc.call("ServerLive")).answer.live
        assert (await rpc.call("ServerReady")).answer.ready
        server = (await rpc.call("ServerMetadata")).answer
        assert server.name == "headgate"
        assert "statistics" in server.extensions


async def test_a_model_is_described(tmp_path: Path) -> None:
    """Its tensors, its versions, its configuration; one that is not there is not found."""
    async with answering(tmp_path) as (_, rpc):
        metadata = (await rpc.call("ModelMetadata", asked("ModelMetadata", name="churn"))).answer
        assert list(metadata.versions) == ["1", "2", "3"]
        assert [(t.name, t.datatype, list(t.shape)) for t in metadata.inputs] == [
            ("a", "FP64", [-1]),
            ("b", "FP64", [-1]),
        ]
        config = (await rpc.call("ModelConfig", asked("ModelConfig", name="churn", version="2"))).answer.config
        assert (config.name, [each.name for each in config.input]) == ("churn", ["a", "b"])
        for method in ("ModelMetadata", "ModelConfig", "ModelReady", "ModelStatistics"):
            assert (await rpc.call(method, asked(method, name="nobody"))).code == "NOT_FOUND"


@pytest.mark.parametrize("field", ["model_name", "repository_name"])
async def test_a_model_is_loaded_and_unloaded(tmp_path: Path, field: str) -> None:
    """By Triton's clients and by KServe's, which write the name where the others write a repository's."""
    async with answering(tmp_path) as (_, rpc):
        loaded = await rpc.call("RepositoryModelLoad", asked("RepositoryModelLoad", **{field: "churn"}))
        assert (loaded.answer.model_name, loaded.answer.isLoaded) == ("churn", True)
        assert (await rpc.call("ModelReady", asked("ModelReady", name="churn"))).answer.ready
        unloaded = await rpc.call("RepositoryModelUnload", asked("RepositoryModelUnload", **{field: "churn"}))
        assert (unloaded.answer.model_name, unloaded.answer.isUnloaded) == ("churn", True)
        assert (await states(rpc))["2"] == "UNAVAILABLE"
        assert not (await rpc.call("ModelReady", asked("ModelReady", name="churn"))).answer.ready


async def test_what_is_registered_cannot_be_overridden(tmp_path: Path) -> None:
    """A load with a configuration or files of its own is refused."""
    async with answering(tmp_path) as (_, rpc):
        parameters = {"config": {"string_param": "{}"}}
        said = await rpc.call(
            "RepositoryModelLoad", asked("RepositoryModelLoad", model_name="churn", parameters=parameters)
        )
        assert (said.code, "overridden" in said.message) == ("INVALID_ARGUMENT", True)


async def test_the_index_has_every_version(tmp_path: Path) -> None:
    """Those that may not answer too; only those that are ready where so asked."""
    async with answering(tmp_path) as (_, rpc):
        everything, ready = await states(rpc), await states(rpc, ready=True)
        assert everything["4"] == "UNAVAILABLE"
        assert set(ready) == {"1", "2", "3"}


async def test_statistics_count_what_came(tmp_path: Path) -> None:
    """Two requests of one row are two; of all models, or of one version."""
    async with answering(tmp_path) as (_, rpc):
        for _n in range(2):
            await rpc.call("ModelInfer", raw_infer())
        for fields in ({}, {"name": "churn", "version": "2"}):
            said = await rpc.call("ModelStatistics", asked("ModelStatistics", **fields))
            (row,) = [row for row in said.answer.model_stats if row.version == "2"]
            assert (row.name, row.inference_count, row.inference_stats.success.count) == ("churn", 2, 2)
            assert row.inference_stats.success.ns > row.inference_stats.compute_infer.ns > 0


async def test_what_is_not_offered_says_so(tmp_path: Path) -> None:
    """A method of other servers, and one of no server."""
    async with answering(tmp_path) as (_, rpc):
        for method in ("SystemSharedMemoryStatus", "TraceSetting", "Nothing"):
            said = await rpc.call_bytes(method, b"")
            assert (said.code, method in said.message) == ("UNIMPLEMENTED", True)


async def test_the_health_service_follows_readiness(tmp_path: Path) -> None:
    """Of the server and of the service; others are unknown; a watcher hears of the end."""
    async with answering(tmp_path) as (world, rpc):
        stub: Any = health_pb2_grpc.HealthStub(rpc.channel)
        for service in ("", SERVICE):
            answer = await stub.Check(health_pb2.HealthCheckRequest(service=service))
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
        watch = stub.Watch(health_pb2.HealthCheckRequest())
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
        world.node._stopping = True
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
        watch.cancel()
        unknown = stub.Watch(health_pb2.HealthCheckRequest(service="x"))
        assert (await unknown.read()).status == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
        unknown.cancel()


async def test_reflection_tells_of_every_service(tmp_path: Path) -> None:
    """Tools without our file find the methods, and what their messages are."""
    generated: Any = reflection_pb2_grpc
    async with answering(tmp_path) as (_, rpc):
        stub = generated.ServerReflectionStub(rpc.channel)
        request: Any = reflection_pb2.ServerReflectionRequest
        requests = [request(list_services=""), request(file_containing_symbol=SERVICE)]
        services, file = [answer async for answer in stub.ServerReflectionInfo(iter(requests))]
        names = {service.name for service in services.list_services_response.service}
        assert names >= {SERVICE, "grpc.health.v1.Health"}
        assert b"ModelInferRequest" in file.file_descriptor_response.file_descriptor_proto[0]
