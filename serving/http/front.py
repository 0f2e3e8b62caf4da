"""The front door behind the gate: predicts to the lane, everything else to the application, every error to one shape.

This is the edge of the process: whatever is raised below ends here, as an answer and, where nobody expected it, as one
log line. It also carries the node's life: start, stop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from time import perf_counter

from registry import log
from registry.edge.direct import Direct, take_direct
from registry.edge.errand import in_task
from registry.edge.gate import ASGIApp, Message, Receive, Scope, Send
from registry.errors import HeadgateError, Internal, Unavailable
from serving.http.body import ClientGoneError
from serving.http.events import EventReply
from serving.http.lane import Lane
from serving.http.problems import problem
from serving.http.traced import TRACEPARENT
from serving.telemetry.finished import Finished

SLOW_SECONDS = 1.0
_UNLOGGED = ("/livez", "/readyz", "/live", "/ready")
"""How paths end that are asked many times a second, by whoever waits for this node to start."""
_LINGER_SECONDS = 1.0
_LINGER_BYTES = 64 * 1024 * 1024


class Front:
    """ASGI for the whole process but the gate.

    Args:
        lane: The predict lane.
        app: The application for all other routes.
        start: Run before the first request.
        stop: Run after the last one.
    """

    errands = True
    """It may be run as an errand: whoever needs a task below asks for it."""

    def __init__(
        self, lane: Lane, app: ASGIApp, start: Callable[[], Awaitable[None]], stop: Callable[[], Awaitable[None]]
    ) -> None:
        self._lane = lane
        self._app = app
        self._start = start
        self._stop = stop

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        watched = _Watched(receive, send)
        begun, direct = perf_counter(), None
        try:
            if self._lane.takes(scope["method"], scope["path"]):
                direct = take_direct(scope)
                reply = await self._lane.answer(scope, direct, watched.receive)
                if isinstance(reply, EventReply):
                    await reply.send_to(watched.send)
                elif direct is not None and direct.reply(reply.head, reply.body):
                    watched.status = 200
                else:
                    await watched.send({"type": "http.response.start", "status": 200, "headers": reply.headers()})
                    await watched.send({"type": "http.response.body", "body": reply.body})
            else:
                await in_task()
                await self._app(*_for_app(scope, watched))
        except ClientGoneError:
            return
        except HeadgateError as error:
            # Nobody looks at where it came from, and a frame on its way that knows it would keep the request's body.
            error.__traceback__ = None
            await _refuse(scope, watched, error, direct)
        except asyncio.CancelledError:
            await _refuse(scope, watched, Unavailable("shutting_down", "this node is shutting down"), direct)
            raise
        except Exception as error:  # noqa: BLE001  # the edge of the process: an answer instead of a traceback
            log.failure("request_raised", error, request_id=scope["headgate.request_id"])
            fault = Internal("internal", "a fault of the platform; its log has the place")
            await _refuse(scope, watched, fault, direct)
        seconds = perf_counter() - begun
        if watched.status >= 500 or seconds > SLOW_SECONDS or log.debugging():
            _write_access_line(scope, watched.status, seconds)

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            await self._start()
        except Exception as error:  # noqa: BLE001  # the edge of the process: the server must hear of it, and stop
            log.failure("start_failed", error)
            await send({"type": "lifespan.startup.failed", "message": type(error).__name__})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        try:
            await self._stop()
        except Exception as error:  # noqa: BLE001  # the edge of the process: it ends anyway, and says what went wrong
            log.failure("stop_failed", error)
        await send({"type": "lifespan.shutdown.complete"})


class _Watched:
    """Passes messages on; remembers whether the body was read, and with which status an answer has begun."""

    __slots__ = ("_receive", "_send", "body_read", "status")

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self.body_read = False
        self.status = 0

    async def receive(self) -> Message:
        message = await self._receive()
        if not message.get("more_body", False):
            self.body_read = True
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
        await self._send(message)


async def _refuse(scope: Scope, watched: _Watched, error: HeadgateError, direct: Direct | None) -> None:
    if watched.status:
        # The answer has begun, so there is no second one; the server closes the connection, and the client notices.
        return
    request_id: str = scope["headgate.request_id"]
    status, body, told = problem(scope["path"], error, request_id)
    headers = [*told, (b"content-length", b"%d" % len(body)), *_decided(scope)]
    unread = not watched.body_read and (direct is None or direct.body is None)
    if unread:
        headers.append((b"connection", b"close"))
    await watched.send({"type": "http.response.start", "status": status, "headers": headers})
    await watched.send({"type": "http.response.body", "body": body, "more_body": unread})
    if unread:
        await _discard(watched)
        await watched.send({"type": "http.response.body", "body": b""})


def _decided(scope: Scope) -> list[tuple[bytes, bytes]]:
    """Return the headers that say who answered, where that was decided before the error, and in which trace."""
    done, traced = scope.get("headgate.finished"), scope.get(TRACEPARENT)
    headers = [] if traced is None else [(b"traceparent", traced)]
    if done is None or not done.arm:
        return headers
    told = {"model": done.model, "version": done.version, "arm": done.arm, "revision": str(done.revision)}
    return headers + [(f"x-headgate-{name}".encode(), text.encode("latin-1")) for name, text in told.items()]


async def _discard(watched: _Watched) -> None:
    """Read on for a moment and throw it away: closing at once would reset the connection before the answer is read."""
    seen = 0
    await in_task()
    try:
        async with asyncio.timeout(_LINGER_SECONDS):
            while seen < _LINGER_BYTES and not watched.body_read:
                message = await watched.receive()
                seen += len(message.get("body", b""))
    except TimeoutError:
        return


def _for_app(scope: Scope, watched: _Watched) -> tuple[Scope, Receive, Send]:
    """Return what the application sees: HEAD as GET, its answer with the request's id, and for HEAD without a body."""
    head = scope["method"] == "HEAD"
    extra = [(b"x-request-id", scope["headgate.request_id"].encode("latin-1")), (b"x-content-type-options", b"nosniff")]

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            kept = [pair for pair in message["headers"] if pair[0] not in (b"x-request-id", b"x-content-type-options")]
            message = {**message, "headers": [*kept, *extra]}
        elif head:
            message = {**message, "body": b""}
        await watched.send(message)

    return ({**scope, "method": "GET"} if head else scope), watched.receive, send


def _write_access_line(scope: Scope, status: int, seconds: float) -> None:
    if scope["path"].endswith(_UNLOGGED):
        return
    # Set for predicts alone, with nothing but names that fit the grammar and, once that was decided, who answered.
    done: Finished = scope.get("headgate.finished") or Finished()
    log.event(
        "access",
        method=scope["method"],
        model=done.model or None,
        version=done.version or None,
        arm=done.arm or None,
        revision=done.revision or None,
        status=status,
        ms=round(seconds * 1000, 2),
        request_id=scope["headgate.request_id"],
    )
