"""Reading a streamed answer: server-sent events into predictions, and what it means when they end. Pure, bounded.

Not here: the connection that they come over (``sync_driver.py``, ``async_driver.py``).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from headgate.answers import error_of
from headgate.errors import ConnectionFailed, HeadgateError, ServerFault
from headgate.wire import Answer

EVENT_LIMIT = 512 << 20
"""More than any answer that the platform sends: what does not end is no event."""


class Pieces:
    """Takes the bytes of a stream as they come, in any pieces, and gives what was predicted.

    Args:
        url: Where they come from, for messages.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._held = bytearray()
        self._searched = 0
        self._done = False
        self.count = 0

    def feed(self, data: bytes) -> Iterator[Any]:
        """Yield the predictions of the events that are complete; raise the error that ended the stream, or ServerFault
        where these are none of the platform's events."""
        self._held += data
        while (end := self._held.find(b"\n\n", self._searched)) >= 0:
            block = bytes(self._held[:end])
            del self._held[: end + 2]
            self._searched = 0
            name, text = _fields(block)
            if text is not None:
                yield from self._take(name, text)
        self._searched = max(0, len(self._held) - 1)
        if len(self._held) > EVENT_LIMIT:
            raise self._unreadable("an event has no end")

    def finish(self) -> None:
        """Take the end of the bytes; raise ConnectionFailed where the stream had not ended."""
        if not self._done:
            raise self._broken_off()

    def failed(self, error: HeadgateError) -> HeadgateError:
        """Return what a failure of the connection means here."""
        return self._broken_off() if self.count and isinstance(error, ConnectionFailed) else error

    def _take(self, name: str, text: bytes) -> Iterator[Any]:
        if name == "error":
            raise error_of(Answer(500, {}, text, self._url))
        if name == "done":
            self._done = True
            return
        try:
            prediction = json.loads(text)["predictions"]
        except (ValueError, KeyError, TypeError) as error:
            raise self._unreadable(type(error).__name__) from error
        self.count += 1
        yield prediction

    def _broken_off(self) -> ConnectionFailed:
        return ConnectionFailed(f"the stream of {self._url} broke off after {self.count} pieces", code="stream_broken")

    def _unreadable(self, why: str) -> ServerFault:
        return ServerFault(
            f"{self._url} streamed something that is no prediction ({why}); is that a Headgate process?",
            code="unreadable_answer",
        )


def _fields(block: bytes) -> tuple[str, bytes | None]:
    """Return an event's name and data; None where it has none (a comment, say)."""
    name, lines = "", []
    for line in block.split(b"\n"):
        field, _, value = line.rstrip(b"\r").partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            lines.append(value)
        elif field == b"event":
            name = value.decode("utf-8", "replace")
    return name, b"\n".join(lines) if lines else None
