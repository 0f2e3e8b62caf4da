"""Liveness, readiness and metrics of the registry.

Liveness: the loop turns. Readiness: start-up is over; it asks no database, because a registry whose database is away
still answers what it can, and taking it out of rotation would help nobody.
"""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from registry.errors import Unavailable


class Life:
    """Whether the process is on its way out."""

    def __init__(self) -> None:
        self.leaving = False

    def leave(self) -> None:
        """Say on ``/readyz`` that no more requests should come."""
        self.leaving = True


def health_routes(metrics: CollectorRegistry, life: Life) -> APIRouter:
    """Return the routes."""
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
        # On the loop: they are few, and the threads may all be waiting for the database when somebody wants to know.
        return Response(generate_latest(metrics), media_type=CONTENT_TYPE_LATEST)

    return routes
