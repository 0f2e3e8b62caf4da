"""The pieces of one streamed answer between the process that makes them and whoever takes them: bounded both ways.

A host may be ahead of whoever takes its pieces by so many of them, or so many bytes (``child/streams.py`` has the same
bounds); then it waits, and its clock stands still. What is ahead further is no host's doing. Not here: the frames
themselves (``frames.py``), the process and its clock (``process.py``).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

from registry.errors import ModelFault
from serving.runtimes.host.frames import Frame, FrameError, Header

AHEAD_PIECES = 16
AHEAD_BYTES = 4 << 20
_TELL_PIECES, _TELL_BYTES = AHEAD_PIECES // 2, AHEAD_BYTES // 4
"""How much is taken before the host is told of it: to tell it of each piece would cost more than most pieces."""


class Pieces:
    """What a host has sent of one stream. For one event loop, and one who takes.

    Attributes:
        seconds: How long the host may take for a piece.
        stopped: Whether nobody wants the rest.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.stopped = False
        self._held: deque[Frame] = deque()
        self._ahead = self._ahead_bytes = 0
        self._taken = self._taken_bytes = 0
        self._ended = False
        self._error: BaseException | None = None
        self._wake: asyncio.Future[None] | None = None
        self._say: Callable[[Header], None] | None = None
        self._broke: Callable[[str], None] | None = None

    # ---- for the process ------------------------------------------------------------------------------------------

    @property
    def waits(self) -> bool:
        """Whether the host waits until pieces are taken."""
        return not self.stopped and self._full

    @property
    def _full(self) -> bool:
        return self._ahead >= AHEAD_PIECES or self._ahead_bytes >= AHEAD_BYTES

    def begin(self, say: Callable[[Header], None], broke: Callable[[str], None]) -> None:
        """Learn that the call was sent; ``say`` sends word to its host, ``broke`` ends it for what it sent."""
        self._say, self._broke = say, broke
        if self.stopped:
            say({"stop": True})

    def put(self, frame: Frame) -> None:
        """Take a piece from the host; raise FrameError where it is further ahead than it may."""
        if self._full:
            raise FrameError("a stream ran further ahead than it may")
        self._ahead += 1
        self._ahead_bytes += frame.size
        if not self.stopped:
            self._held.append(frame)
            self._rouse()

    def end(self, outcome: asyncio.Future[Any]) -> None:
        """Learn how the stream ended: a callback of what its lane answers."""
        self._say = None
        self._ended = True
        self._error = None if outcome.cancelled() else outcome.exception()
        self._rouse()

    # ---- for whoever takes ----------------------------------------------------------------------------------------

    async def take(self, seconds: float | None) -> Frame | None:
        """Return the next piece, None after the last; raise what ended the stream, or ModelFault ``model_timeout``
        after ``seconds`` without one."""
        while not self._held:
            if self._ended:
                if self._error is not None:
                    raise self._error
                return None
            await self._news(seconds)
        frame = self._held.popleft()
        self._taken += 1
        self._taken_bytes += frame.size
        if self._taken >= _TELL_PIECES or self._taken_bytes >= _TELL_BYTES:
            self._tell()
        return frame

    def stop(self) -> None:
        """Say that nobody wants the rest. Idempotent."""
        if not self.stopped:
            self.stopped = True
            self._held.clear()
            if self._say is not None:
                self._say({"stop": True})

    def refuse(self, reason: str) -> None:
        """Have the host ended: a piece of its is damaged. How the stream ends is told as always."""
        self._held.clear()
        if self._broke is not None:
            self._broke(reason)

    async def _news(self, seconds: float | None) -> None:
        self._wake = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(seconds):
                await self._wake
        except TimeoutError:
            raise ModelFault("model_timeout", f"no further piece of the answer within {seconds:.3g} s") from None
        finally:
            self._wake = None

    def _rouse(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    def _tell(self) -> None:
        count, size = self._taken, self._taken_bytes
        self._taken = self._taken_bytes = 0
        self._ahead -= count
        self._ahead_bytes -= size
        if self._say is not None:
            self._say({"took": count})
