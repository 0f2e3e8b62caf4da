"""What a request's own connection offers beyond ASGI: its small body at once, its answer in one write, its hang-up.

ASGI costs a call for the body, two for the answer, and a check of every header's letters: more than a small prediction.
Whoever answers many small requests asks ``take_direct(scope)`` first; everybody else uses ASGI, and both may be mixed
up to the first byte of the answer. Not here: limits and everything else about connections (``connection.py``).
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from registry.edge.gate import Scope

_KEY = "headgate.direct"
_SMALL_BODY = 16_384


class Direct:
    """One request's way past ASGI. For the event loop's thread.

    Attributes:
        body: The whole body, where it had come before anybody asked for it; else None: ask ASGI.
        task: What answers the request; None before it has had to wait for anything.
        watched: Set it, and the task is cancelled should the client hang up meanwhile; ``gone`` tells that it was.
    """

    __slots__ = ("_cycle", "body", "gone", "task", "watched")

    def __init__(self, cycle: RequestResponseCycle, task: asyncio.Task[None] | None) -> None:
        self._cycle = cycle
        self.task = task
        self.body: bytes | None = None
        self.watched = self.gone = False

    def body_came(self, cycle: RequestResponseCycle) -> None:
        """Take the whole body of ``cycle``, where it is this request's and small: it came with its head."""
        if cycle is self._cycle and len(cycle.body) <= _SMALL_BODY:
            self.body = bytes(cycle.body)

    def reply(self, head: bytes, body: bytes) -> bool:
        """Answer 200 in one write; return False where ASGI must (nothing has been written then).

        Args:
            head: Header lines, each ended by CRLF, with lower-case names; the caller vouches for every letter.
            body: All of it; its length is added to the head.
        """
        cycle = self._cycle
        if cycle.response_started or cycle.disconnected or not cycle.keep_alive or cycle.flow.write_paused:
            return False
        start = _start if cycle.default_headers is _made_of else _make_start(cycle.default_headers)
        cycle.transport.write(b"%b%bcontent-length: %d\r\n\r\n%b" % (start, head, len(body), body))
        cycle.response_started = cycle.response_complete = True
        cycle.message_event.set()
        cycle.on_response()
        return True

    def hang_up(self) -> None:
        """Tell that the client has gone."""
        if self.watched and self.task is not None and not self.task.done():
            self.gone = True
            self.task.cancel()


# How every answer begins: the server makes the list of its own headers anew once a second, for the date.
_made_of: list[tuple[bytes, bytes]] = []
_start = b""


def _make_start(headers: list[tuple[bytes, bytes]]) -> bytes:
    global _made_of, _start  # one process, one server, one thread
    _made_of, _start = headers, STATUS_LINE[200] + b"".join([b"%b: %b\r\n" % pair for pair in headers])
    return _start


def offer(scope: Scope, direct: Direct) -> None:
    """Put a way past ASGI into a request's scope."""
    scope[_KEY] = direct


def take_direct(scope: Scope) -> Direct | None:
    """Take the request's way past ASGI out of its scope; None where another server, or a test, stands in front.

    Out of it, because what it leads to holds the scope: a circle, which the collector would have to look for.
    """
    found: Any = scope.pop(_KEY, None)
    return found if type(found) is Direct else None
