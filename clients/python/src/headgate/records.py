"""What the platform answers, as values: models, versions, where they stand, predictions.

Reading is lenient where the platform may learn to say more (unknown fields are passed over) and strict in what a value
means. Not here: plans (``plans.py``), rollouts (``rollouts.py``), nodes (``nodes.py``); HTTP (``answers.py``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from headgate.drift import BaselineRef
from headgate.plans import Plan

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Check:
    """One admission check: what was looked at, how it ended (``passed failed``), and why in words."""

    name: str
    verdict: str
    reason: str


@dataclass(frozen=True, slots=True)
class Version:
    """One version of a model: an immutable numbered record, and how far its admission has come.

    Attributes:
        state: ``pending checking ready rejected retired``.
        reason: Why it was rejected; empty otherwise.
        tier: ``data`` (parsed) or ``code`` (executed); None before admission, as for what follows.
        runtime: ``inline`` or ``host``.
        digest: The artifact's identity.
        size: Bytes of all files.
        stable: Whether it is the stable version of the plan in force.
        traffic: As what that plan names it, in words: ``stable``, ``canary 10%``, ``shadow``, ``rule``.
        baseline: What drift is measured against; None where there is nothing yet.
    """

    model: str
    version: str
    state: str
    reason: str = ""
    checks: tuple[Check, ...] = ()
    tier: str | None = None
    runtime: str | None = None
    digest: str | None = None
    size: int | None = None
    signature: Json | None = None
    requirements: tuple[str, ...] = ()
    python: str | None = None
    flavors: tuple[str, ...] = ()
    run_id: str | None = None
    user: str | None = None
    created_at: str | None = None
    aliases: tuple[str, ...] = ()
    stable: bool = False
    traffic: tuple[str, ...] = ()
    baseline: BaselineRef | None = None

    @property
    def reasons(self) -> tuple[str, ...]:
        """One sentence for each check that failed."""
        failed = tuple(c.reason or c.name for c in self.checks if c.verdict == "failed")
        return failed or ((self.reason,) if self.reason else ())

    @classmethod
    def from_json(cls, raw: Json) -> Version:
        """Read a version object."""
        return cls(
            model=str(raw["model"]),
            version=str(raw["version"]),
            state=str(raw["state"]),
            reason=str(raw.get("reason") or ""),
            checks=tuple(
                Check(str(c["name"]), str(c["verdict"]), str(c.get("reason") or "")) for c in raw.get("checks") or ()
            ),
            tier=raw.get("tier"),
            runtime=raw.get("runtime"),
            digest=raw.get("digest"),
            size=raw.get("size"),
            signature=raw.get("signature"),
            requirements=tuple(raw.get("requirements") or ()),
            python=raw.get("python"),
            flavors=tuple(raw.get("flavors") or ()),
            run_id=raw.get("run_id"),
            user=raw.get("user"),
            created_at=raw.get("created_at"),
            aliases=tuple(raw.get("aliases") or ()),
            stable=bool(raw.get("stable", False)),
            # An older platform only says who is stable.
            traffic=tuple(raw.get("traffic", ("stable",) if raw.get("stable") else ())),
            baseline=BaselineRef.from_json(raw["baseline"]) if raw.get("baseline") else None,
        )


@dataclass(frozen=True, slots=True)
class Model:
    """A model: its aliases, the plan in force (``stable`` is None without one), its newest versions (at most five)."""

    name: str
    aliases: Mapping[str, str]
    stable: str | None
    revision: int
    version_count: int
    versions: tuple[Version, ...]
    plan: Plan | None = None

    @classmethod
    def from_json(cls, raw: Json) -> Model:
        """Read a model object."""
        revision = raw.get("plan") or {}
        # A revision holds its plan; None there means that it took all traffic away.
        plan = revision.get("plan") or {}
        versions = tuple(Version.from_json(v) for v in raw.get("versions") or ())
        return cls(
            name=str(raw["name"]),
            aliases=dict(raw.get("aliases") or {}),
            stable=plan.get("stable"),
            revision=int(revision.get("revision") or 0),
            version_count=int(raw.get("version_count", len(versions))),
            versions=versions,
            plan=Plan.from_json(plan) if plan else None,
        )


@dataclass(frozen=True, slots=True)
class Served:
    """Where a version stands on a serving node.

    Attributes:
        state: ``cold loading ready draining failed quarantined``.
        reason: Why it failed or is quarantined there; empty otherwise.
        memory_bytes: What it costs there.
        crashes: Deaths of its processes that still count.
        last_output: The end of what its process printed last, by lines. It may hold what the model was asked.
    """

    model: str
    version: str
    state: str
    reason: str = ""
    memory_bytes: int = 0
    crashes: int = 0
    last_output: tuple[str, ...] = ()

    @classmethod
    def from_json(cls, raw: Json) -> Served:
        """Read what serving shows of one version."""
        return cls(
            model=str(raw["model"]),
            version=str(raw["version"]),
            state=str(raw["state"]),
            reason=str(raw.get("reason") or ""),
            memory_bytes=int(raw.get("memory_bytes") or 0),
            crashes=int(raw.get("crashes") or 0),
            last_output=tuple(str(line) for line in raw.get("last_output") or ()),
        )


@dataclass(frozen=True, slots=True)
class Prediction:
    """One answer of a model.

    Attributes:
        data: The predictions, in the kind that was sent.
        arm: Which part of the plan answered: ``stable``, ``alias``, ``pinned`` …
        request_id: Names the answer; labels are sent back with it (``Client.feedback``).
        revision: Of the plan that was followed; None where none was.
    """

    data: Any
    model: str
    version: str
    arm: str | None
    request_id: str | None
    revision: str | None = None


@dataclass(frozen=True, slots=True)
class UploadFile:
    """One file of an upload, as the registry sees it."""

    path: str
    size: int
    arrived: bool


@dataclass(frozen=True, slots=True)
class Upload:
    """A model directory on its way in."""

    id: str
    files: tuple[UploadFile, ...]
    committed: bool

    @classmethod
    def from_json(cls, raw: Json) -> Upload:
        """Read an upload object."""
        return cls(
            id=str(raw["id"]),
            files=tuple(UploadFile(str(f["path"]), int(f["size"]), bool(f["arrived"])) for f in raw["files"]),
            committed=bool(raw["committed"]),
        )


@dataclass(frozen=True, slots=True)
class ProcessStatus:
    """How one process is.

    Attributes:
        reachable: Whether anything answered at its URL.
        ready: Whether it says that it can do its work.
        detail: What is wrong, in words; empty where nothing is.
        clock: Its own time as the ``Date`` header said it, or None.
        kind: Which process it really is, ``registry`` or ``serving``; None where it does not tell.
    """

    name: str
    url: str
    reachable: bool
    ready: bool
    detail: str = ""
    clock: str | None = None
    kind: str | None = None


@dataclass(frozen=True, slots=True)
class Status:
    """Both processes, the models that the registry keeps, and the plan revisions that serving follows (by model)."""

    registry: ProcessStatus
    serving: ProcessStatus
    models: tuple[Model, ...] = ()
    served: Mapping[str, int] = field(default_factory=dict)
