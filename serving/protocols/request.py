"""What a protocol is to the rest of serving: a body read into a request, which fits itself to a version and writes the
answer.

    bytes ── read ──► Request ── shape ──► Call ── (the model) ──► Output ── encode ──► bytes

Whoever stands between knows neither JSON nor tensors: the predictor drives these steps, in this order, for every
protocol and every transport. All of them are pure. Not here: the protocols themselves, and how their bytes travel
(``serving/http``, ``serving/grpc``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import field
from typing import Any, Protocol

from registry.signature import Schema, Signature
from serving.exchange import Call, Output, Priority
from serving.protocols.limits import Limits
from serving.protocols.native import Parsed
from serving.values import value

NATIVE = "native"
"""What metrics call our own protocol; others have names of their own."""


@value
class Head:
    """What a body came with: its type and what may be answered, and all headers by lower-case name."""

    content_type: str | None = None
    accept: str | None = None
    fields: Mapping[bytes, bytes] = field(default_factory=dict)


@value
class Told:
    """What an answer may say beside its values: who answered, by which arm of which revision, to which request.

    ``signature`` is the version's; its parts may be None.
    """

    model: str
    version: str
    request_id: str
    arm: str
    revision: int
    signature: Signature


@value
class Encoded:
    """An answer's body, what it is, and the header lines that go with it, each with its CRLF.

    ``message`` is what a transport without bodies sends instead: the protocol's own object.
    """

    content_type: str
    body: bytes
    headers: bytes = b""
    message: Any = None


class Request(Protocol):
    """A request whose syntax is right."""

    @property
    def table(self) -> Parsed | None:
        """The table that it is (CSV, Parquet, Arrow), which another process reads and shapes, or the image or bytes,
        which one decodes where the model takes pixels; None for all others."""
        ...

    @property
    def seconds(self) -> float | None:
        """How long its caller waits, where the body says so; None where it does not."""
        ...

    @property
    def priority(self) -> Priority | None:
        """Who goes first, where the body says so."""
        ...

    @property
    def encodes_aside(self) -> bool:
        """Whether the answer is written beside the event loop however small it is."""
        ...

    def shape(self, signature: Signature, graph_inputs: Schema | None, limits: Limits) -> Call:
        """Fit it to what the model takes; raise InvalidRequest.

        Args:
            signature: The version's; its parts may be None.
            graph_inputs: What an ONNX graph says that it takes; used where the signature declares no inputs.
            limits: The same as for reading.
        """
        ...

    def encode(self, output: Output, told: Told, limits: Limits) -> Encoded:
        """Write the answer; raise ModelFault ``model_output_invalid``, or InvalidRequest for what cannot be asked of
        this output."""
        ...


Read = Callable[[Limits], Request]
"""Reads a body's syntax; raises InvalidRequest. It holds the body, and may be called again."""
