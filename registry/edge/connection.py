"""One client's connection: uvicorn's protocol with the limits that it lacks.

* a head (request line and headers) within 10 seconds and 64 KiB, else 408 or 431
* at most 65,536 chunks to a body, else 413; nothing to speak of around them
* one HTTP version, one way to say where a body ends, no Upgrade
* at most 10,000 connections; beyond that 503 for all but health and metrics
* a client that does not take its answer is cut off
* what is no HTTP gets the contract's error body
* when the server ends, a request that is on its way is still answered

Not here: what the gate can decide from a parsed head, and bodies (``serving/http/body.py``).
"""

from __future__ import annotations

import asyncio
import uuid
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from registry.edge.direct import Direct, offer
from registry.edge.errand import Errands
from registry.edge.gate import MAX_HEADER_BYTES, Receive, Scope, Send
from registry.edge.heads import Head, Heads
from registry.edge.problems import STATUS, problem_body, problem_headers
from registry.errors import HeadgateError, InvalidRequest, Unavailable

HEAD_SECONDS = 10.0
WRITE_SECONDS = 30.0
LINGER_SECONDS = 1.0
LAST_CALL_SECONDS = 0.5
"""How long a server that ends still listens to connections on which nothing is being answered."""
MAX_CONNECTIONS = 10_000
MAX_HEAD_BYTES = MAX_HEADER_BYTES + 16_384
MAX_CHUNKS = 65_536
LEAST_CHUNK_BYTES = 16
"""How long the chunks of a body that has more of them must be on average, where it may have more."""
_LEAST_PROGRESS = 256 * 1024
_CLOSE = (b"connection", b"close")
_VERSIONS = ("1.1", "1.0")
_ALWAYS = (b"/livez", b"/readyz", b"/metrics")


