"""ModelStreamInfer on a node in memory: versions that answer piece by piece, the mark of the last answer, callers that
leave, idle or do not read, log lines and spans of each request."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from registry.errors import ModelFault, Refused
from serving.exchange import ArrayOutput, Output
from serving.grpc.messages import Message
from serving.grpc.seats import Seats
from tests.support.collector import attributes, collecting
from tests.support.grpc_calls import Rpc, answering, raw_infer
from tests.support.metrics import sample
from tests.support.serving_fakes import FakeLoaded, eventually
from tests.support.serving_node import FakeWorld

pytestmark = pytest.mark.anyio
PIECES: list[Output | Exception] = [ArrayOutput(np.array([float(n)])) for n in range(3)]
FAULT = ModelFault("model_error", "the model raised: ValueError: no more words", {"type": "ValueError"})
FINAL, ASKED = "triton_final_response", {"triton_enable_empty_final_response": {"bool_param": True}}


async def load(world: FakeWorld, number: str, pieces: list[Output | Exception]) -> FakeLoaded:
    """Have a version loaded, with pieces to stream."""
    assert (await world.client.post(f"/models/churn/versions/{number}/load")).status_code == 200
    copy = world.copy_of(number)
    assert isinstance(copy, FakeLoaded)
    copy.pieces = pieces
    return copy


async def answers_of(rpc: Rpc, *requests: Message) -> list[Message]:
    """Return everything that comes back."""
    return [answer async for answer in rpc.stream(iter(requests))]


def shown(answer: Message) -> tuple[str, Any, bool]:
    """Return an answer's id, its values or its error, and whether it is the last of its request."""
    said = answer.infer_response
    values = [np.frombuffer(raw, "<f8").tolist() for raw in said.raw_output_contents]
    return said.id, answer.error_message or [one for each in values for one in each], said.parameters[FINAL].bool_param


async def test_a_version_that_streams_answers_piece_by_piece(tmp_path: Path) -> None:
    """A message for each, none of them the last; the next request is answered after them, and who asked is told the
    end."""
    async with answering(tmp_path) as (world, rpc):
        copy = await load(world, "2", PIECES)
        whole, again = raw_infer(model_version="1", id="w"), raw_infer(id="b", parameters=ASKED)
        answers = await answers_of(rpc, raw_infer(id="a"), whole, again)
        assert [shown(answer) for answer in answers] == [
            ("a", [0.0], False),
            ("a", [1.0], False),
            ("a", [2.0], False),
            ("w", [3.0], True),
            ("b", [0.0], False),
            ("b", [1.0], False),
            ("b", [2.0], False),
            ("b", [], True),
        ]
        last = answers[-1].infer_response
        assert (last.model_name, last.model_version, len(last.outputs)) == ("churn", "2", 0)
        assert copy.closed_streams == ["end", "end"]
        page = (await world.client.get("/metrics")).content
        labels = {"model": "churn", "version": "2", "arm": "stable", "protocol": "grpc", "code": "2xx"}
        assert sample(page, "headgate_requests_total", **labels) == 2
        assert world.node.bodies.free_bytes == world.node.bodies.budget


async def test_an_answer_outside_of_streams_has_no_mark(tmp_path: Path) -> None:
    """ModelInfer has one answer, also of a version that streams, and of a request with the parameter."""
    async with answering(tmp_path) as (world, rpc):
        await load(world, "2", PIECES)
        said = await rpc.call("ModelInfer", raw_infer(parameters=ASKED))
        assert (said.code, FINAL in said.answer.parameters) == ("OK", False)


async def test_a_cold_version_is_loaded_before_it_is_known_how_it_answers(tmp_path: Path) -> None:
    """The first request of a stream may be the first of all."""
    async with answering(tmp_path) as (_, rpc):
        (answer,) = await answers_of(rpc, raw_infer(id="first", parameters=ASKED))
        assert shown(answer) == ("first", [3.0], True)


async def test_each_piece_is_sent_before_the_next_is_made(tmp_path: Path) -> None:
    """The caller has the first while the model still thinks of the second."""
    async with answering(tmp_path) as (world, rpc):
        copy = await load(world, "2", PIECES)
        copy.hold = asyncio.Event()
        stream = rpc.stream(iter([raw_infer(id="a")]))
        assert shown(await stream.read()) == ("a", [0.0], False)
        assert copy.closed_streams == []
        copy.hold.set()
        assert [shown(await stream.read())[1] for _ in range(2)] == [[1.0], [2.0]]


async def test_a_model_that_fails_in_the_middle_ends_its_own_answer(tmp_path: Path) -> None:
    """What came before stands, the error is that request's last answer, and the next one is answered."""
    async with answering(tmp_path) as (world, rpc):
        await load(world, "2", [*PIECES[:1], FAULT])
        refused = await load(world, "3", [Refused("overloaded", "too much", retry_after=1)])
        requests = raw_infer(id="a"), raw_infer(id="r", model_version="3"), raw_infer(id="w", model_version="1")
        answers = [shown(answer) for answer in await answers_of(rpc, *requests)]
        assert answers == [("a", [0.0], False), ("a", FAULT.message, True), ("r", "too much", True), ("w", [3.0], True)]
        assert refused.closed_streams == ["error"]
        assert world.node.bodies.free_bytes == world.node.bodies.budget


