"""Keeps what was predicted until the registry has it, so that labels can join it.

A request is put on a list in less than a microsecond; the list is gone through later, beside the event loop, and each
answer becomes one prediction a row. Which requests are kept is decided by a hash of their ids, so every node and every
retry decides alike. When a report's worth is full, the share is halved as often as needed, for what came and for what
comes, of the model that has most of it: what is left is an even sample of the whole time, not of its first second, and
a busy model costs a quiet one nothing. A report that is less than half full doubles it again. What was handed over
stays findable until the next is: so a label finds its prediction also while the report is on its way.

Not here: sending (``serving/reporter.py``), labels (``serving/feedback.py``).
"""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from zlib import crc32

from registry import log
from registry.observed import Answered
from registry.records import ModelName, VersionNumber
from serving.exchange import ArrayOutput, Output
from serving.outputs import weight
from serving.sources.registry import is_news
from serving.telemetry.finished import Finished
from serving.telemetry.predicted_rows import predicted_rows, values_of

LOST = "predictions"
"""The reason by which answers that were not kept are counted."""
CROWDED = 512
MOST_PENDING = 16 * CROWDED
MOST_BYTES = 32 * 1024 * 1024
"""How much of answers may wait to be gone through."""
MOST_REQUESTS = 2000
MOST_VALUES = 40_000
"""How much of answers one report may hold: requests, and numbers in all of them."""
WHOLE = 1 << 32
_Kept = dict[tuple[str, str], Answered]
_Pending = tuple[float, int, str, str, str, int, str, int, Output]
"""When (wall clock), how many bytes the answer weighs, model, version, arm, revision, request, rows, answer. Not the
finished request itself, which holds on to its inputs."""


class KeptAnswers:
    """All answers of one node that labels may join. ``observe`` is for the event loop's thread, the rest for any.

    Args:
        sample: The share of requests that are kept, 0 to 1.
        most_bytes: How much of answers may wait to be gone through.
        lost: Told ``LOST``, and of how many requests the answers are gone; from any thread.
        clock: Wall-clock seconds.
    """

    def __init__(
        self,
        sample: float,
        *,
        most_bytes: int = MOST_BYTES,
        lost: Callable[[str, int], None] = lambda _reason, _requests: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._wanted = round(sample * WHOLE)
        self._shares: dict[str, int] = {}
        self._most_bytes = most_bytes
        self._lost = lost
        self._clock = clock
        self._pending: deque[_Pending] = deque()
        # Two counts, each with one writer, make a difference that needs no lock.
        self._put = self._done = 0
        self._tell: Callable[[], None] = lambda: None
        self._lock = threading.Lock()
        self._kept: _Kept = {}
        self._handed: _Kept = {}
        self._values = self._faults = 0
        self._passed_by = self._told = 0

    def when_crowded(self, tell: Callable[[], None]) -> None:
        """Have ``tell`` called where it is time to ``settle``: over and over, so it must be quick."""
        self._tell = tell

    def observe(self, done: Finished) -> None:
        """Take note of one finished request."""
        output = done.output
        if output is None or done.code or not done.request_id:
            return
        share = self._shares.get(done.model, self._wanted)
        if share < WHOLE and place(done.request_id) >= share:
            if share < self._wanted and place(done.request_id) < self._wanted:
                self._passed_by += 1
            return
        pending = self._pending
        bytes_ = output.array.nbytes + output.size if type(output) is ArrayOutput else weight(output)
        waiting = self._put - self._done
        if len(pending) >= CROWDED:
            self._tell()
        if len(pending) >= MOST_PENDING or waiting + bytes_ > self._most_bytes:
            self._lost(LOST, 1)
            return
        self._put += bytes_
        pending.append(
            (
                self._clock(),
                bytes_,
                done.model,
                done.version,
                done.arm,
                done.revision,
                done.request_id,
                done.rows,
                output,
            )
        )

    @property
    def waiting(self) -> int:
        """How many answers were not taken yet."""
        return len(self._pending) + len(self._kept)

    def settle(self) -> None:
        """Go through the list."""
        with self._lock:
            self._settle()

    def take(self) -> tuple[Answered, ...]:
        """Hand over all; what is observed from now on is for the next time."""
        with self._lock:
            self._settle()
            if len(self._kept) < MOST_REQUESTS // 2 and self._values < MOST_VALUES // 2:
                self._shares = {name: 2 * share for name, share in self._shares.items() if 2 * share < self._wanted}
            self._handed, self._kept, self._values = self._kept, {}, 0
            return tuple(self._handed.values())

    def find(self, model: str, request_ids: Iterable[str]) -> list[Answered]:
        """Return the answers to these requests that the registry may not have yet."""
        with self._lock:
            self._settle()
            known = self._handed | self._kept if self._handed else self._kept
            found = (known.get((model, request_id)) for request_id in request_ids)
            return [answered for answered in found if answered is not None]

    def _settle(self) -> None:
        passed_by, self._told = self._passed_by - self._told, self._passed_by
        if passed_by:
            self._lost(LOST, passed_by)
        for _ in range(len(self._pending)):  # what comes meanwhile is for the next time
            one = self._pending.popleft()
            try:
                self._keep(one)
            except Exception as error:  # noqa: BLE001 -- an answer that cannot be read must not cost the others theirs
                self._note_fault(error)
            finally:
                self._done += one[1]

    def _keep(self, pending: _Pending) -> None:
        at, _, model, version, arm, revision, request_id, asked, output = pending
        share = self._shares.get(model, self._wanted)
        if share < WHOLE and place(request_id) >= share:
            self._lost(LOST, 1)
            return
        if (model, request_id) in self._kept:
            return
        rows = predicted_rows(output, asked)
        if rows is None:
            return
        answered = Answered(ModelName(model), VersionNumber(version), arm, revision, request_id, int(at * 1000), rows)
        self._kept[model, request_id] = answered
        self._values += values_of(rows)
        while len(self._kept) > MOST_REQUESTS or self._values > MOST_VALUES:
            self._thin()

    def _thin(self) -> None:
        """Halve the share of the model that takes most room, and let go of what is in it no more."""
        room: Counter[str] = Counter()
        for (name, _), one in self._kept.items():
            room[name] += MOST_VALUES // MOST_REQUESTS + values_of(one.rows)
        ((model, _),) = room.most_common(1)
        share = self._shares[model] = max(1, self._shares.get(model, self._wanted) // 2)
        kept = {key: one for key, one in self._kept.items() if key[0] != model or place(one.request_id) < share}
        self._lost(LOST, len(self._kept) - len(kept))
        self._kept = kept
        self._values = sum(values_of(one.rows) for one in kept.values())

    def _note_fault(self, error: Exception) -> None:
        self._lost("fault", 1)
        self._faults += 1
        if is_news(self._faults):
            log.failure("keeping_answers_raised", error)


def place(request_id: str) -> int:
    """Return where a request lies, evenly over 0 to ``WHOLE`` - 1, the same for ever.

    A checksum, multiplied by the golden ratio's odd neighbour, so that ids that count up spread too: a tenth of the
    price of a cryptographic hash, and nobody gains by choosing where an id lies.
    """
    return crc32(request_id.encode()) * 0x9E3779B1 & 0xFFFFFFFF
