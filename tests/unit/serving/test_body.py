"""Reading a body: bytes, pieces, time, expansion, and the budget of all bodies together."""

from __future__ import annotations

import asyncio
import gzip
import random
import tracemalloc
import zlib
from collections.abc import Callable, Iterable

import pytest

from registry.edge.gate import Message, Receive
from registry.errors import HeadgateError, InvalidRequest
from serving.http.body import MAX_BODIES_AT_ONCE, MAX_PIECES, QUICK_BYTES, BodyReader, ClientGoneError

pytestmark = pytest.mark.anyio
LIMIT = 1000


class Sender:
    """Sends pieces as an ASGI server does; counts how many were asked for."""

    def __init__(self, pieces: Iterable[bytes], hang_up: bool = False) -> None:
        self._pieces = list(pieces)
        self._hang_up = hang_up
        self.asked = 0

    async def receive(self) -> Message:
        """Give the next piece."""
        self.asked += 1
        if not self._pieces:
            if self._hang_up:
                return {"type": "http.disconnect"}
            await asyncio.Event().wait()
        piece = self._pieces.pop(0)
        return {"type": "http.request", "body": piece, "more_body": bool(self._pieces) or self._hang_up}


async def refused(receive: Receive, length: bytes = b"", encoding: bytes = b"", seconds: float = 5) -> str:
    """Return the code of the refusal."""
    with pytest.raises(HeadgateError) as error:
        await BodyReader(LIMIT, seconds).read(length, encoding, receive)
    return error.value.code


async def test_a_body_comes_whole_whatever_its_pieces() -> None:
    """One piece or many make the same body."""
    assert await BodyReader(LIMIT).read(b"6", b"", Sender([b"abcdef"]).receive) == b"abcdef"
    assert await BodyReader(LIMIT).read(b"", b"identity", Sender([b"ab", b"", b"cdef"]).receive) == b"abcdef"


@pytest.mark.parametrize("declared", [1, 1_000_000, 1_400_000, 8_000_000, 100_000_000])
async def test_a_long_body_comes_whole_whatever_length_it_declares(declared: int) -> None:
    """Room is made for what was declared, and what came is the body, be it shorter or longer."""
    body = random.Random(0).randbytes(1_400_000)
    pieces = [body[at : at + 65_536] for at in range(0, len(body), 65_536)]
    bodies = BodyReader(200_000_000)
    assert await bodies.read(str(declared).encode(), b"", Sender(pieces).receive) == body
    assert bodies.budget - bodies.free_bytes == len(body)


async def test_who_only_declares_a_length_is_given_no_memory() -> None:
    """A hundred megabytes that were announced, and two small pieces, take next to nothing."""
    sender = Sender([b"x" * 65_536] * 2, hang_up=True)
    tracemalloc.start()
    try:
        with pytest.raises(ClientGoneError):
            await BodyReader(200_000_000).read(b"100000000", b"", sender.receive)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1_000_000


async def test_a_declared_length_over_the_limit_is_refused_unread() -> None:
    """Nothing is read of a body that says it is too large."""
    sender = Sender([b"x"])
    assert await refused(sender.receive, length=b"1001") == "body_too_large"
    assert sender.asked == 0


async def test_an_undeclared_body_is_refused_at_the_first_byte_too_many() -> None:
    """Reading stops at the limit."""
    sender = Sender([b"x" * 600, b"x" * 401, b"x" * 600])
    assert await refused(sender.receive) == "body_too_large"
    assert sender.asked == 2
    assert len(await BodyReader(LIMIT).read(b"", b"", Sender([b"x" * 600, b"x" * 400]).receive)) == LIMIT


async def test_too_many_pieces_are_refused() -> None:
    """A body of a great many tiny pieces is cut off by their number."""
    assert await refused(Sender([b""] * (MAX_PIECES + 5)).receive) == "body_too_large"


async def test_a_body_that_does_not_come_is_given_up() -> None:
    """A client that stops sending is told so after the deadline."""
    assert await refused(Sender([]).receive, seconds=0.01) == "request_timeout"


async def test_a_client_that_hangs_up_gets_no_answer() -> None:
    """A disconnect is no error of anybody's."""
    with pytest.raises(ClientGoneError):
        await BodyReader(LIMIT).read(b"", b"", Sender([b"abc"], hang_up=True).receive)


Compress = Callable[[bytes], bytes]
FORMATS: list[tuple[bytes, Compress]] = [(b"gzip", gzip.compress), (b"deflate", zlib.compress)]
each_format = pytest.mark.parametrize(("encoding", "compress"), FORMATS, ids=["gzip", "deflate"])


@each_format
async def test_what_is_compressed_is_expanded(encoding: bytes, compress: Compress) -> None:
    """A compressed body arrives as it was, however its encoding is spelt."""
    for spelt in (encoding, b" %b " % encoding.upper()):
        assert await BodyReader(LIMIT).read(b"", spelt, Sender([compress(b"abc")]).receive) == b"abc"
    assert await BodyReader(LIMIT).read(b"", b"x-gzip", Sender([gzip.compress(b"abc")]).receive) == b"abc"


