"""The methods beside predicting on a node in memory: readiness, metadata, the repository, health, reflection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from serving.grpc.messages import REPOSITORY_SERVICE, SERVICE, Message, message
from serving.grpc.methods import METHODS
from serving.grpc.seats import REFLECTIONS, STREAMS, WATCHERS
from serving.grpc.server import MAX_CALLS, Place, options
from serving.http.routes import SERVING_ROUTES
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
        for method in ("ModelMetadata", "ModelConfig", "ModelStatistics"):
            assert (await rpc.call(method, asked(method, name="nobody"))).code == "NOT_FOUND"


async def test_who_is_unknown_is_not_ready(tmp_path: Path) -> None:
    """As Triton has it: who waits for a model or a version asks until it is there, and no error ends that."""
    async with answering(tmp_path) as (_, rpc):
        for fields in ({"name": "nobody"}, {"name": "churn", "version": "9"}, {"name": "churn", "version": "5"}, {}):
            said = await rpc.call("ModelReady", asked("ModelReady", **fields))
            assert (said.code, said.answer.ready) == ("OK", False), fields


async def test_a_request_of_names_is_short(tmp_path: Path) -> None:
    """They are read on the event loop; the bound is told."""
    async with answering(tmp_path) as (_, rpc):
        for method in ("ModelMetadata", "RepositoryModelLoad", "RepositoryIndex"):
            said = await rpc.call_bytes(method, b"\x0a\x80\x80\x05" + b"x" * 81_920)
            assert (said.code, said.metadata["x-headgate-code"]) == ("RESOURCE_EXHAUSTED", "body_too_large")
            assert "65,536" in said.message


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


async def test_the_repository_has_a_service_of_its_own_too(tmp_path: Path) -> None:
    """As MLServer's clients call it: the same methods, below another name; what else there is does not exist."""
    async with answering(tmp_path) as (_, rpc):

        async def ask(method: str, **fields: Any) -> Any:
            call: Any = rpc.channel.unary_unary(f"/{REPOSITORY_SERVICE}/{method}")
            said = await call(asked(method, **fields).SerializeToString())
            return message(f"{method}Response").FromString(said)

        assert (await ask("RepositoryModelLoad", model_name="churn")).isLoaded
        assert {row.version for row in (await ask("RepositoryIndex", ready=True)).models} == {"1", "2", "3"}
        assert (await ask("RepositoryModelUnload", model_name="churn")).isUnloaded
        call: Any = rpc.channel.unary_unary(f"/{REPOSITORY_SERVICE}/ModelInfer")
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await call(b"")
        assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_watchers_leave_room_for_others(tmp_path: Path) -> None:
    """So many may watch or reflect at once; a place is free again once one has left."""
    generated: Any = reflection_pb2_grpc
    async with answering(tmp_path) as (_, rpc):
        health: Any = health_pb2_grpc.HealthStub(rpc.channel)
        reflecting = generated.ServerReflectionStub(rpc.channel).ServerReflectionInfo
        listing = reflection_pb2.ServerReflectionRequest(list_services="")
        for open_one, most in (
            (partial(health.Watch, health_pb2.HealthCheckRequest()), WATCHERS),
            (partial(_opened, reflecting, listing), REFLECTIONS),
        ):
            calls = [open_one() for _ in range(most)]
            for call in calls:
                await call.read()
            one_more = open_one()
            with pytest.raises(grpc.aio.AioRpcError, match=f"{most} .* are open"):
                await one_more.read()
            assert await one_more.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            for call in calls:
                call.cancel()
            await _answered(open_one)


def _opened(method: Any, request: Any) -> Any:
    """Return a call whose one request is followed by nothing, not even its end."""

    async def requests() -> AsyncIterator[Any]:
        yield request
        await asyncio.Event().wait()

    return method(requests())


