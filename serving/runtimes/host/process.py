"""One loaded version: a host, its connection, and the requests on their way through it.

Requests wait here in order; a few at a time are with the host, which answers them one after another. A host cannot be
interrupted, so whoever waits too long is let go at once, while the host gets the time that its predictions usually take
before it is ended: an impatient caller must not cost everybody else the model. What ends the process ends every request
on its way with ``model_error``, and the version is loaded anew by the pool. Not here: batching, which sits in front.
"""

from __future__ import annotations

import asyncio
import itertools
import shutil
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, cast

from registry.errors import InvalidRequest, ModelFault, Refused
from registry.signature import Schema
from serving.exchange import Call, Output, Priority
from serving.runtimes.host.frames import Frame, FrameError, Frames, pack_call, read_output
from serving.runtimes.host.output import OutputTail
from serving.runtimes.host.parent import Fork
from serving.runtimes.host.replies import describe_end, fault, graph_schema

WINDOW = 4
PATIENCE_SECONDS = 1.0
USUAL_FACTOR = 3.0
BURY_SECONDS = 1.0
OFF_LOOP_BYTES = 1 << 20
P = ParamSpec("P")
T = TypeVar("T")


@dataclass(slots=True, eq=False)
class _Request:
    number: int
    rows: int
    seconds: float
    answer: asyncio.Future[Frame]
    frame: bytes = b""
    sent: bool = False
    counted: bool = True


