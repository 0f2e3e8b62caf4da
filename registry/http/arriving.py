"""Bodies of any length, handed to code that blocks, one piece at a time. Not here: what is done with the pieces."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator

from starlette.requests import ClientDisconnect

from registry.edge.patience import Sender
from registry.errors import InvalidRequest


def blocking(stream: AsyncIterator[bytes], loop: asyncio.AbstractEventLoop) -> Iterator[bytes]:
    """Read an async stream from a thread, one piece at a time: the sender waits while the store is slow."""
    sender = Sender()
    while True:
        began = time.monotonic()
        future = asyncio.run_coroutine_threadsafe(_next(stream), loop)
        try:
            chunk = future.result(sender.seconds_left())
        except (TimeoutError, ClientDisconnect) as error:
            future.cancel()
            raise InvalidRequest(
                "request_timeout", "the bytes stopped coming, or came too slowly; send the file again"
            ) from error
        if chunk is None:
            return
        sender.sent(len(chunk), time.monotonic() - began)
        yield chunk


async def _next(stream: AsyncIterator[bytes]) -> bytes | None:
    return await anext(stream, None)
