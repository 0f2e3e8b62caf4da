"""Makes a process's tracer and runs it, or neither: without an endpoint, OpenTelemetry's SDK is not imported."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from registry.edge.traces import Tracer


def open_tracer(
    endpoint: str | None, ratio: float, count: Callable[[str, int], None], *, service: str, version: str, instance: str
) -> Tracer | None:
    """Return the tracer, which begins to send once it is started; None without an ``endpoint``.

    ``ratio`` and ``count`` are as ``Tracer`` has them; the rest says who sends.
    """
    if endpoint is None:
        return None
    from registry.edge.otlp import OtlpExporter  # late: half a second, and an extra that need not be installed

    return Tracer(ratio, OtlpExporter(endpoint, service, version, instance), count)


@asynccontextmanager
async def sending(tracer: Tracer | None) -> AsyncIterator[None]:
    """Have the tracer send for as long as the block runs, if there is one."""
    if tracer is None:
        yield
        return
    tracer.start()
    try:
        yield
    finally:
        await asyncio.to_thread(tracer.close)
