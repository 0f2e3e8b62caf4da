"""Reads a request's body within its limits: bytes, pieces, time, and expansion; and all bodies together.

Standard library alone: it stands on the predict path. Not here: what the bytes mean (``protocols``).
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from io import BytesIO

from registry.edge.errand import in_task
from registry.edge.gate import Receive
from registry.errors import HeadgateError, InvalidRequest, Refused, quote

MAX_PIECES = 65_536
MAX_BODIES_AT_ONCE = 32
READ_SECONDS = 30.0
MUCH_BYTES = 1 << 20
"""What all bodies together may take without that anybody is told of it."""
QUICK_BYTES = 128 * 1024
"""What is expanded on the event loop; more would hold up everybody else's requests."""
_ROOM_AFTER = 64
"""Room for all of a long body is made once one of so many parts of it came: not for who just says a number."""
_FORMATS = {b"gzip": 16 + zlib.MAX_WBITS, b"x-gzip": 16 + zlib.MAX_WBITS, b"deflate": zlib.MAX_WBITS}
"""What is expanded, as zlib numbers it. HTTP's deflate is zlib's format, not a bare stream (RFC 9110 §8.4.1.2)."""


class ClientGoneError(Exception):
    """The client hung up: nobody is there to answer."""


class BodyReader:
    """Reads bodies of at most ``limit`` bytes after expansion, each within ``seconds``.

    All bodies that are being read or worked on share a budget of ``MAX_BODIES_AT_ONCE`` times the limit, so that many
    large ones at once are refused rather than held; ``free`` gives a body's share back. ``much`` is told whenever one
    of them goes while they take much memory; it must be quick.
    """

    def __init__(self, limit: int, seconds: float = READ_SECONDS, much: Callable[[], None] = lambda: None) -> None:
        self.seconds = seconds
        self.budget = self.free_bytes = limit * MAX_BODIES_AT_ONCE
        self._limit = limit
        self._few, self._much = self.budget - MUCH_BYTES, much
        self._threads = ThreadPoolExecutor(1, thread_name_prefix="expand")

    async def read(self, length: bytes, encoding: bytes, receive: Receive) -> bytes:
        """Return the whole body, expanded.

        Args:
            length: The Content-Length header, empty where there is none.
            encoding: The Content-Encoding header, empty where there is none.
            receive: ASGI's.

        Raises InvalidRequest ``body_too_large``, ``request_timeout``, ``unsupported_media_type`` or
        ``invalid_argument``, Refused ``overloaded``, or ClientGoneError.
        """
        if length and int(length) > self._limit:
            raise self._too_large()
        expander = _expander_of(encoding)
        held = [0]
        await in_task()
        try:
            async with asyncio.timeout(self.seconds):
                body = await self._collect(receive, held, int(length or 0))
                return body if expander is None else await self._expand(expander, body, held)
        except TimeoutError:
            self.free(held[0])
            message = f"the body did not arrive within {self.seconds:g} seconds"
            raise InvalidRequest("request_timeout", message) from None
        except (HeadgateError, ClientGoneError, asyncio.CancelledError):
            self.free(held[0])
            raise

    @asynccontextmanager
    async def whole(self, headers: Mapping[str, str], receive: Receive) -> AsyncIterator[bytes]:
        """Give a framework route its request's body, and take its share back afterwards; raise as ``read`` does."""
        length, encoding = (headers.get(name, "").encode("latin-1") for name in ("content-length", "content-encoding"))
        body = await self.read(length, encoding, receive)
        try:
            yield body
        finally:
            self.free(len(body))

    def take(self, body: bytes) -> bytes:
        """Return a whole body that came without an encoding; raise as ``read`` does. Give it back with ``free``."""
        if len(body) > self._limit:
            raise self._too_large()
        if len(body) > self.free_bytes:
            raise _too_many()
        self.free_bytes -= len(body)
        return body

    def free(self, size: int) -> None:
        """Give back the share of a body of ``size`` bytes."""
        if self.free_bytes < self._few:
            self._much()
        self.free_bytes += size

    async def _collect(self, receive: Receive, held: list[int], length: int) -> bytes:
        # A large body is in memory once: its value is not copied out, as joining a list would, nor moved as it grows.
        whole, pieces, room_from = BytesIO(), 0, max(length // _ROOM_AFTER, QUICK_BYTES)
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientGoneError
            piece: bytes = message.get("body", b"")
            self._hold(len(piece), held)
            if held[0] > self._limit:
                raise self._too_large()
            pieces += 1
            if not message.get("more_body", False):
                if pieces == 1:
                    return piece
                whole.write(piece)
                whole.truncate()
                return whole.getvalue()
            whole.write(piece)
            if room_from <= held[0] < length:
                whole, room_from = _with_room(whole, length), length
            if pieces >= MAX_PIECES:
                raise InvalidRequest(
                    "body_too_large", f"the body came in more than {MAX_PIECES} pieces; send larger ones"
                )

    async def _expand(self, expander: zlib._Decompress, body: bytes, held: list[int]) -> bytes:
        try:
            # One byte more than allowed shows that there is more, without making it.
            expanded = expander.decompress(body, min(QUICK_BYTES, self._limit + 1))
            if not expander.eof and QUICK_BYTES <= len(expanded) <= self._limit:
                loop = asyncio.get_running_loop()
                expanded = await loop.run_in_executor(self._threads, _go_on, expander, expanded, self._limit + 1)
        except zlib.error:
            raise InvalidRequest("invalid_argument", "the body is not what its Content-Encoding says") from None
        if len(expanded) > self._limit:
            raise self._too_large()
        if not expander.eof or expander.unused_data:
            raise InvalidRequest("invalid_argument", "the compressed body is cut short, or something follows it")
        self._hold(len(expanded), held)
        self.free(len(body))
        held[0] = len(expanded)
        return expanded

    def _hold(self, size: int, held: list[int]) -> None:
        if size > self.free_bytes:
            raise _too_many()
        self.free_bytes -= size
        held[0] += size

    def _too_large(self) -> InvalidRequest:
        return InvalidRequest(
            "body_too_large",
            f"a body may have at most {self._limit} bytes after expansion (HEADGATE_BODY_BYTES)",
            {"limit": self._limit},
        )


def _too_many() -> Refused:
    return Refused("overloaded", "too many large bodies at once; send this one again later", retry_after=1)


def _with_room(begun: BytesIO, length: int) -> BytesIO:
    # Zeros that nobody wrote take no memory until they are overwritten.
    whole = BytesIO(bytes(length))
    whole.write(begun.getvalue())
    return whole


def _go_on(expander: zlib._Decompress, expanded: bytes, most: int) -> bytes:
    return expanded + expander.decompress(expander.unconsumed_tail, most - len(expanded))


def _expander_of(encoding: bytes) -> zlib._Decompress | None:
    named = encoding.strip().lower()
    if named in (b"", b"identity"):
        return None
    if named in _FORMATS:
        return zlib.decompressobj(_FORMATS[named])
    name = quote(encoding.decode("latin-1"), 32)
    message = f"the content encoding '{name}' is not read here; use gzip, deflate or none"
    raise InvalidRequest("unsupported_media_type", message)
