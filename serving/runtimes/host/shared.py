"""Memory that a node shares with one host, for bodies that are large; sockets copy them four times and in pieces.

One region for both directions: whoever's turn it is writes a body from the start on, and says on the socket how much.
The other copies it out once, before it looks at any of it, so nothing changes under its hands. The region has its full
length from the beginning, and takes memory only where it was written. The seals keep a host from making it longer (it
is no way around the limits on a host's memory) and shorter (which would end a node that reads it).

Where the system has no such memory, there is no region, and everything goes over the socket. Not here: whose turn it
is (``process.py``), frames (``frames.py``). The host's end is ``child/shared.py``.
"""

from __future__ import annotations

import asyncio
import contextlib
import mmap
import os
import socket
from collections.abc import Sequence

import numpy as np

from serving.runtimes.host.frames import ALIGNMENT, SHARED_BYTES, SHARED_FROM, Buffer, padded

try:
    import fcntl

    _SEALS = fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL
except (ImportError, AttributeError):  # not Linux
    _SEALS = 0

REST_SECONDS = 2.0


class Shared:
    """A region. Whoever has ``borrow``ed it has it alone until ``give_back``; call these two on the event loop.

    Its memory goes when the last of its users lets go of it; while nobody uses it, most of it goes after a time.
    """

    def __init__(self, mapping: mmap.mmap) -> None:
        self._mapping = mapping
        self._bytes = np.frombuffer(mapping, dtype=np.uint8)  # numpy lets other threads run while it copies
        self._loop = asyncio.get_running_loop()
        self._lent = self._used = False
        self._rest: asyncio.TimerHandle | None = None

    def borrow(self) -> bool:
        """Take the region; False where another has it."""
        if self._lent:
            return False
        self._lent = True
        return True

    def give_back(self) -> None:
        """Let others have it."""
        self._lent = False
        if self._used and self._rest is None:
            self._used = False
            self._rest = self._loop.call_later(REST_SECONDS, self._release_if_idle)

    def put(self, buffers: Sequence[Buffer]) -> bool:
        """Write buffers, each padded; False, and nothing is written, where the socket is the better way or the only."""
        size = sum(map(len, buffers))
        if size <= SHARED_FROM or size + ALIGNMENT * len(buffers) > len(self._bytes):
            return False
        self._used = True
        at = 0
        for buffer in buffers:
            np.copyto(self._bytes[at : at + len(buffer)], np.frombuffer(buffer, dtype=np.uint8))
            at += padded(len(buffer))
        return True

    def take(self, size: int) -> memoryview:
        """Return a copy of the first ``size`` bytes."""
        self._used = True
        return self._bytes[:size].copy().data

    def close(self) -> None:
        """Let go of it."""
        if self._rest is not None:
            self._rest.cancel()

    def _release_if_idle(self) -> None:
        # Not after each call: to be given new pages each time takes longer than the socket would.
        self._rest = None
        if self._lent or self._used:
            self._used = False
            self._rest = self._loop.call_later(REST_SECONDS, self._release_if_idle)
            return
        self._lent = True
        releasing = self._loop.run_in_executor(None, self._release)
        releasing.add_done_callback(lambda _: self.give_back())

    def _release(self) -> None:
        with contextlib.suppress(OSError):
            self._mapping.madvise(mmap.MADV_REMOVE)


def share(connection: socket.socket) -> Shared | None:
    """Make a region and hand it to whoever has the other end; None, which is told as well, where there can be none."""
    try:
        descriptor = _sealed()
    except (AttributeError, OSError):
        connection.sendall(b"\0")
        return None
    try:
        shared = Shared(mmap.mmap(descriptor, SHARED_BYTES))
        socket.send_fds(connection, [b"\1"], [descriptor])
        return shared
    except OSError:
        connection.sendall(b"\0")
        return None
    finally:
        os.close(descriptor)


def _sealed() -> int:
    if not _SEALS:
        raise OSError("no seals")
    descriptor = os.memfd_create("headgate", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.ftruncate(descriptor, SHARED_BYTES)
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, _SEALS)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor
