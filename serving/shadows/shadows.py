"""Shadows: copies of requests for versions whose answers nobody gets, to see whether they would have been as good.

    a request was answered ── offer ──► backlog (bounded; the oldest goes) ──► at most two at a time for each version:
        its turn (a small share of the loop) ── lease, only if loaded ── shape ── predict (low priority) ── compare

Nothing here may delay or fail an answer: ``offer`` takes finished values in constant time and never raises; what is
worked later is small, in pieces, paced (``pace.py``), and large bodies are read by a process of their own. Not here:
which requests are copied (``routing/split.py``), who is loaded (``pool/warming.py``), what the counts mean (the
registry).
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from time import perf_counter
from typing import Protocol

from registry import log
from registry.errors import HeadgateError, InvalidRequest, ModelFault, Refused, Unavailable
from registry.records import ModelName, VersionNumber
from registry.signature import Schema, Signature
from registry.snapshots import ServableVersion
from serving.exchange import Call, Output, Priority
from serving.pool.slot import Lease
from serving.ports import Batching, LoadedVersion
from serving.protocols.limits import HEAVY_BYTES, Limits
from serving.protocols.native import Parsed
from serving.protocols.request import NATIVE
from serving.routing.split import Decision
from serving.shadows.backlog import Answered, Backlog, Copy, Line
from serving.shadows.comparison import PIECE_VALUES, Incomparable, Piece, pieces
from serving.shadows.counting import ShadowWindows, Taken
from serving.shadows.examples import example
from serving.shadows.pace import COPY_SECONDS, Pace

COMPARED, INCOMPARABLE, ERROR, TIMEOUT = "compared", "incomparable", "error", "timeout"
NOT_LOADED, DROPPED = "not_loaded", "dropped"
AT_ONCE = 2
MOST_PIECES = 32
"""How many pieces, however small, are compared in one turn."""
MOST_LINES = 1000
REST_SECONDS = 0.25
"""How long a version that is not loaded is not looked at again."""
GRACE_SECONDS = 1.0


class Lends(Protocol):
    """Where loaded versions are: the pool."""

    def lease_at_hand(self, servable: ServableVersion) -> Lease | None:
        """Return permission to use a version that is loaded; None where it is not, or others need its room."""
        ...


class Reads(Protocol):
    """Who reads large bodies: a table reader of the background's own."""

    async def read(self, parsed: Parsed, signature: Signature, graph_inputs: Schema | None, *, seconds: float) -> Call:
        """Read a table."""
        ...

    async def read_json(
        self, body: bytes, signature: Signature, graph_inputs: Schema | None, *, seconds: float
    ) -> Call:
        """Read JSON."""
        ...


class Counts(Protocol):
    """Who counts one version's copies for metrics."""

    def count(self, outcome: str) -> None:
        """Count what became of a copy."""
        ...

    def compared(self, *, differs: bool) -> None:
        """Count a comparison."""
        ...


class Tells(Protocol):
    """Where counts are shown: the metrics."""

    def shadow(self, model: str, version: str) -> Counts:
        """Return who counts a version's copies."""
        ...

    def counts_lost(self, reason: str, requests: int) -> None:
        """Take note that the registry will never have the counts of some copies."""
        ...


class Offers(Protocol):
    """What the predictor tells of answered requests."""

    def offer(self, decision: Decision, answered: Answered) -> None:
        """Take a copy for each shadow of the decision. Constant time, never raises."""
        ...


class NoShadows:
    """Takes no copies, and has none to tell of."""

    windows_waiting = 0

    def offer(self, decision: Decision, answered: Answered) -> None:
        """Do nothing."""

    def take(self) -> tuple[Taken, ...]:
        """Return nothing."""
        return ()


@dataclass(frozen=True, slots=True)
class ShadowBounds:
    """How copies are worked.

    Attributes:
        seconds: How long a shadow may take for one.
        window_seconds: How long a window of counts is.
        store_inputs: Whether examples may be kept.
    """

    seconds: float = 30.0
    window_seconds: float = 10.0
    store_inputs: bool = False


