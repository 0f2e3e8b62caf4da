"""The edge of the gRPC side: each call's metadata in, its answer or its status out, one log line where one is due.

Every call of every method passes ``Edge``; when there are identities, it is where a method's scope will be asked for.
Whatever is raised below ends here as a status with our message, and, where nobody expected it, as one log line. Not
here: what the methods do (``infer.py``, ``queries.py``), which status an error has (``statuses.py``).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

import grpc

from registry import log
from registry.edge.gate import new_request_id, request_id_of
from registry.edge.problems import STATUS, problem_headers
from registry.errors import HeadgateError, Internal
from serving.grpc.methods import Method
from serving.grpc.statuses import grpc_status
from serving.http.front import SLOW_SECONDS
from serving.http.lane import joined
from serving.telemetry.finished import Finished

Context = grpc.aio.ServicerContext[Any, Any]
Metadata = tuple[tuple[str, str], ...]
_CODES = {code.value[0]: code for code in grpc.StatusCode}
_BODY_HEADERS = (b"content-type", b"x-content-type-options")


@dataclass(slots=True)
class GrpcCall:
    """One call, from its metadata on.

    Attributes:
        method: Which.
        fields: Its metadata by lower-case name, as headers are.
        request_id: The caller's ``x-request-id``, or one of our own.
        left: Seconds until its caller's deadline; None without one.
        trailing: What the answer's metadata say beside the request's id.
        message_id: What its caller calls its message, once that has been read; empty for nothing.
        done: How its predict went; for those that have none, nothing.
    """

    method: Method
    fields: dict[bytes, bytes]
    request_id: str
    left: float | None
    trailing: Metadata = ()
    message_id: str = ""
    done: Finished = field(default_factory=Finished)


Work = Callable[[bytes, GrpcCall], Awaitable[bytes]]


class Edge:
    """Makes handlers of work: bytes in, bytes out."""

    def unary(self, method: Method, work: Work) -> grpc.RpcMethodHandler[bytes, bytes]:
        """Return the handler of a method with one request and one answer."""

        async def handle(body: bytes, context: Context) -> bytes:
            begun = perf_counter()
            call = open_call(method, context)
            try:
                reply = await work(body, call)
            except Exception as error:  # noqa: BLE001  # the edge of the process: a status instead of a traceback
                await refuse(context, call, as_known(error, call), begun)
                return b""
            context.set_trailing_metadata((("x-request-id", call.request_id), *call.trailing))
            note(call, 0, 200, begun)
            return reply

        # Bytes as they came: who reads them decides how much of them is copied.
        return grpc.unary_unary_rpc_method_handler(handle)

    def streaming(
        self, method: Method, work: Callable[[Context, GrpcCall], Awaitable[None]]
    ) -> grpc.RpcMethodHandler[bytes, bytes]:
        """Return the handler of a method with a stream of requests and one of answers, which ``work`` reads and
        writes."""

        async def handle(_: Any, context: Context) -> None:
            begun = perf_counter()
            call = open_call(method, context)
            try:
                await work(context, call)
            except Exception as error:  # noqa: BLE001  # the edge of the process: a status instead of a traceback
                await refuse(context, call, as_known(error, call), begun)
                return
            context.set_trailing_metadata((("x-request-id", call.request_id),))
            note(call, 0, 200, begun)

        return grpc.stream_stream_rpc_method_handler(handle)


def open_call(method: Method, context: Context) -> GrpcCall:
    """Return a call with what its metadata say."""
    pairs = [
        (name.encode(), value if isinstance(value, bytes) else value.encode("utf-8", "replace"))
        for name, value in context.invocation_metadata() or ()
    ]
    fields = joined(pairs)
    request_id = request_id_of(fields.get(b"x-request-id")) or new_request_id()
    return GrpcCall(method, fields, request_id, context.time_remaining())


def as_known(error: Exception, call: GrpcCall) -> HeadgateError:
    """Return an error as one of ours; write a log line about one that nobody expected."""
    if isinstance(error, HeadgateError):
        error.__traceback__ = None  # a frame on its way that knows it would keep the call's body
        return error
    log.failure("request_raised", error, request_id=call.request_id)
    return Internal("internal", "a fault of the platform; its log has the place")


async def refuse(context: Context, call: GrpcCall, error: HeadgateError, begun: float) -> None:
    """End a call with an error's status, message and metadata; nothing can be answered to it afterwards."""
    status = grpc_status(error.code)
    note(call, status, STATUS[error.code], begun)
    told = [(name, value) for name, value in problem_headers(error, call.request_id) if name not in _BODY_HEADERS]
    trailing = [(name.decode(), value.decode("latin-1")) for name, value in told]
    trailing += [("x-headgate-code", error.code), *decided(call.done), *call.trailing]
    try:
        await context.abort(_CODES[status], error.message, tuple(trailing))
    except (grpc.aio.AbortError, grpc.aio.InternalError) as aborted:
        # The library raises AbortError, keeps it with the call, and raises it again once the handler has returned. What
        # it came through would be kept with it: frames with the request's bytes, in a circle that only the garbage
        # collector opens, hundreds of refusals later. Whoever has left (ExecuteBatchError) is told nothing.
        aborted.__traceback__ = aborted.__context__ = None


def decided(done: Finished) -> Metadata:
    """Return what says who answered; nothing where that was not decided."""
    if not done.arm:
        return ()
    told = {"model": done.model, "version": done.version, "arm": done.arm, "revision": str(done.revision)}
    return tuple((f"x-headgate-{name}", text) for name, text in told.items())


def note(call: GrpcCall, status: int, http_status: int, begun: float) -> None:
    """Write a call's log line, where it failed by our fault, took long, or everything is written.

    ``begun`` is when it did, as ``perf_counter`` counts; the statuses are gRPC's and HTTP's.
    """
    seconds = perf_counter() - begun
    if http_status >= 500 or seconds > SLOW_SECONDS or log.debugging():
        done = call.done
        log.event(
            "access",
            method=call.method.name,
            model=done.model or None,
            version=done.version or None,
            arm=done.arm or None,
            revision=done.revision or None,
            status=status,
            ms=round(seconds * 1000, 2),
            request_id=call.request_id,
        )
