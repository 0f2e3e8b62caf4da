"""Server-sent events as bytes (WHATWG HTML, section "Server-sent events"), and how a protocol uses them. Pure.

Not here: how they are sent (``serving/http/events.py``).
"""

from __future__ import annotations

from serving.values import value

MEDIA_TYPE = "text/event-stream"
ERROR, DONE = "error", "done"


@value
class Framing:
    """How a protocol marks its events.

    Attributes:
        named: Whether an error has the name ``error``, and the last event is ``done`` with the number of pieces; else
            all events are bare data, as clients expect who look at nothing else.
    """

    named: bool

    def piece(self, data: bytes) -> bytes:
        """Return the event of one piece."""
        return event(data)

    def error(self, data: bytes) -> bytes:
        """Return the event of what ended the stream too soon."""
        return event(data, ERROR if self.named else "")

    def done(self, pieces: int) -> bytes:
        """Return what says that nothing is missing; empty where the end of the body says so."""
        return event(b'{"pieces":%d}' % pieces, DONE) if self.named else b""


NAMED, BARE = Framing(named=True), Framing(named=False)


def event(data: bytes, name: str = "") -> bytes:
    """Return one event; data of several lines becomes several lines of data."""
    head = f"event: {name}\n".encode() if name else b""
    if b"\n" in data or b"\r" in data:
        data = b"\ndata: ".join(data.splitlines() or [b""])
    return b"%bdata: %b\n\n" % (head, data)
