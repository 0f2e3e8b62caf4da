"""Memory that the node shares with this host, for bodies that are large. The node's end is ``host/shared.py``.

What comes in is copied before a model sees it: a model may keep its input, and the next body overwrites the region.
Not here: which frames say that their body lies there (``wire.py``).
"""

from __future__ import annotations

import mmap
import os
import socket
from collections.abc import Sequence

from .wire import ALIGNMENT, Buffer

SHARED_FROM = 64 * 1024


class Shared:
    """The region."""

    def __init__(self, mapping: mmap.mmap) -> None:
        self._view = memoryview(mapping)

    def take(self, size: int) -> bytearray:
        """Return a copy of the first ``size`` bytes."""
        return bytearray(self._view[:size])

    def put(self, buffers: Sequence[Buffer]) -> bool:
        """Write buffers, each padded; False, and nothing is written, where the socket is the better way or the only."""
        starts, size = [], 0
        for buffer in buffers:
            starts.append(size)
            size += len(buffer) + -len(buffer) % ALIGNMENT
        if not SHARED_FROM < size <= len(self._view):
            return False
        for start, buffer in zip(starts, buffers):  # noqa: B905 -- Python 3.9
            self._view[start : start + len(buffer)] = buffer
        return True


def receive(connection: socket.socket) -> Shared | None:
    """Return what the node hands over before anything else; None where there is none, or it cannot be used here."""
    _, descriptors, _, _ = socket.recv_fds(connection, 1, 1)
    if not descriptors:
        return None
    try:
        return Shared(mmap.mmap(descriptors[0], 0))
    except (OSError, ValueError):
        return None
    finally:
        os.close(descriptors[0])
