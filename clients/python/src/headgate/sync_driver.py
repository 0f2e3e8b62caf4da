"""Perform the effects of flows, blocking. Nothing is decided here."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
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


class SyncDriver:
    """Runs flows on one ``httpx.Client``; safe for several threads at once, as that is."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._http = httpx.Client(**client_options(settings))

    def run(self, flow: Flow[T]) -> T:
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
                    outcome = self._perform(effect)
                except HeadgateError as error:
                    failure = error
        finally:
            flow.close()

    def stream(self, request: Request) -> Generator[Any, None, None]:
        """Yield what a request is answered piece by piece; raise as ``run`` does. Closing it hangs up."""
        require_open(self._http)
        prepared = prepare(request, self._settings)
        pieces, ask = Pieces(prepared.url), stream_options(request, prepared)
        try:
            with translated(prepared, self._settings), self._http.stream(**ask) as response:
                if response.status_code != 200:
                    response.read()
                    raise error_of(answer_from(response, prepared.url))
                for data in response.iter_bytes():
                    yield from pieces.feed(data)
        except HeadgateError as error:
            raise pieces.failed(error) from error.__cause__
        pieces.finish()

    def close(self) -> None:
        """Close all connections."""
        self._http.close()

    def __enter__(self) -> SyncDriver:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _perform(self, effect: Effect) -> object:
        match effect:
            case Request():
                return self._send(effect)
            case Parallel(requests):
                return [self._send(request) for request in requests]
            case Pause(seconds):
                time.sleep(seconds)
                return None
            case Now():
                return time.monotonic()
            case Work(call):
                return call()

    def _send(self, request: Request) -> Answer:
        require_open(self._http)  # it may have been closed since the flow began
        prepared = prepare(request, self._settings)
        content = _pieces(request.body) if isinstance(request.body, FileBody) else request.body
        with translated(prepared, self._settings):
            answer = self._http.request(
                prepared.method,
                prepared.url,
                headers=prepared.headers,
                content=content,
                timeout=timeout(prepared.seconds),
            )
        return answer_from(answer, prepared.url)


def _pieces(body: FileBody) -> Iterator[bytes]:
    sent = 0
    with body.path.open("rb") as file:
        while piece := file.read(PIECE_BYTES):
            sent = count_sent(body, sent, piece)
            yield piece
            body.sent(len(piece))
    count_sent(body, sent, b"")
