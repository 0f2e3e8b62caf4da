"""What serving needs of the world, as ports: somewhere to learn plans, somewhere to get artifacts, something that runs
models.

Everything here is called from the event loop and must not block it; errors are the kernel's (``registry/errors.py``).
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from registry.errors import ModelFault
from registry.records import Digest, Manifest, ModelName
from registry.signature import Schema
from registry.snapshots import ServableVersion, SnapshotPage
from serving.exchange import Call, Output, Priority


class SnapshotSource(Protocol):
    """Where plans come from."""

    async def wait(self, since: int, seconds: float) -> SnapshotPage:
        """Return what changed after ``since``, or after ``seconds`` an empty page of the same revision.

        Raises Unavailable ``registry_unavailable`` where the registry does not answer.
        """
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...


class ReportSink(Protocol):
    """Who is told what this node serves and has seen."""

    async def send(self, body: bytes, sequence: int) -> bool:
        """Send one report as JSON; tell whether it was taken, or will never be (False).

        The same one may be sent any number of times: it counts once. Raises Unavailable ``registry_unavailable`` where
        nobody knows whether it was taken.
        """
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...


class FeedbackSink(Protocol):
    """Who takes labels."""

    async def send(self, model: ModelName, body: bytes) -> dict[str, Any]:
        """Send labels with the answers that go with them, as JSON; return ``accepted`` and ``refused``.

        What is accepted is on the registry's disk. Raises InvalidRequest, NotFound or Refused as the registry says, and
        Unavailable ``registry_unavailable`` where nobody knows whether it took any: send all again.
        """
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...


class SealedSource(Protocol):
    """Where sealed artifacts come from: S3 in a running node."""

    async def manifest(self, digest: Digest) -> Manifest:
        """Return a verified manifest; raise Unavailable ``artifact_corrupt`` or ``artifact_unavailable``."""
        ...

    def stream(self, digest: Digest) -> AsyncIterator[bytes]:
        """Yield the bytes of a sealed file, unverified, in pieces of at most a few MB; raise as above."""
        ...


class ArtifactLease(Protocol):
    """Permission to read an artifact's files; the cache keeps them until it is released."""

    @property
    def directory(self) -> Path:
        """The model directory, read-only by agreement."""
        ...

    def release(self) -> None:
        """Give it back; idempotent."""
        ...


class LoadFault(ModelFault):
    """A version could not be loaded: the model raised (``died`` is False), or its process died.

    ``last_output`` is the end of what the process printed. It may hold what the model was given: it is for the
    version's owner, and never enters an error body or a log.
    """

    died: bool = False
    last_output: str = ""

    @classmethod
    def of(cls, fault: ModelFault, *, died: bool, last_output: str) -> LoadFault:
        """Return ``fault`` with what is known of the process."""
        told = cls(fault.code, fault.message, fault.details, retry_after=fault.retry_after)
        told.died, told.last_output = died, last_output
        return told


@dataclass(frozen=True, slots=True)
class Manner:
    """How a loaded version runs, for operators.

    Attributes:
        runtime: ``host`` (processes of its own) or ``inline`` (in the serving process).
        confined: What its processes gave up, as ``network:seccomp``; empty in the serving process.
        batching: Whether its requests share batches, and ``batching_reason`` why, or why not.
        streams: Whether its model answers piece by piece as well.
    """

    runtime: str
    confined: tuple[str, ...] = ()
    batching: bool = False
    batching_reason: str = ""
    streams: bool = False


