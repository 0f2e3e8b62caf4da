"""When the gRPC server is opened and closed: beside the node's start, and before anything that it stands on ends.

gRPC takes 0.15 s to import, which nobody who asks by HTTP shall wait for: it is imported in a thread once the node is
up. Importing this module imports none of it. Not here: the server (``server.py``).
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from registry import log
from registry.edge.server import DRAIN_SECONDS
from registry.edge.traces import Tracer
from serving.http.body import BodyReader
from serving.http.lane import Predicts
from serving.http.view import NodeView
from serving.settings import ServingSettings
from serving.telemetry.finished import Finished


@dataclass(frozen=True, slots=True)
class Beneath:
    """What the server stands on: the same as HTTP's routes."""

    node: NodeView
    predictor: Predicts
    bodies: BodyReader
    observe: Callable[[Finished], None]
    tracer: Tracer | None


class GrpcDoor:
    """The gRPC side of a node. For one event loop; ``leave`` may be called from a signal's handler."""

    def __init__(self, beneath: Beneath, settings: ServingSettings) -> None:
        self._beneath = beneath
        self._settings = settings
        self._server: Any = None
        self._inferring: Any = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ending: asyncio.Task[None] | None = None
        self._left = False
        self.port = 0
        """Where it listens, once it does."""

    async def open(self) -> None:
        """Import what is needed and begin to answer; raise RuntimeError where the port cannot be had."""
        self._loop = asyncio.get_running_loop()
        # The library writes lines of its own to stderr, which are no JSON.
        os.environ.setdefault("GRPC_VERBOSITY", "NONE")
        infer, server = await asyncio.to_thread(_import)
        if self._left:
            return
        settings, beneath = self._settings, self._beneath
        times = infer.Times(settings.request_seconds, settings.stream_seconds)
        asked = beneath.predictor, beneath.bodies, beneath.observe, times, beneath.tracer
        inferring = self._inferring = infer.Inferring(*asked)
        place = server.Place(settings.serving_host, settings.grpc_port, settings.body_bytes)
        self._server, self.port = server.build_server(beneath.node, inferring, place)
        await self._server.start()
        log.event("grpc_listening", port=self.port)

    def leave(self) -> None:
        """Take no new calls; those under way end within the node's time."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._end)

    async def close(self) -> None:
        """Return once the last call has ended, or its time is over."""
        self._end()
        if self._ending is not None:
            await self._ending

    def _end(self) -> None:
        self._left = True
        if self._ending is None and self._server is not None:
            self._inferring.leaving.set()
            self._ending = asyncio.get_running_loop().create_task(self._server.stop(DRAIN_SECONDS))


def _import() -> tuple[Any, Any]:
    return import_module("serving.grpc.infer"), import_module("serving.grpc.server")
