"""The load generator: closed-loop HTTP/1.1 over kept-alive connections, in one thread, as lean as Python lets it be.

Each connection sends a request, reads its answer to the end, notes how long that took, and sends its next. Requests are
bytes that were made before; an answer is parsed no further than its status and its end. What is not 200 is counted by
status and code, and a connection that breaks is counted and made anew. Not here: what is asked (``models.py``).
"""

from __future__ import annotations

import gc
import math
import re
import select
import socket
import struct
import time
from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked\r\n", re.IGNORECASE)
_OK = b"HTTP/1.1 200"
_READ = 1 << 18
_PATIENCE = 60.0
_CODE = re.compile(rb'"code": *"([a-z_]+)"')
BROKEN = "broken"
"""Stands among the answers that were not 200 for a connection that broke."""


def http_request(path: str, body: bytes = b"", content_type: str = "application/json", method: str = "POST") -> bytes:
    """Return a whole request as bytes."""
    head = f"{method} {path} HTTP/1.1\r\nhost: 127.0.0.1\r\n"
    if body or method == "POST":
        head += f"content-type: {content_type}\r\ncontent-length: {len(body)}\r\n"
    return head.encode() + b"\r\n" + body


def whole_answer(data: bytes) -> bool:
    """Tell whether ``data`` is one whole answer: its head, and a body as long as the head says.

    Raises ValueError where more than one answer has come, or one whose end cannot be known.
    """
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return False
    length = _LENGTH.search(data, 0, end + 2)
    if length is not None:
        missing = end + 4 + int(length[1]) - len(data)
        if missing < 0:
            raise ValueError("more came than one answer")
        return missing == 0
    if _CHUNKED.search(data, 0, end + 2) is not None:
        return data.endswith(b"\r\n0\r\n\r\n")
    raise ValueError("an answer with neither a length nor chunks")


def body_of(answer: bytes) -> bytes:
    """Return the body of a whole answer."""
    head, _, body = answer.partition(b"\r\n\r\n")
    if _CHUNKED.search(head + b"\r\n") is None:
        return body
    whole = b""
    while body:
        size, _, body = body.partition(b"\r\n")
        whole, body = whole + body[: int(size, 16)], body[int(size, 16) + 2 :]
    return whole


def status_of(answer: bytes) -> int:
    """Return an answer's status."""
    return int(answer[9:12])


def describe(answer: bytes) -> str:
    """Return an answer's status, and the code of its error where it has one: ``503 loading``."""
    if not answer:
        return BROKEN
    code = _CODE.search(answer)
    return f"{status_of(answer)} {code[1].decode()}" if code is not None else str(status_of(answer))


@dataclass(frozen=True, slots=True)
class Load:
    """What one measurement found: seconds of each answer that was 200, and how many others came, by status and code.

    ``busy`` is the share of its core that the generator itself used: near 1, it was the limit and not the server.
    """

    seconds: float
    latencies: array[float]
    busy: float = 0.0
    others: Counter[str] = field(default_factory=Counter)

    @property
    def rate(self) -> float:
        """Answers a second."""
        return len(self.latencies) / self.seconds

    def quantile_ms(self, share: float) -> float:
        """Return the latency, in ms, that a ``share`` of the answers kept; infinite where there were none."""
        if not self.latencies:
            return math.inf
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] * 1000


class Connection:
    """One connection to a server; it blocks while it sends, since a server that is alive reads."""

    __slots__ = ("_address", "began", "received", "sock", "turn")

    def __init__(self, port: int, turn: int = 0) -> None:
        self._address = ("127.0.0.1", port)
        self.turn, self.received, self.began = turn, b"", 0.0
        self.connect()

    def connect(self) -> None:
        """Connect, for the first time or anew."""
        self.sock = socket.create_connection(self._address)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # The kernel's own timeouts: with Python's, each send and each read would poll first, a system call more.
        for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            self.sock.setsockopt(socket.SOL_SOCKET, option, struct.pack("ll", int(_PATIENCE), 0))
        self.received = b""

    def ask(self, request: bytes) -> bytes:
        """Send a request; return its whole answer."""
        self.sock.sendall(request)
        data = self.sock.recv(_READ)
        while data and not whole_answer(data):
            more = self.sock.recv(_READ)
            if not more:
                return b""
            data += more
        return data

    def close(self) -> None:
        """Close."""
        self.sock.close()


