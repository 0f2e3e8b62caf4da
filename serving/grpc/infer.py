"""ModelInfer and ModelStreamInfer: from bytes to a question for the predictor, and back.

One path with HTTP's: the same predictor, limits, budget of bodies, metrics and traces. Not here: reading and writing
the messages (``inference.py``), statuses (``calls.py``).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from time import perf_counter_ns
from typing import Any

import grpc

from registry.edge.traces import Tracer
from registry.errors import HeadgateError
from registry.records import parse_model_name, parse_version
from serving.grpc.calls import Call, Context, Metadata, as_known, decided
from serving.grpc.inference import CONTENT_TYPE, read_inference, stream_refusal, weigh
from serving.grpc.wire import cut, in_stream
from serving.http.body import BodyReader
from serving.http.lane import Predicts, priority_asked, seconds_asked
from serving.http.traced import left_by, spans_of
from serving.predictor import Answer, Question
from serving.routing.choose import Ask
from serving.telemetry.finished import Finished

PROTOCOL = "grpc"
AHEAD = 16
"""How many requests of one stream are worked on at once; the rest wait, and their sender with them."""
_KEPT = 4096


class Inferring:
    """Answers predicts that come by gRPC.

    Args:
        predictor: Whom to ask.
        bodies: Whose budget the requests' bytes take part of.
        observe: Hears of requests that were refused before the predictor saw them.
        request_seconds: How long a request may take at the most.
        tracer: Records spans; None where traces are off.
    """

    def __init__(
        self,
        predictor: Predicts,
        bodies: BodyReader,
        observe: Callable[[Finished], None],
        request_seconds: float,
        tracer: Tracer | None,
    ) -> None:
        self._predictor = predictor
        self._bodies = bodies
        self._observe = observe
        self._seconds = request_seconds
        self._tracer = tracer
        self._asks: dict[tuple[str, str], Ask] = {}
        self._told: dict[tuple[str, str, str, int], Metadata] = {}

    async def infer(self, body: bytes, call: Call) -> bytes:
        """Answer one ModelInferRequest; raise HeadgateError."""
        if self._tracer is not None:
            return await self._traced(self._tracer, body, call)
        return await self._infer(body, call)

    async def stream(self, context: Context, call: Call) -> None:
        """Answer the requests of a stream in their order, several at once; errors are answers too."""
        answers: asyncio.Queue[asyncio.Task[bytes] | None] = asyncio.Queue(AHEAD)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._begin_all(context, call, group, answers))
            while (answer := await answers.get()) is not None:
                await context.write(await answer)

    async def _begin_all(
        self,
        context: Context,
        call: Call,
        group: asyncio.TaskGroup,
        answers: asyncio.Queue[asyncio.Task[bytes] | None],
    ) -> None:
        count = 0
        while (body := await context.read()) is not grpc.aio.EOF:
            # Labels find an answer by its request's id: of one stream each message has its own.
            request_id = f"{call.request_id}.{count}" if count else call.request_id
            each = replace(call, request_id=request_id, left=context.time_remaining(), done=Finished())
            await answers.put(group.create_task(self._answer_in_stream(body, each)))
            count += 1
        await answers.put(None)

    async def _answer_in_stream(self, body: bytes, call: Call) -> bytes:
        try:
            return in_stream(await self.infer(body, call))
        except Exception as error:  # noqa: BLE001  # the edge of the process: one request's fault is its own answer
            return stream_refusal(body, as_known(error, call))

    async def _infer(self, body: bytes, call: Call) -> bytes:
        done = call.done
        done.protocol = PROTOCOL
        try:
            question = self._question(body, call)
            self._bodies.take(body)
        except HeadgateError as error:
            done.code = error.code
            self._observe(done)
            raise
        try:
            answer = await self._predictor.predict(question, done)
        finally:
            self._bodies.free(len(body))
        call.trailing = self._metadata(answer)
        return answer.encoded.body

    def _question(self, body: bytes, call: Call) -> Question:
        parts, fields, done = cut(body), call.fields, call.done
        ask = self._asks.get((parts.model, parts.version))
        if ask is None:
            ask = Ask(parse_model_name(parts.model), parse_version(parts.version) if parts.version else None)
            if len(self._asks) >= _KEPT:
                self._asks.clear()
            self._asks[parts.model, parts.version] = ask
        done.model, done.version = ask.model, ask.version or ""
        seconds = seconds_asked(fields, self._seconds)
        if call.left is not None and call.left < seconds:
            seconds = call.left
        read = partial(read_inference, parts)
        weight = weigh(parts, len(body))
        priority = priority_asked(fields)
        return Question(ask, body, read, CONTENT_TYPE, call.request_id, seconds, priority, fields, weight)

    def _metadata(self, answer: Answer) -> Metadata:
        decision = answer.decision
        of = (decision.model, decision.version, decision.arm, decision.revision)
        told = self._told.get(of)
        if told is None:
            if len(self._told) >= _KEPT:
                self._told.clear()
            done = Finished(model=decision.model, version=decision.version, arm=decision.arm)
            done.revision = decision.revision
            told = self._told[of] = decided(done)
        return told

    async def _traced(self, tracer: Tracer, body: bytes, call: Call) -> bytes:
        trace: Any = tracer.begin(call.fields.items())
        told, begun, failed = ("traceparent", trace.own.header().decode()), perf_counter_ns(), "internal"
        call.trailing = (told,)
        try:
            reply = await self._infer(body, call)
            failed = ""
        except asyncio.CancelledError:
            failed = "client_gone"
            raise
        finally:
            if trace.sampled:
                left = left_by(call.done, call.request_id, failed)
                tracer.end(partial(spans_of, trace, perf_counter_ns() - begun, left))
        call.trailing = (*call.trailing, told)
        return reply
