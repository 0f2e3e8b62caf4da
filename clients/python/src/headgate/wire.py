"""Requests, answers, and the effects of a flow: values only, no I/O.

A *flow* is a generator that yields effects and is sent what came of them; it holds all the logic of a verb.
``sync_driver.py`` and ``async_driver.py`` perform effects, and that is all they do, so no logic is written twice.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Generic, TypeVar

from headgate.errors import HeadgateError

T = TypeVar("T")


class Server(StrEnum):
    """Which of the two processes a request goes to."""

    REGISTRY = "registry"
    SERVING = "serving"


@dataclass(frozen=True, slots=True)
class FileBody:
    """A file to stream as a body.

    Attributes:
        path: Where it lies.
        size: Its bytes, as they were when it was hashed.
        sent: Told after each piece how many bytes it had.
    """

    path: Path
    size: int
    sent: Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request. ``path`` is already percent-encoded and starts with a slash.

    ``seconds`` is how long its answer may take where that is more than the client's timeout.
    """

    server: Server
    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | FileBody | None = field(default=None, repr=False)
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP answer, read whole. Header names are in lower case; ``url`` is for messages."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    url: str


@dataclass(frozen=True, slots=True)
class Parallel:
    """Send all of these, a few at a time; comes back as a list of answers in the same order."""

    requests: tuple[Request, ...]


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait this many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Now:
    """Comes back as a monotonic time in seconds."""


@dataclass(frozen=True, slots=True)
class Work:
    """Call this, off the event loop where there is one; comes back as what it returned."""

    call: Callable[[], object]


Effect = Request | Parallel | Pause | Now | Work
Flow = Generator[Effect, Any, T]


@dataclass(frozen=True, slots=True)
class Done(Generic[T]):
    """A flow has ended with this value."""

    value: T


def step(flow: Flow[T], outcome: object, failure: HeadgateError | None) -> Effect | Done[T]:
    """Move a flow on to its next effect, or to its end.

    Args:
        flow: The flow.
        outcome: What came of the effect before; None to begin with.
        failure: What went wrong with the effect before, raised inside the flow; it wins over ``outcome``.
    """
    try:
        return flow.send(outcome) if failure is None else flow.throw(failure)
    except StopIteration as stop:
        return Done(stop.value)
