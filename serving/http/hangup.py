"""Requests whose client hangs up are given up: nobody shall wait behind what nobody waits for.

A client that gives up and asks again would otherwise leave its first request in the model's queue, and its second
behind it. Only requests that take a while are watched; most are answered before anybody could hang up. Not here: what
giving up means further in, which is the cancellation of the request's task.
"""

from __future__ import annotations

import asyncio
from types import TracebackType

from registry.edge.gate import Receive
from serving.http.body import ClientGoneError

UNWATCHED_SECONDS = 0.05


class Hangup:
    """A context in which the running task is cancelled once its client has gone; leaves it with ClientGoneError.

    Args:
        receive: ASGI's, after the whole body has come: all that it can still tell is that the client has gone.
    """

    __slots__ = ("_gone", "_receive", "_task", "_timer", "_watcher")

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._gone = False
        self._task: asyncio.Task[object] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._watcher: asyncio.Task[None] | None = None

    def __enter__(self) -> None:
        self._task = asyncio.current_task()
        self._timer = asyncio.get_running_loop().call_later(UNWATCHED_SECONDS, self._begin)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._watcher is not None:
            self._watcher.cancel()
        if self._gone and self._task is not None:
            self._task.uncancel()
            raise ClientGoneError from None

    def _begin(self) -> None:
        self._watcher = asyncio.get_running_loop().create_task(self._watch())

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        if self._task is not None and not self._task.done():
            self._gone = True
            self._task.cancel()