async def _answered(open_one: Callable[[], Any]) -> None:
    async with asyncio.timeout(30):
        while True:
            call = open_one()
            try:
                await call.read()
            except grpc.aio.AioRpcError:
                await asyncio.sleep(0.01)
            else:
                call.cancel()
                return


async def test_a_reflection_has_a_longest_time(tmp_path: Path) -> None:
    """Who asks nothing more is let go."""
    generated: Any = reflection_pb2_grpc
    async with answering(tmp_path, stream_seconds=0.05) as (_, rpc):
        reflecting = generated.ServerReflectionStub(rpc.channel).ServerReflectionInfo
        call = _opened(reflecting, reflection_pb2.ServerReflectionRequest(list_services=""))
        await call.read()
        assert await call.code() is grpc.StatusCode.DEADLINE_EXCEEDED


def test_connections_and_calls_have_limits() -> None:
    """Dead peers are found, idle connections closed, and one connection cannot have every call that there is."""
    told = dict(options(Place("127.0.0.1", 0, 1024)))
    assert told["grpc.max_receive_message_length"] == 1024
    assert told["grpc.keepalive_time_ms"] <= 120_000 and told["grpc.keepalive_timeout_ms"] <= 30_000
    assert 60_000 <= told["grpc.max_connection_idle_ms"] <= 3_600_000
    assert told["grpc.max_concurrent_streams"] < MAX_CALLS > STREAMS + WATCHERS + REFLECTIONS


async def test_the_health_service_follows_readiness(tmp_path: Path) -> None:
    """Of the server and of the service; others are unknown; a watcher hears of the end."""
    async with answering(tmp_path) as (world, rpc):
        stub: Any = health_pb2_grpc.HealthStub(rpc.channel)
        for service in ("", SERVICE):
            answer = await stub.Check(health_pb2.HealthCheckRequest(service=service))
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
        messages: Any = health_pb2  # whose types lack List's
        listed = (await stub.List(messages.HealthListRequest())).statuses
        assert {name: each.status for name, each in listed.items()} == {"": answer.status, SERVICE: answer.status}
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
        parts = (f"{SERVICE}.ModelInfer", "inference.ModelInferRequest.id", f"{SERVICE}.Nothing", "nothing.at.all")
        symbols = [request(file_containing_symbol=symbol) for symbol in (SERVICE, *parts)]
        requests = [request(list_services=""), *symbols]
        services, file, *found = [answer async for answer in stub.ServerReflectionInfo(iter(requests))]
        names = {service.name for service in services.list_services_response.service}
        assert names >= {SERVICE, REPOSITORY_SERVICE, "grpc.health.v1.Health"}
        assert b"ModelInferRequest" in file.file_descriptor_response.file_descriptor_proto[0]
        assert [each.HasField("file_descriptor_response") for each in found] == [True, True, False, False]


def test_who_may_ask_is_as_with_http() -> None:
    """Methods and routes that tell the same need the same scope."""
    routes = {(route.methods, route.template): route.access for route in SERVING_ROUTES}
    same = {
        "ServerMetadata": ("GET", "/v2"),
        "ServerLive": ("GET", "/v2/health/live"),
        "ServerReady": ("GET", "/v2/health/ready"),
        "ModelReady": ("GET", "/v2/models/{name}/ready"),
        "ModelMetadata": ("GET", "/v2/models/{name}"),
        "ModelConfig": ("GET", "/v2/models/{name}/config"),
        "ModelStatistics": ("GET", "/v2/models/{name}/stats"),
        "ModelInfer": ("POST", "/v2/models/{name}/infer"),
        "ModelStreamInfer": ("POST", "/v2/models/{name}/infer_stream"),
        "RepositoryIndex": ("POST", "/v2/repository/index"),
        "RepositoryModelLoad": ("POST", "/v2/repository/models/{name}/load"),
        "RepositoryModelUnload": ("POST", "/v2/repository/models/{name}/unload"),
    }
    assert {method.name: method.access for method in METHODS} == {name: routes[of] for name, of in same.items()}
