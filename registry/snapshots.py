"""What nodes are told: every model with its plan and the versions that may answer, and pages of what changed.

``to_json``/``from_json`` are the one wire form that registry and nodes share. Values only. Not here: how pages travel.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from registry.plans import Plan
from registry.records import AliasName, Digest, ModelName, VersionNumber, parse_digest


@dataclass(frozen=True, slots=True)
class ServableVersion:
    """What a node needs to serve a version.

    ``lock`` is the sealed file of locked requirements that its environment is built from; None where the platform's own
    environment satisfies it. ``instances`` is how many processes the plan gives it. ``background`` says that the plan
    names it as a shadow only, and no alias names it: its processes come after everybody else's. ``baseline`` is the
    sealed document that its live rows are counted by (``baselines.py``); None where it has none yet.
    """

    version: VersionNumber
    digest: Digest
    size: int
    runtime: str
    signature: Mapping[str, Any] | None = None
    requirements: tuple[str, ...] = ()
    python: str | None = None
    flavors: tuple[str, ...] = ()
    lock: Digest | None = None
    instances: int = 1
    background: bool = False
    baseline: Digest | None = None


def as_planned(
    versions: Mapping[VersionNumber, ServableVersion], plan: Plan | None, aliased: Collection[VersionNumber] = ()
) -> dict[VersionNumber, ServableVersion]:
    """Return ``versions`` with as many processes as the plan gives those that it names, and where these stand.

    Those that are ``aliased`` have callers, whatever the plan says of them.
    """
    planned = dict(versions)
    if plan is not None:
        for number in plan.versions & planned.keys():
            behind = number not in plan.answering and number not in aliased
            planned[number] = replace(planned[number], instances=1 if behind else plan.instances, background=behind)
    return planned


@dataclass(frozen=True, slots=True)
class ModelSnapshot:
    """One model as nodes see it: its plan and every version that may answer; ``others`` says why the rest may not.

    ``others`` maps version → state (``pending``, ``rejected`` …).
    """

    name: ModelName
    plan: Plan | None = None
    plan_revision: int = 0
    aliases: Mapping[AliasName, VersionNumber] = field(default_factory=dict)
    versions: Mapping[VersionNumber, ServableVersion] = field(default_factory=dict)
    others: Mapping[VersionNumber, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return the wire form, JSON-ready."""
        return {
            "name": self.name,
            "plan": None if self.plan is None else self.plan.to_json(),
            "plan_revision": self.plan_revision,
            "aliases": dict(self.aliases),
            "versions": {
                v.version: {
                    "digest": v.digest,
                    "size": v.size,
                    "runtime": v.runtime,
                    "signature": None if v.signature is None else dict(v.signature),
                    "requirements": list(v.requirements),
                    "python": v.python,
                    "flavors": list(v.flavors),
                    "lock": v.lock,
                    "instances": v.instances,
                    "background": v.background,
                    "baseline": v.baseline,
                }
                for v in self.versions.values()
            },
            "others": dict(self.others),
        }

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> ModelSnapshot:
        """Read the wire form; raise KeyError, TypeError or ValueError where it is damaged."""
        plan = raw["plan"]
        return cls(
            name=ModelName(raw["name"]),
            plan=None if plan is None else Plan.from_json(plan),
            plan_revision=int(raw["plan_revision"]),
            aliases={AliasName(a): VersionNumber(v) for a, v in raw["aliases"].items()},
            versions={
                VersionNumber(number): ServableVersion(
                    version=VersionNumber(number),
                    digest=parse_digest(v["digest"]),
                    size=int(v["size"]),
                    runtime=str(v["runtime"]),
                    signature=v["signature"],
                    requirements=tuple(v["requirements"]),
                    python=v["python"],
                    flavors=tuple(v["flavors"]),
                    lock=None if v.get("lock") is None else parse_digest(v["lock"]),  # files of older nodes have none
                    instances=int(v.get("instances", 1)),
                    background=bool(v.get("background", False)),
                    baseline=None if v.get("baseline") is None else parse_digest(v["baseline"]),
                )
                for number, v in raw["versions"].items()
            },
            others={VersionNumber(n): str(state) for n, state in raw["others"].items()},
        )


@dataclass(frozen=True, slots=True)
class SnapshotPage:
    """Models that changed after the revision that was asked about, and names that are gone.

    ``full`` means it replaces all that the node knew.
    """

    revision: int
    full: bool
    models: tuple[ModelSnapshot, ...]
    removed: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the wire form, JSON-ready."""
        return {
            "revision": self.revision,
            "full": self.full,
            "models": [m.to_json() for m in self.models],
            "removed": list(self.removed),
        }

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> SnapshotPage:
        """Read the wire form; raise KeyError, TypeError or ValueError where it is damaged."""
        return cls(
            revision=int(raw["revision"]),
            full=bool(raw["full"]),
            models=tuple(ModelSnapshot.from_json(m) for m in raw["models"]),
            removed=tuple(str(n) for n in raw["removed"]),
        )
