"""OpenTelemetry's side of traces: spans as its SDK has them, sent over OTLP/HTTP.

Only imported where an endpoint is set: it takes half a second. Headers, certificates and compression are set by
OpenTelemetry's own ``OTEL_EXPORTER_OTLP_…`` variables, as for any program that sends traces. Not here: when spans are
sent (``traces.py``).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from urllib.parse import urlsplit

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

from registry.edge.traces import Span

SECONDS = 5.0
"""How long one batch is tried, with all its repetitions."""
_PATH = "/v1/traces"
_SAMPLED = TraceFlags(TraceFlags.SAMPLED)
_UNSET, _FAILED = Status(StatusCode.UNSET), Status(StatusCode.ERROR)


class OtlpExporter:
    """Sends spans to a collector; ``endpoint`` is its base URL, or the whole URL of its traces."""

    def __init__(self, endpoint: str, service: str, version: str, instance: str) -> None:
        # It writes a line for each attempt, with the answer's text; whoever sends counts them and writes his own.
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
        self._scope = InstrumentationScope("headgate", version)
        self._resource = Resource.create(
            {"service.name": service, "service.version": version, "service.instance.id": instance}
        )
        self._exporter = OTLPSpanExporter(endpoint=traces_url(endpoint), timeout=SECONDS)

    def export(self, spans: Sequence[Span]) -> bool:
        """See ``Exporter.export``."""
        return self._exporter.export([self._readable(span) for span in spans]) is SpanExportResult.SUCCESS

    def close(self) -> None:
        """See ``Exporter.close``."""
        self._exporter.shutdown()  # type: ignore[no-untyped-call]  # the library gives it no types

    def _readable(self, span: Span) -> ReadableSpan:
        return ReadableSpan(
            name=span.name,
            context=SpanContext(span.trace, span.number, is_remote=False, trace_flags=_SAMPLED),
            parent=SpanContext(span.trace, span.parent, is_remote=span.served) if span.parent else None,
            resource=self._resource,
            attributes=span.attributes,
            kind=SpanKind.SERVER if span.served else SpanKind.INTERNAL,
            status=_FAILED if span.error else _UNSET,
            start_time=span.start_ns,
            end_time=span.end_ns,
            instrumentation_scope=self._scope,
        )


def traces_url(endpoint: str) -> str:
    """Return where a collector takes traces, as OTLP says: below its base URL."""
    return endpoint if urlsplit(endpoint).path.endswith(_PATH) else endpoint.rstrip("/") + _PATH
