"""The predict lane with a span for each request: in place of the lane where traces are on, and not there where not.

The spans of the stages are laid out from the finished request's times, one after another: decoding goes on in two
places, before a version is leased and after, and is shown whole in the first. Not here: sending them
(``registry/edge/traces.py``).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from time import perf_counter_ns
from typing import NamedTuple

from registry.edge.direct import Direct
from registry.edge.gate import Receive, Scope
from registry.edge.problems import STATUS
from registry.edge.traces import Span, Trace, Tracer, Value, new_span
from serving.http.body import ClientGoneError
from serving.http.events import EventReply
from serving.http.lane import Lane, Reply
from serving.telemetry.finished import Finished

TRACEPARENT = "headgate.traceparent"
"""Where in the scope a refusal finds the header that it must bear."""


class TracedLane:
    """Answers as ``lane`` does; every answer says in ``traceparent`` where in which trace it stands."""

    def __init__(self, lane: Lane, tracer: Tracer) -> None:
        self._lane = lane
        self._tracer = tracer

    def takes(self, method: str, path: str) -> bool:
        """Tell whether the lane answers this."""
        return self._lane.takes(method, path)

    async def answer(self, scope: Scope, direct: Direct | None, receive: Receive) -> Reply | EventReply:
        """Answer one request; raise as the lane does. The span of a streamed answer ends with its last piece."""
        trace = self._tracer.begin(scope["headers"])
        header = scope[TRACEPARENT] = trace.own.header()
        line = b"traceparent: %b\r\n" % header
        end = partial(self._end, scope, trace, perf_counter_ns())
        failed = "internal"
        try:
            reply = await self._lane.answer(scope, direct, receive)
            failed = ""
        except ClientGoneError:
            failed = "client_gone"
            raise
        finally:
            if failed:
                end(failed)
        if isinstance(reply, EventReply):
            reply.add_header(line)
            reply.when_ended(end)
            return reply
        end("")
        return Reply(reply.head + line, reply.body)

    def _end(self, scope: Scope, trace: Trace, begun: int, failed: str) -> None:
        if trace.sampled:
            took = perf_counter_ns() - begun
            done: Finished = scope.get("headgate.finished") or Finished()
            left = left_by(done, scope.get("headgate.request_id", ""), failed)
            self._tracer.end(partial(spans_of, trace, took, left))


class Left(NamedTuple):
    """What a finished request leaves behind for its spans: words and numbers, none of its data. Times are seconds."""

    model: str
    version: str
    arm: str
    protocol: str
    revision: int
    request_id: str
    code: str
    seconds: float
    stages: tuple[tuple[str, float], ...]


def spans_of(trace: Trace, took_ns: int, left: Left) -> Iterator[Span]:
    """Yield the span of a request and those of the stages that it reached."""
    own, end_ns = trace.own, trace.begun_ns + took_ns
    attributes: dict[str, Value] = {
        "headgate.model": left.model,
        "headgate.version": left.version,
        "headgate.arm": left.arm,
        "headgate.protocol": left.protocol,
        "headgate.revision": left.revision,
        "headgate.request_id": left.request_id,
        "http.request.method": "POST",
    }
    status = STATUS.get(left.code, 0) if left.code else 200
    if status:
        attributes["http.response.status_code"] = status
    if left.code:
        attributes["error.type"] = left.code
    # A caller's own mistake is no failure of what is traced here.
    failed = bool(left.code) and not 400 <= status < 500
    yield Span("predict", own.trace, own.span, trace.parent, trace.begun_ns, end_ns, attributes, True, failed)
    at = max(trace.begun_ns, end_ns - int(left.seconds * 1e9))
    for stage, seconds in left.stages:
        until = min(end_ns, at + int(seconds * 1e9))
        yield Span(stage, own.trace, new_span(), own.span, at, until)
        at = until


def left_by(done: Finished, request_id: str, failed: str) -> Left:
    """Return what a request leaves behind; ``failed`` says how where ``done`` does not."""
    stages = (("decode", done.decode), ("queue", done.queue), ("predict", done.predict), ("encode", done.encode))
    return Left(
        model=done.model,
        version=done.version,
        arm=done.arm,
        protocol=done.protocol,
        revision=done.revision,
        request_id=request_id,
        code=done.code or failed,
        seconds=done.seconds,
        stages=tuple(stage for stage in stages if stage[1] > 0),
    )
