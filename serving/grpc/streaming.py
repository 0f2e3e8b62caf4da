"""ModelStreamInfer: many requests in one call, answered in their order, several worked on at once.

    read ── begin (a task each) ──► queue ── send: one answer, or piece by piece where the version streams

A version that answers piece by piece has a message for each, and is never far ahead of its reader: the next is made
once the last was taken. An error is an answer too, and the call goes on. Each answer says in
``triton_final_response`` whether it is its request's last; of pieces that is known afterwards, so whoever asked for it
(``triton_enable_empty_final_response``) gets an empty last one.

Not here: one request (``infer.py``), the messages (``inference.py``).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from time import perf_counter
from traceback import clear_frames

import grpc

from registry.edge.problems import STATUS
from registry.errors import InvalidRequest, Unavailable
from serving.grpc.calls import Context, GrpcCall, as_known, note
from serving.grpc.infer import End, Inferring
from serving.grpc.inference import empty_final, read_inference, stream_refusal, wants_empty_final
from serving.grpc.seats import STREAMS, Seats
from serving.grpc.statuses import grpc_status
from serving.grpc.wire import in_stream
from serving.streams import Streamed
from serving.telemetry.finished import Finished

AHEAD = 16
"""How many requests of one stream are worked on at once; the rest wait, and their sender with them."""


class Streaming:
    """Answers streams; so many at once."""

    def __init__(self, inferring: Inferring) -> None:
        self._inferring = inferring
        self._seats = Seats(STREAMS, "streams")

    async def stream(self, context: Context, call: GrpcCall) -> None:
        """Answer the requests of one stream.

        Raises Refused ``overloaded`` where there are too many streams, InvalidRequest ``request_timeout`` for one whose
        caller neither sends nor takes anything for too long, and Unavailable ``shutting_down`` where nothing is owed
        and the node is being stopped.
        """
        with self._seats:
            one = _Stream(self._inferring, context, call)
            try:
                await one.run()
            except BaseException as error:
                # A task group's own frames point at what it raises, a circle that would keep the requests' bytes until
                # the garbage collector comes.
                clear_frames(error.__traceback__)
                if isinstance(error, BaseExceptionGroup):
                    raise _first(error) from error
                raise
            finally:
                await one.close()


class _Stream:
    """One call."""

    def __init__(self, inferring: Inferring, context: Context, call: GrpcCall) -> None:
        self._inferring, self._context, self._call = inferring, context, call
        self._begun: asyncio.Queue[tuple[_Request, asyncio.Task[None]] | None] = asyncio.Queue(AHEAD)
        self._owed: set[_Request] = set()
        self._heard = perf_counter()
        self._whole = False  # whether its caller has said that no more requests come

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._begin_all(group))
            watch = group.create_task(self._watch())
            while (begun := await self._begun.get()) is not None:
                request, beginning = begun
                await beginning
                await request.send_to(self._send)
                self._owed.discard(request)
                self._heard = perf_counter()
                self._end_where_left()
            watch.cancel()

    async def close(self) -> None:
        """Give up what was not sent."""
        await asyncio.gather(*(request.close("client_gone") for request in self._owed), return_exceptions=True)

    async def _begin_all(self, group: asyncio.TaskGroup) -> None:
        context, call, count = self._context, self._call, 0
        while (body := await context.read()) is not grpc.aio.EOF:
            if self._inferring.leaving.is_set():
                return  # the call ends once nothing is owed
            self._heard = perf_counter()
            # Labels find an answer by its request's id: of one stream each message has its own.
            request_id = f"{call.request_id}.{count}" if count else call.request_id
            each = replace(call, request_id=request_id, left=context.time_remaining(), done=Finished())
            request = _Request(self._inferring, body, each)
            self._owed.add(request)
            await self._begun.put((request, group.create_task(request.begin())))
            count += 1
        self._whole = True
        await self._begun.put(None)

    async def _watch(self) -> None:
        """End the call once nothing came for too long while nothing was owed, which half a message is not; or the node
        is being stopped."""
        seconds, leaving = self._inferring.times.idle, self._inferring.leaving
        while not leaving.is_set():
            left = self._heard + seconds - perf_counter()
            if left <= 0 and not self._owed:
                raise _too_long(f"no request came for {seconds:.6g} s")
            with suppress(TimeoutError):
                async with asyncio.timeout(left if left > 0 else seconds):
                    await leaving.wait()
        self._end_where_left()

    def _end_where_left(self) -> None:
        if self._inferring.leaving.is_set() and not self._owed and not self._whole:
            raise Unavailable(
                "shutting_down", "this node is being stopped; open a stream anew, on another", retry_after=1
            )

    async def _send(self, message: bytes) -> None:
        seconds = self._inferring.times.idle
        try:
            async with asyncio.timeout(seconds):
                await self._context.write(message)
        except TimeoutError:
            raise _too_long(f"an answer was not taken within {seconds:.6g} s") from None


class _Request:
    """One request of a stream: ``begin`` it, then ``send_to``; ``close`` it where that did not come to its end."""

    def __init__(self, inferring: Inferring, body: bytes, call: GrpcCall) -> None:
        self._inferring, self._call, self._body = inferring, call, body
        self._at = perf_counter()
        self._end: End | None = None
        self._message = b""  # the one answer, or what follows the pieces
        self._pieces: Streamed | None = None
        self._failed = ""  # the code of its error, and not the error, whose frames point back at this

    async def begin(self) -> None:
        """Ask; return once its first message is there, or its refusal."""
        self._end = self._inferring.traced(self._call)
        try:
            await self._ask()
        except Exception as error:  # noqa: BLE001  # the edge of the process: one request's fault is its own answer
            self._refuse(error)

    async def send_to(self, send: Callable[[bytes], Awaitable[None]]) -> None:
        """Send its messages; raise what ``send`` does."""
        if self._pieces is not None:
            await self._send_pieces(self._pieces, send)
        if self._message:
            await send(self._message)
        await self.close("")

    async def close(self, failed: str) -> None:
        """Give back what it holds; ``failed`` says how it ended where nothing else does. Idempotent."""
        end, self._end = self._end, None
        pieces, self._pieces = self._pieces, None
        if pieces is not None:
            self._inferring.free(self._body)
            await pieces.aclose()
        if end is not None:
            code = self._failed or failed
            end(code)
            note(self._call, grpc_status(code) if code in STATUS else 0, STATUS.get(code, 200), self._at)

    async def _ask(self) -> None:
        inferring, call, body = self._inferring, self._call, self._body
        predictor, done = inferring.predictor, call.done
        parts = await inferring.take(body, call)
        try:
            question, begun = inferring.question(body, parts, call, final=True), perf_counter()
            if not await predictor.streams(question):
                question = replace(question, seconds=max(0.0, question.seconds - (perf_counter() - begun)))
                self._message = in_stream((await predictor.predict(question, done)).encoded.body)
                return
            question = replace(question, read=partial(read_inference, parts, final=False))
            self._pieces = await predictor.stream(question, done)
            if wants_empty_final(parts):
                decision = self._pieces.decision
                self._message = empty_final(decision.model, decision.version, parts.id)
        finally:
            if self._pieces is None:
                inferring.free(body)

    async def _send_pieces(self, pieces: Streamed, send: Callable[[bytes], Awaitable[None]]) -> None:
        while True:
            try:
                piece = await anext(pieces, None)
            except Exception as error:  # noqa: BLE001  # as in begin: what came before stands
                return self._refuse(error)
            if piece is None:
                return None
            await send(in_stream(piece.body))

    def _refuse(self, error: Exception) -> None:
        known = as_known(error, self._call)
        self._failed = known.code
        self._message = stream_refusal(self._call.message_id, known)


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    first = group.exceptions[0]
    clear_frames(first.__traceback__)
    return _first(first) if isinstance(first, BaseExceptionGroup) else first


def _too_long(what: str) -> InvalidRequest:
    return InvalidRequest("request_timeout", f"{what} (HEADGATE_STREAM_SECONDS); open a stream anew")
