"""Frames as a host speaks them. The node's end is ``host/frames.py``; a test holds the two together.

    [u32 header][u32 buffers][u64 length of each buffer][header: JSON, padded with blanks][buffers, each padded]

Little-endian. The header's end and every buffer's lie at a multiple of 16 bytes, so that arrays are aligned. The header
names its buffers by number, which leaves room for others that travel by shared memory. The node is trusted here:
whoever holds the other end of the socket started this process.
"""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Sequence
from typing import Any

ALIGNMENT = 16
BODY_LIMIT = 512 << 20
_PREFIX = struct.Struct("<II")


def pack(header: dict[str, Any], buffers: Sequence[bytes] = ()) -> bytes:
    """Return a frame's bytes."""
    lengths = struct.pack(f"<{len(buffers)}Q", *[len(b) for b in buffers])
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-(_PREFIX.size + len(lengths) + len(text)) % ALIGNMENT)
    parts = [_PREFIX.pack(len(text), len(buffers)), lengths, text]
    for buffer in buffers:
        parts += [buffer, bytes(-len(buffer) % ALIGNMENT)]
    return b"".join(parts)


class Stream:
    """Frames from a socket; several may be under way at once."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection, self._held = connection, bytearray()

    def read(self) -> tuple[dict[str, Any], list[memoryview]] | None:
        """Return the next frame's header and buffers (writable views), or None at the end of the stream."""
        while True:
            size, lengths, start = self._measure()
            if size and len(self._held) >= size:
                break
            chunk = self._connection.recv(1 << 20 if size else 1 << 16)
            if not chunk:
                return None
            self._held += chunk
        if len(self._held) == size:
            frame, self._held = self._held, bytearray()
        else:  # bytes of its own: arrays are made of it, and the rest must be free to grow
            frame, self._held = self._held[:size], self._held[size:]
        view = memoryview(frame)
        header = json.loads(bytes(view[_PREFIX.size + 8 * len(lengths) : start]))
        buffers = []
        for length in lengths:
            buffers.append(view[start : start + length])
            start += length + -length % ALIGNMENT
        return header, buffers

    def _measure(self) -> tuple[int, tuple[int, ...], int]:
        # The frame's size (0 while it cannot be known), its buffers' lengths, and where they begin.
        if len(self._held) < _PREFIX.size:
            return 0, (), 0
        text, count = _PREFIX.unpack_from(self._held)
        if len(self._held) < _PREFIX.size + 8 * count:
            return 0, (), 0
        lengths = struct.unpack_from(f"<{count}Q", self._held, _PREFIX.size)
        start = _PREFIX.size + 8 * count + text
        return start + sum(n + -n % ALIGNMENT for n in lengths), lengths, start
