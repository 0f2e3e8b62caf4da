"""The load generator for gRPC: closed-loop unary calls over kept connections, as lean as Python lets it be.

It speaks just as much HTTP/2 as a unary call needs: gRPC's own client costs as much a call as a server, and would be
what is measured. Each connection has one call under way; an answer counts where a message came. Not here: what is
asked, and HTTP/1.1 (``load.py``).

Sources: RFC 9113 (frames), RFC 7541 (the headers, none of them indexed), grpc/doc/PROTOCOL-HTTP2.md.
"""

from __future__ import annotations

import gc
import select
import socket
import struct
import time
from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.bench.load import BROKEN, Load

SERVICE = "/inference.GRPCInferenceService"
_DATA, _HEADERS, _RESET, _SETTINGS, _PING = 0, 1, 3, 4, 6
_ACK = _END_STREAM = 1
_END_HEADERS = 4
_READ = 1 << 18
_WINDOW = 2**31 - 1
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_WARM_UP = 0.3


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """Return one frame."""
    return struct.pack(">I", len(payload))[1:] + bytes((kind, flags)) + struct.pack(">I", stream) + payload


def head_of(path: str) -> bytes:
    """Return a call's headers, compressed by nothing but HPACK's own table of names."""

    def text(value: str) -> bytes:
        return bytes((len(value),)) + value.encode()

    named = ((b"\x04", path), (b"\x01", "127.0.0.1"), (b"\x0f\x10", "application/grpc"), (b"\x00\x02te", "trailers"))
    return b"\x83\x86" + b"".join(name + text(value) for name, value in named)


@dataclass(slots=True)
class Caller:
    """One connection. ``turn`` counts its requests; ``messages`` and ``ended`` what came for the present one."""

    port: int
    head: bytes
    turn: int = 0
    began: float = 0.0
    messages: bytes = b""
    ended: bool = False
    sock: socket.socket = field(init=False)
    _stream: int = 1
    _received: bytes = b""

    def __post_init__(self) -> None:
        self.sock = socket.create_connection(("127.0.0.1", self.port))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # INITIAL_WINDOW_SIZE, and the connection's: nobody shall wait for us to say that we have read.
        window = frame(8, 0, 0, struct.pack(">I", _WINDOW - 65_535))
        self.sock.sendall(_PREFACE + frame(_SETTINGS, 0, 0, struct.pack(">HI", 4, _WINDOW)) + window)

    def send(self, message: bytes) -> None:
        """Begin a call."""
        self.messages, self.ended = b"", False
        body = b"\0" + struct.pack(">I", len(message)) + message
        stream = self._stream
        self._stream += 2
        pieces = [frame(_DATA, 0, stream, body[at : at + 16_384]) for at in range(0, len(body) - 16_384, 16_384)]
        last = frame(_DATA, _END_STREAM, stream, body[16_384 * len(pieces) :])
        self.sock.sendall(b"".join((frame(_HEADERS, _END_HEADERS, stream, self.head), *pieces, last)))

    def read(self) -> bool:
        """Take what came; tell whether the call has ended. Raises OSError where the connection broke."""
        data = self.sock.recv(_READ)
        if not data:
            raise OSError
        data = self._received + data
        at, size = 0, len(data)
        while at + 9 <= size:
            length = int.from_bytes(data[at : at + 3])
            end = at + 9 + length
            if end > size:
                break
            kind, flags = data[at + 3], data[at + 4]
            if kind == _DATA:
                self.messages += data[at + 9 : end]
            elif kind == _RESET:
                self.ended = True
            elif kind in (_SETTINGS, _PING) and not flags & _ACK:
                self.sock.sendall(frame(kind, _ACK, 0, data[at + 9 : end] if kind == _PING else b""))
            if kind in (_DATA, _HEADERS) and flags & _END_STREAM:
                self.ended = True
            at = end
        self._received = data[at:]
        return self.ended

    @property
    def answer(self) -> bytes:
        """The message that came; empty where none did."""
        return self.messages[5:]


def call_once(port: int, method: str, message: bytes) -> bytes:
    """Call a method of the service on a connection of its own; return its answer, empty for an error."""
    caller = Caller(port, head_of(f"{SERVICE}/{method}"))
    caller.sock.settimeout(10)
    try:
        caller.send(message)
        while not caller.read():
            pass
        return caller.answer
    finally:
        caller.sock.close()


def drive(port: int, messages: Sequence[bytes], connections: int, seconds: float) -> Load:
    """Load ``ModelInfer`` with ``connections`` callers for ``seconds``, after a moment that does not count."""
    head = head_of(f"{SERVICE}/ModelInfer")
    callers = [Caller(port, head, turn=number * 7) for number in range(connections)]
    gc.collect()
    gc.disable()
    try:
        _together(callers, messages, _WARM_UP)
        return _together(callers, messages, seconds)
    finally:
        gc.enable()
        for caller in callers:
            caller.sock.close()


def _together(callers: Sequence[Caller], messages: Sequence[bytes], seconds: float) -> Load:
    latencies, others, used = array("d"), Counter[str](), time.process_time()
    clock, count, epoll = time.perf_counter, len(messages), select.epoll()
    by_descriptor = {caller.sock.fileno(): caller for caller in callers}
    now = start = clock()
    deadline = start + seconds
    for descriptor, caller in by_descriptor.items():
        epoll.register(descriptor, select.EPOLLIN)
        caller.began = clock()
        caller.send(messages[caller.turn % count])
    waiting = len(callers)
    while waiting:
        for descriptor, _ in epoll.poll(60):
            caller = by_descriptor[descriptor]
            try:
                if caller.ended or not caller.read():
                    continue
            except OSError:
                others[BROKEN] += 1
                epoll.unregister(descriptor)
                waiting -= 1
                continue
            now = clock()
            if caller.messages:
                latencies.append(now - caller.began)
            else:
                others["refused"] += 1
            if now >= deadline:
                waiting -= 1
                continue
            caller.turn += 1
            caller.began = now
            caller.send(messages[caller.turn % count])
    epoll.close()
    return Load(now - start, latencies, (time.process_time() - used) / (now - start), others)
