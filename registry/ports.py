"""What the registry needs of the world, as ports. Adapters bind them; ``tests/conformance`` holds the promises.

Contracts that hold for all of them: methods block (call them off the event loop), are safe to call from several threads
and several processes, and translate foreign failures: a store that cannot be reached raises Unavailable
``registry_unavailable`` (database) or ``artifact_unavailable`` (S3), never the library's own exception. A method that
writes either happened whole or not at all, also when the process dies inside it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from registry.aliases import AliasChange, AliasRecord
from registry.intake import Registrations, Uploads
from registry.monitoring.ports import BaselineRecord, Baselines
from registry.monitoring.prediction_ports import Predictions
from registry.monitoring.window_ports import FeatureWindows
from registry.plans import Plan, PlanRevision
from registry.records import (
    AliasName,
    CatalogModel,
    CatalogVersion,
    Check,
    Digest,
    Manifest,
    ManifestEntry,
    ModelName,
    Sealed,
    VersionNumber,
    VersionRecord,
    VersionState,
)
from registry.snapshots import SnapshotPage
from registry.traffic.ports import Leases, Reports, Rollouts


class Catalog(Protocol):
    """MLflow's model registry: it numbers versions and keeps names; everything else about them is ours."""

    def changed_since(self, updated_ms: int) -> Sequence[CatalogModel]:
        """Return models whose MLflow record changed at or after ``updated_ms``, with all their present versions."""
        ...

    def model(self, name: ModelName) -> CatalogModel | None:
        """Return one model as it is now, or None."""
        ...

    def names(self) -> frozenset[str]:
        """Return the names of all models."""
        ...

    def create_version(
        self, model: ModelName, source: str, run_id: str | None, tags: Mapping[str, str]
    ) -> CatalogVersion:
        """Create the model if it is new, and its next version. Raise NotFound where ``run_id`` does not exist."""
        ...

    def find_version(self, model: ModelName, tag: str, value: str) -> CatalogVersion | None:
        """Return the newest version of ``model`` that bears ``tag`` with ``value``, or None."""
        ...

    def set_alias(self, model: ModelName, alias: AliasName, version: VersionNumber | None) -> None:
        """Point MLflow's alias at ``version``; None removes it. Doing it twice is the same as once."""
        ...

    def delete_version(self, model: ModelName, version: VersionNumber) -> None:
        """Delete MLflow's record; no error where it is gone already."""
        ...


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file of MLflow's working copy: path below the model directory, bytes, and the store's tag of its content."""

    path: str
    size: int
    etag: str


class WorkingFiles(Protocol):
    """The bytes of MLflow's working copies."""

    def stream(self, prefix: str, file: SourceFile) -> Iterator[bytes]:
        """Yield a working file in pieces, in bounded memory; raise Unavailable ``artifact_unavailable`` where it is
        gone or has changed."""
        ...


class Artifacts(Protocol):
    """The bucket. Sealed objects are write-once: a key's bytes never change."""

    def list_files(self, prefix: str) -> Sequence[SourceFile]:
        """Return every file below ``prefix`` (which ends with a slash), sorted by path."""
        ...

    def seal(self, prefix: str, file: SourceFile) -> ManifestEntry:
        """Copy a working file to the key of its sha256, in bounded memory; return its entry.

        Idempotent; equal content is stored once. Raises Unavailable ``artifact_unavailable`` where the file changed
        while it was read.
        """
        ...

    def write_manifest(self, manifest: Manifest) -> Digest:
        """Store the manifest under its digest, after all its files are sealed; return the digest. Idempotent."""
        ...

    def read_manifest(self, digest: Digest) -> Manifest:
        """Return a manifest, verified; raise Unavailable ``artifact_corrupt`` or ``artifact_unavailable``."""
        ...

    def seal_bytes(self, data: bytes) -> Digest:
        """Store bytes of the platform's own making, a few MB, as a sealed file; return its digest. Idempotent."""
        ...

    def read(self, digest: Digest, limit: int) -> bytes:
        """Return a sealed file of at most ``limit`` bytes, verified; raise InvalidRequest where it is larger."""
        ...

    def receive(self, key: str, chunks: Iterable[bytes], size: int, digest: Digest) -> None:
        """Store bytes that a client sends below ``mlflow/uploads/``, in bounded memory.

        Raises InvalidRequest ``digest_mismatch`` (nothing is then visible) where size or sha256 differ.
        """
        ...

    def delete_prefix(self, prefix: str) -> int:
        """Delete everything below a ``mlflow/uploads/`` prefix; return how many objects."""
        ...


