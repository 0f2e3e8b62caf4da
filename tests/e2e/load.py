"""Steady load from several clients, each with its own connection, and what became of every request."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import httpx

from tests.e2e.control import TABLE


@dataclass(frozen=True, slots=True)
class Outcome:
    """One request: when it ended, its status (0 where no answer came), its version header, and words about it."""

    at: float
    status: int
    version: str
    said: str


class Load:
    """Clients that ask one URL again and again until told to stop."""

    def __init__(self, url: str, clients: int, *, keep_alive: bool = True) -> None:
        self.outcomes: list[Outcome] = []
        self._url = url
        self._keep_alive = keep_alive
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(clients)]

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End; return when every request has its outcome."""
        self._stopping.set()
        for thread in self._threads:
            thread.join()

    @property
    def failed(self) -> list[Outcome]:
        """Requests that were not answered with 200."""
        return [outcome for outcome in self.outcomes if outcome.status != 200]

    def _run(self) -> None:
        limits = httpx.Limits(max_keepalive_connections=1 if self._keep_alive else 0)
        with httpx.Client(timeout=60, limits=limits) as client:
            while not self._stopping.is_set():
                self.outcomes.append(self._ask(client))
                time.sleep(0.002)

    def _ask(self, client: httpx.Client) -> Outcome:
        headers = {} if self._keep_alive else {"connection": "close"}
        try:
            answer = client.post(self._url, json=TABLE, headers=headers)
        except httpx.HTTPError as error:
            return Outcome(time.monotonic(), 0, "", type(error).__name__)
        version = answer.headers.get("x-headgate-version", "")
        return Outcome(time.monotonic(), answer.status_code, version, answer.text[:300])


@contextmanager
def steady_load(url: str, clients: int = 4, *, keep_alive: bool = True) -> Iterator[Load]:
    """Have clients ask ``url`` for as long as the block runs."""
    load = Load(url, clients, keep_alive=keep_alive)
    load.start()
    try:
        yield load
    finally:
        load.stop()
