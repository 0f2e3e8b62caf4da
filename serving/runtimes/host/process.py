"""One process that runs a version: a host and its connection, as an engine that a lane gives batches to.

A host cannot be interrupted. Who waits too long is told by the lane, while the host gets the time that its predictions
usually take before it is ended: an impatient caller must not cost everybody else the model. What ends the process ends
what is with it with ``model_error``. Not here: who waits and what is joined (``lane``), several processes of one
version and their replacement (``version.py``).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import cast

from registry.errors import HeadgateError, InvalidRequest, ModelFault
from serving.exchange import Call, Output
from serving.runtimes.host.calls import Calls, pack_call, weight_of
from serving.runtimes.host.frames import (
    SHARED_BYTES,
    Buffer,
    Frame,
    FrameError,
    Frames,
    Header,
    pack,
    read_output,
)
from serving.runtimes.host.homes import remove
from serving.runtimes.host.memory import private_bytes
from serving.runtimes.host.output import OutputTail
from serving.runtimes.host.parent import Fork
from serving.runtimes.host.pieces import AHEAD_PIECES, Pieces
from serving.runtimes.host.replies import Ready, describe_end, fault, read_ready
from serving.runtimes.host.shared import Shared
from serving.runtimes.lane.lane import STREAMED
from serving.runtimes.lane.line import Tell

PATIENCE_SECONDS = 1.0
USUAL_FACTOR = 3.0
BURY_SECONDS = 1.0
OFF_LOOP_BYTES = 1 << 20
JOINED_BYTES = 64 * 1024


@dataclass(slots=True, eq=False)
class _Run:
    number: int
    seconds: float
    tell: Tell
    borrowed: bool
    pieces: Pieces | None = None


class HostProcess(asyncio.Protocol):
    """A version in a process of its own; binds ``Engine``. Made by ``HostRuntime``.

    Args:
        fork: The process.
        output: What it prints.
        home: Its own directory, removed with it.
        shared: Memory that it was handed, for large bodies.

    Attributes:
        overran: Whether it was ended because a prediction ran too long.
    """

    def __init__(self, fork: Fork, output: OutputTail, home: Path, *, shared: Shared | None = None) -> None:
        self._fork, self._output, self._home = fork, output, home
        self._loop = asyncio.get_running_loop()
        self._frames = Frames(SHARED_BYTES if shared else 0)
        self._calls = Calls()
        self._shared = shared
        self._beside: set[asyncio.Task[None]] = set()
        self._first: asyncio.Future[Frame] = self._loop.create_future()
        self._count = 0
        self._runs: deque[_Run] = deque()
        self._longest = 0.0
        self._head_since = 0.0
        self._head_until = float("inf")
        self._timer: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport | None = None
        self._burial: asyncio.Task[None] | None = None
        self._end = ""
        self._tell_death: Callable[[], None] | None = None
        self._memory = 0
        self.overran = False
        self.ready = Ready()

    @property
    def memory_bytes(self) -> int:
        """Private memory of the process, as measured last."""
        return self._memory

    @property
    def alive(self) -> bool:
        """Whether the process can still answer."""
        return not self._end and self._transport is not None

    @property
    def spoke(self) -> bool:
        """Whether it has said anything: that it is ready, or why it never will be."""
        return self._first.done() and self._first.exception() is None

    @property
    def pid(self) -> int:
        """The host's process id."""
        return self._fork.pid

    @property
    def last_output(self) -> str:
        """The end of what the model printed. It may hold inputs: for the version's owner, never for a log."""
        return self._output.text

    async def measure(self) -> int:
        """Measure the private memory anew; the old figure where the kernel does not tell."""
        if self.alive:
            self._memory = await asyncio.to_thread(private_bytes, self._fork.pid) or self._memory
        return self._memory

    def when_dead(self, tell: Callable[[], None]) -> None:
        """Have ``tell`` called once the process can answer no more; soon, where that is so already."""
        if self.alive:
            self._tell_death = tell
        else:
            self._loop.call_soon(tell)

    async def ended(self) -> str:
        """Return how the process ended, in words, once that is known; call it when it is not alive."""
        if self._burial is not None:
            await asyncio.shield(self._burial)
        return self._end

    async def close(self) -> None:
        """End the process and return when it has ended. Idempotent."""
        self._finish("it was unloaded")
        await self.ended()

    async def loaded(self) -> None:
        """Wait until the model is loaded; raise ModelFault ``model_error`` where it cannot be, Unavailable
        ``sandbox_unavailable`` where it may not be."""
        header = (await self._first).header
        if header.get("op") != "ready":
            raise fault(header, "the model cannot be loaded")
        try:
            self.ready = read_ready(header)
            self._memory = self.ready.memory
            if not self.ready.shared:
                self._shared = None
        except (KeyError, TypeError, ValueError) as error:
            self._finish("it does not speak as a host does")
            raise ModelFault("model_error", f"the process of this version died: {self._end}") from error

    # ---- Engine ---------------------------------------------------------------------------------------------------

    def run(self, call: Call, seconds: float, tell: Tell) -> None:
        """Run the model; see ``Engine``. Answers come in the order of the calls."""
        self._check_alive()
        self._count += 1
        self._begin(_Run(self._count, seconds, tell, self._shared is not None and self._shared.borrow()), call)

    def stream(self, call: Call, pieces: Pieces, tell: Tell) -> None:
        """Run the model piece by piece; ``tell`` hears STREAMED once it has ended, or how it failed, as for ``run``.

        Until then it runs nothing else: the host hears of a call between two pieces, and would not know whose turn it
        is.
        """
        self._check_alive()
        self._count += 1
        self._begin(_Run(self._count, pieces.seconds, tell, False, pieces), call)

    def _begin(self, run: _Run, call: Call) -> None:
        if weight_of(call) > OFF_LOOP_BYTES:
            self._do_beside(self._run_large(run, call))
            return
        try:
            frame = self._pack(run, call)
        except (TypeError, ValueError, MemoryError) as error:
            self._give_back(run)
            raise error if isinstance(error, MemoryError) else _cannot_travel(error) from None
        self._send(run, frame)

    async def _run_large(self, run: _Run, call: Call) -> None:
        try:
            frame = await asyncio.to_thread(self._pack, run, call)
            self._check_alive()  # it may have died meanwhile, and nobody would see to what is sent now
        except Exception as error:  # noqa: BLE001 -- whatever it is (no memory, say), nobody may be left waiting
            self._give_back(run)
            run.tell(_cannot_travel(error) if isinstance(error, TypeError | ValueError) else error)
        else:
            self._send(run, frame)

    def _pack(self, run: _Run, call: Call) -> list[Buffer]:
        if run.pieces is not None:
            return pack_call(run.number, call, ahead=AHEAD_PIECES)
        return self._calls.pack(run.number, call, self._shared if run.borrowed else None)

    def _give_back(self, run: _Run) -> None:
        if run.borrowed and self._shared is not None:
            self._shared.give_back()

    def _do_beside(self, work: Coroutine[None, None, None]) -> None:
        task = self._loop.create_task(work)
        self._beside.add(task)
        task.add_done_callback(self._beside.discard)

    def _check_alive(self) -> None:
        if not self.alive:
            raise ModelFault("model_error", f"the process of this version died: {self._end}", {"started": False})

    def _send(self, run: _Run, frame: list[Buffer]) -> None:
        assert self._transport is not None
        self._runs.append(run)
        if len(frame) == 1:
            self._transport.write(frame[0])
        elif sum(map(len, frame)) > JOINED_BYTES:
            self._transport.writelines(frame)  # arrays go as they are, without a copy of ours
        else:
            self._transport.write(b"".join(frame))
        if len(self._runs) == 1:
            self._watch_head()
        if run.pieces is not None:
            run.pieces.begin(partial(self._say, run), self._finish)

    def _say(self, run: _Run, word: Header) -> None:
        """Send a host word about the stream that it is at."""
        if self.alive and self._transport is not None and self._runs and self._runs[0] is run:
            self._transport.write(b"".join(pack(run.number, word, ())))
            if self._head_until == float("inf"):
                self._watch_head()
            elif run.pieces is not None and run.pieces.stopped:
                self._head_until = max(self._head_until, self._loop.time() + PATIENCE_SECONDS)

    def _watch_head(self) -> None:
        # The first that was sent is the one that the host computes. The timer is left to ring and look again: setting
        # one for each batch would cost more than the rest of this class.
        if not self._runs or (self._runs[0].pieces is not None and self._runs[0].pieces.waits):
            self._head_until = float("inf")
            return
        self._head_since = now = self._loop.time()
        self._head_until = now + max(self._runs[0].seconds, PATIENCE_SECONDS, USUAL_FACTOR * self._longest)
        if self._timer is None or self._timer.when() > self._head_until:
            self._set_timer()

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(self._head_until, self._look_at_head)

    def _look_at_head(self) -> None:
        self._timer = None
        if self._head_until <= self._loop.time():
            ran = self._loop.time() - self._head_since
            self.overran = True
            self._finish(f"a prediction ran for more than {ran:.3g} s and was ended", late=True)
        elif self._head_until < float("inf"):
            self._set_timer()

    def _answered(self, frame: Frame) -> None:
        if not self._runs or frame.number != self._runs[0].number:
            raise FrameError("an answer is to no request")
        run = self._runs[0]
        self._longest = max(self._longest, self._loop.time() - self._head_since)
        if run.pieces is not None and "more" in frame.header:
            run.pieces.put(frame)
            if not run.pieces.stopped:  # one that goes on regardless has the time that it had
                self._watch_head()
            return
        self._runs.popleft()
        self._watch_head()
        if "error" in frame.header:
            self._end_run(run, fault(frame.header, "the model raised"))
        elif run.pieces is not None:
            self._end_run(run, STREAMED)
        elif frame.size > OFF_LOOP_BYTES:
            self._do_beside(self._read_large(run, frame))
        else:
            self._end_run(run, self._read(frame))

    async def _read_large(self, run: _Run, frame: Frame) -> None:
        self._end_run(run, await asyncio.to_thread(self._read, frame))

    def _read(self, frame: Frame) -> Output | BaseException:
        shared = self._shared
        try:
            return read_output(frame.fetched(shared.take) if shared is not None else frame)
        except Exception as error:  # noqa: BLE001 -- whatever it is (no memory, say), nobody may be left waiting
            return error

    def _end_run(self, run: _Run, outcome: Output | BaseException) -> None:
        self._give_back(run)
        if isinstance(outcome, FrameError):
            self._finish(str(outcome))
            text = f"the process of this version was ended: {outcome}"
            outcome = ModelFault("model_error", text, {"started": True})
        run.tell(outcome)

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

    def _finish(self, end: str, *, late: bool = False) -> None:
        # The one way out, whoever sees it first: we, a timer, or the loop.
        if self._burial is None:
            self._end = end or "its process ended"
            if self._timer is not None:
                self._timer.cancel()
            if self._transport is not None:
                self._transport.abort()
            if end:
                self._fork.kill()
            self._burial = self._loop.create_task(self._bury(asked=bool(end), late=late))
            if self._tell_death is not None:
                self._loop.call_soon(self._tell_death)

    async def _bury(self, *, asked: bool, late: bool) -> None:
        done, _ = await asyncio.wait([self._fork.exited], timeout=BURY_SECONDS)
        if not done:  # it closed its socket and lives on, or its parent is slow to tell
            self._fork.kill()
        elif not asked:
            self._end = describe_end(self._fork.exited.result())
        while self._runs:
            self._end_run(self._runs.popleft(), self._why(late=late))
        if self._beside:
            await asyncio.wait(self._beside)
        if self._shared is not None:
            self._shared.close()
            self._shared = None
        if not self._first.done():
            self._first.set_exception(
                ModelFault("model_error", f"the process of this version died while loading: {self._end}")
            )
            self._first.exception()  # seen, whether or not anybody still waits
        self._output.close()
        self._fork.release()
        await asyncio.to_thread(remove, self._home)

    def _why(self, *, late: bool) -> HeadgateError:
        code = "model_timeout" if late else "model_error"
        return ModelFault(code, f"the process of this version died: {self._end}", {"started": True})


def _cannot_travel(error: Exception) -> InvalidRequest:
    return InvalidRequest("invalid_input", f"the input cannot be given to a model: {error}")
