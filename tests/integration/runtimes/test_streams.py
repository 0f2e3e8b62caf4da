"""Streams of real hosts: order, ends of every kind, readers that leave, models that hang, and bounded memory."""

from __future__ import annotations

import asyncio
import gc
import time
from typing import Any

import numpy as np
import pytest

from registry.errors import InvalidRequest, ModelFault, Refused
from serving.exchange import ArrayOutput, Call, JsonInput, JsonOutput, Output, TableOutput, TensorInput
from serving.ports import Streaming
from serving.runtimes.host.memory import private_bytes
from serving.runtimes.host.pieces import Pieces
from serving.runtimes.host.version import HostedVersion
from tests.integration.runtimes.conftest import Hosts, rows
from tests.integration.runtimes.test_faults import gone
from tests.support.serving_fakes import eventually

pytestmark = pytest.mark.integration


async def all_of(version: HostedVersion, asked: Any = None, seconds: float = 20) -> list[Output | Exception]:
    """Return the pieces, and what ended them where that is an error."""
    found: list[Output | Exception] = []
    stream = version.stream(Call(JsonInput(asked or {})), seconds)
    try:
        while True:
            found.append(await anext(stream))
    except StopAsyncIteration:
        return found
    except Exception as error:
        return [*found, error]


async def told(version: HostedVersion, seconds: float = 20) -> dict[str, Any]:
    """Return what the counting model says of its last stream: how many pieces it made, and how it was closed."""
    answer = await version.predict(Call(rows()), seconds)
    assert isinstance(answer, JsonOutput)
    found: dict[str, Any] = answer.value[0]
    return found


def test_pieces_arrive_in_order_and_whole(hosts: Hosts) -> None:
    """Words, dicts and numbers, as the model yields them; it sees its one row as MLflow would show it."""
    with hosts.loaded("stream_words") as version:
        assert isinstance(version, Streaming)
        assert (version.streams, version.manner.streams) == (True, True)
        values = [piece.value for piece in hosts.run(all_of(version, {"q": "hi"})) if isinstance(piece, JsonOutput)]
    assert values == ["to", "be", {"or": {"q": "hi"}}, 4.0]


def test_one_row_of_a_table_is_a_dict_and_several_are_refused(hosts: Hosts) -> None:
    """MLflow streams for one row alone; more are refused before the model sees them, without a word of their values."""

    async def stream(call: Call) -> list[Output]:
        return [piece async for piece in version.stream(call, 20)]

    with hosts.loaded("stream_words") as version:
        third = hosts.run(stream(Call(rows(1))))[2]
        assert isinstance(third, JsonOutput)
        assert third.value == {"or": {"x0": 0.5, "x1": 1.0, "x2": 1.5, "x3": 2.0}}
        for data in (rows(2), TensorInput(np.zeros((3, 2)))):
            with pytest.raises(InvalidRequest, match="one row at a time"):
                hosts.run(stream(Call(data)))


def test_arrays_and_tables_are_pieces_too(hosts: Hosts) -> None:
    """Each piece may be all that a predict may answer."""
    with hosts.loaded("stream_frames") as version:
        table, array = hosts.run(all_of(version))
    assert isinstance(table, TableOutput) and table.table.names == ("a",)
    assert isinstance(array, ArrayOutput) and array.array.tolist() == [1.5, 2.5]


@pytest.mark.parametrize(
    ("kind", "pieces", "code", "words"),
    [
        ("half", 2, "model_error", "the model raised: ValueError: these rows cannot be had"),
        ("at_once", 0, "model_error", "the model raised: ValueError: not even one"),
        ("strangely", 1, "model_output_invalid", "the model answered a object"),
    ],
)
def test_an_exception_is_the_end_and_the_host_lives_on(
    hosts: Hosts, kind: str, pieces: int, code: str, words: str
) -> None:
    """What came before it arrives; then it is told, time and again."""
    with hosts.loaded(f"stream_{kind}") as version:
        for _ in range(2):
            *came, error = hosts.run(all_of(version))
            assert len(came) == pieces
            assert isinstance(error, ModelFault)
            assert (error.code, words in error.message, version.alive) == (code, True, True)


def test_a_stream_of_nothing_ends_well(hosts: Hosts) -> None:
    """No piece is no failure."""
    with hosts.loaded("stream_nothing") as version:
        assert hosts.run(all_of(version)) == []


def test_a_model_without_predict_stream_says_so(hosts: Hosts) -> None:
    """It is known as soon as it is loaded."""
    with hosts.loaded("sum") as version:
        assert (version.streams, version.manner.streams) == (False, False)


def test_a_process_that_dies_ends_its_stream_with_how_it_died(hosts: Hosts) -> None:
    """The piece that came arrives, then the error."""
    with hosts.loaded("stream_dying") as version:
        came, error = hosts.run(all_of(version))
        assert isinstance(came, JsonOutput)
        assert isinstance(error, ModelFault) and "exit status 3" in error.message
        assert not version.alive


def test_a_reader_that_leaves_closes_the_generator(hosts: Hosts) -> None:
    """Its ``finally`` runs within a second, and the next request is answered."""

    async def leave() -> tuple[dict[str, Any], float]:
        stream = version.stream(Call(JsonInput({"pause": 0.02})), 20)
        async for _ in stream:
            break
        left = time.monotonic()
        await stream.aclose()
        return await told(version), time.monotonic() - left

    with hosts.loaded("stream_counting") as version:
        said, took = hosts.run(leave())
    assert said["closed"] == "GeneratorExit"
    assert took < 1


