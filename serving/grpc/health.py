"""The standard health service (``grpc.health.v1``): whether this node can serve, as ``/readyz`` says it.

Known are the server as a whole (no name) and the inference service. Not here: readiness of a model, which the
inference service has a method for.

Source: grpc/doc/health-checking.md.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from registry.errors import Refused
from serving.grpc.messages import SERVICE
from serving.grpc.seats import WATCHERS, Seats

LOOK_SECONDS = 0.5
"""How often a watcher's answer is looked up anew."""
LEAVING = "this node is being stopped; ask another"
_KNOWN = ("", SERVICE)
_messages: Any = health_pb2  # whose types lack List's
_Status = health_pb2.HealthCheckResponse
_Context = grpc.aio.ServicerContext[Any, Any]


class Health(health_pb2_grpc.HealthServicer):
    """Answers by ``is_ready``, which is asked anew for every answer; watchers end once ``leaving`` is set."""

    def __init__(self, is_ready: Callable[[], bool], leaving: asyncio.Event) -> None:
        self._is_ready = is_ready
        self._leaving = leaving
        self._seats = Seats(WATCHERS, "watchers")

    async def Check(self, request: Any, context: _Context) -> Any:  # noqa: N802 -- the service's own name
        """Tell whether this node can serve."""
        if request.service not in _KNOWN:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"known are '{SERVICE}' and the server as a whole, ''")
        return self._answer(request.service)

    async def List(self, request: Any, context: _Context) -> Any:  # noqa: N802 -- the service's own name
        """Tell it of everything that is known."""
        return _messages.HealthListResponse(statuses={name: self._answer(name) for name in _KNOWN})

    async def Watch(self, request: Any, context: _Context) -> AsyncIterator[Any]:  # noqa: N802 -- the service's own name
        """Tell it now and at every change, until the caller leaves."""
        try:
            with self._seats:
                told = None
                while True:
                    answer = self._answer(request.service)
                    if answer != told:
                        yield answer
                        told = answer
                    if self._leaving.is_set():
                        break
                    with suppress(TimeoutError):
                        async with asyncio.timeout(LOOK_SECONDS):
                            await self._leaving.wait()
        except Refused as error:
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, error.message)
        await context.abort(grpc.StatusCode.UNAVAILABLE, LEAVING)

    def _answer(self, service: str) -> Any:
        if service not in _KNOWN:
            return _Status(status=_Status.SERVICE_UNKNOWN)
        return _Status(status=_Status.SERVING if self._is_ready() else _Status.NOT_SERVING)
