"""Callers of a model, as many a second as wished: what makes a rollout's evidence in the demo.

Open loop: a request is sent at its time, whether or not the ones before were answered, as callers of a service do. Each
caller has a key of its own, by which it stays on its arm. Not here: which models, and what for.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType

import httpx

MOST_WAITING = 200
"""Requests without an answer beyond which none is sent: a stuck platform is not made worse."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody who asks the same thing again and again: a key, and a body in JSON."""

    key: str
    body: bytes


@dataclass(slots=True)
class Answers:
    """What came back: how many answers by version and whether they were good, and what was not sent."""

    good: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    unsent: int = 0

    @property
    def told(self) -> str:
        """The answers in words."""
        failed, total = sum(self.failed.values()), sum(self.good.values()) + sum(self.failed.values())
        return f"{total:,} requests, {failed:,} of them failed"


class Callers:
    """Calls ``url`` from a thread of its own for as long as a ``with`` statement lasts.

    Args:
        url: Where to send to.
        callers: Who sends, one after the other, round and round.
        rate: Requests a second.
    """

    def __init__(self, url: str, callers: Sequence[Caller], rate: float) -> None:
        self._url, self._callers, self._rate = url, callers, rate
        self._ended = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._call()), name="callers", daemon=True)
        self.answers = Answers()

    def __enter__(self) -> Callers:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join(10)

    async def _call(self) -> None:
        waiting: set[asyncio.Task[None]] = set()
        start, number = time.monotonic(), 0
        async with httpx.AsyncClient(timeout=5, limits=httpx.Limits(max_connections=MOST_WAITING)) as client:
            while not self._ended.is_set():
                await asyncio.sleep(max(0.0, start + number / self._rate - time.monotonic()))
                if len(waiting) >= MOST_WAITING:
                    self.answers.unsent += 1
                else:
                    task = asyncio.create_task(self._ask(client, self._callers[number % len(self._callers)]))
                    waiting.add(task)
                    task.add_done_callback(waiting.discard)
                number += 1
            if waiting:
                await asyncio.wait(waiting, timeout=5)

    async def _ask(self, client: httpx.AsyncClient, caller: Caller) -> None:
        headers: Mapping[str, str] = {"Content-Type": "application/json", "X-Headgate-Key": caller.key}
        try:
            answer = await client.post(self._url, content=caller.body, headers=headers)
        except httpx.HTTPError:
            self.answers.failed["nobody"] += 1
            return
        counter = self.answers.good if answer.status_code == 200 else self.answers.failed
        counter[answer.headers.get("x-headgate-version", "nobody")] += 1
