"""Makes a process's tracer, or none: where no endpoint is set, nothing of OpenTelemetry is imported."""

from __future__ import annotations

from collections.abc import Callable

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
