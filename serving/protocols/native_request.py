"""The native protocol as a request: a body of ``native``, answered with the format of ``answer``. Pure."""

from __future__ import annotations

from registry.signature import Schema, Signature
from serving.exchange import Call, Output, Priority
from serving.protocols.answer import Format, accept_events, choose_format, encode_answer
from serving.protocols.limits import Limits
from serving.protocols.media_answer import MediaWish
from serving.protocols.native import JSON, Parsed, parse_body, shape
from serving.protocols.request import Encoded, Head, Told
from serving.values import value


@value
class NativeRequest:
    """A body whose syntax is right, and what its caller accepts as an answer; binds ``Request``."""

    parsed: Parsed
    form: Format | MediaWish
    seconds: float | None = None
    priority: Priority | None = None

    @property
    def table(self) -> Parsed | None:
        """The table that it is, or the image; None where it is JSON."""
        return self.parsed if self.parsed.is_table or self.parsed.is_media else None

    @property
    def encodes_aside(self) -> bool:
        """True for tables and pictures: the libraries that write them take long to import."""
        return self.form != JSON

    def shape(self, signature: Signature, graph_inputs: Schema | None, limits: Limits) -> Call:
        """Fit it to what the model takes; raise as ``native.shape`` does."""
        return shape(self.parsed, signature, graph_inputs, limits)

    def encode(self, output: Output, told: Told, limits: Limits) -> Encoded:
        """Write the answer; raise as ``encode_answer`` does."""
        named = {"model": told.model, "version": told.version, "request_id": told.request_id}
        return encode_answer(output, self.form, limits, **named)


def read_native(body: bytes, head: Head, limits: Limits) -> NativeRequest:
    """Read a native body; raise as ``choose_format`` and ``parse_body`` do, in this order."""
    form = choose_format(head.accept)
    return NativeRequest(parse_body(head.content_type, body, limits), form)


def read_native_stream(body: bytes, head: Head, limits: Limits) -> NativeRequest:
    """Read a native body whose answer comes piece by piece, each as JSON; raise as ``read_native`` does."""
    form = accept_events(head.accept)
    return NativeRequest(parse_body(head.content_type, body, limits), form)