async def test_who_leaves_closes_what_was_begun(tmp_path: Path) -> None:
    """The generators of all its requests, also of those that it had no piece of; leases and bodies come back."""
    async with answering(tmp_path) as (world, rpc):
        copy = await load(world, "2", PIECES)
        copy.hold = asyncio.Event()
        stream = rpc.stream(iter([raw_infer(id=str(n)) for n in range(4)]))
        await stream.read()
        await eventually(lambda: copy.calls == 4)
        stream.cancel()
        await eventually(lambda: copy.closed_streams == ["closed"] * 4)
        await eventually(lambda: world.node.bodies.free_bytes == world.node.bodies.budget)
        assert (await world.client.get("/models/churn/versions/2")).json()["leases"] == 0
        page = (await world.client.get("/metrics")).content
        labels = {"model": "churn", "version": "2", "arm": "stable", "protocol": "grpc", "code": "4xx"}
        assert sample(page, "headgate_requests_total", **labels) == 4


async def test_the_parameter_is_true_or_false(tmp_path: Path) -> None:
    """Whatever else is refused, as the request's own fault."""
    async with answering(tmp_path) as (_, rpc):
        wrong = {"triton_enable_empty_final_response": {"string_param": "yes"}}
        (answer,) = await answers_of(rpc, raw_infer(id="a", parameters=wrong))
        assert answer.infer_response.id == "a"
        assert "triton_enable_empty_final_response" in answer.error_message


async def _slowly(sent: asyncio.Event) -> AsyncIterator[Message]:
    yield raw_infer(id="a")
    sent.set()
    await asyncio.Event().wait()


async def test_a_stream_that_is_idle_is_ended(tmp_path: Path) -> None:
    """Not while an answer is owed, however long that takes; afterwards, with words that name the setting."""
    async with answering(tmp_path, stream_seconds=0.1) as (world, rpc):
        copy = await load(world, "2", [])
        copy.hold, sent = asyncio.Event(), asyncio.Event()
        stream = rpc.stream(_slowly(sent))
        reading = asyncio.ensure_future(stream.read())
        await sent.wait()
        await asyncio.sleep(0.25)
        assert not reading.done()
        copy.hold.set()
        assert shown(await reading) == ("a", [3.0], True)
        with pytest.raises(grpc.aio.AioRpcError, match="HEADGATE_STREAM_SECONDS"):
            await stream.read()
        assert await stream.code() is grpc.StatusCode.DEADLINE_EXCEEDED


async def test_a_caller_that_takes_nothing_is_given_up(tmp_path: Path) -> None:
    """Its answers fill what the connection holds; then the model is told to stop."""
    many: list[Output | Exception] = [ArrayOutput(np.zeros(200_000))] * 50
    async with answering(tmp_path, stream_seconds=0.3) as (world, rpc):
        copy = await load(world, "2", many)
        stream = rpc.stream(iter([raw_infer(id="a")]))
        await stream.read()
        await eventually(lambda: copy.closed_streams == ["closed"])
        stream.cancel()


async def test_a_request_that_fails_by_our_fault_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """One line for it, as for a call of its own; none for the others."""
    async with answering(tmp_path) as (world, rpc):
        copy = await load(world, "2", [])
        copy.error = FAULT
        with caplog.at_level(logging.INFO, logger="headgate"):
            await answers_of(rpc, raw_infer(id="a"), raw_infer(model_version="1"), raw_infer("nobody"))
        lines = [record for record in caplog.records if record.message == "access"]
        assert len(lines) == 1


async def test_every_call_of_a_stream_is_logged_when_debugging(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Each request, and the stream itself."""
    async with answering(tmp_path) as (_, rpc):
        with caplog.at_level(logging.DEBUG, logger="headgate"):
            await answers_of(rpc, raw_infer(), raw_infer())
            await eventually(lambda: caplog.messages.count("access") == 3)


async def test_a_span_covers_each_request(tmp_path: Path) -> None:
    """It ends with the request's last message, and says how it ended."""
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    with collecting() as collector:
        async with answering(tmp_path, otlp_endpoint=collector.url) as (world, rpc):
            await load(world, "2", [*PIECES[:1], FAULT])
            metadata = (("traceparent", f"00-{trace}-00f067aa0ba902b7-01"),)
            stream = rpc.stream(iter([raw_infer(), raw_infer(model_version="1")]), metadata=metadata)
            assert len([answer async for answer in stream]) == 3
            await eventually(lambda: len([s for s in collector.of(trace) if s.name == "predict"]) >= 2)
    wholes = [attributes(span) for span in collector.of(trace) if "headgate.protocol" in attributes(span)]
    assert sorted(each.get("error.type", "") for each in wholes) == ["", "model_error"]


def test_seats_are_counted() -> None:
    """So many at once; one that is left is free again, also where its call failed."""
    seats = Seats(1, "streams")
    for _ in range(2):
        with pytest.raises(ZeroDivisionError), seats:
            raise ZeroDivisionError
    with seats, pytest.raises(Refused, match="1 streams are open"), seats:
        pass
    with seats:
        pass


async def test_a_node_that_stops_waits_for_no_caller(tmp_path: Path) -> None:
    """Streams and watchers end once nothing is owed to them, with a status that says to go elsewhere."""
    async with answering(tmp_path) as (world, rpc):
        copy, idle, asking = await load(world, "2", []), rpc.stream(), rpc.stream()
        for stream in (idle, asking):
            await stream.write(raw_infer(id="first"))
            assert shown(await stream.read())[0] == "first"
        watching: Any = health_pb2_grpc.HealthStub(rpc.channel)
        watch = watching.Watch(health_pb2.HealthCheckRequest())
        await watch.read()
        copy.hold, calls = asyncio.Event(), copy.calls
        await asking.write(raw_infer(id="last"))
        await eventually(lambda: copy.calls == calls + 1)
        world.node.leave()
        assert await idle.code() == grpc.StatusCode.UNAVAILABLE
        assert "being stopped" in await idle.details()
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
        assert await watch.code() == grpc.StatusCode.UNAVAILABLE
        copy.hold.set()
        assert shown(await asking.read())[0] == "last"
        assert await asking.code() == grpc.StatusCode.UNAVAILABLE