@each_format
async def test_a_bomb_is_refused_at_the_expanded_limit(encoding: bytes, compress: Compress) -> None:
    """A thousandfold expansion is stopped one byte after the limit."""
    bomb = compress(b"0" * 10_000_000)[:LIMIT]
    assert await refused(Sender([bomb]).receive, encoding=encoding) == "body_too_large"


@each_format
@pytest.mark.parametrize(
    "damage", [lambda b: b[:-3], lambda b: b + b"x", lambda b: b * 2, lambda _: b"", lambda _: b"no"]
)
async def test_a_damaged_compressed_body_is_the_clients_error(
    encoding: bytes, compress: Compress, damage: Compress
) -> None:
    """Cut short, followed by something, empty, or not what it says: 400."""
    assert await refused(Sender([damage(compress(b"abc"))]).receive, encoding=encoding) == "invalid_argument"


async def test_a_bare_deflate_stream_is_no_deflate() -> None:
    """HTTP's deflate has zlib's head and checksum; without them it is refused, not guessed."""
    bare = zlib.compress(b"abc" * 9)[2:-4]
    assert await refused(Sender([bare]).receive, encoding=b"deflate") == "invalid_argument"


@pytest.mark.parametrize("encoding", [b"br", b"gzip, gzip", b"deflate, gzip", b"zstd", b"\xff"])
async def test_other_encodings_are_refused(encoding: bytes) -> None:
    """Only gzip and deflate are read, and once."""
    assert await refused(Sender([b"x"]).receive, encoding=encoding) == "unsupported_media_type"


async def test_all_bodies_share_a_budget_and_give_it_back() -> None:
    """Large bodies beyond the budget are refused; refusals and ends give their share back."""
    reader = BodyReader(LIMIT, 5)
    for _ in range(MAX_BODIES_AT_ONCE):
        await reader.read(b"", b"", Sender([b"x" * LIMIT]).receive)
    for _ in range(3):
        with pytest.raises(HeadgateError) as error:
            await reader.read(b"", b"", Sender([b"", b"x"]).receive)
        assert error.value.code == "overloaded"
    reader.free(LIMIT)
    for _ in range(3):
        with pytest.raises(HeadgateError):
            await reader.read(b"", b"", Sender([b"x" * (LIMIT - 1), b"xx"]).receive)
        with pytest.raises(HeadgateError):
            await reader.read(b"", b"gzip", Sender([b"x" * LIMIT]).receive)
    assert len(await reader.read(b"", b"", Sender([b"x" * LIMIT]).receive)) == LIMIT


@pytest.mark.parametrize("size", [QUICK_BYTES - 1, QUICK_BYTES, QUICK_BYTES + 1, 4 * QUICK_BYTES])
async def test_large_bodies_expand_as_small_ones_do(size: int) -> None:
    """Up to the limit a body arrives whole, whichever part of it is expanded beside the event loop."""
    reader = BodyReader(4 * QUICK_BYTES)
    for data in (b"0" * size, bytes(random.Random(1).choices(b"0123", k=size))):
        assert await reader.read(b"", b"gzip", Sender([gzip.compress(data)]).receive) == data
        reader.free(size)
    assert reader.free_bytes == reader.budget


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (gzip.compress(b"0" * (4 * QUICK_BYTES + 1), mtime=0), "body_too_large"),
        (gzip.compress(b"0" * 4 * QUICK_BYTES, mtime=0)[:-8] + bytes(8), "invalid_argument"),
        (gzip.compress(b"0" * 4 * QUICK_BYTES, mtime=0)[:-1], "invalid_argument"),
        (gzip.compress(b"0" * 4 * QUICK_BYTES, mtime=0) + b"x", "invalid_argument"),
    ],
)
async def test_large_bodies_are_refused_as_small_ones_are(body: bytes, code: str) -> None:
    """One byte too many, a wrong checksum, a missing end and a trailer are seen beside the event loop too."""
    with pytest.raises(HeadgateError) as error:
        await BodyReader(4 * QUICK_BYTES).read(b"", b"gzip", Sender([body]).receive)
    assert error.value.code == code


@pytest.mark.parametrize("fault", [None, InvalidRequest("invalid_argument", "no")])
async def test_a_routes_body_is_given_back_whatever_becomes_of_it(fault: HeadgateError | None) -> None:
    """It is held while it is worked on, and free afterwards, errors included."""
    reader, packed = BodyReader(LIMIT), gzip.compress(b"abcdef")
    headers = {"content-length": str(len(packed)), "content-encoding": "gzip"}

    async def work() -> None:
        async with reader.whole(headers, Sender([packed]).receive) as body:
            assert (body, reader.budget - reader.free_bytes) == (b"abcdef", 6)
            if fault is not None:
                raise fault

    if fault is None:
        await work()
    else:
        with pytest.raises(HeadgateError):
            await work()
    assert reader.free_bytes == reader.budget
