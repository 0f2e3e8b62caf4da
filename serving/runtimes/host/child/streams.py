"""A streamed answer: what a model's ``predict_stream`` yields, a frame a piece, never further ahead than is agreed.

    node ──{"input", "stream": n}──► host    a call, of which at most n pieces may be on their way
    node ◄──{"output", "more"}────── host    a piece
    node ──{"took": k}─────────────► host    the oldest k pieces have been taken
    node ──{"stop"}────────────────► host    nobody wants the rest: the generator is closed
    node ◄──{"end"} or {"error"}──── host    the end, always, and nothing after it

The process has one thread: what the node says is heard between two pieces, and a generator that never comes back is
ended from outside, with the process. Not here: a call that is answered at once (``answer.py``).
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from .answer import failure
from .wire import BODY_LIMIT, Buffer, Frame, Stream, pack

if TYPE_CHECKING:
    from collections.abc import Callable

    from .ways import Model

AHEAD_BYTES = 4 << 20
"""How many bytes of pieces may be on their way before the next is asked for; one piece alone may have more."""
_END = object()


class Window:
    """The pieces on their way: sent, and not yet taken."""

    def __init__(self, most: int) -> None:
        self._most, self._bytes = most, 0
        self._sizes: deque[int] = deque()

    @property
    def full(self) -> bool:
        """Whether the next piece has to wait."""
        return len(self._sizes) >= self._most or self._bytes >= AHEAD_BYTES

    def sent(self, size: int) -> None:
        """Count a piece of so many bytes."""
        self._sizes.append(size)
        self._bytes += size

    def took(self, count: int) -> None:
        """Forget the oldest pieces."""
        for _ in range(min(count, len(self._sizes))):
            self._bytes -= self._sizes.popleft()


def answer_stream(model: Model, frame: Frame, frames: Stream, send: Callable[[Sequence[Buffer]], None]) -> None:
    """Answer one request piece by piece.

    Args:
        model: Whom to ask.
        frame: The call.
        frames: What the node says meanwhile.
        send: Sends a frame; what it raises ends the host, as the node has gone.
    """
    number, header, buffers = frame
    window, last = Window(int(header["stream"])), {"end": True}
    pieces: Iterator[Any] = iter(())
    try:
        pieces = iter(model.stream(header["input"], buffers, header.get("params")))
        while _wanted(frames, window, number):
            piece = next(pieces, _END)
            if piece is _END:
                break
            laid = _lay(piece)
            piece = None  # not kept while the next is made
            send(pack({"output": laid[0], "more": True}, laid[1], number))
            window.sent(sum(map(len, laid[1])))
    except BaseException as error:  # noqa: BLE001 -- process edge: what a model raises, exits included, is the answer
        last = failure(error)
    with contextlib.suppress(BaseException):  # a generator may refuse to be closed; nobody asks it for more
        close = getattr(pieces, "close", None)
        if close is not None:
            close()
    send(pack(last, (), number))


def _lay(piece: Any) -> tuple[dict[str, Any], list[Buffer]]:
    from .values import OutputInvalid, lay_output

    parts: list[Buffer] = []
    output = lay_output(piece, parts)
    if sum(map(len, parts)) > BODY_LIMIT:
        raise OutputInvalid(f"a piece of the model's answer is larger than {BODY_LIMIT >> 20} MiB")
    return output, parts


def _wanted(frames: Stream, window: Window, number: int) -> bool:
    """Wait until there is room for a piece; False where nobody wants any more."""
    while window.full or frames.arrived():
        frame = frames.read()
        if frame is None:
            return False
        about, header, _ = frame
        if about != number:
            continue  # of a stream that had ended before the node heard so
        if header.get("stop"):
            return False
        window.took(int(header.get("took", 0)))
    return True