class HostProcess(asyncio.Protocol):
    """A version in a process of its own; binds ``LoadedVersion``. Made by ``HostRuntime``.

    Args:
        fork: The process.
        output: What it prints.
        home: Its own directory, removed with it.
        queue_rows: How many rows may wait or be computed at once; one request alone may have more.
    """

    def __init__(self, fork: Fork, output: OutputTail, home: Path, queue_rows: int) -> None:
        self._fork, self._output, self._home, self._queue_rows = fork, output, home, queue_rows
        self._loop = asyncio.get_running_loop()
        self._frames = Frames()
        self._first: asyncio.Future[Frame] = self._loop.create_future()
        self._numbers = itertools.count(1)
        self._waiting: deque[_Request] = deque()
        self._sent: deque[_Request] = deque()
        self._rows = 0
        self._longest = 0.0
        self._head_since = 0.0
        self._head_timer: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport | None = None
        self._burial: asyncio.Task[None] | None = None
        self._end = ""
        self._tell_death: Callable[[], None] | None = None
        self.load_seconds = 0.0
        self.confined: tuple[str, ...] = ()
        self._memory = 0
        self._graph_inputs: Schema | None = None

    # ---- LoadedVersion --------------------------------------------------------------------------------------------

    @property
    def graph_inputs(self) -> Schema | None:
        """What an ONNX graph says it takes; None for other models."""
        return self._graph_inputs

    @property
    def memory_bytes(self) -> int:
        """Private memory of the process, measured after loading."""
        return self._memory

    async def measure(self) -> int:
        """Return the memory as it was measured after loading."""
        return self._memory

    @property
    def alive(self) -> bool:
        """Whether the process can still answer."""
        return not self._end and self._transport is not None

    @property
    def pid(self) -> int:
        """The host's process id."""
        return self._fork.pid

    @property
    def last_output(self) -> str:
        """The end of what the model printed. It may hold inputs: for the version's owner, never for a log."""
        return self._output.text

    def when_dead(self, tell: Callable[[], None]) -> None:
        """Have ``tell`` called once the process can answer no more; see ``LoadedVersion``."""
        if self.alive:
            self._tell_death = tell
        else:
            self._loop.call_soon(tell)

    async def predict(self, call: Call, seconds: float, priority: Priority = Priority.NORMAL) -> Output:
        """Run the model on one request; see ``LoadedVersion``."""
        request = self._admit(max(call.data.rows, 1), seconds)
        timer = self._loop.call_later(seconds, self._expire, request)
        try:
            try:
                request.frame = await _off_loop(_weight(call), pack_call, request.number, call)
            except (TypeError, ValueError) as error:
                raise InvalidRequest("invalid_input", f"the input cannot be given to a model: {error}") from None
            self._check_alive()  # it may have died meanwhile, and nobody would see to what is put in line now
            self._waiting.append(request)
            self._pump()
            frame = await request.answer
            return await self._read(frame)
        finally:
            timer.cancel()
            if not request.sent:
                self._release(request)

    async def close(self) -> None:
        """End the process and return when it has ended. Idempotent."""
        self._finish("it was unloaded")
        if self._burial is not None:
            await asyncio.shield(self._burial)

    # ---- loading --------------------------------------------------------------------------------------------------

    def forget_graph_inputs(self) -> None:
        """Leave the version's signature as the only word on its inputs."""
        self._graph_inputs = None

    async def loaded(self) -> None:
        """Wait until the model is loaded; raise ModelFault ``model_error`` where it cannot be."""
        header = (await self._first).header
        if header.get("op") != "ready":
            raise fault(header, "the model cannot be loaded")
        try:
            self.load_seconds, self._memory = float(header["seconds"]), int(header["memory"])
            self.confined = tuple(map(str, header["confined"]))
            self._graph_inputs = graph_schema(header["graph_inputs"])
        except (KeyError, TypeError, ValueError) as error:
            self._finish("it does not speak as a host does")
            raise ModelFault("model_error", f"the process of this version died: {self._end}") from error

    # ---- requests -------------------------------------------------------------------------------------------------

    def _admit(self, rows: int, seconds: float) -> _Request:
        self._check_alive()
        if self._rows and self._rows + rows > self._queue_rows:
            raise Refused(
                "overloaded",
                f"{self._rows} rows wait for this version already, of {self._queue_rows} that may "
                "(HEADGATE_QUEUE_ROWS)",
                {"queue_rows": self._queue_rows},
                retry_after=1.0,
            )
        self._rows += rows
        return _Request(next(self._numbers), rows, seconds, self._loop.create_future())

    def _check_alive(self) -> None:
        if not self.alive:
            raise ModelFault("model_error", f"the process of this version died: {self._end}", {"started": False})

    def _pump(self) -> None:
        while self._waiting and len(self._sent) < WINDOW and self._transport is not None:
            request = self._waiting.popleft()
            if request.answer.done():  # its caller has gone
                continue
            request.sent = True
            self._sent.append(request)
            self._transport.write(request.frame)
            request.frame = b""
            if len(self._sent) == 1:
                self._watch_head()

    def _release(self, request: _Request) -> None:
        if request.counted:
            request.counted = False
            self._rows -= request.rows

    def _expire(self, request: _Request) -> None:
        if not request.answer.done():
            state = "was running" if self._sent and self._sent[0] is request else "was waiting for others"
            request.answer.set_exception(
                ModelFault("model_timeout", f"no answer within {request.seconds:.3g} s: the request {state}")
            )

    def _watch_head(self) -> None:
        # The first request sent is the one that the host is computing.
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
        if self._sent:
            self._head_since = self._loop.time()
            allowed = max(self._sent[0].seconds, PATIENCE_SECONDS, USUAL_FACTOR * self._longest)
            self._head_timer = self._loop.call_later(allowed, self._stalled, allowed)

    def _stalled(self, allowed: float) -> None:
        self._finish(f"a prediction ran for more than {allowed:.3g} s and was ended")

    def _answered(self, frame: Frame) -> None:
        if not self._sent or frame.header.get("id") != self._sent[0].number:
            raise FrameError("an answer is to no request")
        request = self._sent.popleft()
        self._longest = max(self._longest, self._loop.time() - self._head_since)
        self._release(request)
        if not request.answer.done():
            request.answer.set_result(frame)
        self._watch_head()
        self._pump()

    async def _read(self, frame: Frame) -> Output:
        if "error" in frame.header:
            raise fault(frame.header, "the model raised")
        try:
            return await _off_loop(sum(map(len, frame.buffers)), read_output, frame)
        except FrameError as error:
            self._finish(str(error))
            raise ModelFault("model_error", f"the process of this version was ended: {error}") from error

    # ---- the connection -------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin (called by the loop)."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by inheritance

    def data_received(self, data: bytes) -> None:
        """Take answers (called by the loop)."""
        try:
            for frame in self._frames.feed(data):
                if self._first.done():
                    self._answered(frame)
                else:
                    self._first.set_result(frame)
        except FrameError as error:
            self._finish(str(error))

    def connection_lost(self, exc: Exception | None) -> None:
        """Learn that the process is gone (called by the loop)."""
        self._finish("")

    def _finish(self, end: str) -> None:
        # The one way out, whoever sees it first: we, a timer, or the loop.
        if self._burial is None:
            self._end = end or "its process ended"
            if self._head_timer is not None:
                self._head_timer.cancel()
            if self._transport is not None:
                self._transport.abort()
            if end:
                self._fork.kill()
            self._burial = self._loop.create_task(self._bury(asked=bool(end)))
            if self._tell_death is not None:
                self._loop.call_soon(self._tell_death)

    async def _bury(self, asked: bool) -> None:
        done, _ = await asyncio.wait([self._fork.exited], timeout=BURY_SECONDS)
        if not done:  # it closed its socket and lives on, or its parent is slow to tell
            self._fork.kill()
        elif not asked:
            self._end = describe_end(self._fork.exited.result())
        started = set(self._sent)
        for request in [*self._sent, *self._waiting]:
            if not request.answer.done():
                details = {"started": request in started}
                message = f"the process of this version died: {self._end}"
                request.answer.set_exception(ModelFault("model_error", message, details))
        if not self._first.done():
            self._first.set_exception(
                ModelFault("model_error", f"the process of this version died while loading: {self._end}")
            )
            self._first.exception()  # seen, whether or not anybody still waits
        self._sent.clear()
        self._waiting.clear()
        self._output.close()
        self._fork.release()
        await asyncio.to_thread(shutil.rmtree, self._home, ignore_errors=True)


async def _off_loop(weight: int, function: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
    # Small work is done where it is; large work must not hold up everybody else's requests.
    if weight <= OFF_LOOP_BYTES:
        return function(*arguments, **named)
    return await asyncio.to_thread(function, *arguments, **named)


def _weight(call: Call) -> int:
    data: Any = call.data
    arrays = getattr(data, "arrays", None)
    if arrays is None:
        arrays = [data.array] if hasattr(data, "array") else []
    return sum(a.nbytes for a in (arrays.values() if isinstance(arrays, Mapping) else arrays))
