"""ModelInfer and ModelStreamInfer on a node in memory: answers, refusals, metadata, deadlines, limits."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from registry.errors import InvalidRequest, ModelFault, Refused, Unavailable
from registry.plans import Canary, Plan
from registry.records import VersionNumber
from serving.grpc.calls import GrpcCall
from serving.grpc.messages import message
from tests.support.grpc_calls import Rpc, answering, raw_infer, typed_infer
from tests.support.serving_fakes import SIGNATURE, eventually, servable, snapshot
from tests.support.serving_node import FakeWorld

pytestmark = pytest.mark.anyio
MIB = 1024 * 1024


async def test_raw_in_is_raw_out(tmp_path: Path) -> None:
    """The plan chooses; the answer is raw, and says who gave it, in its message and in its metadata."""
    async with answering(tmp_path) as (_, rpc):
        said = await rpc.call("ModelInfer", raw_infer(id="7"), metadata=(("x-request-id", "mine"),))
        answer = said.answer
        assert (answer.model_name, answer.model_version, answer.id) == ("churn", "2", "7")
        (output,) = answer.outputs
        assert (output.name, output.datatype, list(output.shape)) == ("output-1", "FP64", [1])
        assert not output.HasField("contents")
        assert np.frombuffer(answer.raw_output_contents[0], "<f8").tolist() == [3.0]
        assert answer.parameters["headgate_arm"].string_param == "stable"
        assert answer.parameters["headgate_revision"].int64_param == 7
        assert said.metadata == {
            "x-request-id": "mine",
            "x-headgate-model": "churn",
            "x-headgate-version": "2",
            "x-headgate-arm": "stable",
            "x-headgate-revision": "7",
        }


async def test_typed_in_is_typed_out(tmp_path: Path) -> None:
    """Values in the field of their datatype get an answer of the same kind."""
    async with answering(tmp_path) as (_, rpc):
        said = await rpc.call("ModelInfer", typed_infer(model_version="1"))
        assert said.answer.model_version == "1"
        assert list(said.answer.outputs[0].contents.fp64_contents) == [3.0]
        assert not said.answer.raw_output_contents


REFUSED: tuple[tuple[Any, str, str], ...] = (
    (raw_infer("nobody"), "NOT_FOUND", "no model is called nobody"),
    (raw_infer(model_version="9"), "NOT_FOUND", "9"),
    (raw_infer(model_version="5"), "INVALID_ARGUMENT", "rejected"),
    (raw_infer(model_version="latest"), "NOT_FOUND", "latest"),
    (raw_infer("no name!"), "INVALID_ARGUMENT", "name"),
    (raw_infer(rows=[{"a": 1.0}]), "INVALID_ARGUMENT", "b"),
    (message("ModelInferRequest")(model_name="churn"), "INVALID_ARGUMENT", "no inputs"),
)


async def test_what_cannot_be_answered_is_refused(tmp_path: Path) -> None:
    """Each refusal has the status of its kind, our words, our code, and the request's id."""
    async with answering(tmp_path) as (_, rpc):
        for asked, code, words in REFUSED:
            said = await rpc.call("ModelInfer", asked)
            assert (said.code, words in said.message) == (code, True), said
            assert said.metadata["x-request-id"] and said.metadata["x-headgate-code"]


async def test_what_is_no_message_is_refused(tmp_path: Path) -> None:
    """Damaged bytes are the caller's mistake, in every method."""
    async with answering(tmp_path) as (_, rpc):
        for method in ("ModelInfer", "ModelMetadata", "RepositoryModelLoad"):
            said = await rpc.call_bytes(method, b"\x0a\xff\xff\xff\xff\x0f")
            assert (said.code, "cannot be read" in said.message) == ("INVALID_ARGUMENT", True)