class Shadows:
    """Binds ``Offers``. For one event loop; ``close`` it before the pool.

    Args:
        pool: Lends loaded versions.
        reader: Reads large bodies and tables.
        limits: The same as the predictor's.
        tells: Where counts are shown.
        bounds: How copies are worked.
        pace: How much of the loop's time that may take.
    """

    def __init__(
        self,
        pool: Lends,
        reader: Reads,
        limits: Limits,
        *,
        tells: Tells,
        bounds: ShadowBounds | None = None,
        pace: Pace | None = None,
    ) -> None:
        self._pool, self._reader, self._limits = pool, reader, limits
        self._counts, self._bounds = tells.shadow, bounds or ShadowBounds()
        self._pace = pace or Pace()
        self._backlog = Backlog()
        self._windows = ShadowWindows(self._bounds.window_seconds, time.time, tells.counts_lost)
        self._lines: dict[tuple[ModelName, VersionNumber], Line] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._told: set[str] = set()
        self._closed = False

    @property
    def waiting(self) -> int:
        """How many copies wait."""
        return len(self._backlog)

    def offer(self, decision: Decision, answered: Answered) -> None:
        """Take a copy for each shadow of the decision; see ``Offers``."""
        try:
            self._offer(decision, answered)
        except Exception as error:  # noqa: BLE001 -- whatever is wrong here, the request was answered
            self._tell(error)

    @property
    def windows_waiting(self) -> int:
        """How many windows of counts nobody took yet."""
        return self._windows.waiting

    def take(self) -> tuple[Taken, ...]:
        """Hand over the oldest windows of what was counted; counts of one window add up over several."""
        for name in [name for name, line in self._lines.items() if line.idle]:
            del self._lines[name]  # of a version that is gone, perhaps
        return self._windows.take()

    async def close(self) -> None:
        """Give up all copies; return when nothing is leased any more."""
        self._closed = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _offer(self, decision: Decision, answered: Answered) -> None:
        if self._closed:
            return
        for routed in decision.shadows:
            version = routed.servable.version
            line = self._lines.get((decision.model, version))
            if line is None:
                if len(self._lines) >= MOST_LINES:
                    continue
                line = self._lines[(decision.model, version)] = Line(decision.model, version)
            if line.rests_until > perf_counter():
                self._unasked(line, decision.revision, NOT_LOADED)
                continue
            for owner, gone in self._backlog.add(line, routed, decision.revision, answered):
                self._unasked(owner, gone.revision, DROPPED)
            if line.running < AT_ONCE and len(line.copies) > line.running:
                line.running += 1
                task = asyncio.get_running_loop().create_task(self._work(line))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    # ---- one version's copies, one after another --------------------------------------------------------------------

    async def _work(self, line: Line) -> None:
        try:
            while line.copies:
                await self._pace.turn()
                copy = self._backlog.take(line)
                if copy is not None:
                    try:
                        await self._try(line, copy)
                    except Exception as error:  # noqa: BLE001 -- a fault of ours must not end the work on the next
                        self._tell(error)
        finally:
            line.running -= 1

    async def _try(self, line: Line, copy: Copy) -> None:
        lease = self._pool.lease_at_hand(copy.routed.servable)
        if lease is None:
            line.rests_until = perf_counter() + REST_SECONDS
            self._unasked(line, copy.revision, NOT_LOADED)
            return
        began, settling = perf_counter(), lease.settling
        try:
            try:
                seconds, output = await self._ask(lease.loaded, copy)
            finally:
                lease.release()
            found = await self._compare(copy, output)
        except HeadgateError as error:
            self._failed(line, copy, _outcome(error), perf_counter() - began)
        except TimeoutError:
            self._failed(line, copy, TIMEOUT, perf_counter() - began)
        except Exception as error:  # noqa: BLE001 -- a shadow's failure is nobody's but its own, and counted
            self._tell(error)
            self._failed(line, copy, ERROR, perf_counter() - began)
        else:
            self._answered(line, copy, found, None if settling else seconds)
            if self._bounds.store_inputs and found is not None and any(piece.differed for piece in found):
                self._keep(line, copy, output)

    async def _ask(self, loaded: LoadedVersion, copy: Copy) -> tuple[float, Output]:
        """Return how long the shadow took, and its answer."""
        if not copy.routed.servable.background and isinstance(loaded, Batching) and loaded.lane.queued_rows:
            raise _no_time()  # it answers callers too, who must not stand behind a copy
        self._pace.count(COPY_SECONDS)
        call = await self._shape(copy, loaded.graph_inputs)
        seconds, began = self._bounds.seconds, perf_counter()
        with self._pace.piece():
            answer = loaded.predict(call, seconds, Priority.LOW)
        try:
            async with asyncio.timeout(seconds + GRACE_SECONDS):
                output = await answer
        finally:
            del answer  # it knows what went wrong, which knows this frame: a circle that would keep the body
        return perf_counter() - began, output

    async def _shape(self, copy: Copy, graph_inputs: Schema | None) -> Call:
        """Return the body as the shadow takes it."""
        signature, limits, seconds = copy.routed.signature, self._limits, self._bounds.seconds
        answered = copy.answered
        try:
            if max(len(answered.body), answered.weight) > HEAVY_BYTES:
                if _is_json(answered):
                    return await self._reader.read_json(answered.body, signature, graph_inputs, seconds=seconds)
                request = await asyncio.to_thread(answered.read, limits)
                if request.table is None:
                    return await asyncio.to_thread(request.shape, signature, graph_inputs, limits)
            else:
                with self._pace.piece():
                    request = answered.read(limits)
                    if request.table is None:
                        return request.shape(signature, graph_inputs, limits)
            return await self._reader.read(request.table, signature, graph_inputs, seconds=seconds)
        except ModelFault:  # the reader's time was over
            raise _no_time() from None

    async def _compare(self, copy: Copy, output: Output) -> list[Piece] | None:
        """Return how the answers differ; None where they are incomparable."""
        found: list[Piece] = []
        with self._pace.piece():
            each = pieces(copy.answered.output, output)
            try:
                piece = next(each, None)
            except Incomparable:
                return None
        since = 0
        while piece is not None:
            found.append(piece)
            since += max(piece.compared, PIECE_VALUES // MOST_PIECES)
            if since >= PIECE_VALUES:
                since = 0
                await self._pace.turn()
            with self._pace.piece():
                piece = next(each, None)
        return found

    # ---- counting ---------------------------------------------------------------------------------------------------

    def _unasked(self, line: Line, revision: int, outcome: str) -> None:
        self._windows.of(line.model, revision, line.version).unasked(outcome)
        self._counts(line.model, line.version).count(outcome)

    def _failed(self, line: Line, copy: Copy, outcome: str, seconds: float) -> None:
        if outcome in (DROPPED, NOT_LOADED):
            self._unasked(line, copy.revision, outcome)
            return
        count = self._windows.of(line.model, copy.revision, line.version)
        count.asked(outcome, copy.answered.seconds, seconds if outcome == TIMEOUT else None)
        self._counts(line.model, line.version).count(outcome)

    def _answered(self, line: Line, copy: Copy, found: list[Piece] | None, seconds: float | None) -> None:
        outcome = INCOMPARABLE if found is None else COMPARED
        count = self._windows.of(line.model, copy.revision, line.version)
        counts = self._counts(line.model, line.version)
        with self._pace.piece():
            count.asked(outcome, copy.answered.seconds, seconds)
            counts.count(outcome)
            if found is not None:
                count.compared(found)
                counts.compared(differs=any(piece.differed for piece in found))

    def _keep(self, line: Line, copy: Copy, output: Output) -> None:
        try:
            with self._pace.piece():
                self._windows.of(line.model, copy.revision, line.version).keep(example(copy.answered, output))
        except Exception as error:  # noqa: BLE001 -- an example that cannot be written is none
            self._tell(error)

    def _tell(self, error: Exception) -> None:
        name = type(error).__name__
        if name not in self._told and len(self._told) < MOST_LINES:
            self._told.add(name)  # once: a request each would be a flood
            log.failure("shadow_failed", error)


def _no_time() -> Refused:
    return Refused("overloaded", "there was no time for a copy")


def _is_json(answered: Answered) -> bool:
    """Tell whether the reader of tables can read the body as JSON: our own protocol's alone."""
    media = (answered.content_type or "").partition(";")[0].strip().lower()
    return answered.protocol == NATIVE and media in ("", "application/json")


def _outcome(error: HeadgateError) -> str:
    if isinstance(error, ModelFault):
        if error.code == "model_timeout":
            return TIMEOUT
        return NOT_LOADED if error.details.get("started") is False else ERROR  # its process died under another
    if isinstance(error, Refused) or error.details.get("reason") in ("too_slow", "unreadable"):
        return DROPPED  # the primary's reader could read it: ours had too little time
    if isinstance(error, InvalidRequest):
        return ERROR  # it does not take what its callers send
    return NOT_LOADED if isinstance(error, Unavailable) else DROPPED
