"""The registry's end of node reports: a book that takes each number once, and a desk on a real port that fails."""

from __future__ import annotations

import asyncio
import json
from collections import Counter, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Literal

from registry.errors import Unavailable
from registry.reports import NodeReport
from registry.windows import ArmCounts

Mood = Literal["answer", "unheard", "unanswered", "slow", "error", "html", "damaged"]
"""What becomes of a report: taken and answered; lost on its way; taken, and the answer lost; answered late; refused for
now; answered by somebody else; refused for good."""
TAKEN: frozenset[Mood] = frozenset({"answer", "unanswered", "slow"})
Whose = tuple[str, int, str, str]


class Book:
    """What the registry keeps of reports: the last number of each boot, and counts that add up."""

    def __init__(self) -> None:
        self.reports: list[NodeReport] = []
        self.bodies: list[bytes] = []
        self.last: Counter[str] = Counter()
        self.arms: dict[Whose, ArmCounts] = {}

    def take(self, body: bytes) -> int:
        """Take a report unless its number was taken before; return the number taken last."""
        self.bodies.append(body)
        report = NodeReport.from_json(json.loads(body))
        if report.sequence > self.last[report.boot]:
            self.last[report.boot] = report.sequence
            self.reports.append(report)
            for window in report.arms:
                whose = (window.model, window.revision, window.arm, window.version)
                self.arms[whose] = self.arms.get(whose, ArmCounts()).plus(window.counts)
        return self.last[report.boot]

    @property
    def requests(self) -> int:
        """How many requests were counted in all."""
        return sum(counts.requests for counts in self.arms.values())


class HandSink:
    """A sink in memory that does as ``moods`` say, one after the other, and answers when there are none left."""

    def __init__(self, *moods: Mood) -> None:
        self.book = Book()
        self.moods = deque(moods)
        self.hold: asyncio.Event | None = None
        self.closed = False

    async def send(self, body: bytes, sequence: int) -> bool:
        """Take a report, or not."""
        mood = self.moods.popleft() if self.moods else "answer"
        if mood in TAKEN:
            assert self.book.take(body) >= sequence
        if self.hold is not None:
            await self.hold.wait()
        if mood == "damaged":
            return False
        if mood != "answer":
            raise Unavailable("registry_unavailable", "the registry does not answer")
        return True

    async def close(self) -> None:
        """Close."""
        self.closed = True


class ReportDesk:
    """A registry's ``POST /registry/v1/windows`` on a real port, which may go and come back."""

    def __init__(self) -> None:
        self.book = Book()
        self.moods: deque[Mood] = deque()
        self.steady: Mood = "answer"
        self.late_seconds = 0.2
        self.port = 0
        self.most_at_once = 0
        self.types: set[str] = set()
        self._at_once = 0
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self._cut = asyncio.Event()

    @property
    def url(self) -> str:
        """The registry's address."""
        return f"http://127.0.0.1:{self.port}"

    async def come(self) -> None:
        """Listen; on the port of before, if there was one."""
        self._cut.clear()
        self._server = await asyncio.start_server(self._talk, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def go(self) -> None:
        """Close the port and cut all connections."""
        assert self._server is not None
        self._server.close()
        self._cut.set()
        for writer in list(self._open):
            writer.transport.abort()
        await self._server.wait_closed()
        while self._open:
            await asyncio.sleep(0.001)

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
                if not head.startswith("post /registry/v1/windows http/1.1\r\n"):
                    writer.write(b"HTTP/1.1 404 x\r\ncontent-length: 0\r\n\r\n")
                    continue
                self.types.add(head.partition("content-type: ")[2].partition("\r\n")[0])
                length = int(head.partition("content-length: ")[2].partition("\r\n")[0])
                body = await reader.readexactly(length)
                self._at_once += 1
                self.most_at_once = max(self.most_at_once, self._at_once)
                try:
                    answer = await self._answer(body)
                finally:
                    self._at_once -= 1
                if answer is None:
                    break
                status, text = answer
                writer.write(b"HTTP/1.1 %d x\r\ncontent-length: %d\r\n\r\n%b" % (status, len(text), text))
                await writer.drain()
        writer.close()
        self._open.discard(writer)

    async def _answer(self, body: bytes) -> tuple[int, bytes] | None:
        mood = self.moods.popleft() if self.moods else self.steady
        taken = self.book.take(body) if mood in TAKEN else 0
        if mood == "slow":
            with suppress(TimeoutError):
                await asyncio.wait_for(self._cut.wait(), self.late_seconds)
        if mood in ("unheard", "unanswered"):
            return None
        if mood == "error":
            return 503, b"{}"
        if mood == "html":
            return 200, b"<html>"
        if mood == "damaged":
            return 422, b"{}"
        return 200, json.dumps({"sequence": taken}).encode()


@asynccontextmanager
async def report_desk() -> AsyncIterator[ReportDesk]:
    """Give a desk that listens."""
    desk = ReportDesk()
    await desk.come()
    try:
        yield desk
    finally:
        await desk.go()
