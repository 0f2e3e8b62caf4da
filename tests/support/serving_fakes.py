"""A serving node's world in memory: real implementations of the ports, small enough to draw a situation with.

The fake runtime computes (the sum of each row); the fake cache keeps real directories; the fake registry has revisions
and waits like the real one.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from registry.errors import HeadgateError, ModelFault, Unavailable
from registry.plans import Plan
from registry.records import AliasName, Digest, ModelName, VersionNumber
from registry.signature import Schema
from registry.snapshots import ModelSnapshot, ServableVersion, SnapshotPage
from serving.exchange import ArrayOutput, Call, JsonInput, JsonOutput, Output, Priority, Table, TensorInput
from serving.ports import BatchWatch, Manner

SIGNATURE: Mapping[str, Any] = {
    "inputs": [{"type": "double", "name": "a", "required": True}, {"type": "double", "name": "b", "required": True}],
    "outputs": None,
    "params": None,
}


def digest_of(text: str) -> Digest:
    """Return a digest that ``text`` alone decides."""
    return Digest("sha256:" + hashlib.sha256(text.encode()).hexdigest())


def servable(
    number: str = "1", content: str | None = None, signature: Mapping[str, Any] | None = None, instances: int = 1
) -> ServableVersion:
    """Return a version whose identity is ``content`` (its number, if left out)."""
    return ServableVersion(
        version=VersionNumber(number),
        digest=digest_of(content if content is not None else f"v{number}"),
        size=10,
        runtime="host",
        signature=signature,
        flavors=("python_function",),
        instances=instances,
    )


def snapshot(
    name: str = "churn",
    versions: Mapping[str, ServableVersion] | None = None,
    stable: str | None = "1",
    **more: Any,
) -> ModelSnapshot:
    """Return a model with versions 1 and 2 unless told otherwise; ``more`` are fields of ModelSnapshot."""
    kept = versions if versions is not None else {n: servable(n, f"{name} {n}", SIGNATURE) for n in ("1", "2")}
    return ModelSnapshot(
        name=ModelName(name),
        plan=more.pop("plan", None if stable is None else Plan(VersionNumber(stable), warm=more.pop("warm", False))),
        plan_revision=more.pop("revision", 1),
        aliases={AliasName(a): VersionNumber(v) for a, v in more.pop("aliases", {}).items()},
        versions={VersionNumber(n): v for n, v in kept.items()},
        others={VersionNumber(n): s for n, s in more.pop("others", {}).items()},
    )


class FakeRegistry:
    """A snapshot source: models with a revision; ``wait`` waits until there is something newer."""

    def __init__(self, *models: ModelSnapshot) -> None:
        self.models: dict[str, tuple[int, ModelSnapshot]] = {}
        self.gone: dict[str, int] = {}
        self.revision = 0
        self.down = False
        self.asked: list[int] = []
        self._changed = asyncio.Event()
        for model in models:
            self.put(model)

    def put(self, model: ModelSnapshot) -> None:
        """Add or replace a model."""
        self.revision += 1
        self.models[model.name] = (self.revision, model)
        self._wake()

    def remove(self, name: str) -> None:
        """Take a model away."""
        self.revision += 1
        del self.models[name]
        self.gone[name] = self.revision
        self._wake()

    def reset(self, *models: ModelSnapshot) -> None:
        """Come back with another database."""
        self.models, self.gone, self.revision = {}, {}, 0
        for model in models:
            self.put(model)
        self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def wait(self, since: int, seconds: float) -> SnapshotPage:
        """Answer as the registry does."""
        self.asked.append(since)
        if self.down:
            raise Unavailable("registry_unavailable", "the registry does not answer")
        if since == self.revision and since:
            try:
                await asyncio.wait_for(self._changed.wait(), seconds)
            except TimeoutError:
                return SnapshotPage(self.revision, full=False, models=())
        full = since == 0 or since > self.revision
        return SnapshotPage(
            self.revision,
            full,
            tuple(m for r, m in self.models.values() if full or r > since),
            () if full else tuple(n for n, r in self.gone.items() if r > since),
        )

    async def close(self) -> None:
        """Nothing is open."""


class FakeArtifactLease:
    """A lease on a directory."""

    def __init__(self, cache: FakeCache, digest: Digest, directory: Path) -> None:
        self._cache: FakeCache | None = cache
        self._digest = digest
        self.directory = directory

    def release(self) -> None:
        """Give it back."""
        if self._cache is not None:
            self._cache.held[self._digest] -= 1
            self._cache = None


class FakeCache:
    """An artifact cache whose downloads succeed at once, unless told to wait (``gates``) or to fail (``errors``)."""

    def __init__(self, directory: Path = Path("unused")) -> None:
        self.directory = directory
        self.held: Counter[Digest] = Counter()
        self.errors: dict[Digest, HeadgateError] = {}
        self.gates: dict[Digest, asyncio.Event] = {}
        self.cached_bytes = 0
        self.closed = False

    async def hold(self, digest: Digest, seconds: float) -> FakeArtifactLease:
        """Hand out a lease."""
        if digest in self.gates:
            await self.gates[digest].wait()
        if digest in self.errors:
            raise self.errors[digest]
        self.held[digest] += 1
        return FakeArtifactLease(self, digest, self.directory)

    async def open(self) -> None:
        """Nothing is on disk."""

    async def close(self) -> None:
        """Close."""
        self.closed = True


class FakeLoaded:
    """A loaded version: the sum of each row, unless ``answer`` says otherwise. ``hold`` makes its answers wait;
    ``error`` is raised instead of one.

    With ``pieces`` it streams them, raising those that are errors, and tells in ``closed_streams`` how each stream
    ended: ``end``, ``error``, or ``closed`` where its reader left it.
    """

    def __init__(self, version: ServableVersion) -> None:
        self.version = version
        self.graph_inputs: Schema | None = None
        self.graph_outputs: Schema | None = None
        self.memory_bytes = 1_000_000
        self.last_output = ""
        self.manner = Manner("host", ("network:none",), False, "a test's own")
        self.alive = True
        self.overran = False
        self.closed = False
        self.calls = 0
        self.error: Exception | None = None
        self.hold: asyncio.Event | None = None
        self.answer: Callable[[Call], Output] = _sum
        self.pieces: list[Output | Exception] = []
        self.closed_streams: list[str] = []
        self._tell_death: Callable[[], None] | None = None

    def when_dead(self, tell: Callable[[], None]) -> None:
        """Remember whom to tell."""
        self._tell_death = tell

    async def measure(self) -> int:
        """Measure nothing: a test says what it costs."""
        return self.memory_bytes

    def die(self) -> None:
        """End by itself, as a process that crashes."""
        if self.alive and self._tell_death is not None:
            self._tell_death()
        self.alive = False

    async def predict(self, call: Call, seconds: float, priority: Priority = Priority.NORMAL) -> Output:
        """Sum the rows; raise what was put into ``error``, or ``model_timeout``."""
        assert not self.closed, "a closed version was asked to predict"
        self.calls += 1
        if self.hold is not None:
            try:
                await asyncio.wait_for(self.hold.wait(), seconds)
            except TimeoutError:
                raise ModelFault("model_timeout", "the model took too long") from None
        if self.error is not None:
            raise self.error
        return self.answer(call)

    @property
    def streams(self) -> bool:
        """Whether a test gave it pieces."""
        return bool(self.pieces)

    async def stream(
        self, call: Call, seconds: float, priority: Priority = Priority.NORMAL
    ) -> AsyncGenerator[Output, None]:
        """Yield the pieces, each after another turn of the loop; ``hold`` makes all but the first wait."""
        assert not self.closed, "a closed version was asked to stream"
        self.calls += 1
        ended = "closed"
        try:
            for i, piece in enumerate(self.pieces):
                await asyncio.sleep(0)
                if i and self.hold is not None:
                    await self.hold.wait()
                if isinstance(piece, Exception):
                    ended = "error"
                    raise piece
                yield piece
            ended = "end"
        finally:
            self.closed_streams.append(ended)

    async def close(self) -> None:
        """End."""
        self.closed = True
        self.alive = False


def _sum(call: Call) -> Output:
    data = call.data
    if isinstance(data, JsonInput):
        return JsonOutput(data.value)
    if isinstance(data, Table):
        return ArrayOutput(np.sum(np.stack([np.asarray(a, dtype=float) for a in data.arrays]), axis=0))
    arrays = [data.array] if isinstance(data, TensorInput) else list(data.arrays.values())
    return ArrayOutput(sum(np.asarray(a, dtype=float).reshape(len(a), -1).sum(axis=1) for a in arrays))


@dataclass(eq=False)
class FakeRuntime:
    """A runtime that loads at once, unless told to wait (``gates``) or to fail (``errors``).

    ``memory`` is what versions cost.
    """

    gates: dict[Digest, asyncio.Event] = field(default_factory=dict)
    errors: dict[Digest, Exception] = field(default_factory=dict)
    loads: Counter[Digest] = field(default_factory=Counter)
    loading: Counter[Digest] = field(default_factory=Counter)
    most_loading: int = 0
    memory: dict[Digest, int] = field(default_factory=dict)
    loaded: list[FakeLoaded] = field(default_factory=list)
    started: bool = False
    closed: bool = False

    async def start(self) -> None:
        """Get ready."""
        self.started = True

    async def load(self, version: ServableVersion, directory: Path, seconds: float) -> FakeLoaded:
        """Load."""
        digest = version.digest
        self.loads[digest] += 1
        self.loading[digest] += 1
        assert self.loading[digest] == 1, "two loads of one version at once"
        self.most_loading = max(self.most_loading, sum(self.loading.values()))
        try:
            if digest in self.gates:
                await self.gates[digest].wait()
            if digest in self.errors:
                raise self.errors[digest]
        finally:
            self.loading[digest] -= 1
        loaded = FakeLoaded(version)
        loaded.memory_bytes = self.memory.get(digest, loaded.memory_bytes)
        self.loaded.append(loaded)
        return loaded

    async def close(self) -> None:
        """Close."""
        self.closed = True

    def newest(self, version: ServableVersion) -> FakeLoaded:
        """Return the newest copy of a version."""
        return [copy for copy in self.loaded if copy.version.digest == version.digest][-1]


class Clock:
    """A clock in the hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


class FakeWatcher:
    """Remembers what a pool told it."""

    def __init__(self) -> None:
        self.events: list[tuple[str, ...]] = []

    def version_loaded(self, model: str, version: str, seconds: float) -> None:
        """Remember."""
        self.events.append(("loaded", model, version))

    def load_failed(self, model: str, version: str, code: str) -> None:
        """Remember nothing: tests of the pool ask what became of the load itself."""

    def version_unloaded(self, reason: str) -> None:
        """Remember."""
        self.events.append(("unloaded", reason))

    def version_died(self, model: str, version: str, reason: str = "died") -> None:
        """Remember."""
        self.events.append((reason, model, version))

    def batches(self, model: str, version: str) -> BatchWatch:
        """Count nothing: no fake has a lane."""
        raise AssertionError("a fake has no lane")


async def settle() -> None:
    """Let everything that is ready to run run."""
    for _ in range(20):
        await asyncio.sleep(0)


async def eventually(holds: Callable[[], bool], seconds: float = 30) -> None:
    """Return as soon as ``holds``; fail where it does not within ``seconds``."""
    async with asyncio.timeout(seconds):
        while not holds():
            await asyncio.sleep(0.001)
