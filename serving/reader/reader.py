"""Tables (CSV, Parquet, Arrow) and images, read beside the node by processes that may die of them.

A reader is started at the first table, kept while tables come, and ended when none has come for a while, so that its
memory returns. It reads one table at a time; a few at most read at once, a few more tables wait, the rest is refused.

    idle ──table──► reading ──answer──► idle ──a minute──► ended
                       └── died, or too slow ──► ended: that request is refused, the next one gets a new reader

A caller who stops waiting does not end the reader at once: tables usually take milliseconds, a new reader far longer.
Not here: JSON, which the node reads itself, but for copies that are large (``serving/shadows``).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from registry.errors import HeadgateError, Internal, InvalidRequest, ModelFault, Refused, Unavailable
from registry.log import event
from registry.signature import Schema, Signature
from serving.exchange import Call, Input
from serving.protocols.limits import Limits
from serving.protocols.native import Parsed, schema_for, shape
from serving.protocols.params import enforce_params
from serving.reader.process import ReaderDied, ReaderProcess
from serving.reader.wire import JSON_BODY, Pieces, pack_json, pack_request, read_given, read_reply
from serving.runtimes.host.frames import Frame, FrameError

OFF_LOOP_BYTES = 1 << 20
Read = tuple[Input, Mapping[str, Any] | None]
"""An input, and the parameters that came with it."""
RESTARTS_AT_ONCE = 3
START_SECONDS = 30.0
_WORDS = {"json": "JSON body", "csv": "CSV", "parquet": "Parquet file", "arrow": "Arrow IPC stream", "media": "image"}


@dataclass(frozen=True, slots=True)
class ReaderBounds:
    """How much reading there may be. Times are seconds.

    Attributes:
        processes: How many tables are read at once.
        waiting: How many more may wait.
        most: How long reading one table may take.
        patience: How long a table is read on for a caller who has stopped waiting.
        idle: After what time without a table a reader ends.
        restart: How far apart restarts are, after a few at once, where tables keep ending their readers.
        background: Whether readers come after all other processes of the machine.
    """

    processes: int = 2
    waiting: int = 8
    most: float = 20.0
    patience: float = 1.0
    idle: float = 60.0
    restart: float = 2.0
    background: bool = False


class TableReader:
    """Reads tables. For one event loop; ``close`` it.

    Args:
        limits: Bounds on what a table may hold.
        ended: Told ``died`` or ``slow`` when a table has cost its reader's life.
        bounds: How much reading there may be.
    """

    def __init__(
        self, limits: Limits, ended: Callable[[str], None] = lambda reason: None, bounds: ReaderBounds | None = None
    ) -> None:
        self._limits = limits
        self._ended = ended
        self._bounds = bounds or ReaderBounds()
        self._places = asyncio.Semaphore(self._bounds.processes)
        self._callers = 0
        self._readings: set[asyncio.Task[Read]] = set()
        self._idle: list[ReaderProcess] = []
        self._live: dict[ReaderProcess, asyncio.Task[None]] = {}
        self._paced_until = 0.0
        self._closed = False

    @property
    def pids(self) -> list[int]:
        """The process ids of the readers that live."""
        return [reader.pid for reader in self._live if reader.alive]

    async def read(self, parsed: Parsed, signature: Signature, graph_inputs: Schema | None, *, seconds: float) -> Call:
        """Read a table or images and fit them to what the model takes, as ``native.shape`` would. Bytes that a model
        takes as they are need no reading.

        Raises what ``shape`` raises for tables, InvalidRequest ``invalid_argument`` also where the table ended its
        reader, ModelFault ``model_timeout`` where ``seconds`` were over first, Refused ``overloaded``.
        """
        schema = schema_for(signature, graph_inputs)
        if not parsed.reads_apart(schema):
            return shape(parsed, signature, graph_inputs, self._limits)
        params = enforce_params(parsed.params, signature.params)
        request = pack_request(parsed, schema, self._limits)
        data, _ = await self._in_turn(request, parsed.form, seconds)
        return Call(data, params)

    async def read_json(
        self, body: bytes, signature: Signature, graph_inputs: Schema | None, *, seconds: float
    ) -> Call:
        """Read a JSON body as ``native`` would; raise as ``read`` does, and for input that is JSON as it stands."""
        request = pack_json(body, schema_for(signature, graph_inputs), self._limits)
        data, given = await self._in_turn(request, JSON_BODY, seconds)
        return Call(data, enforce_params(given, signature.params))

    async def _in_turn(self, request: Pieces, form: str, seconds: float) -> Read:
        if self._closed:
            raise _stopping()
        if self._callers >= self._bounds.processes + self._bounds.waiting:
            raise Refused("overloaded", "too many tables wait to be read; retry in a moment", retry_after=1)
        self._callers += 1
        try:
            async with asyncio.timeout(seconds):
                await self._places.acquire()
                return await asyncio.shield(self._begin(request, form, seconds))
        except TimeoutError:
            raise ModelFault("model_timeout", "the time for this request was over before its table was read") from None
        finally:
            self._callers -= 1

    async def close(self) -> None:
        """End every reader; return when they have ended."""
        self._closed = True
        for reading in self._readings:
            reading.cancel()
        await asyncio.gather(*self._readings, return_exceptions=True)
        burials = list(self._live.values())
        for reader in self._live:
            reader.end()
        await asyncio.gather(*burials)

    # ---- one table, read by a task of its own, which goes on when its caller leaves ---------------------------------

    def _begin(self, request: Pieces, form: str, seconds: float) -> asyncio.Task[Read]:
        """Start reading; the place that the caller has taken is given back when it is done."""
        most = min(self._bounds.most, seconds + self._bounds.patience)
        reading = asyncio.get_running_loop().create_task(self._read(request, form, most))
        self._readings.add(reading)
        reading.add_done_callback(self._done)
        return reading

    def _done(self, reading: asyncio.Task[Read]) -> None:
        self._places.release()
        self._readings.discard(reading)
        if not reading.cancelled():
            reading.exception()  # seen, whether or not anybody still waits

    async def _read(self, request: Pieces, form: str, seconds: float) -> Read:
        reader: ReaderProcess | None = None
        try:
            async with asyncio.timeout(START_SECONDS):
                reader = await self._take()
            async with asyncio.timeout(seconds):
                frame = await reader.ask(request)
            answer = await _decoded(frame)
        except (TimeoutError, ReaderDied, FrameError) as error:
            slow = isinstance(error, TimeoutError)
            self._lose(reader, "slow" if slow else "died")
            raise _refusal(form, slow=slow, started=reader is not None) from None
        except asyncio.CancelledError:
            if self._closed:
                raise _stopping() from None
            raise
        except BaseException:
            self._keep(reader)
            raise
        self._keep(reader)
        return answer

    # ---- readers ----------------------------------------------------------------------------------------------------

    async def _take(self) -> ReaderProcess:
        """Return a reader that is idle, the last used first, or a new one. The caller holds a place."""
        while self._idle:
            reader = self._idle.pop()
            if reader.idle_timer is not None:
                reader.idle_timer.cancel()
            if reader.alive:
                return reader
        await asyncio.sleep(self._pause())
        reader = await ReaderProcess.start(background=self._bounds.background)
        self._live[reader] = asyncio.get_running_loop().create_task(self._bury(reader))
        return reader

    async def _bury(self, reader: ReaderProcess) -> None:
        await reader.gone()
        reader.end()
        del self._live[reader]

    def _keep(self, reader: ReaderProcess | None) -> None:
        if reader is not None:
            self._idle.append(reader)
            loop = asyncio.get_running_loop()
            reader.idle_timer = loop.call_later(self._bounds.idle, self._retire, reader)

    def _retire(self, reader: ReaderProcess) -> None:
        self._idle.remove(reader)
        reader.end()

    def _lose(self, reader: ReaderProcess | None, reason: str) -> None:
        now = asyncio.get_running_loop().time()
        self._paced_until = max(now, self._paced_until) + self._bounds.restart
        if reader is not None:
            reader.end()
        self._ended(reason)
        event("table_reader_lost", logging.WARNING, reason=reason, started=reader is not None)

    def _pause(self) -> float:
        """Return how long to wait before a start, so that whoever sends crashing tables cannot burn the machine."""
        now = asyncio.get_running_loop().time()
        return max(0.0, self._paced_until - now - RESTARTS_AT_ONCE * self._bounds.restart)


def _stopping() -> Unavailable:
    return Unavailable("shutting_down", "this process is stopping; retry elsewhere")


def _refusal(form: str, *, slow: bool, started: bool) -> HeadgateError:
    if not started:
        return Internal("internal", "the process that reads tables could not be started")
    if slow:
        advice = "a smaller one" if form == "media" else "fewer rows at once"
        message = f"the {_WORDS[form]} took too long to read; send {advice}"
        return InvalidRequest("invalid_argument", message, {"reason": "too_slow"})
    return InvalidRequest("invalid_argument", f"the body is not a valid {_WORDS[form]}", {"reason": "unreadable"})


async def _decoded(frame: Frame) -> Read:
    if sum(map(len, frame.buffers)) <= OFF_LOOP_BYTES:
        return _read(frame)
    return await asyncio.to_thread(_read, frame)


def _read(frame: Frame) -> Read:
    return read_reply(frame), read_given(frame)
