"""Memory that a node shares with a host: both ends read what the other wrote, and no host can unsettle the node."""

from __future__ import annotations

import asyncio
import contextlib
import mmap
import os
import socket
import struct
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.exchange import ArrayOutput, Call, TensorInput
from serving.runtimes.host import shared as node
from serving.runtimes.host.calls import pack_call
from serving.runtimes.host.child import shared as child
from serving.runtimes.host.child import values, wire
from serving.runtimes.host.frames import SHARED_BYTES, SHARED_FROM, FrameError, Frames, read_output
from tests.support.lanes import move_clock, tell

pytestmark = pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="there is no such memory on this system")
ELSEWHERE, MAY_SHARE = 1 << 31, 1 << 30
LARGE = np.arange(20_000, dtype=np.float64)


def both() -> tuple[node.Shared, child.Shared]:
    """Return a region as either end has it."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        made, received = node.share(ours), child.receive(theirs)
    assert made is not None
    assert received is not None
    return made, received


def run(story: Coroutine[Any, Any, None]) -> None:
    """Run on a loop whose clock is in the test's hand."""
    tell(story)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.binary(max_size=40), max_size=5), st.integers(0, 5))
def test_what_one_end_puts_the_other_takes(small: list[bytes], place: int) -> None:
    """Buffers lie one after another, each at a multiple of sixteen bytes, in either direction."""

    async def story() -> None:
        ours, theirs = both()
        buffers: list[bytes | memoryview] = [*small[:place], os.urandom(SHARED_FROM + 1), *small[place:]]
        expected = b"".join(bytes(b) + bytes(-len(b) % 16) for b in buffers)
        assert ours.put(buffers)
        there = theirs.take(len(expected))
        assert theirs.put(buffers[::-1])
        assert len(there) == len(expected)
        at = 0
        for buffer in buffers:
            assert bytes(there[at : at + len(buffer)]) == bytes(buffer)
            at += len(buffer) + -len(buffer) % 16
        first = buffers[-1]
        assert bytes(ours.take(len(first))) == first

    run(story())


def test_small_and_huge_bodies_go_over_the_socket() -> None:
    """Where the socket is as quick, and where the region is too short, nothing is put into it."""

    async def story() -> None:
        for end in both():
            assert not end.put([bytes(SHARED_FROM)])
            assert not end.put([])
            assert not end.put([bytes(SHARED_BYTES), b"x"])
            assert end.put([bytes(SHARED_FROM), b"x"])

    run(story())


def test_what_was_taken_no_longer_changes() -> None:
    """The node looks at a copy of its own, and so does a model that keeps its input."""

    async def story() -> None:
        ours, theirs = both()
        ones, twos = b"1" * 100_000, b"2" * 100_000
        theirs.put([ones])
        here = ours.take(len(ones))
        ours.put([twos])
        there = theirs.take(len(twos))
        theirs.put([ones])
        assert bytes(here) == ones
        assert bytes(there) == twos

    run(story())


