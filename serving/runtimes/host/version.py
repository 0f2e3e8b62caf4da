"""A loaded version: one lane, and the processes behind it.

With several processes, one that dies costs what it was computing; the others go on, and it is replaced, later each time
that fails. When none is left the version is dead, and the pool loads it anew. Not here: a process (``process.py``), how
one is started (``runtime.py``).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial

from registry.errors import HeadgateError, InvalidRequest
from registry.log import event
from registry.signature import Schema
from serving.exchange import Call, Input, Output, Priority, Table, TensorInput
from serving.ports import Manner
from serving.runtimes.host.frames import Frame, FrameError, read_output
from serving.runtimes.host.parent import CannotFork, ParentDied
from serving.runtimes.host.pieces import Pieces
from serving.runtimes.host.process import OFF_LOOP_BYTES, HostProcess
from serving.runtimes.lane.lane import MAX_BATCH_ROWS, QUEUE_ROWS, Lane
from serving.runtimes.lane.line import Tell

BACKOFF_SECONDS = 0.5
BACKOFF_LIMIT_SECONDS = 60.0
HEALTHY_SECONDS = 60.0
"""A process that lived this long before it died starts the back-off anew."""
OUTPUT_LIMIT = 8192


@dataclass(frozen=True, slots=True)
class Bounds:
    """How many rows may wait for a version, and how many of several requests may share a batch."""

    queue_rows: int = QUEUE_ROWS
    max_batch_rows: int = MAX_BATCH_ROWS


class HostedVersion:
    """Binds ``LoadedVersion``. Made by ``HostRuntime``.

    Args:
        hosts: Its processes, loaded.
        start: Starts one more; raises as ``HostRuntime.load`` does.
        bounds: Of its lane.
        signed: Whether the version's signature says what it takes, whatever its graph says.
        name: What log lines call it.
    """

    def __init__(
        self,
        hosts: Sequence[HostProcess],
        start: Callable[[], Awaitable[HostProcess]],
        *,
        bounds: Bounds,
        signed: bool,
        name: str,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._hosts = list(hosts)
        self._start, self._name = start, name
        first = hosts[0].ready
        self._graph_inputs = None if signed else first.graph_inputs
        self.lane = Lane(
            hosts,
            max_batch_rows=bounds.max_batch_rows,
            queue_rows=bounds.queue_rows,
            batching=first.batching,
            name=name,
        )
        self._dead = False
        self._closing = False
        self._tell_death: Callable[[], None] | None = None
        self._tell_loss: Callable[[], None] | None = None
        self._mourning: set[asyncio.Task[None]] = set()
        self._failures = 0
        self._last_words = ""
        self.ready = first
        for host in hosts:
            self._look_after(host)

    @property
    def graph_inputs(self) -> Schema | None:
        """What an ONNX graph without a signature says it takes; None for other models."""
        return self._graph_inputs

    @property
    def graph_outputs(self) -> Schema | None:
        """What an ONNX graph says it answers; None for other models."""
        return self.ready.graph_outputs

    @property
    def hosts(self) -> tuple[HostProcess, ...]:
        """The processes that live."""
        return tuple(host for host in self._hosts if host.alive)

    @property
    def memory_bytes(self) -> int:
        """Private memory of its processes, as measured last."""
        return sum(host.memory_bytes for host in self._hosts)

    @property
    def batching(self) -> bool:
        """Whether requests share batches."""
        return self.lane.batching

    @property
    def batching_reason(self) -> str:
        """Why they do, or do not."""
        return self.ready.batching_reason

    @property
    def confined(self) -> tuple[str, ...]:
        """What its processes gave up, by name."""
        return self.ready.confined

    @property
    def manner(self) -> Manner:
        """How it runs; see ``LoadedVersion``."""
        return Manner("host", self.confined, self.batching, self.batching_reason, self.streams)

    @property
    def streams(self) -> bool:
        """Whether the model answers piece by piece as well."""
        return self.ready.streams

    @property
    def load_seconds(self) -> float:
        """How long the model itself took to load."""
        return self.ready.seconds

    @property
    def pid(self) -> int:
        """The id of its first process."""
        return self._hosts[0].pid if self._hosts else 0

    @property
    def last_output(self) -> str:
        """The end of what its processes printed, of one that died first; see ``LoadedVersion``."""
        texts = [self._last_words, *(host.last_output for host in self._hosts)]
        return "".join(text for text in texts if text)[-OUTPUT_LIMIT:]

    @property
    def alive(self) -> bool:
        """Whether any of its processes can answer."""
        for host in self._hosts:  # noqa: SIM110 -- every request asks, and a generator costs more than the answer
            if host.alive:
                return True
        return False

    @property
    def overran(self) -> bool:
        """Whether it is over because predictions ran too long; see ``Interruptible``."""
        return not self.alive and all(host.overran for host in self._hosts)

    def when_dead(self, tell: Callable[[], None]) -> None:
        """Have ``tell`` called once none of its processes can answer; see ``LoadedVersion``."""
        if self.alive:
            self._tell_death = tell
        else:
            self._loop.call_soon(tell)

    def when_one_died(self, tell: Callable[[], None]) -> None:
        """Have ``tell`` called each time that a process dies which is not the last; see ``Replacing``."""
        self._tell_loss = tell

    async def measure(self) -> int:
        """Measure anew what its processes cost, in bytes."""
        return sum(await asyncio.gather(*(host.measure() for host in self._hosts)))

    def predict(self, call: Call, seconds: float, priority: Priority = Priority.NORMAL) -> asyncio.Future[Output]:
        """Return the answer to come; see ``Lane``."""
        return self.lane.predict(call, seconds, priority)

    async def stream(
        self, call: Call, seconds: float, priority: Priority = Priority.NORMAL
    ) -> AsyncGenerator[Output, None]:
        """Yield the pieces of the answer; see ``Streaming``. One process has nothing else to do until it has ended."""
        _require_one(call.data)
        pieces = Pieces(seconds)
        waiter = self.lane.stream(call, seconds, priority, partial(_start_stream, call, pieces))
        waiter.answer.add_done_callback(pieces.end)
        patience: float | None = None  # for the first one the lane looks at the clock
        try:
            while (frame := await pieces.take(patience)) is not None:
                waiter.until, patience = float("inf"), seconds
                try:
                    yield await _read(frame)
                except FrameError as error:
                    pieces.refuse(str(error))
        finally:
            waiter.answer.cancel()
            pieces.stop()

    async def close(self) -> None:
        """End its processes and return when they have ended. Idempotent."""
        self._closing = True
        await asyncio.gather(*(host.close() for host in self._hosts))
        self.lane.close("this version was unloaded")
        for task in self._mourning:
            task.cancel()
        await asyncio.gather(*self._mourning, return_exceptions=True)

    def _look_after(self, host: HostProcess) -> None:
        born = self._loop.time()
        host.when_dead(lambda: self._lost(host, born))

    def _lost(self, host: HostProcess, born: float) -> None:
        if self._loop.time() - born >= HEALTHY_SECONDS:
            self._failures = 0
        self.lane.remove(host)
        if not self.alive and not self._dead:
            self._dead = True
            if self._tell_death is not None:
                self._tell_death()
        task = self._loop.create_task(self._mourn(host))
        self._mourning.add(task)
        task.add_done_callback(self._mourning.discard)

    async def _mourn(self, host: HostProcess) -> None:
        end = await host.ended()
        if self._over():
            self.lane.close(f"the process of this version died: {end}")
            return
        self._last_words = host.last_output
        self._hosts.remove(host)
        event("instance_died", logging.WARNING, version=self._name, left=len(self.hosts))
        if self._tell_loss is not None:
            self._tell_loss()
        await self._replace()

    def _over(self) -> bool:
        return self._dead or self._closing

    async def _replace(self) -> None:
        while not self._over():
            await asyncio.sleep(min(BACKOFF_SECONDS * 2 ** min(self._failures, 10), BACKOFF_LIMIT_SECONDS))
            self._failures += 1
            # Whatever it is (a full disk, no descriptor left), the next try is on its way.
            with contextlib.suppress(HeadgateError, ParentDied, CannotFork, OSError):
                host = await self._start()
                if self._over():
                    await host.close()
                    return
                self._hosts.append(host)
                self._look_after(host)
                self.lane.add(host)
                return


def _start_stream(call: Call, pieces: Pieces, host: HostProcess, tell: Tell) -> None:
    host.stream(call, pieces, tell)


async def _read(frame: Frame) -> Output:
    if frame.size > OFF_LOOP_BYTES:
        return await asyncio.to_thread(read_output, frame)
    return read_output(frame)


def _require_one(data: Input) -> None:
    """Refuse several rows: MLflow's ``predict_stream`` takes one, and says what came where there are more."""
    if isinstance(data, Table | TensorInput) and data.rows != 1:
        message = f"a stream answers one row at a time; {data.rows} were sent"
        raise InvalidRequest("invalid_input", message, {"expected": "1 row", "got": f"{data.rows} rows"})
