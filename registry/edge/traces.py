"""Spans of finished requests, sent by a thread of their own: nobody who asks for an answer ever waits for that.

A request leaves a few numbers behind, on a list that has a bound; the thread makes spans of them, a few at a time, and
hands them over. What comes too fast is dropped and counted: the spans of one request cost the interpreter as much as a
small predict, so a process sends some two hundred a second at the most. Not here: the header (``traceparent.py``), the
protocol (``otlp.py``), which requests have spans (each process's edge).
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from random import getrandbits
from threading import Event, Thread
from typing import Protocol

from registry import log
from registry.edge.traceparent import NAME, Traceparent, is_chosen, read

PAUSE_SECONDS = 0.25
BATCH = 50
MOST_WAITING = 1000
CLOSE_SECONDS = 3.0
Value = str | int | float | bool


@dataclass(frozen=True, slots=True)
class Span:
    """One span: times are nanoseconds since 1970; ``parent`` is 0 at the root of a trace.

    ``served`` tells a request's own span from those of its stages; ``error`` says that it failed.
    """

    name: str
    trace: int
    number: int
    parent: int
    start_ns: int
    end_ns: int
    attributes: Mapping[str, Value] = field(default_factory=dict)
    served: bool = False
    error: bool = False


class Exporter(Protocol):
    """Who takes spans away. For the thread that sends: ``export`` may block; it returns whether they were taken."""

    def export(self, spans: Sequence[Span]) -> bool:
        """Send spans; never raise."""
        ...

    def close(self) -> None:
        """Give up what is being sent; may be called while ``export`` runs."""
        ...


@dataclass(frozen=True, slots=True)
class Trace:
    """One request's place in a trace: ``own`` is its span, ``parent`` the span of whoever asked, or 0."""

    own: Traceparent
    parent: int
    begun_ns: int

    @property
    def sampled(self) -> bool:
        """Whether it is recorded."""
        return self.own.sampled


def new_span() -> int:
    """Return an id that no other span has."""
    return getrandbits(64) or 1


class Tracer:
    """Begins traces, and sends what became of them once it is started. ``begin`` and ``end`` never block.

    Args:
        ratio: Share of the requests without a parent that are recorded.
        exporter: Takes spans away.
        count: Told how many requests' spans were ``sent``, ``dropped`` (they came too fast) or ``failed`` (nobody took
            them). From any thread.
        clock: Nanoseconds since 1970.
    """

    def __init__(
        self,
        ratio: float,
        exporter: Exporter,
        count: Callable[[str, int], None],
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        self._ratio = ratio
        self._exporter = exporter
        self._count = count
        self._clock = clock
        self._waiting: deque[Callable[[], Iterable[Span]]] = deque()
        self._closing = Event()
        self._failures = 0
        self._thread: Thread | None = None

    def begin(self, headers: Iterable[tuple[bytes, bytes]]) -> Trace:
        """Return a request's place: in the trace of whoever asked, or at the root of a new one."""
        given = [value for name, value in headers if name == NAME]
        asked = read(given[0]) if len(given) == 1 else None
        if asked is not None:
            return Trace(Traceparent(asked.trace, new_span(), asked.sampled), asked.span, self._clock())
        trace = getrandbits(128) or 1
        return Trace(Traceparent(trace, new_span(), is_chosen(trace, self._ratio)), 0, self._clock())

    def end(self, make: Callable[[], Iterable[Span]]) -> None:
        """Have the spans sent that ``make`` returns; it is called in another thread, and later."""
        if len(self._waiting) >= MOST_WAITING:
            self._count("dropped", 1)
            return
        self._waiting.append(make)

    def start(self) -> None:
        """Begin to send."""
        self._thread = Thread(target=self._run, name="traces", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Send what is left, within seconds, and end."""
        self._closing.set()
        if self._thread is not None:
            self._thread.join(CLOSE_SECONDS)
        self._exporter.close()

    def send(self) -> bool:
        """Send the oldest few; return whether there were any."""
        makes = [self._waiting.popleft() for _ in islice(range(BATCH), len(self._waiting))]
        if not makes:
            return False
        if self._exporter.export([span for make in makes for span in make()]):
            self._failures = 0
            self._count("sent", len(makes))
        else:
            self._failures += 1
            self._count("failed", len(makes))
            if self._failures in (1, 10, 100) or self._failures % 1000 == 0:
                log.event("traces_not_taken", logging.WARNING, times=self._failures)
        return True

    def _run(self) -> None:
        deadline: float | None = None
        while True:
            ending = self._closing.wait(PAUSE_SECONDS)
            if ending and deadline is None:
                deadline = time.monotonic() + CLOSE_SECONDS
            try:
                sent = self.send()
            except Exception as error:  # noqa: BLE001 -- the edge of a thread: the next request's spans must go out
                log.failure("traces_raised", error)
                sent = False
            if deadline is not None and (not sent or self._failures or time.monotonic() > deadline):
                return
