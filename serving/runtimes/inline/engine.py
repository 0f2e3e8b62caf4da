"""Runs a graph for a lane: small batches on the event loop itself, larger ones on a thread, none that stalls the loop.

Handing a batch to a thread costs more than most batches take, so what is expected to be quick is run where it is. What
to expect the probe has measured; each run corrects it. Rows of a listed graph do not depend on one another, so what
would take too much memory or time in one go is run in pieces. Not here: who is served when (``lane/``).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from concurrent.futures import Executor
from itertools import pairwise
from typing import Any

import numpy as np

from registry.errors import HeadgateError, ModelFault
from serving.exchange import Call, Output
from serving.runtimes.host.replies import fault
from serving.runtimes.inline.probe import Verdict
from serving.runtimes.inline.session import Feeds, Session
from serving.runtimes.lane.line import Tell

LOOP_SECONDS = 0.001
"""The longest run that is expected on the loop: half of what the loop may ever stand still."""
PIECE_SECONDS = 0.05
PIECE_BYTES = 64 << 20
LEAST_PIECE_ROWS = 256
ANSWER_BYTES = 512 << 20
_LEARN = 0.1
_OUTLIER = 4.0


class InlineEngine:
    """Binds the lane's ``Engine`` for one session.

    Args:
        session: The loaded graph.
        verdict: What its probe found.
        threads: Where longer runs go.
    """

    def __init__(self, session: Session, verdict: Verdict, threads: Executor) -> None:
        self._session: Session | None = session
        self._verdict, self._threads = verdict, threads
        self._loop = asyncio.get_running_loop()
        self._pace = 1.0

    @property
    def alive(self) -> bool:
        """Whether it can still run."""
        return self._session is not None

    def expected_seconds(self, rows: int) -> float:
        """Return how long a run of so many rows should take."""
        return self._pace * (self._verdict.base_seconds + rows * self._verdict.row_seconds)

    def run(self, call: Call, seconds: float, tell: Tell) -> None:
        """Run one batch; see ``Engine``."""
        rows = call.data.rows or 1
        session = self._session
        if session is None:
            raise ModelFault("model_error", "this version was unloaded", {"started": False})
        if self.expected_seconds(rows) > LOOP_SECONDS:
            until = time.monotonic() + seconds
            running = self._loop.run_in_executor(self._threads, self._answer, session, call, rows, until)
            running.add_done_callback(lambda run: tell(_outcome(run)))
        else:
            tell(self._answer(session, call, rows, None))

    def close(self) -> None:
        """Let go of the session; a run under way keeps it until it ends."""
        self._session = None

    def _answer(self, session: Session, call: Call, rows: int, until: float | None) -> Output:
        clock = time.perf_counter if until is None else time.thread_time  # the latter is a call to the kernel
        started = clock()
        if rows * self._verdict.answer_bytes > ANSWER_BYTES:
            raise ModelFault("model_output_invalid", f"the model's answer is larger than {ANSWER_BYTES >> 20} MiB")
        try:
            feeds = session.feeds(call)
            results = session.run(feeds) if until is None else self._run_in_pieces(session, feeds, rows, until)
            output = session.output(call, results)
        except HeadgateError:
            raise
        except Exception as error:  # noqa: BLE001 -- process edge: what a graph raises is the answer
            raise _as_fault(error) from None
        self._learn(rows, clock() - started)
        return output

    def _learn(self, rows: int, seconds: float) -> None:
        # On a thread that is processor time: one that had to wait its turn must not make the graph look slow. Threads
        # may race here; the loss is one correction.
        usual = self._verdict.base_seconds + rows * self._verdict.row_seconds
        if usual > 0:
            ratio = min(seconds / usual, _OUTLIER * self._pace)
            self._pace += _LEARN * (ratio - self._pace)

    def _piece_rows(self) -> int:
        by_time = int(PIECE_SECONDS / max(self._pace * self._verdict.row_seconds, 1e-9))
        return max(1, min(PIECE_BYTES // self._verdict.row_bytes, max(by_time, LEAST_PIECE_ROWS)))

    def _run_in_pieces(self, session: Session, feeds: Feeds, rows: int, until: float) -> list[Any]:
        most = self._piece_rows()
        if rows <= most or not self._verdict.takes_rows or any(len(a) != rows for a in feeds.values()):
            return session.run(feeds)
        count = -(-rows // most)
        edges = [rows * i // count for i in range(count + 1)]  # of equal length, so that each takes the same kernels
        found = []
        for start, end in pairwise(edges):
            if time.monotonic() > until:
                raise ModelFault("model_timeout", "the time for this request was over while it was running")
            found.append(session.run({name: array[start:end] for name, array in feeds.items()}))
        return [
            _joined(parts, axis) for parts, axis in zip(zip(*found, strict=True), self._verdict.row_axes, strict=True)
        ]


def _outcome(run: asyncio.Future[Output]) -> Output | BaseException:
    if run.cancelled():  # the threads were shut down
        return ModelFault("model_error", "the run was given up")
    return run.exception() or run.result()


def _joined(parts: Sequence[Any], axis: int | None) -> Any:
    if axis is None:
        return parts[0]
    if isinstance(parts[0], np.ndarray):
        return np.concatenate(parts, axis=axis)
    return [each for part in parts for each in part]


def _as_fault(error: Exception) -> HeadgateError:
    try:
        message = str(error)
    except Exception:  # noqa: BLE001 -- an exception whose own text fails
        message = ""
    return fault({"error": {"type": type(error).__name__, "message": message}}, "the model raised")