@dataclass(frozen=True, slots=True)
class Locked:
    """Locked requirements: the file's bytes (``registry/libraries/lockfile.py``), the minor version of the Python that
    they are for, and how many packages they name."""

    text: bytes
    python: str
    packages: int


class Resolver(Protocol):
    """Finds the exact libraries of a version, once, so that every node installs the same."""

    def resolve(self, requirements: Sequence[str], python: str | None) -> Locked | None:
        """Return a lock; None where the platform's own environment satisfies every line, and is of the same Python.

        Raises InvalidRequest ``not_servable`` where there is no such set of libraries, or no such Python on this
        machine, in words. Raises Unavailable ``environment_unavailable`` where the package index does not answer, which
        is no verdict. Equal requirements give equal locks for a while.

        Args:
            requirements: Lines (PEP 508).
            python: The Python version the model was saved with, as ``3.11.7``; None: any.
        """
        ...

    def close(self) -> None:
        """End what is under way; whoever waits for it gets Unavailable."""
        ...


@dataclass(frozen=True, slots=True)
class ModelSummary:
    """A model in a list: newest versions first (at most five) with their baselines, aliases, the plan in force."""

    name: ModelName
    versions: tuple[VersionRecord, ...]
    version_count: int
    aliases: Mapping[AliasName, VersionNumber]
    plan: PlanRevision | None
    baselines: Mapping[VersionNumber, BaselineRecord] = field(default_factory=dict)


class Models(Protocol):
    """Models that exist, as far as we know."""

    def page(self, limit: int, after: str, query: str) -> Sequence[ModelSummary]:
        """Return up to ``limit`` models by name, after ``after``, whose names contain ``query`` (any case)."""
        ...

    def get(self, model: ModelName) -> ModelSummary | None:
        """Return one model, or None."""
        ...

    def names(self) -> frozenset[str]:
        """Return all names."""
        ...

    def highest_number(self, model: ModelName) -> int:
        """Return the highest version number that a model of this name ever had, deleted ones included; 0 for none."""
        ...

    def remember_number(self, model: ModelName, number: int) -> None:
        """Record that ``number`` is used for ever, also where the model is unknown here. Idempotent."""
        ...

    def retire_all(self, model: ModelName) -> None:
        """Retire every version; raise Conflict ``in_use`` while the model has a plan or an alias, in one transaction.

        Nothing happens where the model is unknown.
        """
        ...

    def remove(self, model: ModelName) -> None:
        """Forget a model that MLflow no longer has; its journal stays. Nothing happens where it is unknown."""
        ...


class Versions(Protocol):
    """The records of versions and their moves (``lifecycle.py``). Every move bumps the snapshot's revision."""

    def observe(self, version: CatalogVersion) -> bool:
        """Record a version of MLflow's as ``pending``, with its model; return whether it was new. Idempotent."""
        ...

    def get(self, model: ModelName, version: VersionNumber) -> VersionRecord | None:
        """Return a record, or None."""
        ...

    def page(self, model: ModelName, limit: int, before: int) -> Sequence[VersionRecord]:
        """Return up to ``limit`` records, newest first, with numbers below ``before`` (0: from the newest)."""
        ...

    def counts(self) -> Mapping[VersionState, int]:
        """Return how many versions are in each state, those of models that are gone left out; 0 may be left out."""
        ...

    def claim(self, now_ms: int, until_ms: int) -> VersionRecord | None:
        """Move the oldest version that is ``pending``, or ``checking`` with a claim run out, to ``checking``; return
        it.

        No two callers get the same one before ``until_ms``.
        """
        ...

    def renew(self, model: ModelName, version: VersionNumber, until_ms: int) -> None:
        """Prolong a claim."""
        ...

    def settle(
        self,
        model: ModelName,
        version: VersionNumber,
        state: VersionState,
        checks: Sequence[Check],
        sealed: Sealed | None,
    ) -> None:
        """End a check: ``ready`` (with what was sealed) or ``rejected``; ``checking`` has a rejected one checked again.

        Raises Conflict where the move is illegal. ``checking`` leaves no claim behind: the next ``claim`` may take it.
        Becoming ``ready`` is the commit point of a registration.
        """
        ...

    def retire(self, model: ModelName, version: VersionNumber) -> None:
        """Move to ``retired``; raise Conflict ``in_use`` while the plan in force or an alias names it, in one
        transaction.

        Idempotent. Raises NotFound ``unknown_version``.
        """
        ...