def test_a_slow_reader_holds_the_model_back(hosts: Hosts) -> None:
    """Of small pieces sixteen are made ahead, of large ones four megabytes and one; none is lost when it reads on."""

    async def read_late(asked: dict[str, Any], first: int) -> tuple[int, list[Output]]:
        stream = version.stream(Call(JsonInput(asked)), 20)
        found = [await anext(stream) for _ in range(first)]
        await asyncio.sleep(0.3)  # a model without bounds would make thousands meanwhile
        before = await asyncio.to_thread(private_bytes, version.pid)
        assert before and before < 200 << 20
        ahead = len(next(obj for obj in gc.get_objects() if isinstance(obj, Pieces) and not obj.stopped)._held)
        found += [piece async for piece in stream]
        return ahead, found

    with hosts.loaded("stream_counting") as version:
        ahead, found = hosts.run(read_late({"most": 500}, 1))
        assert (ahead, len(found)) == (15, 500)
        ahead, found = hosts.run(read_late({"most": 40, "bytes": 1_500_000}, 1))
        assert (ahead, len(found)) == (3, 40)
        assert all(isinstance(piece, JsonOutput) and len(piece.value) == 1_500_000 for piece in found)


def test_who_asks_meanwhile_waits_for_the_stream_to_end(hosts: Hosts) -> None:
    """One process does one thing at a time; a line that is full refuses, and a wait that is too long is told."""

    async def ask_meanwhile() -> tuple[BaseException | Output, dict[str, Any]]:
        stream = version.stream(Call(JsonInput({"most": 50, "pause": 0.01})), 20)
        await anext(stream)
        impatient = asyncio.gather(version.predict(Call(rows()), 0.05), return_exceptions=True)
        patient = asyncio.ensure_future(told(version))
        async for _ in stream:
            pass
        return (await impatient)[0], await patient

    with hosts.loaded("stream_counting") as version:
        impatient, said = hosts.run(ask_meanwhile())
        assert isinstance(impatient, ModelFault) and impatient.code == "model_timeout"
        assert said == {"made": 50, "closed": "end"}


def test_a_full_line_refuses_a_stream(hosts: Hosts) -> None:
    """Streams are bounded as predicts are."""

    async def crowd() -> list[Exception | Output]:
        stream = version.stream(Call(JsonInput({})), 20)
        await anext(stream)
        waiting = [asyncio.ensure_future(version.predict(Call(rows(1024)), 20))]
        await asyncio.sleep(0)
        refused = await all_of(version)
        await stream.aclose()
        await waiting[0]
        return refused

    with hosts.loaded("stream_counting") as version:
        (error,) = hosts.run(crowd())
    assert isinstance(error, Refused) and error.details["reason"] == "queue_full"


def test_a_reader_that_leaves_before_its_turn_costs_nothing(hosts: Hosts) -> None:
    """The model never hears of it."""

    async def leave_the_line() -> dict[str, Any]:
        running = version.stream(Call(JsonInput({"most": 3})), 20)
        await anext(running)
        waiting = asyncio.ensure_future(all_of(version, {"most": 100}))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([waiting])
        async for _ in running:
            pass
        return await told(version)

    with hosts.loaded("stream_counting") as version:
        assert hosts.run(leave_the_line())["made"] == 3


@pytest.mark.parametrize("kind", ["hanging", "hanging_at_its_end"])
def test_a_generator_that_hangs_costs_its_process(hosts: Hosts, kind: str) -> None:
    """Its reader is told in time, or has gone; the process has as long as an overdue predict, and is ended."""

    async def read() -> list[Output | Exception]:
        stream = version.stream(Call(JsonInput({})), 0.3)
        found: list[Output | Exception] = [await anext(stream)]
        try:
            if kind == "hanging":
                found.append(await anext(stream))
        except ModelFault as error:
            found.append(error)
        await stream.aclose()
        await eventually(lambda: not version.alive, 10)
        return found

    with hosts.loaded(f"stream_{kind}") as version:
        pid = version.pid
        found = hosts.run(read())
        assert gone(pid)
    if kind == "hanging":
        assert isinstance(found[1], ModelFault) and found[1].code == "model_timeout"


def test_a_generator_that_will_not_be_closed_is_left(hosts: Hosts) -> None:
    """It is asked for nothing more, and its process goes on."""

    async def leave() -> Output:
        stream = version.stream(Call(JsonInput({})), 20)
        await anext(stream)
        await stream.aclose()
        return await version.predict(Call(rows()), 20)

    with hosts.loaded("stream_deaf") as version:
        assert isinstance(hosts.run(leave()), JsonOutput)
        assert version.alive


def test_a_version_that_is_unloaded_ends_its_streams(hosts: Hosts) -> None:
    """Nobody waits for a process that has gone."""

    async def unload() -> Exception:
        stream = version.stream(Call(JsonInput({"pause": 0.01})), 20)
        await anext(stream)
        closing = asyncio.ensure_future(version.close())
        with pytest.raises(ModelFault, match="unloaded") as caught:
            async for _ in stream:
                pass
        await closing
        return caught.value

    with hosts.loaded("stream_counting") as version:
        hosts.run(unload())
