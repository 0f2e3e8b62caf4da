"""Every request of the registry is counted by its route, and has a span where traces are on."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import httpx
import pytest

from registry.edge.traces import Span, Tracer
from registry.http.counted import Counted
from tests.support.registry_app import V1, RegistryInMemory

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


class Kept:
    """An exporter that keeps what it is given."""

    def __init__(self) -> None:
        self.spans: list[Span] = []

    def export(self, spans: Sequence[Span]) -> bool:
        """Keep them."""
        self.spans.extend(spans)
        return True

    def close(self) -> None:
        """Nothing is open."""


def ask(app: Counted, path: str, **headers: str) -> httpx.Response:
    """Send one request."""

    async def send() -> httpx.Response:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:5000") as client:
            return await client.get(path, headers=headers)

    return asyncio.run(send())


def test_a_request_has_one_span_by_its_route() -> None:
    """In its caller's trace, under the route's template, with method and status; health is not traced."""
    registry, kept = RegistryInMemory(), Kept()
    tracer = Tracer(1.0, kept, lambda outcome, n: None)
    app = Counted(registry.gate, registry.gate.table, registry.metrics.requested, tracer)
    answer = ask(app, f"{V1}/models/absent", traceparent=PARENT)
    assert "traceparent" not in ask(app, "/livez", traceparent=PARENT).headers
    tracer.send()
    (span,) = kept.spans
    assert (span.name, f"{span.trace:032x}", span.parent) == (
        f"GET {V1}/models/{{name}}",
        PARENT[3:35],
        0xF067AA0BA902B7,
    )
    assert answer.headers["traceparent"] == f"{PARENT[:35]}-{span.number:016x}-01"
    assert span.attributes["http.response.status_code"] == 404
    assert span.served and not span.error


def test_who_goes_before_the_answer_is_counted_too() -> None:
    """An application that ends without an answer, or raises, is one more request of its route."""
    seen: list[tuple[str, str, str]] = []

    async def never(scope: object, receive: object, send: object) -> None:
        raise RuntimeError("gone")

    registry = RegistryInMemory()
    app = Counted(never, registry.gate.table, lambda route, method, code, _: seen.append((route, method, code)))
    with pytest.raises(RuntimeError):
        ask(app, "/livez")
    with pytest.raises(RuntimeError):
        ask(app, "/nowhere")
    assert seen == [("/livez", "GET", "other"), ("other", "GET", "other")]