class LoadedVersion(Protocol):
    """A version that can answer. Safe for concurrent calls."""

    @property
    def graph_inputs(self) -> Schema | None:
        """What the model itself says it takes (an ONNX graph's inputs), for versions without a signature; else None."""
        ...

    @property
    def graph_outputs(self) -> Schema | None:
        """What the model itself says it answers (an ONNX graph's outputs); None for other models."""
        ...

    @property
    def memory_bytes(self) -> int:
        """Private memory it costs, as measured last: after loading, or by ``measure``."""
        ...

    async def measure(self) -> int:
        """Measure anew what private memory it costs, in bytes; the old figure where that cannot be done."""
        ...

    @property
    def manner(self) -> Manner:
        """How it runs."""
        ...

    @property
    def last_output(self) -> str:
        """The end of what its process printed; empty where there is none. It may hold inputs: never for a log."""
        ...

    @property
    def alive(self) -> bool:
        """False once it can never answer again (its process is gone)."""
        ...

    def when_dead(self, tell: Callable[[], None]) -> None:
        """Have ``tell`` called once it can never answer again, on the event loop; soon, where that is so already.

        Called for a version that was closed too.
        """
        ...

    def predict(self, call: Call, seconds: float, priority: Priority = Priority.NORMAL) -> Awaitable[Output]:
        """Run the model; raise ModelFault ``model_error``, ``model_timeout`` or ``model_output_invalid``, Refused
        ``overloaded``. Cancelling what is awaited gives the request up, and hurts no other.

        Args:
            call: The input, already shaped and typed as the version's signature asks.
            seconds: How long the caller still waits.
            priority: Who goes first, where several wait.
        """
        ...

    async def close(self) -> None:
        """Unload: end its process, free its memory. Idempotent."""
        ...


class BatchWatch(Protocol):
    """Who wants to know what a lane does, for metrics; called in the hot path, so quick."""

    def batch(self, rows: int, requests: int) -> None:
        """A batch has started."""
        ...

    def ran(self, rows: int, seconds: float) -> None:
        """A batch has ended well, so many seconds after its start."""
        ...

    def refused(self, reason: str) -> None:
        """A request was turned away: ``queue_full``, or ``expired`` while it waited."""
        ...


class WatchedLane(Protocol):
    """Where requests for a version gather, as others see it. ``watch`` may be set at any time."""

    watch: BatchWatch

    @property
    def queued_rows(self) -> int:
        """How many rows wait."""
        ...


@runtime_checkable
class Batching(Protocol):
    """A loaded version with a lane. Most have one; it is no promise of ``LoadedVersion``."""

    @property
    def lane(self) -> WatchedLane:
        """Its lane."""
        ...


@runtime_checkable
class Replacing(Protocol):
    """A loaded version of several processes, of which each that dies before the last is replaced; no promise of
    ``LoadedVersion``."""

    def when_one_died(self, tell: Callable[[], None]) -> None:
        """Have ``tell`` called each time that one dies and others are left."""
        ...


@runtime_checkable
class Interruptible(Protocol):
    """A loaded version whose process is ended where a prediction runs too long; no promise of ``LoadedVersion``."""

    @property
    def overran(self) -> bool:
        """Whether that is how the last of its processes ended."""
        ...


@runtime_checkable
class Streaming(Protocol):
    """A loaded version whose model may answer piece by piece; no promise of ``LoadedVersion``."""

    @property
    def streams(self) -> bool:
        """Whether it does."""
        ...

    def stream(self, call: Call, seconds: float, priority: Priority = Priority.NORMAL) -> AsyncGenerator[Output, None]:
        """Run the model and yield the pieces of its answer; close it to give the rest up.

        Raises as ``predict`` does, at the first piece or any later one, and InvalidRequest ``invalid_input`` for more
        than one row. Not for concurrent use.

        Args:
            call: The input.
            seconds: How long the caller waits for the first piece, its turn included, and then for each other.
            priority: Who goes first, where several wait.
        """
        ...


class Runtime(Protocol):
    """Knows how to load a version."""

    async def load(self, version: ServableVersion, directory: Path, seconds: float) -> LoadedVersion:
        """Load a version from its model directory.

        Raises LoadFault ``model_error`` where the model cannot be loaded (with its own type and message), Unavailable
        ``environment_unavailable`` where its libraries cannot be had, ``sandbox_unavailable`` where it may not be run
        here, ``loading`` where ``seconds`` were not enough.
        """
        ...

    async def close(self) -> None:
        """End what the runtime itself started."""
        ...


class StartedRuntime(Runtime, Protocol):
    """A runtime that must be started."""

    async def start(self) -> None:
        """Get ready to load."""
        ...
