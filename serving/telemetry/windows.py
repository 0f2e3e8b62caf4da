"""Counts the answers of compared versions into windows: what the registry judges a canary by.

A request is put on a list in less than a microsecond; the list is counted later, as a whole, beside the event loop.
What counts for whom:

    arm stable or canary       2xx, and errors that are the version's own (``OWN_FAULTS``)
    any arm, ``failed`` set    one request and one error of the canary that its share asked and that could not answer;
                               nothing of who did
    everything else            nobody: pinned, alias, rule; callers' faults; want of room; a client that is gone

An answer is invalid where a value is NaN or infinite, or where its rows are not as many as were asked about
(``answers.py``). That is held against both arms alike: a model that always answers so is no worse than a stable one
that does the same. Not here: what the counts mean, and sending them (``serving/reporter.py``).
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from registry import log
from registry.records import ModelName, VersionNumber
from registry.windows import ArmCounts, ArmWindow, latency_bin, merged_bins, value_bins, window_start
from serving.exchange import Array, JsonOutput, Output
from serving.outputs import arrays_of, weight
from serving.routing.split import CANARY, STABLE
from serving.sources.registry import is_news
from serving.telemetry.answers import by_type, is_finite, misses_rows, predicted
from serving.telemetry.finished import Finished
from serving.values import value

OWN_FAULTS = frozenset({"model_error", "model_timeout", "model_output_invalid", "model_quarantined", "internal"})
"""Codes of a version's own errors: it raised, died, keeps dying, took too long (in the queue too: it is what others
wait for), or answered what cannot be sent. ``internal`` is the platform's fault, but one that this version's requests
bring about: a canary whose callers get it more often than stable's has to go all the same."""
CROWDED = 1024
MOST_PENDING = 16 * CROWDED
LARGE = 256 * 1024
MOST_BYTES = 64 * 1024 * 1024
"""How much of answers may wait to be counted. From ``LARGE`` on an answer is looked at as it comes, and let go."""
MOST_JOINED = 4096
"""Answers of at most so many bytes are joined before they are judged: one call for a thousand of them."""
MOST_WINDOWS = 2000
MOST_TAKEN = 500
"""How many windows are kept while nobody takes them, and how many are handed over at once."""
_Key = tuple[str, int, str, str]


@value
class _Looked:
    """What is left of an answer that was too large to keep."""

    valid: bool
    values: Array


_Answer = Output | _Looked | None
_Pending = tuple[float, _Key, str, int, float, int, _Answer]
"""When (wall clock), whose, code, rows, seconds (below 0: settling), how many bytes its answer weighs, answer."""


@dataclass(slots=True)
class _Sum:
    """One window as it grows."""

    requests: int = 0
    errors: int = 0
    invalid: int = 0
    latency: dict[int, int] = field(default_factory=dict)
    predictions: dict[str, int] = field(default_factory=dict)

    def add(self, other: _Sum) -> None:
        """Add what another counted."""
        self.requests += other.requests
        self.errors += other.errors
        self.invalid += other.invalid
        for number, count in other.latency.items():
            self.latency[number] = self.latency.get(number, 0) + count
        self.predictions = merged_bins(self.predictions, other.predictions)


