"""A streamed answer on its way to a client, as server-sent events.

Each piece is sent before the next is asked for, and sending waits for a client that does not take what it was sent: so
the model is never far ahead of its reader. A client that hangs up ends the stream at once. Not here: what events look
like (``serving/protocols/sse.py``), and where pieces come from (``serving/streams.py``).
"""

from __future__ import annotations

from collections.abc import Callable

from registry.edge.direct import Direct
from registry.edge.gate import Send
from registry.errors import HeadgateError
from serving.http.body import ClientGoneError
from serving.http.hangup import Hangup
from serving.protocols.sse import MEDIA_TYPE, Framing
from serving.streams import Streamed

_HEAD = (
    f"content-type: {MEDIA_TYPE}\r\n"
    "cache-control: no-store\r\n"
    "x-accel-buffering: no\r\n"  # nginx, and what follows it, would hold pieces back
    "x-content-type-options: nosniff\r\n"
).encode()


class EventReply:
    """An answer that is sent piece by piece; whoever gets one calls ``send_to``, at once.

    Args:
        head: Its header lines beside those of every stream, each with its CRLF.
        streamed: The pieces.
        framing: How its protocol marks events.
        problem: Writes an error's body in the words of the protocol.
        direct: The request's connection, which tells of a hang-up; None where nothing does.
    """

    def __init__(
        self,
        head: bytes,
        streamed: Streamed,
        framing: Framing,
        problem: Callable[[HeadgateError], bytes],
        direct: Direct | None,
    ) -> None:
        self._head = _HEAD + head
        self._streamed, self._framing, self._problem, self._direct = streamed, framing, problem, direct
        self._ended: list[Callable[[str], None]] = []

    def add_header(self, line: bytes) -> None:
        """Send one more header line, with its CRLF."""
        self._head += line

    def when_ended(self, tell: Callable[[str], None]) -> None:
        """Have ``tell`` called once it has ended, with the code of the error that ended it, or nothing."""
        self._ended.append(tell)

    async def send_to(self, send: Send) -> None:
        """Send it all; raise ClientGoneError where the client has gone meanwhile."""
        code = "internal"
        try:
            with Hangup(self._direct):
                code = await self._send(send)
        except ClientGoneError:
            code = "client_gone"
            raise
        finally:
            await self._streamed.aclose()
            for tell in self._ended:
                tell(code)

    async def _send(self, send: Send) -> str:
        lines = [line.partition(b": ") for line in self._head.splitlines()]
        headers = [(name, value) for name, _, value in lines]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        pieces, code = 0, ""
        try:
            async for encoded in self._streamed:
                body = self._framing.piece(encoded.body)
                await send({"type": "http.response.body", "body": body, "more_body": True})
                pieces += 1
            last = self._framing.done(pieces)
        except HeadgateError as error:
            code, last = error.code, self._framing.error(self._problem(error))
        await send({"type": "http.response.body", "body": last})
        return code
