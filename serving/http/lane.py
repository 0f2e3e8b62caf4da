"""The predict lane: raw ASGI, in front of everything else, for the predicts of every protocol (``spoken.py``).

Headers and body in, ``Predictor``, headers and body out. No framework, because it would cost more than the rest of a
request. Not here: errors as HTTP (``front.py``), methods and unknown paths (the gate).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple, Protocol

from registry.edge.direct import Direct
from registry.edge.errand import in_task
from registry.edge.gate import Receive, Scope
from registry.edge.heads import head_of
from registry.errors import HeadgateError, InvalidRequest
from serving.exchange import Priority
from serving.http.body import BodyReader
from serving.http.events import EventReply
from serving.http.hangup import Hangup
from serving.http.problems import problem
from serving.http.spoken import Spoken, endings_of
from serving.protocols.request import Head
from serving.protocols.sse import Framing
from serving.question import Answer, Question
from serving.routing.choose import Ask
from serving.routing.split import Decision
from serving.streams import Streamed
from serving.telemetry.finished import Finished
from serving.values import value

_TIMEOUT = re.compile(rb"[1-9][0-9]{0,8}")
_PRIORITIES = {str(each.name.lower()).encode(): each for each in Priority}
_KEPT = 4096
"""How many paths, and how many heads of answers, are kept made."""


class Predicts(Protocol):
    """What the lane drives: the predictor."""

    async def predict(self, question: Question, done: Finished) -> Answer:
        """Answer, or raise; write into ``done`` how it goes."""
        ...

    async def streams(self, question: Question) -> bool:
        """Tell whether who would answer does so piece by piece."""
        ...

    async def stream(self, question: Question, done: Finished) -> Streamed:
        """Begin to answer piece by piece, or raise; write into ``done`` how it goes."""
        ...


class Lane(Protocol):
    """What answers predicts: the lane itself, or what stands around it."""

    def takes(self, method: str, path: str) -> bool:
        """Tell whether the lane answers this; the gate has let through what exists and nothing else."""
        ...

    async def answer(self, scope: Scope, direct: Direct | None, receive: Receive) -> Reply | EventReply:
        """Answer one request; raise HeadgateError, or ClientGoneError where nobody waits any more."""
        ...


@value
class Wish:
    """What the head of a request asks for: of whom, in which protocol, how long to wait; and what its body is."""

    ask: Ask
    spoken: Spoken
    seconds: float
    priority: Priority
    head: Head
    length: bytes
    encoding: bytes


class PredictLane:
    """Answers the predicts of ``spoken``.

    ``observe`` hears of requests that were refused before the predictor saw them; nobody waits for more than
    ``request_seconds``.
    """

    def __init__(
        self,
        predictor: Predicts,
        bodies: BodyReader,
        spoken: Sequence[Spoken],
        observe: Callable[[Finished], None],
        request_seconds: float,
    ) -> None:
        self._predictor = predictor
        self._spoken = tuple(spoken)
        self._endings = endings_of(spoken)
        self._bodies = bodies
        self._observe = observe
        self._seconds = request_seconds
        self._asks: dict[str, tuple[Spoken, Ask]] = {}
        self._heads: dict[tuple[str, str, str, int, str], bytes] = {}

    def takes(self, method: str, path: str) -> bool:
        """Tell whether the lane answers this; the gate has let through what exists and nothing else."""
        if method != "POST":
            return False
        if path in self._asks:
            return True
        return path.lower().endswith(self._endings) and any(each.speaks(path) for each in self._spoken)

    async def answer(self, scope: Scope, direct: Direct | None, receive: Receive) -> Reply | EventReply:
        """Answer one request; raise HeadgateError, or ClientGoneError where nobody waits any more."""
        done = scope["headgate.finished"] = Finished()
        head = head_of(scope)
        wish: Wish | None = None if head is None else head.kept.get(self)
        try:
            if wish is None:
                wish = self._read_head(scope, done)
                if head is not None:
                    head.kept[self] = wish
            done.protocol, done.model, done.version = wish.spoken.name, wish.ask.model, wish.ask.version or ""
            if direct is not None and direct.body is not None and not wish.encoding:
                body = self._bodies.take(direct.body)
            else:
                body = await self._bodies.read(wish.length, wish.encoding, receive)
        except HeadgateError as error:
            done.code = error.code
            self._observe(done)
            raise
        request_id = scope["headgate.request_id"]
        if (events := wish.spoken.events) is not None:
            return await self._stream(scope, direct, (wish, body, events), done)
        try:
            question = _question(wish, body, request_id)
            with Hangup(direct):
                answer = await self._predictor.predict(question, done)
        finally:
            self._bodies.free(len(body))
        encoded = answer.encoded
        named = b"%bx-request-id: %b\r\n" % (encoded.headers, request_id.encode("latin-1"))
        return Reply(self._head(answer) + named, encoded.body)

    async def _stream(
        self, scope: Scope, direct: Direct | None, asked: tuple[Wish, bytes, Framing], done: Finished
    ) -> EventReply:
        wish, body, events = asked
        size, path, request_id = len(body), scope["path"], scope["headgate.request_id"]
        try:
            question = _question(wish, body, request_id)
            with Hangup(direct):
                await in_task()
                streamed = await self._predictor.stream(question, done)
        except BaseException:
            self._bodies.free(size)
            raise
        head = b"%bx-request-id: %b\r\n" % (_told(streamed.decision), request_id.encode("latin-1"))
        reply = EventReply(head, streamed, events, lambda error: problem(path, error, request_id)[1], direct)
        reply.when_ended(lambda _: self._bodies.free(size))
        return reply

    def _read_head(self, scope: Scope, done: Finished) -> Wish:
        spoken, ask = self._asked(scope["path"], done)
        done.model, done.version = ask.model, ask.version or ""
        if scope["query_string"] and not spoken.takes_query:
            raise InvalidRequest("invalid_argument", "a predict URL takes no query; put params into the JSON body")
        fields = joined(scope["headers"])
        return Wish(
            ask,
            spoken,
            seconds_asked(fields, self._seconds),
            priority_asked(fields),
            Head(_text(fields, b"content-type"), _text(fields, b"accept"), fields),
            length=fields.get(b"content-length", b""),
            encoding=fields.get(b"content-encoding", b""),
        )

    def _asked(self, path: str, done: Finished) -> tuple[Spoken, Ask]:
        asked = self._asks.get(path)
        if asked is None:
            spoken = next(each for each in self._spoken if each.speaks(path))
            done.protocol = spoken.name
            asked = spoken, spoken.ask(path)
            _make_room(self._asks)
            self._asks[path] = asked
        done.protocol = asked[0].name
        return asked

    def _head(self, answer: Answer) -> bytes:
        decision = answer.decision
        of = (decision.model, decision.version, decision.arm, decision.revision, answer.encoded.content_type)
        head = self._heads.get(of)
        if head is None:
            _make_room(self._heads)
            head = self._heads[of] = f"content-type: {of[4]}\r\n".encode("latin-1") + _told(decision)
        return head


class Reply(NamedTuple):
    """An answer as it goes out: its header lines but the length, each with its CRLF, and its body."""

    head: bytes
    body: bytes

    def headers(self) -> list[tuple[bytes, bytes]]:
        """Return the header lines as ASGI takes them, with the length."""
        lines = [line.partition(b": ") for line in self.head.splitlines()]
        return [*((name, value) for name, _, value in lines), (b"content-length", b"%d" % len(self.body))]


def _question(wish: Wish, body: bytes, request_id: str) -> Question:
    head, spoken = wish.head, wish.spoken
    weight = None if spoken.weigh is None else spoken.weigh(body, head)
    read = partial(spoken.read, body, head)
    return Question(
        wish.ask, body, read, head.content_type, request_id, wish.seconds, wish.priority, head.fields, weight
    )


def _told(decision: Decision) -> bytes:
    return (
        f"x-headgate-model: {decision.model}\r\nx-headgate-version: {decision.version}\r\n"
        f"x-headgate-arm: {decision.arm}\r\nx-headgate-revision: {decision.revision}\r\n"
    ).encode("latin-1")


def _make_room(kept: dict[Any, Any]) -> None:
    if len(kept) >= _KEPT:
        kept.clear()


def joined(headers: list[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """Return headers by name; several of one name as one, joined by commas (RFC 9110 §5.3)."""
    fields = dict(headers)
    if len(fields) != len(headers):
        fields = {name: b", ".join(v for n, v in headers if n == name) for name in fields}
    return fields


def _text(fields: dict[bytes, bytes], name: bytes) -> str | None:
    value = fields.get(name)
    return None if value is None else value.decode("latin-1")


def seconds_asked(fields: dict[bytes, bytes], most: float) -> float:
    """Return how long the caller waits: ``most``, or less where the header says so."""
    given = fields.get(b"x-request-timeout-ms")
    if not given:
        return most
    if not _TIMEOUT.fullmatch(given):
        raise InvalidRequest(
            "invalid_argument", "X-Request-Timeout-Ms must be whole milliseconds from 1 on, such as 500"
        )
    return min(most, int(given) / 1000)


def priority_asked(fields: dict[bytes, bytes]) -> Priority:
    """Return who goes first, by the header; normal without one."""
    given = fields.get(b"x-headgate-priority")
    if not given:
        return Priority.NORMAL
    priority = _PRIORITIES.get(given)
    if priority is None:
        raise InvalidRequest("invalid_argument", "X-Headgate-Priority must be high, normal or low")
    return priority
