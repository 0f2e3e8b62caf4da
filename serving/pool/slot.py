"""What the pool keeps of one version: its state, the copy that is loaded, and the leases on it.

Bookkeeping alone: nothing here waits, loads or closes; ``pool.py`` does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from registry.errors import HeadgateError
from registry.records import Digest, ModelName, VersionNumber
from registry.signature import Schema
from registry.snapshots import ServableVersion
from serving.pool.crashes import Crashes
from serving.pool.eviction import Claim
from serving.pool.state import Lifecycle, State
from serving.ports import ArtifactLease, LoadedVersion, Manner

SETTLING = 10
"""How many answers of a copy are not taken for its usual speed: caches are cold, libraries import late."""
Named = tuple[ModelName, VersionNumber]


@dataclass(frozen=True, slots=True)
class Identity:
    """What makes two copies the same to a node: the bytes, the libraries they run on, how many processes, and whether
    these come after everybody else's. Never name and number."""

    digest: Digest
    requirements: tuple[str, ...]
    lock: Digest | None = None
    instances: int = 1
    background: bool = False

    @classmethod
    def of(cls, servable: ServableVersion) -> Identity:
        """Return the identity of a version."""
        return cls(servable.digest, servable.requirements, servable.lock, servable.instances, servable.background)


@dataclass(slots=True, eq=False)
class Residence:
    """One loaded copy of a version, with the artifact it keeps on disk and the number of leases on it.

    ``lent`` is how many leases there ever were; ``slot`` is whose it is; ``since`` is when it was loaded (monotonic);
    ``memory_bytes`` is what it cost when it was measured last, ``measured_at``.
    """

    loaded: LoadedVersion
    artifact: ArtifactLease
    leases: int = 0
    lent: int = 0
    leaving: bool = False
    slot: Slot | None = None
    since: float = 0.0
    memory_bytes: int = 0
    measured_at: float = 0.0


@dataclass(frozen=True, slots=True)
class Status:
    """A version as this node shows it.

    ``idle_seconds`` is None while it was never used here; ``last_output`` is the end of what its process printed;
    ``put_away`` says that an operator unloaded it and nobody has asked for it since.
    ``graph_inputs`` is what a loaded version without a signature says that it takes.
    """

    state: State
    reason: str = ""
    memory_bytes: int = 0
    leases: int = 0
    idle_seconds: float | None = None
    last_output: str = ""
    manner: Manner | None = None
    crashes: int = 0
    put_away: bool = False
    graph_inputs: Schema | None = None


@dataclass(slots=True, eq=False)
class Slot:
    """Everything about one version on this node.

    Attributes:
        identity: What makes it this version and no other.
        names: Models and versions that have these very bytes; usually one.
        wanted: False once no snapshot names it.
        loading: The one load under way.
        closing: The end of the copy that is draining, once its last lease is back.
        failure: Why the last load failed; ``retry_at`` (monotonic) is when the next may be tried.
        crashes: The deaths of its processes.
        last_output: The end of what its last process printed; it may hold inputs.
        kept: Whether it should be evicted last, because a warm plan names it.
        claim: On whose behalf it is being loaded.
        put_away: Whether an operator unloaded it, and nobody has asked for it since.
    """

    servable: ServableVersion
    identity: Identity
    names: set[Named] = field(default_factory=set)
    lifecycle: Lifecycle = field(default_factory=Lifecycle)
    wanted: bool = True
    residence: Residence | None = None
    loading: asyncio.Task[HeadgateError | None] | None = None
    closing: asyncio.Task[HeadgateError | None] | None = None
    waiting: int = 0
    failure: HeadgateError | None = None
    failures: int = 0
    retry_at: float = 0.0
    last_used: float | None = None
    crashes: Crashes = field(default_factory=Crashes)
    last_output: str = ""
    kept: bool = False
    claim: Claim = Claim.REQUEST
    put_away: bool = False

    @property
    def state(self) -> State:
        """Where it stands."""
        return self.lifecycle.state

    @property
    def memory_bytes(self) -> int:
        """What the loaded copy costs; 0 without one."""
        return self.residence.memory_bytes if self.residence is not None else 0

    @property
    def name(self) -> Named:
        """One of its names, the same each time, for messages and labels."""
        return min(self.names)

    def status(self, now: float) -> Status:
        """Return what is shown of it."""
        residence = self.residence
        return Status(
            state=self.state,
            reason=f"{self.failure.code}: {self.failure.message}" if self.failure is not None else "",
            memory_bytes=self.memory_bytes,
            leases=residence.leases if residence is not None else 0,
            idle_seconds=None if self.last_used is None else max(0.0, now - self.last_used),
            last_output=(residence.loaded.last_output if residence is not None else "") or self.last_output,
            crashes=self.crashes.count,
            manner=residence.loaded.manner if residence is not None else None,
            put_away=self.put_away,
            graph_inputs=residence.loaded.graph_inputs if residence is not None else None,
        )


class Lease:
    """Permission to use a loaded version; unloading waits until it is released."""

    __slots__ = ("_give_back", "_residence")

    def __init__(self, residence: Residence, give_back: Callable[[Residence], None]) -> None:
        self._residence: Residence = residence
        self._give_back: Callable[[Residence], None] | None = give_back

    @property
    def loaded(self) -> LoadedVersion:
        """The version."""
        return self._residence.loaded

    @property
    def settling(self) -> bool:
        """Whether it is among the first of this copy, which say little of how fast it is."""
        return self._residence.lent <= SETTLING

    def release(self) -> None:
        """Give it back; idempotent."""
        give_back, self._give_back = self._give_back, None
        if give_back is not None:
            give_back(self._residence)