FAULTS: tuple[tuple[Exception, str], ...] = (
    (ModelFault("model_error", "it raised"), "INTERNAL"),
    (ModelFault("model_timeout", "too slow"), "DEADLINE_EXCEEDED"),
    (Refused("overloaded", "too many", retry_after=1), "RESOURCE_EXHAUSTED"),
    (Unavailable("loading", "soon"), "UNAVAILABLE"),
    (InvalidRequest("invalid_input", "no"), "INVALID_ARGUMENT"),
    (ZeroDivisionError("secret"), "INTERNAL"),
)


async def test_faults_of_a_model_have_their_status(tmp_path: Path) -> None:
    """What the model raises decides; what nobody expected tells nothing of itself."""
    async with answering(tmp_path) as (world, rpc):
        await rpc.call("ModelInfer", raw_infer())
        copy: Any = world.copy_of("2")
        for error, code in FAULTS:
            copy.error = error
            said = await rpc.call("ModelInfer", raw_infer())
            assert said.code == code
            assert "secret" not in said.message
            assert said.metadata["x-headgate-version"] == "2"
            assert ("retry-after" in said.metadata) == (code in ("RESOURCE_EXHAUSTED", "UNAVAILABLE"))


async def test_a_deadline_ends_the_wait(tmp_path: Path) -> None:
    """A call's own deadline is how long its request may take; so is the parameter, and the header."""
    async with answering(tmp_path) as (world, rpc):
        await rpc.call("ModelInfer", raw_infer())
        copy: Any = world.copy_of("2")
        copy.hold = asyncio.Event()
        parameters = {"timeout": {"int64_param": 20_000}}
        for asked, options in (
            (raw_infer(), {"timeout": 0.05}),
            (raw_infer(parameters=parameters), {}),
            (raw_infer(), {"metadata": (("x-request-timeout-ms", "20"),)}),
        ):
            said = await rpc.call("ModelInfer", asked, **options)
            assert said.code == "DEADLINE_EXCEEDED"
        copy.hold = None
        assert (await rpc.call("ModelInfer", raw_infer())).code == "OK"