class ArmWindows:
    """All windows of the arms of one node. ``observe`` is for the event loop's thread, the rest for any.

    Args:
        seconds: How long a window is; windows begin at whole multiples of it.
        most_bytes: How much of answers may wait to be counted.
        lost: Told why (``busy``, ``full``, ``fault``), and of how many requests the counts are gone; from any thread.
        clock: Wall-clock seconds.
    """

    def __init__(
        self,
        seconds: float,
        *,
        most_bytes: int = MOST_BYTES,
        lost: Callable[[str, int], None] = lambda _reason, _requests: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._length = max(1, round(seconds * 1000))
        self._most_bytes = most_bytes
        self._lost = lost
        self._clock = clock
        self._pending: deque[_Pending] = deque()
        # Two counts, each with one writer, make a difference that needs no lock.
        self._put = self._counted = self._faults = 0
        self._tell: Callable[[], None] = lambda: None
        self._lock = threading.Lock()
        self._sums: dict[tuple[int, _Key], _Sum] = {}

    def when_crowded(self, tell: Callable[[], None]) -> None:
        """Have ``tell`` called where it is time to ``settle``: over and over, so it must be quick."""
        self._tell = tell

    def observe(self, done: Finished) -> None:
        """Take note of one finished request."""
        if not done.watched:
            return
        code = done.code
        if done.failed:
            key, code = (done.model, done.revision, CANARY, done.failed), "model_error"
        elif done.arm in (STABLE, CANARY) and (not code or code in OWN_FAULTS):
            key = (done.model, done.revision, done.arm, done.version)
        else:
            return
        pending = self._pending
        if len(pending) >= CROWDED:
            self._tell()
            if len(pending) >= MOST_PENDING:
                self._lost("busy", 1)
                return
        bytes_, answer = 0, None
        if not code and done.output is not None:
            bytes_, answer = self._kept(done.output, done.rows)
        pending.append((self._clock(), key, code, done.rows, -1.0 if done.settling else done.seconds, bytes_, answer))

    def settle(self) -> None:
        """Count what is on the list."""
        with self._lock:
            self._settle()

    def take(self) -> tuple[ArmWindow, ...]:
        """Hand over the oldest windows, at most ``MOST_TAKEN``; what is observed from now on makes new ones."""
        with self._lock:
            self._settle()
            taken = sorted(self._sums)[:MOST_TAKEN]
            return tuple(_window(start, key, self._sums.pop((start, key))) for start, key in taken)

    @property
    def waiting(self) -> int:
        """How many windows were counted and not taken yet."""
        return len(self._sums)

    def _kept(self, output: Output, rows: int) -> tuple[int, _Answer]:
        """Return what is kept of an answer, and the room that it takes until it is counted."""
        bytes_, room = weight(output), self._most_bytes - self._put + self._counted
        answer: _Answer = output
        if bytes_ > LARGE or bytes_ > room:
            valid = is_finite(output) and not misses_rows(output, rows)
            flat = predicted(output)
            values = np.fromiter(flat, object, len(flat)) if isinstance(flat, list) else flat.copy()  # no view of all
            if values.nbytes > room:
                values = values[:0].copy()
            bytes_ = values.nbytes
            answer = _Looked(valid, values)
        self._put += bytes_
        return bytes_, answer

    def _settle(self) -> None:
        blocks: dict[tuple[int, _Key], list[_Pending]] = {}
        for _ in range(len(self._pending)):  # what comes meanwhile is for the next time
            one = self._pending.popleft()
            blocks.setdefault((window_start(int(one[0] * 1000), self._length), one[1]), []).append(one)
        for name, block in blocks.items():
            room = sum(one[5] for one in block)
            try:
                counted = _counted(block)
            except Exception as error:  # noqa: BLE001 -- an answer that cannot be counted must not cost the others theirs
                self._note_fault(error, len(block))
            else:
                self._sums.setdefault(name, _Sum()).add(counted)
            finally:
                self._counted += room
        if len(self._sums) > MOST_WINDOWS:
            oldest = sorted(self._sums)[: len(self._sums) - MOST_WINDOWS]
            self._lost("full", sum(self._sums.pop(name).requests for name in oldest))

    def _note_fault(self, error: Exception, requests: int) -> None:
        self._lost("fault", requests)
        self._faults += 1
        if is_news(self._faults):
            log.failure("counting_raised", error)


def _counted(block: list[_Pending]) -> _Sum:
    """Count requests of one window."""
    into, values = _Sum(), _Values()
    for _, _, code, rows, seconds, _, answer in block:
        into.requests += 1
        if code:
            into.errors += 1
            continue
        if seconds >= 0:
            number = latency_bin(seconds)
            into.latency[number] = into.latency.get(number, 0) + 1
        if isinstance(answer, _Looked):
            into.invalid += not answer.valid
            values.add(answer.values)
        elif answer is not None:
            values.add(predicted(answer))
            if misses_rows(answer, rows):
                into.invalid += 1
            else:
                values.judge(answer)
    values.fold(into)
    return into


class _Values:
    """The values of one block, by type: looked at and counted as a whole, because most answers are a number or two."""

    def __init__(self) -> None:
        self._predicted: dict[np.dtype[np.generic], list[Array]] = {}
        self._others: list[Any] = []
        self._floats: dict[np.dtype[np.generic], list[Array]] = {}
        self._joined: list[Output] = []
        self._invalid = 0

    def add(self, values: Array | list[Any]) -> None:
        """Take what an answer predicted."""
        if isinstance(values, list) or values.dtype.kind == "O":
            self._others.extend(values)
        else:
            self._predicted.setdefault(values.dtype, []).append(values)

    def judge(self, answer: Output) -> None:
        """Take an answer of which nobody knows yet whether its values are finite."""
        if isinstance(answer, JsonOutput) or weight(answer) > MOST_JOINED:
            self._invalid += not is_finite(answer)
            return
        parts = arrays_of(answer)
        if any(array.dtype.kind in "Oc" for array in parts):
            self._invalid += not is_finite(answer)
            return
        for array in parts:
            if array.dtype.kind == "f":
                self._floats.setdefault(array.dtype, []).append(array.reshape(-1))
        self._joined.append(answer)

    def fold(self, into: _Sum) -> None:
        """Count all."""
        if not all(np.isfinite(np.concatenate(arrays)).all() for arrays in self._floats.values()):
            self._invalid += sum(not is_finite(answer) for answer in self._joined)
        into.invalid += self._invalid
        typed = [np.concatenate(arrays) for arrays in self._predicted.values()]
        for values in (*typed, *by_type(self._others)):
            into.predictions = merged_bins(into.predictions, value_bins(values))


def _window(start_ms: int, key: _Key, counted: _Sum) -> ArmWindow:
    model, revision, arm, version = key
    counts = ArmCounts(counted.requests, counted.errors, counted.invalid, counted.latency, counted.predictions)
    return ArmWindow(ModelName(model), revision, arm, VersionNumber(version), start_ms, counts)
