"""Counts every request of the process by its route, method and status class, and how long it took.

Labels are the table's templates, a closed set of methods and status classes: nothing that a caller can make up. Not
here: connections that never became a request (``edge/connection.py``).
"""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter

from registry.edge.exposition import OTHER
from registry.edge.gate import ASGIApp, Message, Receive, RouteTable, Scope, Send

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Counted:
    """Wrap ``app``; ``count`` hears of each request: route, method, status class, seconds."""

    def __init__(self, app: ASGIApp, table: RouteTable, count: Callable[[str, str, str, float], None]) -> None:
        self._app = app
        self._table = table
        self._count = count

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun, status = perf_counter(), 0

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, watched)
        finally:
            method = scope["method"] if scope["method"] in METHODS else OTHER
            route = self._table.template(scope["path"]) or OTHER
            code = f"{status // 100}xx" if 100 <= status < 600 else OTHER  # no answer: the client has gone
            self._count(route, method, code, perf_counter() - begun)
