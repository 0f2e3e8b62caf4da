"""How workers that share a port talk: a socket each, in a directory of their own; a line of JSON asks, one answers.

Only for what concerns all of them: the page of metrics, and loading or unloading at an operator's word. A predict
never waits for a sibling. Not here: what is done (whoever gives ``Answers``), the processes (``supervisor.py``).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from registry import log

ASK_SECONDS = 2.0
LINE_LIMIT = 64 * 1024 * 1024
Message = Mapping[str, Any]
Answers = Callable[[Message], Awaitable[Message]]
"""Does what a sibling asks for and returns what it is told; what is raised reaches it as ``{"error": …}``."""


@dataclass(frozen=True, slots=True)
class Worker:
    """Which of the nodes that share a port this is: ``number`` of ``count``, from 0.

    ``meeting`` is where their sockets lie.
    """

    number: int
    count: int
    meeting: Path

    def socket(self, number: int) -> Path:
        """Return the socket of a worker."""
        return self.meeting / f"{number}.sock"


class Siblings:
    """The other workers, as one of them sees them. For one event loop."""

    def __init__(self, worker: Worker, answers: Answers) -> None:
        self.worker = worker
        self._answers = answers
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Begin to answer."""
        mine = self.worker.socket(self.worker.number)
        mine.unlink(missing_ok=True)  # of a worker of this number that was killed
        self._server = await asyncio.start_unix_server(self._serve, mine, limit=LINE_LIMIT)

    async def close(self) -> None:
        """Answer no more."""
        if self._server is not None:
            self._server.close()
            self.worker.socket(self.worker.number).unlink(missing_ok=True)

    async def ask(self, message: Message, seconds: float = ASK_SECONDS) -> dict[int, Message]:
        """Ask all others at once; return their answers by number, without those who gave none in time."""
        others = [number for number in range(self.worker.count) if number != self.worker.number]
        answers = await asyncio.gather(*(self._ask(number, message, seconds) for number in others))
        return {number: answer for number, answer in zip(others, answers, strict=True) if answer is not None}

    async def _ask(self, number: int, message: Message, seconds: float) -> Message | None:
        writer = None
        try:
            async with asyncio.timeout(seconds):
                reader, writer = await asyncio.open_unix_connection(self.worker.socket(number), limit=LINE_LIMIT)
                writer.write(json.dumps(message).encode() + b"\n")
                line = await reader.readline()
            answer = json.loads(line)
        except (OSError, TimeoutError, ValueError):
            log.event("worker_silent", logging.WARNING, worker=number, asked=str(message.get("op")))
            return None
        finally:
            if writer is not None:
                writer.close()
        return answer if isinstance(answer, dict) else None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, ValueError):
            message = json.loads(await reader.readline())
            try:
                answer = await self._answers(message)
            except Exception as error:  # noqa: BLE001  # the edge of the process: a sibling gets an answer
                log.failure("worker_raised", error)
                answer = {"error": type(error).__name__}
            writer.write(json.dumps(answer).encode() + b"\n")
            await writer.drain()
        writer.close()
