"""The node's end of one table reader's process: start it, ask it, end it. The other end: ``child.py``.

Not here: how many there are, and what their ends mean for a request (``reader.py``).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from pathlib import Path
from typing import Self, cast

from serving.reader.wire import Pieces
from serving.runtimes.host.frames import Frame, FrameError, Frames
from serving.runtimes.host.parent import scrubbed

_ROOT = Path("/")
# malloc itself: the other allocators reserve more address space than they use, and give less of it back.
_ALLOCATOR = {"ARROW_DEFAULT_MEMORY_POOL": "system"}


class ReaderDied(Exception):
    """The process ended, or said what no reader says, before it answered."""


class ReaderProcess(asyncio.Protocol):
    """One reader, which reads one table at a time. Made by ``start``."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._pidfd = _pidfd(process.pid)
        self._loop = asyncio.get_running_loop()
        self._frames = Frames()
        self._answer: asyncio.Future[Frame] = self._loop.create_future()
        self._transport: asyncio.Transport | None = None
        self._ended = False
        self.idle_timer: asyncio.TimerHandle | None = None

    @classmethod
    async def start(cls, *, background: bool = False) -> Self:
        """Return a reader that is ready, one that comes after all other processes where it is for the ``background``.

        Raises ReaderDied. Call from the loop's thread: it dies with that thread.
        """
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        quiet = asyncio.subprocess.DEVNULL
        try:
            with theirs:
                process = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-I", "-B", "-m", "serving.reader.child", str(theirs.fileno()), str(os.getpid())),
                    *(["background"] if background else []),
                    stdin=quiet,
                    stdout=quiet,
                    stderr=quiet,
                    pass_fds=(theirs.fileno(),),
                    env=scrubbed(os.environ, _ROOT) | _ALLOCATOR,
                    cwd=_ROOT,
                    start_new_session=True,
                )
        except BaseException as error:
            ours.close()
            if isinstance(error, OSError):
                raise ReaderDied from error
            raise
        reader = cls(process)
        try:
            await reader._loop.create_unix_connection(lambda: reader, sock=ours)
            await reader._answer
        except BaseException:
            ours.close()
            reader.end()
            await reader.gone()
            raise
        return reader

    @property
    def alive(self) -> bool:
        """Whether it can still be asked."""
        return not self._ended

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    async def ask(self, request: Pieces) -> Frame:
        """Return the answer to a request; raise ReaderDied. Whoever stops waiting must ``end`` it."""
        if self._ended or self._transport is None:
            raise ReaderDied
        self._answer = self._loop.create_future()
        self._transport.writelines(request)
        return await self._answer

    def end(self) -> None:
        """End the process at once: it keeps nothing that could be lost. Idempotent."""
        if self.idle_timer is not None:
            self.idle_timer.cancel()
        if self._transport is not None:
            self._transport.abort()
        if not self._ended:  # once: without the descriptor, asyncio's kill would reap it behind its own back
            self._ended = True
            self._kill()
        if not self._answer.done():
            self._answer.set_exception(ReaderDied())
            self._answer.exception()  # seen, whether or not anybody still waits

    def _kill(self) -> None:
        with contextlib.suppress(OSError):  # it has ended
            if self._pidfd is not None:
                pidfd, self._pidfd = self._pidfd, None
                try:
                    signal.pidfd_send_signal(pidfd, signal.SIGKILL)
                finally:
                    os.close(pidfd)
            elif self._process.returncode is None:
                self._process.kill()

    async def gone(self) -> int:
        """Return its exit status, negative for a signal, once it has ended."""
        return await self._process.wait()

    # ---- the connection, called by the loop -----------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by inheritance

    def data_received(self, data: bytes) -> None:
        """Take an answer; a reader that speaks unasked is ended."""
        try:
            for frame in self._frames.feed(data):
                if self._answer.done():
                    raise FrameError("nobody asked")
                self._answer.set_result(frame)
        except FrameError:
            self.end()

    def connection_lost(self, exc: Exception | None) -> None:
        """Learn that it has gone."""
        self.end()


def _pidfd(pid: int) -> int | None:
    # Its number may be another's once it has ended, and ``Process.kill`` would reap it behind asyncio's back.
    try:
        return os.pidfd_open(pid)
    except (AttributeError, OSError):  # not Linux, or it has ended already
        return None
