"""The two ends of a stream: the host's window and the node's account of it, and a lane that gives one an engine."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.errors import ModelFault
from serving.exchange import Call, Output, Priority, TensorInput
from serving.runtimes.host.child import streams, wire
from serving.runtimes.host.frames import Frame, FrameError
from serving.runtimes.host.pieces import AHEAD_BYTES, AHEAD_PIECES, Pieces
from serving.runtimes.lane.lane import STREAMED, Lane
from serving.runtimes.lane.line import Tell

pytestmark = pytest.mark.anyio
CALL = Call(TensorInput(np.ones((1, 1))))


@pytest.fixture
def anyio_backend() -> str:
    """Run coroutine tests on asyncio alone."""
    return "asyncio"


def piece(size: int = 1) -> Frame:
    """Return a piece of so many bytes."""
    return Frame(1, {"more": True}, (memoryview(bytes(size)),))


class Made:
    """A model in the host's place: yields numbers, and remembers how it was left."""

    def __init__(self) -> None:
        self.made, self.left = 0, ""

    def stream(self, spec: Any, buffers: Any, params: Any) -> Iterator[int]:
        """Yield numbers until nobody wants any."""
        try:
            while True:
                self.made += 1
                yield self.made
        except GeneratorExit:
            self.left = "closed"
            raise


def run_child(words: Sequence[dict[str, Any]], *, ahead: int) -> tuple[Made, list[dict[str, Any]]]:
    """Run the host's end on what the node says, all of it said beforehand; return the model and the headers sent."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        for word in words:
            wire.send(ours, wire.pack(word, (), 7))
        ours.shutdown(socket.SHUT_WR)
        model, sent = Made(), []

        def send(parts: Sequence[wire.Buffer]) -> None:
            ours_view, other = socket.socketpair()
            with ours_view, other:
                wire.send(ours_view, parts)
                frame = wire.Stream(other).read()
                assert frame is not None
                sent.append(frame[1])

        call: wire.Frame = (7, {"input": {}, "stream": ahead}, [])
        streams.answer_stream(model, call, wire.Stream(theirs), send)  # type: ignore[arg-type]  # all of a model it asks
    return model, sent


def test_a_host_stops_when_told_and_closes_its_generator() -> None:
    """Words of streams before are passed over; the end is told."""
    model, sent = run_child([{"stop": True}], ahead=4)
    assert (model.made, sent) == (0, [{"end": True}])


def test_a_host_waits_for_room_and_ends_with_its_node() -> None:
    """Of a node that takes three and goes away it has sent no more than the window and three."""
    model, sent = run_child([{"took": 3}], ahead=4)
    assert model.made <= 7
    assert sent[-1] == {"end": True}
    assert model.left in ("closed", "")


@given(st.lists(st.integers(0, 3 << 20), max_size=60), st.data())
def test_both_ends_agree_on_who_is_too_far_ahead(sizes: list[int], data: st.DataObject) -> None:
    """Whatever is sent within the host's window is within the node's account, and is taken in order."""

    async def both() -> None:
        window, taken = streams.Window(AHEAD_PIECES), 0
        pieces = Pieces(1.0)
        pieces.begin(lambda word: window.took(word["took"]), lambda reason: None)
        for number, size in enumerate(sizes):
            while window.full:
                assert await pieces.take(1.0) is not None
                taken += 1
            pieces.put(piece(size))
            window.sent(size)
            assert number - taken < AHEAD_PIECES
            if taken <= number and data.draw(st.booleans()):
                frame = await pieces.take(1.0)
                assert frame is not None and frame.size == sizes[taken]
                taken += 1

    asyncio.run(both())


async def test_a_host_that_runs_ahead_is_no_host() -> None:
    """One piece more than the window, or than its bytes, cannot be."""
    pieces = Pieces(1.0)
    for _ in range(AHEAD_PIECES):
        assert not pieces.waits
        pieces.put(piece())
    assert pieces.waits
    with pytest.raises(FrameError, match="further ahead"):
        pieces.put(piece())
    heavy = Pieces(1.0)
    heavy.put(piece(AHEAD_BYTES))
    with pytest.raises(FrameError, match="further ahead"):
        heavy.put(piece())


async def test_what_came_before_an_end_is_taken_before_it() -> None:
    """Pieces first, then how it ended."""
    pieces, end = Pieces(1.0), asyncio.get_running_loop().create_future()
    end.add_done_callback(pieces.end)
    pieces.put(piece())
    end.set_exception(ModelFault("model_error", "no more"))
    await asyncio.sleep(0)
    assert await pieces.take(None) is not None
    with pytest.raises(ModelFault, match="no more"):
        await pieces.take(None)


async def test_one_who_stops_before_the_call_was_sent_says_so_then() -> None:
    """A large call is sent a moment later: its host hears of the stop right behind it, and once."""
    pieces: Pieces = Pieces(1.0)
    words: list[dict[str, Any]] = []
    pieces.stop()
    pieces.begin(words.append, lambda reason: None)
    pieces.stop()
    pieces.put(piece())
    assert words == [{"stop": True}]
    assert not pieces.waits


class Busy:
    """An engine that a stream has until the test ends it."""

    def __init__(self) -> None:
        self.alive = True
        self.told: list[Tell] = []
        self.ran = 0

    def run(self, call: Call, seconds: float, tell: Tell) -> None:
        """Answer at once."""
        self.ran += 1
        tell(STREAMED)


def start(engine: Busy, tell: Tell) -> None:
    """Begin a stream."""
    engine.told.append(tell)


async def test_a_stream_has_its_engine_alone() -> None:
    """Who comes later waits until it has ended, however it ends."""
    engine = Busy()
    lane = Lane([engine])
    first = lane.stream(CALL, 10, Priority.NORMAL, start)
    second = lane.stream(CALL, 10, Priority.NORMAL, start)
    after: asyncio.Future[Output] = lane.predict(CALL, 10)
    await asyncio.sleep(0)
    assert (len(engine.told), engine.ran, lane.queued_rows) == (1, 0, 2)
    engine.told[0](STREAMED)
    assert await first.answer is STREAMED
    await asyncio.sleep(0)
    assert len(engine.told) == 2
    engine.told[1](ModelFault("model_error", "no more"))
    with pytest.raises(ModelFault, match="no more"):
        await second.answer
    await after
    assert engine.ran == 1


async def test_a_stream_whose_reader_left_the_line_is_never_begun() -> None:
    """Its place is free for the next."""
    engine = Busy()
    lane = Lane([engine])
    waiting = lane.stream(CALL, 10, Priority.NORMAL, start)
    waiting.answer.cancel()
    await lane.predict(CALL, 10)
    assert (engine.told, engine.ran) == ([], 1)


async def test_a_stream_that_cannot_begin_in_time_is_told() -> None:
    """Its place in the line counts, and what has begun may be given more time."""
    engine = Busy()
    lane = Lane([engine])
    running = lane.stream(CALL, 0.01, Priority.NORMAL, start)
    waiting = lane.stream(CALL, 0.01, Priority.NORMAL, start)
    await asyncio.sleep(0)
    running.until = float("inf")
    with pytest.raises(ModelFault) as caught:
        await waiting.answer
    assert (caught.value.code, caught.value.details) == ("model_timeout", {"reason": "expired"})
    assert not running.answer.done()
    engine.told[0](STREAMED)
