"""The runtime of versions in the serving process itself, and one loaded version of it.

Inline is earned: the registry has found every operator on the list, and here a throwaway process finds that again,
loads the graph and runs it, before this process does. Whoever fails gets a process of its own (``choice.py``).
"""

from __future__ import annotations

import asyncio
import gc
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from registry.signature import Schema
from registry.snapshots import ServableVersion
from serving.exchange import Call, Output
from serving.ports import Manner
from serving.runtimes.host.replies import graph_schema
from serving.runtimes.inline.engine import InlineEngine
from serving.runtimes.inline.probe import Verdict
from serving.runtimes.inline.session import Session
from serving.runtimes.inline.verdicts import Verdicts
from serving.runtimes.lane.lane import MAX_BATCH_ROWS, QUEUE_ROWS, Lane
from serving.slack import trim

UNLOADED = "this version was unloaded"
EXAMPLE_FILE = "serving_input_example.json"
EXAMPLE_BYTES = 1 << 20
Example = Callable[[bytes, Mapping[str, Any] | None, Schema | None], Call | None]
"""Takes a saved example, the version's signature and the graph's own inputs; returns the input, or None."""


class NotInline(Exception):
    """Why a version may not run in this process, in words for the operator."""


class InlineVersion:
    """A version in this process; binds ``LoadedVersion``. Made by ``InlineRuntime``."""

    def __init__(
        self,
        engines: Sequence[InlineEngine],
        lane: Lane,
        graph_inputs: Schema | None,
        graph_outputs: Schema | None,
        memory_bytes: int,
    ) -> None:
        self._engines, self._lane = engines, lane
        self._graph_inputs, self._graph_outputs, self._memory = graph_inputs, graph_outputs, memory_bytes
        self._tell_death: Callable[[], None] | None = None
        self.predict: Callable[..., asyncio.Future[Output]] = lane.predict

    @property
    def graph_inputs(self) -> Schema | None:
        """What the graph says it takes; None where the version has a signature."""
        return self._graph_inputs

    @property
    def graph_outputs(self) -> Schema | None:
        """What the graph says it answers."""
        return self._graph_outputs

    @property
    def memory_bytes(self) -> int:
        """What the session costs, as its probe measured it in a process that held nothing else."""
        return self._memory

    async def measure(self) -> int:
        """Return the same: a session without an arena keeps nothing of a request, so its cost does not change."""
        return self._memory

    @property
    def last_output(self) -> str:
        """Empty: a graph prints nothing."""
        return ""

    @property
    def manner(self) -> Manner:
        """How it runs; see ``LoadedVersion``."""
        batching = self._lane.batching
        why = "rows of its graph do not depend on one another" if batching else "its answers are not one for each row"
        return Manner("inline", (), batching, why)

    @property
    def alive(self) -> bool:
        """Whether it is loaded."""
        return self._engines[0].alive

    @property
    def lane(self) -> Lane:
        """What its requests go through."""
        return self._lane

    def when_dead(self, tell: Callable[[], None]) -> None:
        """Have ``tell`` called once it is closed; see ``LoadedVersion``."""
        if self.alive:
            self._tell_death = tell
        else:
            asyncio.get_running_loop().call_soon(tell)

    async def close(self) -> None:
        """Unload. Idempotent."""
        if self.alive:
            for engine in self._engines:
                engine.close()
            self._lane.close(UNLOADED)
            if self._tell_death is not None:
                asyncio.get_running_loop().call_soon(self._tell_death)
            await asyncio.to_thread(trim)


class InlineRuntime:
    """Loads graphs into this process. For one event loop.

    Args:
        directory: Where verdicts are kept; this node's own.
        example: Makes an input of a saved example's bytes; None where they hold none.
        queue_rows: How many rows may wait for one version.
        max_batch_rows: The most rows of several requests in one run.
    """

    def __init__(
        self,
        directory: Path,
        example: Example = lambda *_: None,
        *,
        queue_rows: int = QUEUE_ROWS,
        max_batch_rows: int = MAX_BATCH_ROWS,
    ) -> None:
        self._verdicts = Verdicts(directory)
        self._example = example
        self._queue_rows, self._max_batch_rows = queue_rows, max_batch_rows
        self._threads = ThreadPoolExecutor(max(2, os.cpu_count() or 1), thread_name_prefix="inline")

    async def load(self, version: ServableVersion, directory: Path) -> InlineVersion:
        """Probe a version, unless that was done, and load it; raise NotInline where it may not run here."""
        verdict = await self._verdicts.of(version.digest, directory)
        if verdict.reason:
            raise NotInline(verdict.reason)
        try:
            session = await asyncio.get_running_loop().run_in_executor(self._threads, Session, directory)
        except Exception as error:  # noqa: BLE001 -- process edge: a host will say what is wrong, in its own words
            raise NotInline(f"onnxruntime cannot load it ({type(error).__name__})") from None
        # Several engines on one session: longer runs are in as many threads at once. A short one never leaves the loop.
        engines = [InlineEngine(session, verdict, self._threads) for _ in range(version.instances)]
        signed = bool((version.signature or {}).get("inputs"))
        lane = Lane(
            engines,
            max_batch_rows=self._max_batch_rows,
            queue_rows=self._queue_rows,
            batching=_batches(version, verdict),
            name=version.version,
        )
        graph_inputs = None if signed else graph_schema(session.describe_inputs())
        await asyncio.get_running_loop().run_in_executor(
            self._threads, self._replay, session, directory / EXAMPLE_FILE, version.signature, graph_inputs
        )
        graph_outputs = graph_schema(session.describe_outputs())
        return InlineVersion(engines, lane, graph_inputs, graph_outputs, verdict.memory_bytes)

    def _replay(
        self, session: Session, file: Path, signature: Mapping[str, Any] | None, graph_inputs: Schema | None
    ) -> None:
        if not file.is_file() or file.stat().st_size > EXAMPLE_BYTES:
            return
        call = self._example(file.read_bytes(), signature, graph_inputs)
        if call is None:
            return
        try:
            session.output(call, session.run(session.feeds(call)))
        except Exception as error:  # noqa: BLE001 -- process edge: a host replays it too, and says what is wrong
            raise NotInline(f"its saved example fails ({type(error).__name__})") from None

    async def close(self) -> None:
        """End the threads; versions are closed by then."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        gc.collect()


def _batches(version: ServableVersion, verdict: Verdict) -> bool:
    """Tell whether answers can be taken apart again; a table of a single column a value, other inputs by first axis."""
    inputs = (version.signature or {}).get("inputs") or ()
    if any(spec.get("type") != "tensor" for spec in inputs):
        return verdict.takes_rows and verdict.one_a_row
    return verdict.takes_rows and not verdict.maps and all(axis == 0 for axis in verdict.row_axes)