async def test_who_leaves_is_given_up_and_hurts_nobody(tmp_path: Path) -> None:
    """A cancelled call gives its share of the bodies back; its neighbour is answered."""
    async with answering(tmp_path) as (world, rpc):
        await rpc.call("ModelInfer", raw_infer())
        copy: Any = world.copy_of("2")
        copy.hold, calls = asyncio.Event(), copy.calls
        leaving = asyncio.ensure_future(rpc.call("ModelInfer", raw_infer()))
        staying = asyncio.ensure_future(rpc.call("ModelInfer", raw_infer()))
        await eventually(lambda: copy.calls == calls + 2)
        bodies = world.node.bodies
        held = bodies.budget - bodies.free_bytes
        assert held > 0
        leaving.cancel()
        await eventually(lambda: bodies.budget - bodies.free_bytes == held // 2)
        copy.hold.set()
        assert (await staying).code == "OK"
        assert bodies.free_bytes == bodies.budget


async def test_what_was_refused_or_left_is_not_kept(tmp_path: Path) -> None:
    """The bytes of a request go with it, whatever became of it; they do not wait for the garbage collector."""

    def kept() -> int:
        return sum(isinstance(each, GrpcCall) for each in gc.get_objects())

    async def leave() -> None:
        stream = rpc.stream(iter([raw_infer()] * 3))
        await stream.read()
        stream.cancel()

    async with answering(tmp_path) as (world, rpc):
        await rpc.call("ModelInfer", raw_infer())
        copy: Any = world.copy_of("2")
        gc.collect()
        gc.disable()
        try:
            before = kept()
            for _ in range(4):
                assert (await rpc.call("ModelInfer", raw_infer("nobody"))).code == "NOT_FOUND"
                copy.error = ModelFault("model_error", "it raised")
                assert (await rpc.call("ModelInfer", raw_infer())).code == "INTERNAL"
                copy.error = None
                assert [bool(each.error_message) async for each in rpc.stream(iter([raw_infer("nobody")]))] == [True]
                await leave()
            await eventually(lambda: kept() <= before)
        finally:
            gc.enable()


async def test_metadata_are_what_headers_are(tmp_path: Path) -> None:
    """A sticky key decides over the arm, for every request with it."""
    versions = {n: servable(n, f"churn {n}", SIGNATURE) for n in ("1", "2")}
    plan = Plan(VersionNumber("1"), canary=Canary(VersionNumber("2"), 5000), sticky="x-user")
    model = snapshot(versions=versions, plan=plan, revision=3)
    async with answering(tmp_path, model) as (_, rpc):
        for version in ("1", "2"):
            await rpc.call("RepositoryModelLoad", message("RepositoryModelLoadRequest")(model_name="churn"))
            assert (await rpc.call("ModelInfer", raw_infer(model_version=version))).code == "OK"
        users = [f"user-{n}" for n in range(20)]
        said = [await rpc.call("ModelInfer", raw_infer(), metadata=(("x-user", user),)) for user in users * 2]
        arms = [each.metadata["x-headgate-arm"] for each in said]
        first, again = arms[:20], arms[20:]
        assert first == again
        assert set(first) == {"stable", "canary"}


async def test_requests_are_counted_as_grpc(tmp_path: Path) -> None:
    """Answers and refusals stand in the same metrics as HTTP's, under their protocol."""
    async with answering(tmp_path) as (world, rpc):
        await rpc.call("ModelInfer", raw_infer())
        await rpc.call("ModelInfer", raw_infer("nobody"))
        await rpc.call_bytes("ModelInfer", b"\x0a\xff\x0f")
        page = (await world.client.get("/metrics")).text
        mine = [line for line in page.splitlines() if 'protocol="grpc"' in line]
        assert any('model="churn"' in line and 'code="2xx"' in line for line in mine)
        assert any('code="4xx"' in line for line in mine)


async def test_bodies_are_counted_before_they_are_looked_at(tmp_path: Path) -> None:
    """Where all room is taken nothing is read, not even what is no message; a refusal gives its room back."""
    async with answering(tmp_path) as (world, rpc):
        bodies = world.node.bodies
        said = await rpc.call_bytes("ModelInfer", b"\x3a\x00" * 300_000)
        assert (said.code, said.metadata["x-headgate-code"]) == ("INVALID_ARGUMENT", "too_many_values")
        assert bodies.free_bytes == bodies.budget
        bodies.free_bytes = 1
        said = await rpc.call_bytes("ModelInfer", b"\x0a\xff\x0f")
        assert (said.code, said.metadata["x-headgate-code"]) == ("RESOURCE_EXHAUSTED", "overloaded")
        assert bodies.free_bytes == 1


async def test_many_tensors_do_not_hold_up_others(tmp_path: Path) -> None:
    """More than a few are walked in a thread, and answered as ever."""
    inputs = [{"name": name, "datatype": "FP64", "shape": [1]} for name in ("a", "b")]
    asked = message("ModelInferRequest")(model_name="churn", inputs=inputs, raw_input_contents=[b"\0" * 8] * 5000)
    async with answering(tmp_path) as (_, rpc):
        said = await rpc.call("ModelInfer", asked)
        assert (said.code, "2 inputs came with 5000" in said.message) == ("INVALID_ARGUMENT", True)


async def test_large_messages_are_refused_however_they_are_packed(tmp_path: Path) -> None:
    """A message has at most HEADGATE_BODY_BYTES, and so has what it expands to."""
    rows = [{"a": 1.0, "b": 2.0}] * 200_000
    async with answering(tmp_path, body_bytes=MIB) as (_, rpc):
        for packed in (grpc.Compression.NoCompression, grpc.Compression.Gzip, grpc.Compression.Deflate):
            said = await rpc.call("ModelInfer", raw_infer(rows=rows), compression=packed)
            assert said.code == "RESOURCE_EXHAUSTED"
        said = await rpc.call("ModelInfer", raw_infer(rows=rows[:1000]), compression=grpc.Compression.Gzip)
        assert (said.code, list(said.answer.outputs[0].shape)) == ("OK", [1000])


async def test_an_answer_that_is_too_long_is_refused(tmp_path: Path) -> None:
    """The model's owner hears of it, with the limit."""
    async with answering(tmp_path, response_bytes=1024) as (_, rpc):
        said = await rpc.call("ModelInfer", raw_infer(rows=[{"a": 1.0, "b": 2.0}] * 200))
        assert (said.code, "1,024" in said.message) == ("INTERNAL", True)


async def test_a_stream_answers_in_order(tmp_path: Path) -> None:
    """Each request has one answer; an error is one too, and what follows it is answered."""

    async def asked() -> AsyncIterator[Any]:
        for n in range(40):
            yield raw_infer("nobody" if n == 3 else "churn", id=str(n))
        yield message("ModelInferRequest")(id="last")

    async with answering(tmp_path) as (_, rpc):
        answers = [answer async for answer in rpc.stream(asked())]
        assert [answer.infer_response.id for answer in answers] == [*map(str, range(40)), "last"]
        failed = {answer.infer_response.id: answer.error_message for answer in answers if answer.error_message}
        assert failed.keys() == {"3", "last"}
        assert "nobody" in failed["3"]
        ids = {a.infer_response.parameters["headgate_request_id"].string_param for a in answers if not a.error_message}
        assert len(ids) == 39


async def test_a_stream_works_on_a_few_at_once(tmp_path: Path) -> None:
    """It reads no further ahead than its bound, and a caller that leaves ends what it asked for."""
    sent = 0

    async def asked() -> AsyncIterator[Any]:
        nonlocal sent
        for n in range(200):
            sent = n
            yield raw_infer(id=str(n))

    async with answering(tmp_path) as (world, rpc):
        await rpc.call("ModelInfer", raw_infer())
        copy: Any = world.copy_of("2")
        copy.hold, calls = asyncio.Event(), copy.calls
        stream = rpc.stream(asked())
        reading = asyncio.ensure_future(stream.read())
        await eventually(lambda: copy.calls - calls >= 16)
        await asyncio.sleep(0.05)
        assert copy.calls - calls <= 18
        stream.cancel()
        reading.cancel()
        await eventually(lambda: world.node.bodies.free_bytes == world.node.bodies.budget)


async def test_a_node_that_stops_answers_what_it_has(tmp_path: Path) -> None:
    """Calls under way end with their answer; new ones are turned away."""
    async with answering(tmp_path) as (world, rpc):
        await rpc.call("ModelInfer", raw_infer())
        copy: Any = world.copy_of("2")
        copy.hold, calls = asyncio.Event(), copy.calls
        late = asyncio.ensure_future(rpc.call("ModelInfer", raw_infer()))
        await eventually(lambda: copy.calls == calls + 1)
        world.node.leave()
        await _turned_away(rpc)
        copy.hold.set()
        assert (await late).code == "OK"


async def _turned_away(rpc: Rpc) -> None:
    async with asyncio.timeout(30):
        while (await rpc.call("ServerLive")).code != "UNAVAILABLE":
            await asyncio.sleep(0.01)


async def test_the_node_is_seen_to_be_the_same_by_http(tmp_path: Path) -> None:
    """Both transports give the same prediction of the same row."""
    async with answering(tmp_path) as (world, rpc):
        said = await rpc.call("ModelInfer", typed_infer())
        assert await _by_http(world) == list(said.answer.outputs[0].contents.fp64_contents)


async def _by_http(world: FakeWorld) -> Any:
    body = {"inputs": [{"name": n, "datatype": "FP64", "shape": [1], "data": [v]} for n, v in (("a", 1), ("b", 2))]}
    answer = await world.client.post("/v2/models/churn/infer", json=body)
    return answer.json()["outputs"][0]["data"]
