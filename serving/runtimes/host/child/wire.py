"""Frames as a host speaks them. The node's end is ``host/frames.py``; a test holds the two together.

    [u32 header][u32 buffers][u64 number][u64 length of each buffer]
    [header: JSON, padded with blanks][buffers, each padded]

Little-endian. ``number`` is the request's, so that equal requests have equal headers, which are read once. The header's
end and every buffer's lie at a multiple of 16 bytes, so that arrays are aligned. The header names its buffers by
number. The number of buffers has two flags: that they lie in the memory which both ends share (``shared.py``), as they
would lie in the frame, and not in the frame; and, in a call, that the answer's may. The node is trusted here: whoever
holds the other end of the socket started this process.
"""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Sequence
from typing import Any, Protocol, Union

ALIGNMENT = 16
BODY_LIMIT = 512 << 20
LARGE_BYTES = 64 * 1024
ELSEWHERE, MAY_SHARE = 1 << 31, 1 << 30
_PREFIX = struct.Struct("<IIQ")
_KNOWN_HEADERS, _KNOWN_BYTES = 64, 1 << 14
_PARTS_AT_ONCE = 512  # the kernel takes 1,024

Buffer = Union[bytes, memoryview]  # noqa: UP007 -- Python 3.9 evaluates it
Frame = tuple[int, dict[str, Any], list[memoryview]]


class Memory(Protocol):
    """Where buffers lie that need not go over the socket; ``shared.py`` has it."""

    def put(self, buffers: Sequence[Buffer]) -> bool:
        """Take buffers, each padded; False where they are to go over the socket."""
        ...

    def take(self, size: int) -> bytearray:
        """Return a copy of what begins there."""
        ...


def pack(
    header: dict[str, Any], buffers: Sequence[Buffer] = (), number: int = 0, *, shared: Memory | None = None
) -> list[Buffer]:
    """Return a frame's bytes in pieces, large buffers as they are, or put into ``shared`` already."""
    elsewhere = shared is not None and shared.put(buffers)
    lengths = struct.pack(f"<{len(buffers)}Q", *[len(b) for b in buffers])
    # A model's words may hold half of a pair of surrogates, which no UTF-8 has: the node would take it for garbage.
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "replace")
    text += b" " * (-(_PREFIX.size + len(lengths) + len(text)) % ALIGNMENT)
    flags = ELSEWHERE if elsewhere else 0
    parts: list[Buffer] = [_PREFIX.pack(len(text), len(buffers) | flags, number), lengths, text]
    for buffer in () if elsewhere else buffers:
        parts += [buffer, bytes(-len(buffer) % ALIGNMENT)]
    return parts


def send(connection: socket.socket, parts: Sequence[Buffer]) -> None:
    """Send pieces: small ones as one, large ones without a copy."""
    if sum(map(len, parts)) <= LARGE_BYTES:
        connection.sendall(b"".join(parts))
        return
    left = [memoryview(part) for part in parts if len(part)]
    while left:
        sent = connection.sendmsg(left[:_PARTS_AT_ONCE])
        while left and sent >= len(left[0]):
            sent -= len(left.pop(0))
        if sent:
            left[0] = left[0][sent:]


class Stream:
    """Frames from a socket; several may be under way at once.

    Attributes:
        may_share: Whether the answer to the frame that was read last may lie in shared memory.
    """

    def __init__(self, connection: socket.socket, shared: Memory | None = None) -> None:
        self._connection, self._held, self._shared = connection, bytearray(), shared
        self.may_share = False
        self._headers: dict[bytes, dict[str, Any]] = {}

    def read(self) -> Frame | None:
        """Return the next frame's number, header (shared with its like) and buffers (writable views), or None at the
        end of the stream."""
        while not (size := self._size()):
            chunk = self._connection.recv(1 << 16)
            if not chunk:
                return None
            self._held += chunk
        if len(self._held) < size:
            return self._open(self._read_rest(size))
        if len(self._held) == size:
            frame, self._held = self._held, bytearray()
        else:  # bytes of its own: arrays are made of it, and the rest must be free to grow
            frame, self._held = self._held[:size], self._held[size:]
        return self._open(frame)

    def arrived(self) -> bool:
        """Tell whether ``read`` need not wait for something to begin: a frame, or the end of the stream."""
        if self._held:
            return True
        try:
            self._connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        return True

    def _read_rest(self, size: int) -> bytearray | None:
        frame, at = bytearray(size), len(self._held)
        frame[:at] = self._held
        self._held = bytearray()
        with memoryview(frame) as view:
            while at < size:
                count = self._connection.recv_into(view[at:])
                if not count:
                    return None
                at += count
        return frame

    def _open(self, frame: bytearray | None) -> Frame | None:
        if frame is None:
            return None
        view = memoryview(frame)
        text, count, number = _PREFIX.unpack_from(view)
        elsewhere, self.may_share = count & ELSEWHERE, bool(count & MAY_SHARE)
        count &= MAY_SHARE - 1
        start = _PREFIX.size + 8 * count
        header = self._header(bytes(view[start : start + text]))
        start += text
        lengths = struct.unpack_from(f"<{count}Q", view, _PREFIX.size)
        if elsewhere and self._shared is not None:
            view, start = memoryview(self._shared.take(_body(lengths))), 0
        buffers = []
        for length in lengths:
            buffers.append(view[start : start + length])
            start += length + -length % ALIGNMENT
        return number, header, buffers

    def _header(self, text: bytes) -> dict[str, Any]:
        known = self._headers.get(text)
        if known is None:
            known = json.loads(text)
            if len(text) <= _KNOWN_BYTES:
                if len(self._headers) >= _KNOWN_HEADERS:
                    self._headers.clear()
                self._headers[text] = known
        return known

    def _size(self) -> int:
        # The size of the frame that has begun; 0 while it cannot be known.
        if len(self._held) < _PREFIX.size:
            return 0
        text, count, _ = _PREFIX.unpack_from(self._held)
        elsewhere = count & ELSEWHERE
        count &= MAY_SHARE - 1
        start = _PREFIX.size + 8 * count + text
        if len(self._held) < start - text:
            return 0
        return int(start) if elsewhere else start + _body(struct.unpack_from(f"<{count}Q", self._held, _PREFIX.size))


def _body(lengths: Sequence[int]) -> int:
    return sum(n + -n % ALIGNMENT for n in lengths)