def ask_once(port: int, request: bytes) -> tuple[int, bytes]:
    """Ask on a connection of its own; return the status and the body."""
    connection = Connection(port)
    try:
        answer = connection.ask(request)
        return status_of(answer), body_of(answer)
    finally:
        connection.close()


def drive(
    port: int, requests: Sequence[bytes], connections: int, seconds: float, *, warm_up: float = 0.3, most: int = 0
) -> Load:
    """Load a server with ``connections`` callers for ``seconds``, after ``warm_up`` seconds that do not count.

    Each connection goes through the requests at an offset of its own. With ``most``, the connections share them out,
    and it ends after so many. The collector rests meanwhile: a pause of ours must not look like one of the server's.
    """
    open_ones = [Connection(port, i * 7) for i in range(connections)]
    gc.collect()
    gc.disable()
    try:
        if connections == 1 and not most:
            if warm_up:
                _alone(open_ones[0], requests, warm_up)
            return _alone(open_ones[0], requests, seconds)
        if warm_up:
            _together(open_ones, requests, warm_up, 0)
        return _together(open_ones, requests, seconds, most)
    finally:
        gc.enable()
        for connection in open_ones:
            connection.close()


def _alone(connection: Connection, requests: Sequence[bytes], seconds: float) -> Load:
    """One caller needs no poll: it blocks in its read, as a client would."""
    latencies, others, used = array("d"), Counter[str](), time.process_time()
    clock, count, turn = time.perf_counter, len(requests), connection.turn
    start = began = clock()
    deadline = start + seconds
    while began < deadline:
        try:
            answer = connection.ask(requests[turn % count])
        except OSError:
            answer = b""
        turn += 1
        now = clock()
        if answer.startswith(_OK):
            latencies.append(now - began)
            began = now
        else:
            others[describe(answer)] += 1
            if not answer:
                connection.close()
                connection.connect()
            began = clock()
    connection.turn = turn
    return Load(began - start, latencies, (time.process_time() - used) / (began - start), others)


def _together(connections: Sequence[Connection], requests: Sequence[bytes], seconds: float, most: int) -> Load:
    """All callers in one epoll loop, level-triggered: an answer in one piece costs one read and one write."""
    latencies, others, used = array("d"), Counter[str](), time.process_time()
    clock, count, callers = time.perf_counter, len(requests), _Callers(connections)
    now = start = clock()
    deadline = start + seconds
    for sent, connection in enumerate(connections):
        connection.turn = sent if most else connection.turn
        connection.began = clock()
        connection.sock.sendall(requests[connection.turn % count])
    waiting = sent = len(connections)
    poll, by_descriptor = callers.epoll.poll, callers.by_descriptor
    while waiting:
        for descriptor, _ in poll(_PATIENCE):
            connection = by_descriptor[descriptor]
            try:
                data = connection.sock.recv(_READ)
            except OSError:
                data = b""
            if data and not whole_answer(data := connection.received + data):
                connection.received = data
                continue
            now = clock()
            connection.received = b""
            if data.startswith(_OK):
                latencies.append(now - connection.began)
            else:
                others[describe(data)] += 1
                if not data:
                    callers.reconnect(connection)
            if now >= deadline or (most and sent >= most):
                waiting -= 1
                continue
            connection.turn = sent if most else connection.turn + 1
            sent += 1
            connection.began = now
            connection.sock.sendall(requests[connection.turn % count])
    callers.epoll.close()
    return Load(now - start, latencies, (time.process_time() - used) / (now - start), others)


class _Callers:
    """The connections of one measurement by their descriptors, and the poll that watches them."""

    def __init__(self, connections: Sequence[Connection]) -> None:
        self.epoll = select.epoll()
        self.by_descriptor: dict[int, Connection] = {}
        for connection in connections:
            self._add(connection)

    def _add(self, connection: Connection) -> None:
        self.by_descriptor[connection.sock.fileno()] = connection
        self.epoll.register(connection.sock.fileno(), select.EPOLLIN)

    def reconnect(self, connection: Connection) -> None:
        """Take a connection that broke out, make it anew, and put it back."""
        del self.by_descriptor[connection.sock.fileno()]
        connection.close()  # which also takes it out of the poll
        connection.connect()
        self._add(connection)
