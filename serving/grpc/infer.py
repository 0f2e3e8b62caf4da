"""ModelInfer: from bytes to a question for the predictor, and back.

One path with HTTP's: the same predictor, limits, budget of bodies, metrics and traces. Not here: reading and writing
the messages (``inference.py``), statuses (``calls.py``), and ModelStreamInfer (``streaming.py``), which asks by this.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from time import perf_counter_ns
from typing import Any

from registry.edge.traces import Tracer
from registry.errors import HeadgateError, InvalidRequest
from registry.records import parse_model_name, parse_version
from serving.grpc.calls import GrpcCall, Metadata, decided
from serving.grpc.gathering import Gathering
from serving.grpc.inference import CONTENT_TYPE, read_inference, weigh
from serving.grpc.wire import QUICK_FIELDS, Cut, cut
from serving.http.body import BodyReader
from serving.http.lane import Predicts, priority_asked, seconds_asked
from serving.http.traced import left_by, spans_of
from serving.question import Question
from serving.routing.choose import Ask
from serving.routing.split import Decision
from serving.telemetry.finished import Finished
from serving.values import value

PROTOCOL = "grpc"
_KEPT = 4096
End = Callable[[str], None]
"""Told once how a request ended: the code of its error, or nothing."""


@value
class Times:
    """How long a request may take at the most, and a stream between two of them; in seconds."""

    request: float
    idle: float


class Inferring:
    """Answers predicts that come by gRPC. Make it on the event loop that calls it.

    Args:
        predictor: Whom to ask.
        bodies: Whose budget the requests' bytes take part of.
        observe: Hears of requests that were refused before the predictor saw them.
        times: How long things may take.
        tracer: Records spans; None where traces are off.
    """

    def __init__(
        self,
        predictor: Predicts,
        bodies: BodyReader,
        observe: Callable[[Finished], None],
        times: Times,
        tracer: Tracer | None,
    ) -> None:
        self.predictor = predictor
        self.times = times
        self.leaving = asyncio.Event()
        """Set once the node is being stopped: what lasts as long as its caller likes ends by itself then."""
        self._bodies = bodies
        self._observe = observe
        self._tracer = tracer
        self._gathering = Gathering()
        self._asks: dict[tuple[str, str], Ask] = {}
        self._told: dict[tuple[str, str, str, int], Metadata] = {}

    async def infer(self, body: bytes, call: GrpcCall) -> bytes:
        """Answer one ModelInferRequest; raise HeadgateError."""
        if self._tracer is None:
            return await self._infer(body, call)
        end, failed = self.traced(call), "internal"
        told = call.trailing
        try:
            reply = await self._infer(body, call)
            failed = ""
        except asyncio.CancelledError:
            failed = "client_gone"
            raise
        finally:
            end(failed)
        call.trailing = (*call.trailing, *told)
        return reply

    def traced(self, call: GrpcCall) -> End:
        """Begin the span of a call, and tell its caller which; return what ends it."""
        if self._tracer is None:
            return _untraced
        tracer = self._tracer
        trace: Any = tracer.begin(call.fields.items())
        begun = perf_counter_ns()
        call.trailing = (("traceparent", trace.own.header().decode()),)

        def end(failed: str) -> None:
            if trace.sampled:
                left = left_by(call.done, call.request_id, failed)
                tracer.end(partial(spans_of, trace, perf_counter_ns() - begun, left))

        return end

    async def take(self, body: bytes, call: GrpcCall) -> Cut:
        """Take a message's share of the budget and return it in parts; give it back with ``free``.

        Where calls come in crowds, this waits for others. Raises InvalidRequest or Refused, which are counted, and
        keeps nothing then.
        """
        done = call.done
        done.protocol = PROTOCOL
        try:
            self._bodies.take(body)
            try:
                parts = await _parts(body)
                await self._gathering.join()
            except BaseException:
                self._bodies.free(len(body))
                raise
        except HeadgateError as error:
            self.refused(call, error)
            raise
        call.message_id = parts.id
        return parts

    def free(self, body: bytes) -> None:
        """Give a message's share of the budget back."""
        self._bodies.free(len(body))
        self._gathering.answered()

    def refused(self, call: GrpcCall, error: HeadgateError) -> None:
        """Count a request that the predictor has not seen."""
        call.done.code = error.code
        self._observe(call.done)

    def question(self, body: bytes, parts: Cut, call: GrpcCall, final: bool | None = None) -> Question:
        """Return what a message asks; raise InvalidRequest or NotFound, which are counted.

        ``final`` is what its answers shall say of being the last.
        """
        try:
            return self._question(body, parts, call, final)
        except HeadgateError as error:
            self.refused(call, error)
            raise

    def told(self, decision: Decision) -> Metadata:
        """Return the metadata that say who answered."""
        of = (decision.model, decision.version, decision.arm, decision.revision)
        told = self._told.get(of)
        if told is None:
            if len(self._told) >= _KEPT:
                self._told.clear()
            done = Finished(model=decision.model, version=decision.version, arm=decision.arm)
            done.revision = decision.revision
            told = self._told[of] = decided(done)
        return told

    async def _infer(self, body: bytes, call: GrpcCall) -> bytes:
        parts = await self.take(body, call)
        try:
            answer = await self.predictor.predict(self.question(body, parts, call), call.done)
        finally:
            self.free(body)
        call.trailing = self.told(answer.decision)
        return answer.encoded.body

    def _question(self, body: bytes, parts: Cut, call: GrpcCall, final: bool | None) -> Question:
        fields, done = call.fields, call.done
        ask = self._asks.get((parts.model, parts.version))
        if ask is None:
            ask = Ask(parse_model_name(parts.model), parse_version(parts.version) if parts.version else None)
            if len(self._asks) >= _KEPT:
                self._asks.clear()
            self._asks[parts.model, parts.version] = ask
        done.model, done.version = ask.model, ask.version or ""
        seconds = seconds_asked(fields, self.times.request)
        if call.left is not None and call.left < seconds:
            seconds = call.left
        read = partial(read_inference, parts, final=final)
        weight = weigh(parts, len(body))
        priority = priority_asked(fields)
        return Question(ask, body, read, CONTENT_TYPE, call.request_id, seconds, priority, fields, weight)


async def _parts(body: bytes) -> Cut:
    try:
        return cut(body, QUICK_FIELDS)
    except InvalidRequest as error:
        if error.code != "too_many_values":
            raise
    # So many fields take a while: in a thread, which lets the loop turn meanwhile.
    return await asyncio.to_thread(cut, body)


def _untraced(_: str) -> None:
    pass
