"""The copies that wait: a queue for each shadow version, bounded in number, and all together bounded in bytes.

What comes last pushes out what came first: the newest requests say most of what a shadow would do now. Bookkeeping
alone, each step O(1). Not here: who works them (``shadows.py``).
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

from registry.records import ModelName, VersionNumber
from serving.exchange import Output
from serving.outputs import weight
from serving.protocols.request import NATIVE, Read
from serving.routing.split import RoutedVersion
from serving.values import value

MOST_COPIES = 256
MOST_BYTES = 64 << 20


@value
class Answered:
    """A request with its answer.

    Attributes:
        body: As it came, after expansion; ``read`` reads it, as ``protocol`` (the metrics' label) has it.
        content_type: What the body was said to be.
        request_id: The request's.
        output: What was answered.
        seconds: How long the model took.
        weight: How many bytes of JSON take as long to read, where that may be more than its length.
    """

    body: bytes
    content_type: str | None
    request_id: str
    output: Output
    seconds: float
    read: Read
    protocol: str = NATIVE
    weight: int = 0


@value
class Copy:
    """A request to repeat: by which plan, with what of the primary's, and how many bytes it keeps."""

    number: int
    routed: RoutedVersion
    revision: int
    answered: Answered
    size: int


@dataclass(slots=True, eq=False)
class Line:
    """The copies for one version of a model.

    Attributes:
        running: How many are being worked.
        rests_until: Monotonic seconds until which it is known not to be loaded.
    """

    model: ModelName
    version: VersionNumber
    copies: OrderedDict[int, Copy] = field(default_factory=OrderedDict)
    running: int = 0
    rests_until: float = 0.0

    @property
    def idle(self) -> bool:
        """Whether there is nothing to do."""
        return not self.copies and not self.running


class Backlog:
    """All copies that wait."""

    def __init__(self, most_copies: int = MOST_COPIES, most_bytes: int = MOST_BYTES) -> None:
        self._most_copies, self._most_bytes = most_copies, most_bytes
        self._all: OrderedDict[int, tuple[Line, Copy]] = OrderedDict()
        self._number = 0
        self.size = 0

    def __len__(self) -> int:
        return len(self._all)

    def add(self, line: Line, routed: RoutedVersion, revision: int, answered: Answered) -> list[tuple[Line, Copy]]:
        """Put a copy at the end of its line; return what had to go for it, which may be itself."""
        self._number += 1
        copy = Copy(self._number, routed, revision, answered, len(answered.body) + weight(answered.output))
        if copy.size > self._most_bytes:
            return [(line, copy)]
        gone = []
        if len(line.copies) >= self._most_copies:
            gone.append((line, self._remove(line, next(iter(line.copies)))))
        while self.size + copy.size > self._most_bytes:
            oldest, (owner, _) = next(iter(self._all.items()))
            gone.append((owner, self._remove(owner, oldest)))
        line.copies[copy.number] = copy
        self._all[copy.number] = (line, copy)
        self.size += copy.size
        return gone

    def take(self, line: Line) -> Copy | None:
        """Remove and return the oldest copy of a line."""
        return self._remove(line, next(iter(line.copies))) if line.copies else None

    def _remove(self, line: Line, number: int) -> Copy:
        copy = line.copies.pop(number)
        del self._all[number]
        self.size -= copy.size
        return copy
