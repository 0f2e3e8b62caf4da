"""Liveness, readiness and metrics of the registry.

Liveness: the loop turns. Readiness: start-up is over; it asks no database, because a registry whose database is away
still answers what it can, and taking it out of rotation would help nobody.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from fastapi import APIRouter, Response

from registry.edge.exposition import CONTENT_TYPE
from registry.errors import Unavailable

# Of its own: those that answer requests may all be waiting for the database when somebody wants to know.
_THREADS = ThreadPoolExecutor(1, thread_name_prefix="metrics")


class Life:
    """Whether the process is on its way out."""

    def __init__(self) -> None:
        self.leaving = False

    def leave(self) -> None:
        """Say on ``/readyz`` that no more requests should come."""
        self.leaving = True


def health_routes(metrics: Callable[[], bytes], life: Life) -> APIRouter:
    """Return the routes; ``metrics`` writes the page, in a thread."""
    routes = APIRouter(tags=["health"])

    @routes.get("/livez")
    async def livez() -> Any:
        """Tell that the process answers."""
        return {"status": "alive"}

    @routes.get("/readyz")
    async def readyz() -> Any:
        """Tell that the process has started and takes requests."""
        if life.leaving:
            raise Unavailable("shutting_down", "the registry is stopping")
        return {"status": "ready"}

    @routes.get("/metrics", response_class=Response)
    async def exposition() -> Response:
        """Return the metrics in Prometheus' text format."""
        page = await asyncio.get_running_loop().run_in_executor(_THREADS, metrics)
        return Response(page, media_type=CONTENT_TYPE)

    return routes
