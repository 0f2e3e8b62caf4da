"""Counts the rows that each version was asked about, and what it predicted: what drift is measured on.

    finished request ── noted in under a microsecond, on the loop: single rows staged (``staged.py``), others on a list
                          └─ bounded in requests and bytes ── joined and counted in blocks, on another thread
                                                                └─ one window a version ── the next report

Rows are counted by the version's baseline (``counted.py``), or sampled where it has none (``sampled.py``). A baseline
that is on its way is waited for, for a while, with the rows that need it. Counts add up, so a version has one window
that grows until it is taken: a registry that is away costs no more memory than one that is not, and no row is lost.
Not here: where baselines come from (``baselines.py``), what counts mean, and sending them (``serving/reporter.py``).
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Protocol

from registry import log
from registry.observed import FeatureWindow
from registry.records import Digest, ModelName, VersionNumber
from registry.snapshots import ServableVersion
from serving.sources.registry import is_news
from serving.telemetry.counted import Counted, Plan
from serving.telemetry.finished import Finished
from serving.telemetry.joined import Part, join_answers, join_inputs, kept_answer, kept_input, thinned, weight_of
from serving.telemetry.sampled import Sampled
from serving.telemetry.staged import Row, Stage, is_stageable, row_of

CROWDED = 4096
CROWDED_BYTES = 4 << 20
"""From so many requests, or bytes of theirs, on the list is to be counted."""
MOST_PENDING = 16 * CROWDED
MOST_BYTES = 64 << 20
LARGE = 16 << 20
"""Of a request that keeps more bytes only some rows are counted, spread evenly. A body of numbers is never so large; of
one of texts, which take many times their bytes, it is some 2 MiB."""
MOST_WINDOWS = 1000
TAKEN_BYTES = 3 << 20
LARGEST_BYTES = 10 << 20
"""How much JSON is handed over at once, about, and how much one window may be: the registry takes 16 MiB in all."""
PATIENCE_SECONDS = 60.0
"""How long rows wait for a baseline that is on its way."""
_Version = tuple[str, str]
_Pending = tuple[_Version, int, int, Part, Part]
"""Whose, of how many rows, how many bytes it keeps, input, answer."""
_Key = tuple[str, str, Digest | None]


class Plans(Protocol):
    """Where baselines are, ready for counting. For any thread."""

    def get(self, digest: Digest) -> Plan | None:
        """Return one; None where it is not here yet, and from now on it is sought."""
        ...


class FeatureWindows:
    """The feature windows of one node. ``observe`` is for the event loop's thread, the rest for any.

    Args:
        servable: What a version is now; None where it may not answer any more.
        plans: Where baselines are.
        most_bytes: How much of inputs and answers may wait to be counted.
        lost: Told why (``busy``, ``large``, ``no_baseline``, ``full``, ``fault``), and of how many rows the counts are
            gone; from any thread.
        clock: Wall-clock seconds.
    """

    def __init__(
        self,
        servable: Callable[[str, str], ServableVersion | None],
        plans: Plans,
        *,
        most_bytes: int = MOST_BYTES,
        lost: Callable[[str, int], None] = lambda _reason, _rows: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._servable = servable
        self._plans = plans
        self._most_bytes = most_bytes
        self._lost = lost
        self._clock = clock
        self._pending: deque[_Pending] = deque()
        self._full: deque[Stage] = deque()
        self._stages: dict[tuple[str, str, int], Stage] = {}
        self._stage: Stage | None = None
        self._staged = 0
        self._waiting: dict[_Key, tuple[float, list[_Pending]]] = {}
        # Two counts, each with one writer, make a difference that needs no lock.
        self._put = self._counted = 0
        self._faults = self._kept_back = self._kept_bytes = 0
        self._left = False
        self._tell: Callable[[], None] = lambda: None
        self._lock = threading.Lock()
        self._windows: dict[_Key, tuple[int, Counted | Sampled]] = {}

    def when_crowded(self, tell: Callable[[], None]) -> None:
        """Have ``tell`` called where it is time to ``settle``: over and over, so it must be quick."""
        self._tell = tell

    def observe(self, done: Finished) -> None:
        """Take note of one finished request."""
        data, output = done.inputs, done.output
        if data is None or output is None or done.code:
            return
        row = row_of(data, output)
        if row is not None and self._stage_row(done, row):
            return
        self._note(done, kept_input(data), kept_answer(output), output.size)

    def gather(self) -> None:
        """Let all that came be counted by the next ``settle``. On the event loop's thread, as ``observe``."""
        for stage in self._stages.values():
            self._lay_by(stage)
        self._stages.clear()
        self._stage, self._staged = None, 0

    def _stage_row(self, done: Finished, row: Row) -> bool:
        """Lay a row beside others like it; tell whether it is one."""
        stage, names = self._stage, row.names
        if stage is None or done.version != stage.version or done.model != stage.model or names is not stage.names:
            key = (done.model, done.version, id(names))  # a stage keeps its names, so nothing else gets their identity
            stage = self._stages.get(key) or self._begin_stage(key, row)
            if stage is None:
                return False
            self._stage = stage
        if not stage.takes(row) or not stage.add(row):
            return False
        self._staged += stage.row_bytes
        if stage.rows >= stage.full:
            del self._stages[(stage.model, stage.version, id(stage.names))]
            self._staged -= stage.rows * stage.row_bytes
            self._stage = None
            self._lay_by(stage)
            self._tell()
        elif self._staged > CROWDED_BYTES:
            self.gather()
            self._tell()
        return True

    def _begin_stage(self, key: tuple[str, str, int], row: Row) -> Stage | None:
        """Return a stage for rows like this one; None where it is no such row."""
        if not is_stageable(row):
            return None
        stage = self._stages[key] = Stage(key[0], key[1], row)
        stage.full = max(1, min(CROWDED, CROWDED_BYTES // max(1, stage.row_bytes)))
        return stage

    def _lay_by(self, stage: Stage) -> None:
        bytes_ = stage.rows * stage.row_bytes
        if self._put - self._counted + bytes_ > self._most_bytes:
            self._lost("busy", stage.rows)
        elif stage.rows:
            self._put += bytes_
            self._full.append(stage)

    def _note(self, done: Finished, part: Part, answer: Part, size: int) -> None:
        """Keep a request as it is until it is counted."""
        bytes_ = weight_of(part, done.size) + weight_of(answer, size)
        pending, room, rows = self._pending, self._put - self._counted, done.rows
        if len(pending) >= CROWDED or room > CROWDED_BYTES:
            self._tell()
            if len(pending) >= MOST_PENDING or room + min(bytes_, LARGE) > self._most_bytes:
                self._lost("busy", rows)
                return
        if bytes_ > LARGE:
            few = _few(part, answer, rows, bytes_)
            self._lost("large", rows - few[0])
            if not few[0]:
                return
            rows, bytes_, part, answer = few
        self._put += bytes_
        pending.append(((done.model, done.version), rows, bytes_, part, answer))

    def settle(self) -> None:
        """Count what is on the list."""
        with self._lock:
            self._settle()

    def take(self) -> tuple[FeatureWindow, ...]:
        """Hand over windows, the oldest first, of about ``TAKEN_BYTES``; what comes from now on makes new ones."""
        taken: list[FeatureWindow] = []
        with self._lock:
            self._settle()
            self._left, room = False, TAKEN_BYTES
            for key in sorted(self._windows, key=lambda key: (self._windows[key][0], key[:2])):
                bytes_ = self._windows[key][1].wire_bytes
                room -= bytes_
                if taken and room < 0:
                    self._left = True
                    break
                start, window = self._windows.pop(key)
                if bytes_ > LARGEST_BYTES:
                    self._lost("large", window.rows)
                else:
                    taken.append(_window(key, start, window))
        return tuple(taken)

    @property
    def waiting(self) -> int:
        """How many windows were counted and not taken yet."""
        return len(self._windows)

    @property
    def left(self) -> bool:
        """Whether more waited than was taken last."""
        return self._left

    def _settle(self) -> None:
        # What comes meanwhile is for the next time.
        drained = [self._pending.popleft() for _ in range(len(self._pending))]
        drained += [_as_request(self._full.popleft()) for _ in range(len(self._full))]
        blocks: dict[_Version, list[_Pending]] = {}
        for one in drained:
            blocks.setdefault(one[0], []).append(one)
        waiting, self._waiting = self._waiting, {}
        self._kept_back = self._kept_bytes = 0
        for key, (since, block) in waiting.items():
            self._take_up(key, block, since)
        now = self._clock()
        for (model, version), block in blocks.items():
            servable = self._servable(model, version)
            if servable is not None:  # else it was retired meanwhile: nobody asks how its rows drift
                self._take_up((model, version, servable.baseline), block, now)
        self._counted += sum([one[2] for one in drained])

    def _take_up(self, key: _Key, block: list[_Pending], since: float) -> None:
        """Count a block of one version, or keep it until its baseline is here."""
        plan, digest = None, key[2]
        if digest is not None:
            plan = self._plans.get(digest)
            if plan is None:
                self._keep(key, block, since)
                return
        start, window = self._windows.get(key) or (int(since * 1000), Sampled() if plan is None else Counted(plan))
        for part in _portions(block):
            self._count(window, part)
        if window.rows:
            self._windows[key] = (start, window)
            self._make_room()

    def _count(self, window: Counted | Sampled, part: list[_Pending]) -> None:
        """Count requests together; where that fails, each half for itself, down to the one that cannot be counted."""
        rows = sum([one[1] for one in part])
        try:
            window.add(rows, join_inputs([one[3] for one in part]), join_answers([one[4] for one in part]))
        except Exception as error:  # noqa: BLE001 -- rows that cannot be counted must not cost the others theirs
            if len(part) == 1:
                self._note_fault(error, rows)
                return
            half = len(part) // 2
            self._count(window, part[:half])
            self._count(window, part[half:])

    def _keep(self, key: _Key, block: list[_Pending], since: float) -> None:
        bytes_ = sum([one[2] for one in block])
        full = self._kept_back + len(block) > MOST_PENDING or self._kept_bytes + bytes_ > self._most_bytes
        if full or self._clock() - since > PATIENCE_SECONDS:
            self._lost("no_baseline", sum(one[1] for one in block))
            return
        self._kept_back += len(block)
        self._kept_bytes += bytes_
        before, kept = self._waiting.get(key, (since, []))
        self._waiting[key] = (min(before, since), kept + block)

    def _make_room(self) -> None:
        while len(self._windows) > MOST_WINDOWS:
            oldest = min(self._windows, key=lambda key: self._windows[key][0])
            self._lost("full", self._windows.pop(oldest)[1].rows)

    def _note_fault(self, error: Exception, rows: int) -> None:
        self._lost("fault", rows)
        self._faults += 1
        if is_news(self._faults):
            log.failure("counting_raised", error)


def _as_request(stage: Stage) -> _Pending:
    return ((stage.model, stage.version), stage.rows, stage.rows * stage.row_bytes, *stage.parts())


def _few(part: Part, answer: Part, rows: int, bytes_: int) -> tuple[int, int, Part, Part]:
    """Return evenly many rows of a large request, and how many bytes they keep; of no rows where one is too large."""
    step = -(-bytes_ // LARGE)
    inputs = thinned(part, rows, step) if rows > step else None
    if inputs is None:
        return 0, 0, [], []
    answers = thinned(answer, rows, step)
    return -(-rows // step), bytes_ // step, inputs, [] if answers is None else answers


def _portions(block: list[_Pending]) -> Iterator[list[_Pending]]:
    """Yield a block in parts that are small enough to be joined and sorted at once."""
    part: list[_Pending] = []
    room = CROWDED_BYTES
    for one in block:
        part.append(one)
        room -= one[2]
        if room < 0:
            yield part
            part, room = [], CROWDED_BYTES
    if part:
        yield part


def _window(key: _Key, start: int, window: Counted | Sampled) -> FeatureWindow:
    model, version, baseline = key
    name, number = ModelName(model), VersionNumber(version)
    if isinstance(window, Counted):
        return FeatureWindow(name, number, start, window.rows, baseline, counts=window.counts())
    return FeatureWindow(name, number, start, window.rows, None, samples=window.samples())