class Plans(Protocol):
    """The journal of each model's plan: linear, gapless, kept for ever."""

    def current(self, model: ModelName) -> PlanRevision | None:
        """Return the newest revision, or None where there never was one."""
        ...

    def append(self, model: ModelName, expected: int, plan: Plan | None, who: str, why: str) -> PlanRevision:
        """Append revision ``expected + 1``; None takes all traffic away.

        Raises InvalidRequest ``invalid_argument`` where the plan contradicts itself (``traffic/fitness.py``). Then, in
        one transaction: Conflict ``revision_conflict`` (details: ``revision``) where ``expected`` (0: none yet) is not
        the newest, NotFound or Conflict ``not_ready`` where a named version is not ready, Conflict
        ``incompatible_signature`` where one refuses what callers of the stable one send.
        """
        ...

    def history(self, model: ModelName, limit: int, before: int) -> Sequence[PlanRevision]:
        """Return up to ``limit`` revisions, newest first, below ``before`` (0: from the newest)."""
        ...


class Aliases(Protocol):
    """Movable names. What serves is ``version``; MLflow follows (design decision 2).

    Each has a journal of its own: linear, gapless, kept for ever.
    """

    def all(self, model: ModelName) -> Sequence[AliasRecord]:
        """Return the aliases of a model, the removed ones that MLflow must still forget included."""
        ...

    def current(self, model: ModelName, alias: AliasName) -> AliasChange | None:
        """Return the newest line of an alias's journal, or None where it was never set."""
        ...

    def history(self, model: ModelName, alias: AliasName, limit: int, before: int) -> Sequence[AliasChange]:
        """Return up to ``limit`` lines, newest first, with revisions below ``before`` (0: from the newest)."""
        ...

    def set(
        self,
        model: ModelName,
        alias: AliasName,
        version: VersionNumber | None,
        *,
        who: str,
        why: str = "",
        expected: int | None = None,
    ) -> AliasChange | None:
        """Point the alias at a ready version (None removes it); return the newest line of its journal.

        In one transaction: raises Conflict ``revision_conflict`` (details: ``revision``) where ``expected`` (0: none
        yet) is given and is not the newest, NotFound or Conflict ``not_ready`` where the version is not ready. Where
        the alias names it already, nothing is written.
        """
        ...

    def put_back(self, model: ModelName, alias: AliasName, *, who: str, why: str) -> AliasChange | None:
        """Append a line that names what the alias names already: somebody moved MLflow's, and it was put back.

        Nothing happens, and None is returned, where there is no such alias.
        """
        ...

    def note_mirrored(self, model: ModelName, alias: AliasName, version: VersionNumber | None) -> None:
        """Record what MLflow has now; a removed alias that MLflow has forgotten is forgotten here too."""
        ...


class Snapshots(Protocol):
    """What nodes are told."""

    def revision(self) -> int:
        """Return the newest revision; 0 before the first change. Cheap: it is polled."""
        ...

    def changed(self, model: ModelName) -> int:
        """Return the revision of a model's last change; 0 for a model that never was."""
        ...

    def page(self, since: int) -> SnapshotPage:
        """Return what changed after ``since``, from one consistent read. 0, or a revision from the future, gives all,
        marked ``full``."""
        ...


@dataclass(frozen=True, slots=True)
class Ledger:
    """Our tables, as one value to hand around: the ports above on one database."""

    models: Models
    versions: Versions
    plans: Plans
    aliases: Aliases
    uploads: Uploads
    registrations: Registrations
    snapshots: Snapshots
    rollouts: Rollouts
    reports: Reports
    leases: Leases
    feature_windows: FeatureWindows
    baselines: Baselines
    predictions: Predictions
