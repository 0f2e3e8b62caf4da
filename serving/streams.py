"""An answer that comes piece by piece, as the predictor hands it to a transport.

The lease is held, the request goes on and nothing is observed until it has ended: with its last piece, an error, or
``aclose``, which whoever took it calls in any case. What makes the pieces is closed first: it may use what is leased.
Not here: how it began (``predictor.py``), how pieces travel (``http/events.py``).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from time import perf_counter

from registry.errors import HeadgateError, ModelFault
from serving.exchange import Output
from serving.protocols.request import Encoded
from serving.routing.split import Decision


class Streamed:
    """The pieces of one answer, encoded; the first is there already. One reader.

    Args:
        decision: Who answers.
        first: The first piece; None where there are none.
        rest: The others, not encoded.
        encode: Writes one.
        until: When it must have ended, as ``perf_counter`` counts, and ``most``: how many seconds that are.
        ended: Told once how it ended: None for its last piece.

    Attributes:
        decision: Who answers.
    """

    def __init__(
        self,
        decision: Decision,
        first: Encoded | None,
        rest: AsyncGenerator[Output, None],
        encode: Callable[[Output], Awaitable[Encoded]],
        *,
        most: float,
        ended: Callable[[BaseException | None], None],
    ) -> None:
        self.decision = decision
        self._next, self._rest, self._encode = first, rest, encode
        self._until, self._most = perf_counter() + most, most
        self._ended: Callable[[BaseException | None], None] | None = ended
        if first is None:
            self._end(None)

    def __aiter__(self) -> Streamed:
        return self

    async def __anext__(self) -> Encoded:
        """Return the next piece; raise as ``predict`` does, and ModelFault ``model_timeout`` once it takes too long in
        all."""
        if self._ended is None:
            raise StopAsyncIteration
        piece, self._next = self._next, None
        try:
            return await self._make() if piece is None else piece
        except StopAsyncIteration:
            self._end(None)
            raise
        except BaseException as error:
            await self._close(error)
            raise

    async def aclose(self) -> None:
        """Give up the rest; nobody waits for it. Idempotent."""
        await self._close(asyncio.CancelledError())

    async def _close(self, error: BaseException) -> None:
        try:
            await self._rest.aclose()
        finally:
            self._end(error)

    async def _make(self) -> Encoded:
        try:
            async with asyncio.timeout(max(0.0, self._until - perf_counter())):
                output = await anext(self._rest)
        except TimeoutError:
            message = (
                f"a stream may take {self._most:.6g} s in all (HEADGATE_STREAM_SECONDS), and this one had not ended"
            )
            raise ModelFault("model_timeout", message) from None
        return await self._encode(output)

    def _end(self, error: BaseException | None) -> None:
        ended, self._ended = self._ended, None
        if ended is not None:
            ended(error)


def code_of(error: BaseException | None) -> str:
    """Return what metrics call how a request ended; empty for well. Who has gone is no fault of the model or ours."""
    if error is None:
        return ""
    if isinstance(error, HeadgateError):
        return error.code
    return "request_timeout" if isinstance(error, asyncio.CancelledError) else "internal"
