"""Counts every request of the process by its route, method and status class, and how long it took; its span, where
traces are on.

Labels are the table's templates, a closed set of methods and status classes: nothing that a caller can make up. Not
here: connections that never became a request (``edge/connection.py``).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from time import perf_counter

from registry.edge.exposition import OTHER
from registry.edge.gate import ASGIApp, Message, Receive, RouteTable, Scope, Send
from registry.edge.traceparent import NAME
from registry.edge.traces import Span, Trace, Tracer, Value

_UNTRACED = frozenset({"/livez", "/readyz", "/metrics"})
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Counted:
    """Wrap ``app``; ``count`` hears of each request: route, method, status class, seconds; ``tracer`` of its place."""

    def __init__(
        self,
        app: ASGIApp,
        table: RouteTable,
        count: Callable[[str, str, str, float], None],
        tracer: Tracer | None = None,
    ) -> None:
        self._app = app
        self._table = table
        self._count = count
        self._tracer = tracer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun, status = perf_counter(), 0
        trace = None
        if self._tracer is not None and scope["path"] not in _UNTRACED:
            trace = self._tracer.begin(scope["headers"])

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                if trace is not None:
                    message = {**message, "headers": [*message.get("headers", ()), (NAME, trace.own.header())]}
            await send(message)

        try:
            await self._app(scope, receive, watched)
        finally:
            method = scope["method"] if scope["method"] in METHODS else OTHER
            route = self._table.template(scope["path"]) or OTHER
            code = f"{status // 100}xx" if 100 <= status < 600 else OTHER  # no answer: the client has gone
            seconds = perf_counter() - begun
            self._count(route, method, code, seconds)
            if self._tracer is not None and trace is not None and trace.sampled:
                self._tracer.end(partial(_span_of, trace, f"{method} {route}", status, seconds))


def _span_of(trace: Trace, name: str, status: int, seconds: float) -> tuple[Span]:
    method, _, route = name.partition(" ")
    attributes: dict[str, Value] = {"http.request.method": method, "http.route": route}
    if status:
        attributes["http.response.status_code"] = status
    own, end_ns = trace.own, trace.begun_ns + int(seconds * 1e9)
    failed = status >= 500 or not status
    return (Span(name, own.trace, own.span, trace.parent, trace.begun_ns, end_ns, attributes, True, failed),)
