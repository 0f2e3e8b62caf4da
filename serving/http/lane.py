"""The predict lane: three routes, raw ASGI, in front of everything else.

    POST /models/{name}/predict · /models/{name}/versions/{version}/predict · /models/{name}/aliases/{alias}/predict

Headers and body in, ``Predictor``, headers and body out. Standard library alone, because a framework would cost more
than the rest of a request. Not here: errors as HTTP (``front.py``), methods and unknown paths (the gate).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from registry.edge.direct import Direct
from registry.edge.gate import Receive, Scope
from registry.errors import HeadgateError, InvalidRequest
from registry.records import ModelName, parse_alias, parse_model_name, parse_version
from serving.exchange import Priority
from serving.http.body import BodyReader
from serving.http.hangup import Hangup
from serving.predictor import Answer, Question
from serving.routing.choose import Ask
from serving.telemetry.finished import Finished

_TIMEOUT = re.compile(rb"[1-9][0-9]{0,8}")
_PRIORITIES = {str(each.name.lower()).encode(): each for each in Priority}
_NOBODY = Ask(ModelName(""))
_KEPT = 4096
"""How many paths, and how many heads of answers, are kept made."""


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
    """Answers the three routes. ``observe`` hears of requests that were refused before the predictor saw them."""

    def __init__(
        self, predictor: Predicts, bodies: BodyReader, observe: Callable[[Finished], None], request_seconds: float
    ) -> None:
        self._predictor = predictor
        self._bodies = bodies
        self._observe = observe
        self._seconds = request_seconds
        self._asks: dict[str, Ask] = {}
        self._heads: dict[tuple[str, str, str, int, str], bytes] = {}

    async def answer(self, scope: Scope, direct: Direct | None, receive: Receive) -> Reply:
        """Answer one request; raise HeadgateError, or ClientGoneError where nobody waits any more."""
        ask = _NOBODY
        try:
            ask = self._asked(scope["path"])
            if scope["query_string"]:
                raise InvalidRequest("invalid_argument", "a predict URL takes no query; put params into the JSON body")
            head = _Head(scope["headers"])
            seconds = head.seconds(self._seconds)
            priority = head.priority_of()
            if direct is not None and direct.body is not None and not head.encoding:
                body = self._bodies.take(direct.body)
            else:
                body = await self._bodies.read(head.length, head.encoding, receive)
        except HeadgateError as error:
            self._observe(Finished(model=ask.model, version=ask.version or "", code=error.code))
            raise
        request_id = scope["headgate.request_id"]
        question = Question(ask, body, head.content_type, head.accept, request_id, seconds, priority)
        try:
            with Hangup(direct):
                answer = await self._predictor.predict(question)
        finally:
            self._bodies.free(len(body))
        return Reply(self._head(answer) + b"x-request-id: %b\r\n" % request_id.encode("latin-1"), answer.encoded.body)

    def _asked(self, path: str) -> Ask:
        ask = self._asks.get(path)
        if ask is None:
            ask = read_path(path)
            _make_room(self._asks)
            self._asks[path] = ask
        return ask

    def _head(self, answer: Answer) -> bytes:
        decision = answer.decision
        of = (decision.model, decision.version, decision.arm, decision.revision, answer.encoded.content_type)
        head = self._heads.get(of)
        if head is None:
            _make_room(self._heads)
            head = self._heads[of] = (
                f"content-type: {of[4]}\r\nx-headgate-model: {of[0]}\r\nx-headgate-version: {of[1]}\r\n"
                f"x-headgate-arm: {of[2]}\r\nx-headgate-revision: {of[3]}\r\n"
            ).encode("latin-1")
        return head


class Reply(NamedTuple):
    """An answer as it goes out: its header lines but the length, each with its CRLF, and its body."""

    head: bytes
    body: bytes

    def headers(self) -> list[tuple[bytes, bytes]]:
        """Return the header lines as ASGI takes them, with the length."""
        lines = [line.partition(b": ") for line in self.head.splitlines()]
        return [*((name, value) for name, _, value in lines), (b"content-length", b"%d" % len(self.body))]


def _make_room(kept: dict[Any, Any]) -> None:
    if len(kept) >= _KEPT:
        kept.clear()


class _Head:
    """The headers that the lane reads."""

    __slots__ = ("accept", "content_type", "encoding", "length", "priority", "timeout_ms")

    def __init__(self, headers: list[tuple[bytes, bytes]]) -> None:
        self.content_type: str | None = None
        self.accept: str | None = None
        self.encoding = self.length = self.priority = self.timeout_ms = b""
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
            elif name == b"x-headgate-priority":
                self.priority = value

    def seconds(self, most: float) -> float:
        """Return how long the caller waits: ``most``, or less where the header says so."""
        if not self.timeout_ms:
            return most
        if not _TIMEOUT.fullmatch(self.timeout_ms):
            raise InvalidRequest(
                "invalid_argument", "X-Request-Timeout-Ms must be whole milliseconds from 1 on, such as 500"
            )
        return min(most, int(self.timeout_ms) / 1000)

    def priority_of(self) -> Priority:
        """Return who goes first, by the header; normal without one."""
        if not self.priority:
            return Priority.NORMAL
        priority = _PRIORITIES.get(self.priority)
        if priority is None:
            raise InvalidRequest("invalid_argument", "X-Headgate-Priority must be high, normal or low")
        return priority