class Connection(HttpToolsProtocol):
    """A connection within limits."""

    max_chunks = MAX_CHUNKS
    """Most chunks of one body; a server that takes large files raises it."""
    max_connections = MAX_CONNECTIONS
    head_seconds = HEAD_SECONDS
    heads = Heads()
    """The heads that need not be read again."""
    errands = Errands()
    ending = False
    """Whether the server ends; set on the class that it made for itself."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._head_bytes = 0
        self._head_timer: asyncio.TimerHandle | None = None
        self._write_timer: asyncio.TimerHandle | None = None
        self._chunks = self._body_bytes = 0
        self._refusal: HeadgateError | None = None
        self._leaving = False
        self._direct: Direct | None = None
        self._idle_since = 0.0
        self._idle_timer: asyncio.TimerHandle | None = None
        self._in_message = False
        self._messages = 0
        self._scope: Scope = {}
        super().__init__(*args, **kwargs)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as upstream has it
        """Begin; the first head must come in time."""
        super().connection_made(transport)
        said = ("server", self.server), ("client", self.client), ("scheme", self.scheme), ("root_path", self.root_path)
        asgi = {"version": self.asgi_version, "spec_version": "2.3"}
        self._scope = {"type": "http", "asgi": asgi, "http_version": "1.1", **dict(said)}
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        self._head_came()
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None
        if self._idle_timer is not None:
            self._idle_timer.cancel()
            self._idle_timer = None
        super().connection_lost(exc)
        if self._direct is not None:
            self._direct.hang_up()
            self._direct = None

    def data_received(self, data: bytes) -> None:
        """Take bytes; while they are part of a head, count them and watch the clock."""
        if self._leaving:
            return
        cycle = self.cycle
        begins = not self._in_message and (cycle is None or (cycle.response_complete and cycle.keep_alive))
        plainly = begins and not self.ending and len(self.connections) <= self.max_connections
        if plainly and (head := self.heads.find(data)) is not None:
            self._take_known(head, data)
            return
        self._head_bytes += len(data)
        self._messages = 0
        super().data_received(data)
        if begins and self._messages == 1 and not self._in_message and self.cycle.keep_alive:
            self.heads.note(data, cast("Scope", self.cycle.scope))
        if self._leaving or self.transport.is_closing():
            return
        if self._head_bytes > MAX_HEAD_BYTES:
            self._refuse(InvalidRequest("headers_too_large", f"send at most {MAX_HEADER_BYTES} bytes of headers"))
        elif self._head_bytes and self._head_timer is None and self._between_requests():
            self._await_head()

    def on_message_begin(self) -> None:
        """Begin a request."""
        super().on_message_begin()
        self._chunks = self._body_bytes = 0
        self._in_head = self._in_message = True
        self._messages += 1

    def on_headers_complete(self) -> None:
        """Begin to answer; a server that is full answers health alone."""
        self._in_head = False
        self._head_bytes = 0
        self._head_came()
        self._check_framing()
        if len(self.connections) > self.max_connections:
            self.app = self.config.loaded_app if self.url.startswith(_ALWAYS) else _full
        super().on_headers_complete()
        if self.ending:
            self._answer_last()

    def _check_framing(self) -> None:
        # The parser takes more than is spoken here, and leaves out the body of whoever offers to speak something else.
        if self.parser.should_upgrade():
            message = "this server speaks HTTP/1.1 alone; send no Upgrade header (in Java: HttpClient.Version.HTTP_1_1)"
        elif self.parser.get_http_version() not in _VERSIONS:
            message = "this server speaks HTTP/1.1 alone"
        elif any(name == b"transfer-encoding" and value.lower() != b"chunked" for name, value in self.headers):
            message = "the only Transfer-Encoding that is read here is chunked"
        elif not self._names_host():
            message = "the request line names another host than the Host header"
        else:
            return
        self._refusal = InvalidRequest("invalid_argument", message)
        raise self._refusal

    def _names_host(self) -> bool:
        # Of an absolute URI (RFC 9112 §3.2.2) the gate sees the path alone, and the Host header.
        host = self.url.partition(b"://")[2].partition(b"/")[0].lower()
        named = not self.url.startswith(b"/") and host
        return not named or all(value.lower() == host for name, value in self.headers if name == b"host")

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        # As upstream does it, which keeps no hold of the task that a hang-up must end.
        task = self.loop.create_task(cycle.run_asgi(app))
        task.add_done_callback(self.tasks.discard)
        self.tasks.add(task)
        self._direct = Direct(cycle, task)
        offer(cast("Scope", cycle.scope), self._direct)
        if not cycle.more_body:  # it waited behind others on its connection
            self._direct.body_came(cycle)

    def _run_errand(self, cycle: RequestResponseCycle) -> None:
        direct = self._direct = Direct(cycle, None)
        direct.body_came(cycle)
        offer(cast("Scope", cycle.scope), direct)
        task = self.errands.begin(cycle.run_asgi(self.app), self.loop)
        if task is not None:
            direct.task = task
            task.add_done_callback(self.tasks.discard)
            self.tasks.add(task)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; spaces after its value are no part of it (RFC 9110 §5.5), and the parser leaves them there.

        What comes after a body is dropped: nobody asks for it, and the gate has looked at the head by then.
        """
        if self._in_head:
            super().on_header(name, value.rstrip(b" \t"))

    def on_body(self, body: bytes) -> None:
        """Take a part of a body; what stands around the parts counts as headers do."""
        self._head_bytes = 0
        self._body_bytes += len(body)
        super().on_body(body)

    def on_chunk_header(self) -> None:
        """Count the chunks of a body: uvicorn joins them, so nobody further in can."""
        self._chunks += 1
        tiny = self._chunks > MAX_CHUNKS and self._body_bytes < self._chunks * LEAST_CHUNK_BYTES
        if tiny or self._chunks > self.max_chunks:
            most = MAX_CHUNKS if tiny else self.max_chunks
            self._refusal = InvalidRequest("body_too_large", f"send a body in at most {most} chunks")
            raise self._refusal

    def on_message_complete(self) -> None:
        """End a request's body."""
        super().on_message_complete()
        self._head_bytes = 0
        self._in_message = False
        if self._direct is not None:
            self._direct.body_came(self.cycle)

    def on_response_complete(self) -> None:
        """Go on with what waits on this connection, or begin to be idle.

        As upstream does it, but for the timer: upstream makes and cancels one for every request, this keeps one for the
        connection, which looks when it fires how long nothing has come.
        """
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        if self.flow.read_paused:
            self.flow.resume_reading()
        if self.pipeline:
            cycle, app = self.pipeline.pop()
            self._start_asgi_task(cycle, app)
            return
        self._idle_since = self.loop.time()
        if self._idle_timer is None:
            self._idle_timer = self.loop.call_later(self.timeout_keep_alive, self._check_idle)

    def _check_idle(self) -> None:
        left = float(self.timeout_keep_alive)
        # One whose answer has gone may not go on for ever with a body that nobody waits for.
        unread = self._in_message and not self._in_head and self.cycle.response_complete
        if unread or (self._between_requests() and not self._head_bytes):
            left -= self.loop.time() - self._idle_since
        if left > 0:
            self._idle_timer = self.loop.call_later(left, self._check_idle)
        else:
            self._idle_timer = None
            self.timeout_keep_alive_handler()

    def send_400_response(self, msg: str) -> None:
        """Answer what cannot be parsed, or what a callback refused while parsing."""
        self._refuse(self._refusal or InvalidRequest("invalid_argument", "this is not a valid HTTP/1.1 request"))

    def pause_writing(self) -> None:
        """Wait for the client to take what was written, as long as it takes some of it."""
        super().pause_writing()
        if self._write_timer is None:
            left = self.transport.get_write_buffer_size()
            self._write_timer = self.loop.call_later(WRITE_SECONDS, self._check_progress, left)

    def resume_writing(self) -> None:
        """Go on writing."""
        super().resume_writing()
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None

    def shutdown(self) -> None:
        """Close once nothing is on its way: uvicorn would hang up on clients who have just begun to speak."""
        if self.cycle is not None and not self.cycle.response_complete:
            self._answer_last()
        else:
            self.loop.call_later(LAST_CALL_SECONDS, self._close_if_silent)

    def _answer_last(self) -> None:
        """Have the client told, with this answer, that no other comes on this connection."""
        self.cycle.keep_alive = False
        if not self.cycle.response_started:
            self.cycle.default_headers = [*self.cycle.default_headers, _CLOSE]

    def _close_if_silent(self) -> None:
        # What has begun to speak is answered, or cut off by the limits above.
        if self._between_requests() and not self._head_bytes:
            self.transport.close()

    _in_head = True

    def _between_requests(self) -> bool:
        return self._in_head or self.cycle is None or (self.cycle.response_complete and not self._in_message)

    def _take_known(self, head: Head, data: bytes) -> None:
        # What the parser would do, which stands between two requests and goes on to stand there.
        self._head_bytes = 0
        if self._head_timer is not None:
            self._head_came()
        scope = head.scope(self._scope)
        scope["state"] = self.app_state.copy()
        self.cycle = cycle = RequestResponseCycle(
            scope=cast("Any", scope),
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=self.access_log,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=False,
            keep_alive=True,
            on_response=self.on_response_complete,
        )
        cycle.body = cast("bytearray", data[-head.length :])  # nothing is added to it any more
        cycle.more_body = False
        cycle.message_event.set()
        self._in_head = False
        if getattr(self.app, "errands", False):
            self._run_errand(cycle)
        else:
            self._start_asgi_task(cycle, self.app)

    def _await_head(self) -> None:
        self._head_timer = self.loop.call_later(self.head_seconds, self._head_is_late)

    def _head_came(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _head_is_late(self) -> None:
        self._head_timer = None
        if self.transport.is_closing():
            return
        if self._head_bytes:
            self._refuse(InvalidRequest("request_timeout", f"send the headers within {self.head_seconds:g} seconds"))
        else:
            self.transport.close()

    def _check_progress(self, before: int) -> None:
        self._write_timer = None
        left = self.transport.get_write_buffer_size()
        if left > before - _LEAST_PROGRESS:
            self.transport.abort()
        else:
            self._write_timer = self.loop.call_later(WRITE_SECONDS, self._check_progress, left)

    def _refuse(self, error: HeadgateError) -> None:
        cycle = self.cycle
        if cycle is not None and not cycle.response_complete:
            if cycle.response_started:
                # An answer is on its way already: a second one in its midst would be taken for part of it.
                self.transport.close()
                return
            # Nobody further in may answer any more.
            cycle.disconnected = True
            cycle.message_event.set()
        request_id = uuid.uuid4().hex
        body = problem_body(error, request_id)
        lines = [STATUS_LINE[STATUS[error.code]]]
        for name, value in problem_headers(error, request_id):
            lines += [name, b": ", value, b"\r\n"]
        lines += [b"content-length: %d\r\nconnection: close\r\n\r\n" % len(body), body]
        self.transport.write(b"".join(lines))
        self._leave()

    def _leave(self) -> None:
        """Say that no more comes, and throw away what still does: closing at once would reset the connection, and the
        client would not read the answer."""
        self._leaving = True
        self._head_came()
        self.transport.write_eof()
        self._head_timer = self.loop.call_later(LINGER_SECONDS, self.transport.close)


async def _full(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer every request of a connection too many."""
    request_id = uuid.uuid4().hex
    error = Unavailable(
        "no_capacity", "this process has all the connections that it may have; try again", retry_after=1
    )
    body = problem_body(error, request_id)
    headers = [*problem_headers(error, request_id), (b"content-length", b"%d" % len(body)), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": STATUS[error.code], "headers": headers})
    await send({"type": "http.response.body", "body": body if scope["method"] != "HEAD" else b""})