@contextmanager
def given_away() -> Iterator[tuple[node.Shared, int]]:
    """Give a region, and the descriptor that a host has of it."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        made = node.share(ours)
        _, (descriptor,), _, _ = socket.recv_fds(theirs, 1, 1)
    assert made is not None
    try:
        yield made, descriptor
    finally:
        os.close(descriptor)


def test_a_host_cannot_change_the_length() -> None:
    """Neither shorter, which would end a node that reads, nor longer, nor sealed otherwise."""

    async def story() -> None:
        with given_away() as (made, descriptor):
            import fcntl

            for length in (0, SHARED_BYTES - 1, SHARED_BYTES + 1, 1 << 40):
                with pytest.raises(OSError, match="not permitted"):
                    os.ftruncate(descriptor, length)
            with pytest.raises(OSError, match="not permitted"):
                os.pwrite(descriptor, b"x", SHARED_BYTES)
            with pytest.raises(OSError, match="not permitted"):
                fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE)
            with mmap.mmap(descriptor, 0) as theirs_mapped:
                made.put([b"3" * 100_000])
                theirs_mapped.madvise(mmap.MADV_REMOVE)  # the most it can do
                assert bytes(made.take(100_000)) == bytes(100_000)

    run(story())


def test_one_at_a_time_has_the_region_and_idleness_gives_it_back() -> None:
    """Who borrows it has it alone; some time after its last use its memory goes, and it serves on."""

    async def story() -> None:
        with given_away() as (made, descriptor):
            assert made.borrow()
            assert not made.borrow()
            made.put([bytes(1 << 20)])
            move_clock(10 * node.REST_SECONDS)
            await asyncio.sleep(0)
            assert os.fstat(descriptor).st_blocks * 512 >= 1 << 20
            made.give_back()
            for _ in range(3):
                move_clock(1.5 * node.REST_SECONDS)
                await asyncio.sleep(0)
                await asyncio.sleep(0)
            while not made.borrow():  # it is being given back, beside the loop
                await asyncio.sleep(0)
            assert os.fstat(descriptor).st_blocks == 0
            assert made.put([b"4" * 100_000])
            assert os.pread(descriptor, 3, 0) == b"444"
            made.close()

    run(story())


def test_a_call_and_its_answer_pass_through_it() -> None:
    """Only headers go over the socket; what arrives is aligned, and the model's own."""

    async def story() -> None:
        ours, theirs = both()
        a, b = socket.socketpair()
        with a, b:
            frame = b"".join(pack_call(7, Call(TensorInput(LARGE)), ours))
            assert len(frame) < 500
            a.sendall(frame)
            stream = wire.Stream(b, theirs)
            read = stream.read()
        assert read is not None
        number, header, buffers = read
        assert (number, stream.may_share) == (7, True)
        there = values.take_input(header["input"], buffers)
        assert there.tobytes() == LARGE.tobytes()
        assert there.flags.writeable
        assert there.flags.aligned
        parts: list[wire.Buffer] = []
        spec = values.lay_output(there * 2, parts)
        answer = b"".join(wire.pack({"output": spec}, parts, 7, shared=theirs))
        assert len(answer) < 500
        (got,) = Frames(SHARED_BYTES).feed(answer)
        assert got.size == LARGE.nbytes
        output = read_output(got.fetched(ours.take))
        assert isinstance(output, ArrayOutput)
        assert output.array.tobytes() == (LARGE * 2).tobytes()

    run(story())


@settings(max_examples=300, deadline=None)
@given(
    st.integers(0, (1 << 32) - 1).map(lambda n: n & 0x30) | st.just(16),
    st.integers(0, 4),
    st.lists(
        st.integers(0, 200_000) | st.integers((1 << 64) - 40, (1 << 64) - 1) | st.integers(0, (1 << 64) - 1), max_size=4
    ),
    st.sampled_from([0, ELSEWHERE, MAY_SHARE, ELSEWHERE | MAY_SHARE, 1 << 29]),
    st.sampled_from([0, 4096, 1 << 18]),
)
def test_any_head_is_within_the_region_or_refused(
    text: int, more: int, lengths: list[int], flags: int, room: int
) -> None:
    """Lengths beyond the region, negative ones, wrong counts and flags: FrameError, or more is waited for."""
    count = (len(lengths) + more) | flags
    data = struct.pack("<IIQ", text, count, 7) + struct.pack(f"<{len(lengths)}Q", *lengths) + b"{}".ljust(text)
    with contextlib.suppress(FrameError):
        for frame in Frames(room).feed(data):
            assert sum(n + -n % 16 for n in frame.elsewhere) <= room

            def take(size: int) -> memoryview:
                assert size <= room
                return memoryview(bytes(size))

            assert [len(b) for b in frame.fetched(take).buffers] == list(frame.elsewhere or map(len, frame.buffers))


@pytest.mark.parametrize("room", [0, 4096])
def test_a_body_that_lies_nowhere_is_refused(room: int) -> None:
    """Who shares no memory is not told to look there, and nobody is told to look beyond its end."""
    with pytest.raises(FrameError):
        list(Frames(room).feed(struct.pack("<IIQQ", 8, 1 | ELSEWHERE, 7, 4097) + b"{}".ljust(8)))


def test_frames_may_follow_one_another_wherever_their_bodies_lie() -> None:
    """A frame whose body lies elsewhere ends where its header ends."""
    there = struct.pack("<IIQQ", 8, 1 | ELSEWHERE, 1, 32) + b"{}".ljust(8)
    here = b"".join(wire.pack({}, [b"abc"], 2))
    for size in (1, 9, 1000):
        frames, stream = Frames(4096), there + here + there
        seen = [f for i in range(0, len(stream), size) for f in frames.feed(stream[i : i + size])]
        assert [(f.number, f.elsewhere, [bytes(b) for b in f.buffers]) for f in seen] == [
            (1, (32,), []),
            (2, (), [b"abc"]),
            (1, (32,), []),
        ]


def test_without_such_memory_the_other_end_is_told() -> None:
    """A host that gets no region reads on, and has none."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(b"\0next")
        assert child.receive(theirs) is None
        assert theirs.recv(10) == b"next"
