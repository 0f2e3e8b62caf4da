"""Perform the effects of flows on an event loop. Nothing is decided here."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator
from types import TracebackType
from typing import Any, TypeVar

import httpx

from headgate.answers import error_of
from headgate.errors import HeadgateError
from headgate.events import Pieces
from headgate.settings import Settings
from headgate.transport import (
    PIECE_BYTES,
    answer_from,
    client_options,
    count_sent,
    prepare,
    require_open,
    stream_options,
    timeout,
    translated,
)
from headgate.wire import Answer, Done, Effect, FileBody, Flow, Now, Parallel, Pause, Request, Work, step

T = TypeVar("T")

AT_ONCE = 4
"""Requests of one ``Parallel`` that are under way at a time."""


class AsyncDriver:
    """Runs flows on one ``httpx.AsyncClient``; any number at once."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._http = httpx.AsyncClient(**client_options(settings))

    async def run(self, flow: Flow[T]) -> T:
        """Run a flow to its end; return its value or raise what it raised."""
        outcome: object = None
        failure: HeadgateError | None = None
        try:
            require_open(self._http)
            while True:
                effect = step(flow, outcome, failure)
                if isinstance(effect, Done):
                    return effect.value
                outcome, failure = None, None
                try:
                    outcome = await self._perform(effect)
                except HeadgateError as error:
                    failure = error
        finally:
            flow.close()

    async def stream(self, request: Request) -> AsyncGenerator[Any, None]:
        """Yield what a request is answered piece by piece; raise as ``run`` does. Closing it hangs up."""
        require_open(self._http)
        prepared = prepare(request, self._settings)
        pieces, ask = Pieces(prepared.url), stream_options(request, prepared)
        try:
            with translated(prepared, self._settings):
                async with self._http.stream(**ask) as response:
                    if response.status_code != 200:
                        await response.aread()
                        raise error_of(answer_from(response, prepared.url))
                    async for data in response.aiter_bytes():
                        for piece in pieces.feed(data):
                            yield piece
        except HeadgateError as error:
            raise pieces.failed(error) from error.__cause__
        pieces.finish()

    async def close(self) -> None:
        """Close all connections."""
        await self._http.aclose()

    async def __aenter__(self) -> AsyncDriver:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _perform(self, effect: Effect) -> object:
        match effect:
            case Request():
                return await self._send(effect)
            case Parallel(requests):
                return await self._send_all(requests)
            case Pause(seconds):
                await asyncio.sleep(seconds)
                return None
            case Now():
                return time.monotonic()
            case Work(call):
                return await asyncio.to_thread(call)

    async def _send(self, request: Request) -> Answer:
        require_open(self._http)  # it may have been closed since the flow began
        prepared = prepare(request, self._settings)
        content = _pieces(request.body) if isinstance(request.body, FileBody) else request.body
        with translated(prepared, self._settings):
            answer = await self._http.request(
                prepared.method,
                prepared.url,
                headers=prepared.headers,
                content=content,
                timeout=timeout(prepared.seconds),
            )
        return answer_from(answer, prepared.url)

    async def _send_all(self, requests: tuple[Request, ...]) -> list[Answer]:
        places = asyncio.Semaphore(AT_ONCE)

        async def send(request: Request) -> Answer:
            async with places:
                return await self._send(request)

        tasks = [asyncio.create_task(send(request)) for request in requests]
        try:
            return list(await asyncio.gather(*tasks))
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def _pieces(body: FileBody) -> AsyncIterator[bytes]:
    sent = 0
    file = await asyncio.to_thread(body.path.open, "rb")
    try:
        while piece := await asyncio.to_thread(file.read, PIECE_BYTES):
            sent = count_sent(body, sent, piece)
            yield piece
            body.sent(len(piece))
        count_sent(body, sent, b"")
    finally:
        file.close()
