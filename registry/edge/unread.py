"""Refusals before a body has been read: said at once, and still read by whoever is busy sending.

A server that hangs up while its client sends resets the connection, and the client never sees why. So the connection is
told to end, what still comes is thrown away for a moment, and only then is the answer's end sent. A request of which
nobody read the body must not hold its connection either: it would be one more way to sit on a server for nothing.

Not here: how long a body may take or be (each route knows), and answers of success, which read what they were sent.
"""

from __future__ import annotations

import asyncio

from registry.edge.gate import ASGIApp, Message, Receive, Scope, Send

LINGER_SECONDS = 1.0
LINGER_BYTES = 64 * 1024 * 1024
_REFUSED = 400


class EndsUnread:
    """Wrap ``app`` so that a refusal ends the connection where its request's body has not been read to the end."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not _has_body(scope):
            await self._app(scope, receive, send)
            return
        exchange = _Exchange(receive, send)
        await self._app(scope, exchange.receive, exchange.send)


class _Exchange:
    """One request with a body, and its answer."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive, self._send = receive, send
        self._read = False
        self._ending = False

    async def receive(self) -> Message:
        message = await self._receive()
        self._read = self._read or not message.get("more_body", False)
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._ending = message["status"] >= _REFUSED and not self._read
            if self._ending:
                kept = [pair for pair in message.get("headers", ()) if pair[0].lower() != b"connection"]
                message = {**message, "headers": [*kept, (b"connection", b"close")]}
            await self._send(message)
        elif self._ending and not message.get("more_body", False):
            await self._send({**message, "more_body": True})
            await self._discard()
            await self._send({"type": "http.response.body", "body": b""})
        else:
            await self._send(message)

    async def _discard(self) -> None:
        seen = 0
        try:
            async with asyncio.timeout(LINGER_SECONDS):
                while seen < LINGER_BYTES and not self._read:
                    seen += len((await self.receive()).get("body", b""))
        except TimeoutError:
            return


def _has_body(scope: Scope) -> bool:
    return any(
        name == b"transfer-encoding" or (name == b"content-length" and value.strip(b"0") != b"")
        for name, value in scope["headers"]
    )
