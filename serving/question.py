"""A request on its way through the predictor, and what comes of it: the question, its turn, the answer.

Not here: what is done with them (``predictor.py``), where they come from (``http``, ``grpc``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field

from registry.errors import ModelFault
from serving.exchange import Priority
from serving.protocols.request import Encoded, Read, Request
from serving.routing.choose import Ask
from serving.routing.split import Decision
from serving.values import value


@value
class Question:
    """One request as a protocol's front hands it over.

    Attributes:
        ask: Of whom.
        body: Its bytes, after expansion; ``read`` reads them.
        read: Reads the body; pure, and called again for copies.
        content_type: What the body is said to be, for whoever keeps it.
        request_id: The request's.
        seconds: How long the caller waits in all; its body may shorten that.
        priority: Who goes first; its body may say otherwise.
        fields: Its headers by lower-case name.
        weight: How many bytes of JSON take as long to read, where that is not the length of the body.
    """

    ask: Ask
    body: bytes
    read: Read
    content_type: str | None
    request_id: str
    seconds: float
    priority: Priority = Priority.NORMAL
    fields: Mapping[bytes, bytes] = field(default_factory=dict)
    weight: int | None = None


@value
class Answer:
    """What goes back: the bytes, and which version gave them."""

    encoded: Encoded
    decision: Decision


@value
class Turn:
    """A question that has been read: when it began, how many seconds it has in all, and whether its body is large."""

    question: Question
    request: Request
    begun: float
    seconds: float
    heavy: bool

    @property
    def until(self) -> float:
        """When its time is over, as ``perf_counter`` counts."""
        return self.begun + self.seconds

    @property
    def priority(self) -> Priority:
        """Who goes first: what its body says, else what its caller said beside it."""
        wanted = self.request.priority
        return self.question.priority if wanted is None else wanted

    def left(self, now: float) -> float:
        """Return how many seconds are left; raise ModelFault ``model_timeout`` where none are."""
        left = self.until - now
        if left <= 0:
            raise ModelFault("model_timeout", "the time for this request was over before the model could run")
        return left
