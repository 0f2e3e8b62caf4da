"""Keeps a share of requests with their answers, for whoever wants to look at them or train on them; off by default.

    finished request ── drawn by its id ── list, bounded in bytes ── Parquet, on a thread ── S3
                            (HEADGATE_CAPTURE_SAMPLE)             every minute, or 8 MiB

A request waits for nothing here: what finds no room is dropped and counted, and so is what S3 does not take, once no
more of it can be kept. Not here: the files (``captured.py``), and the bucket's keys (``registry/layout.py``).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from registry import log
from registry.errors import Unavailable
from registry.layout import capture_key
from serving.sources.registry import is_news
from serving.telemetry.answered import WHOLE, place
from serving.telemetry.captured import Captured, parquet_files
from serving.telemetry.finished import Finished
from serving.telemetry.joined import kept_answer, kept_input, owned, weight_of
from serving.values import value

FLUSH_SECONDS = 60.0
FLUSH_BYTES = 8 << 20
MOST_BYTES = 32 << 20
"""How much may wait: requests, and files that S3 did not take yet."""
LARGE = 4 << 20
"""A request with more is dropped."""
EACH = 512
"""Bytes that a request takes beside its values."""
LAST_SECONDS = 2.0
"""How long a node that stops tries to store what is left."""


class ObjectSink(Protocol):
    """Where files go."""

    async def put(self, key: str, data: bytes) -> None:
        """Store an object; raise Unavailable where that could not be done, or nobody knows."""
        ...


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is captured: which share of requests (0 to 1), of which models (empty: all), without which columns."""

    share: float
    models: frozenset[str] = frozenset()
    redacted: frozenset[str] = frozenset()


@value
class _Waiting:
    """A request that waits, and how many bytes it takes."""

    model: str
    version: str
    request: Captured
    bytes: int


@dataclass(frozen=True, slots=True)
class _File:
    """A file on its way, with how many requests."""

    key: str
    data: bytes
    requests: int


class Capture:
    """What one node captures. For one event loop.

    Args:
        wanted: What is captured.
        sink: Where it goes.
        name: Whose files they are: no two processes have the same.
        tell: Told outcomes (``stored``, ``dropped`` for want of room, ``failed``) with how many requests.
        clock: Wall-clock seconds.
    """

    def __init__(
        self,
        wanted: Wanted,
        sink: ObjectSink,
        name: str,
        *,
        tell: Callable[[str, int], None] = lambda _outcome, _requests: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._wanted, self._sink, self._name = wanted, sink, name
        self._tell, self._clock = tell, clock
        self._least = round(wanted.share * WHOLE)
        self._waiting: list[_Waiting] = []
        self._files: deque[_File] = deque()
        self._bytes = self._file_bytes = self._number = self._failures = 0
        self._full = asyncio.Event()

    def observe(self, done: Finished) -> None:
        """Take note of one finished request."""
        if place(done.request_id) >= self._least or done.inputs is None or done.output is None:
            return
        if self._wanted.models and done.model not in self._wanted.models:
            return
        inputs, answer = kept_input(done.inputs), kept_answer(done.output)
        bytes_ = EACH + weight_of(inputs, done.size) + weight_of(answer, done.output.size)
        if bytes_ > LARGE or self._bytes + self._file_bytes + bytes_ > MOST_BYTES:
            self._tell("dropped", 1)
            return
        self._bytes += bytes_
        one = Captured(done.request_id, self._clock(), done.arm, done.rows, inputs, owned(answer))
        self._waiting.append(_Waiting(done.model, done.version, one, bytes_))
        if self._bytes >= FLUSH_BYTES:
            self._full.set()

    async def run(self) -> None:
        """Store what gathers, for ever."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(FLUSH_SECONDS):
                    await self._full.wait()
            self._full.clear()
            await self.flush()

    async def flush(self) -> None:
        """Store what is there; what S3 does not take is tried again with the next."""
        await self._pack()
        while self._files:
            file = self._files[0]
            try:
                await self._sink.put(file.key, file.data)
            except Unavailable as error:
                self._note_failure(error.code)
                return
            self._failures = 0
            self._drop_first()
            self._tell("stored", file.requests)

    async def close(self) -> None:
        """Store what is left, within ``LAST_SECONDS``. After ``run`` was cancelled."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LAST_SECONDS):
                await self.flush()
        left = len(self._waiting) + sum(file.requests for file in self._files)
        if left:
            self._tell("failed", left)

    async def _pack(self) -> None:
        """Make files of what waits."""
        groups: dict[tuple[str, str, str], list[_Waiting]] = {}
        for one in self._waiting:
            day = datetime.fromtimestamp(one.request.at, UTC).date().isoformat()
            groups.setdefault((one.model, one.version, day), []).append(one)
        for (model, version, day), group in groups.items():
            for data, count in await self._packed([one.request for one in group]):
                self._number += 1
                key = capture_key(model, version, day, f"{self._name}-{self._number}")
                self._files.append(_File(key, data, count))
                self._file_bytes += len(data)
            # Not before: who is interrupted leaves the rest for the last time.
            self._bytes -= sum(one.bytes for one in group)
            packed = set(map(id, group))
            self._waiting = [one for one in self._waiting if id(one) not in packed]

    async def _packed(self, requests: list[Captured]) -> list[tuple[bytes, int]]:
        redacted = self._wanted.redacted
        try:
            return await asyncio.to_thread(lambda: list(parquet_files(requests, redacted)))
        except Exception as error:  # noqa: BLE001 -- what cannot be written down must not cost other models theirs
            log.failure("capture_not_written", error)
            self._tell("failed", len(requests))
            return []

    def _drop_first(self) -> None:
        self._file_bytes -= len(self._files.popleft().data)

    def _note_failure(self, code: str) -> None:
        self._failures += 1
        if is_news(self._failures):
            log.event("capture_not_stored", logging.WARNING, code=code, failures=self._failures)
