"""The predict lane: three routes, raw ASGI, in front of everything else.

    POST /models/{name}/predict · /models/{name}/versions/{version}/predict · /models/{name}/aliases/{alias}/predict

Headers and body in, ``Predictor``, headers and body out. Standard library alone, because a framework would cost more
than the rest of a request. Not here: errors as HTTP (``front.py``), methods and unknown paths (the gate).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Protocol

from registry.edge.gate import Receive, Scope, Send
from registry.errors import HeadgateError, InvalidRequest
from registry.records import ModelName, parse_alias, parse_model_name, parse_version
from serving.http.body import BodyReader
from serving.http.hangup import Hangup
from serving.predictor import Answer, Question
from serving.routing.choose import Ask
from serving.telemetry.finished import Finished

_TIMEOUT = re.compile(rb"[1-9][0-9]{0,8}")


class Predicts(Protocol):
    """What the lane drives: the predictor."""

    async def predict(self, question: Question) -> Answer:
        """Answer, or raise."""
        ...


def is_predict(method: str, path: str) -> bool:
    """Tell whether the lane answers this; the gate has let through what exists and nothing else."""
    return method == "POST" and path.endswith("/predict") and path.startswith("/models/")


def read_path(path: str) -> Ask:
    """Return what a lane path asks for; raise InvalidRequest ``invalid_name`` or NotFound ``unknown_version``."""
    segments = path.split("/")
    model = parse_model_name(segments[2])
    if len(segments) == 4:
        return Ask(model)
    if segments[3] == "versions":
        return Ask(model, version=parse_version(segments[4]))
    return Ask(model, alias=parse_alias(segments[4]))


class PredictLane:
    """ASGI for the three routes. ``observe`` hears of requests that were refused before the predictor saw them."""

    def __init__(
        self, predictor: Predicts, bodies: BodyReader, observe: Callable[[Finished], None], request_seconds: float
    ) -> None:
        self._predictor = predictor
        self._bodies = bodies
        self._observe = observe
        self._seconds = request_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; raise HeadgateError, or ClientGoneError where nobody waits any more."""
        request_id: str = scope["headgate.request_id"]
        ask = Ask(ModelName(""))
        try:
            ask = read_path(scope["path"])
            if scope["query_string"]:
                raise InvalidRequest("invalid_argument", "a predict URL takes no query; put params into the JSON body")
            head = _Head(scope["headers"])
            seconds = head.seconds(self._seconds)
            body = await self._bodies.read(head.length, head.encoding, receive)
        except HeadgateError as error:
            self._observe(Finished(model=ask.model, version=ask.version or "", code=error.code))
            raise
        try:
            with Hangup(receive):
                answer = await self._predictor.predict(
                    Question(ask, body, head.content_type, head.accept, request_id, seconds)
                )
        finally:
            self._bodies.free(len(body))
        await send({"type": "http.response.start", "status": 200, "headers": _headers(answer, request_id)})
        await send({"type": "http.response.body", "body": answer.encoded.body})


class _Head:
    """The headers that the lane reads."""

    __slots__ = ("accept", "content_type", "encoding", "length", "timeout_ms")

    def __init__(self, headers: list[tuple[bytes, bytes]]) -> None:
        self.content_type: str | None = None
        self.accept: str | None = None
        self.encoding = self.length = self.timeout_ms = b""
        for name, value in headers:
            if name == b"content-type":
                self.content_type = value.decode("latin-1")
            elif name == b"accept":
                accept = value.decode("latin-1")
                self.accept = accept if self.accept is None else f"{self.accept}, {accept}"
            elif name == b"content-length":
                self.length = value
            elif name == b"content-encoding":
                # Two of them mean two encodings, one over the other: together they name none that is read here.
                self.encoding = self.encoding + b", " + value if self.encoding else value
            elif name == b"x-request-timeout-ms":
                self.timeout_ms = value

    def seconds(self, most: float) -> float:
        """Return how long the caller waits: ``most``, or less where the header says so."""
        if not self.timeout_ms:
            return most
        if not _TIMEOUT.fullmatch(self.timeout_ms):
            raise InvalidRequest(
                "invalid_argument", "X-Request-Timeout-Ms must be whole milliseconds from 1 on, such as 500"
            )
        return min(most, int(self.timeout_ms) / 1000)


def _headers(answer: Answer, request_id: str) -> list[tuple[bytes, bytes]]:
    decision = answer.decision
    return [
        (b"content-type", answer.encoded.content_type.encode("latin-1")),
        (b"content-length", b"%d" % len(answer.encoded.body)),
        (b"x-request-id", request_id.encode("latin-1")),
        (b"x-headgate-model", decision.model.encode()),
        (b"x-headgate-version", decision.version.encode()),
        (b"x-headgate-arm", decision.arm.encode()),
        (b"x-headgate-revision", b"%d" % decision.revision),
    ]
