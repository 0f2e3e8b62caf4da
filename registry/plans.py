"""A model's plan: who is stable, who is canary at what share, who is shadowed, and by which rules. Values only.

``to_json``/``from_json`` are the one form of a plan in the journal and in what nodes are told. Not here: whether a plan
is fit for its versions (``traffic/fitness.py``), and which version one request gets (``serving/routing/choose.py``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from registry.records import ModelName, VersionNumber

WHOLE = 10_000
"""Shares and samples are kept in ten-thousandths, so that 0 and 1 are exact."""
LONGEST_REVISION = 18
"""The digits of a revision: what seeds a canary that somebody set by hand."""
KEY_HEADER = "x-headgate-key"
"""The header whose value stays on one arm, where a plan names no other."""


def percent(share: int) -> int | float:
    """Return ten-thousandths as a percentage, whole where it is whole."""
    return share // (WHOLE // 100) if share % (WHOLE // 100) == 0 else share / (WHOLE // 100)


@dataclass(frozen=True, slots=True)
class Canary:
    """A version that answers a share of the requests.

    Attributes:
        version: Which one.
        share: In ten-thousandths, 0 to ``WHOLE``.
        seed: Decides which keys are among the share: equal while the same canary grows, so that raising its share only
            adds keys, and another for another rollout, so that it is not always the same people who try what is new.
    """

    version: VersionNumber
    share: int
    seed: str = ""

    @property
    def of_rollout(self) -> bool:
        """Whether a rollout brought it: its seed is then the rollout's id, which is longer than any revision."""
        return len(self.seed) > LONGEST_REVISION


@dataclass(frozen=True, slots=True)
class Shadow:
    """A version that gets copies of a sample of the requests, in ten-thousandths; its answers are compared only."""

    version: VersionNumber
    sample: int = WHOLE


@dataclass(frozen=True, slots=True)
class Rule:
    """Requests whose ``header`` (lower case) has exactly the value ``equals`` go to ``version``."""

    header: str
    equals: str
    version: VersionNumber


@dataclass(frozen=True, slots=True)
class Plan:
    """Who gets the traffic of one model. Always replaced whole.

    Attributes:
        stable: Answers whatever nothing else in the plan claims.
        canary: Answers a share of that.
        shadows: Get copies.
        rules: Looked at in order, before the canary's share; the first that fits decides.
        sticky: The header (lower case) whose value stays on one arm; without it the request's id decides.
        note: Why, in the words of whoever made it.
        warm: Has every node load the stable version ahead too, and keep what the plan names.
        instances: How many processes each version that answers gets on a node; one that is a shadow only gets one.
        allow_incompatible: Whether versions may be named that refuse some of what stable's callers send.
    """

    stable: VersionNumber
    note: str = ""
    warm: bool = False
    instances: int = 1
    canary: Canary | None = None
    shadows: tuple[Shadow, ...] = ()
    rules: tuple[Rule, ...] = ()
    sticky: str = KEY_HEADER
    allow_incompatible: bool = False

    @property
    def answering(self) -> frozenset[VersionNumber]:
        """Every version that may answer a request; never a shadow that is nothing else."""
        canary = () if self.canary is None else (self.canary.version,)
        return frozenset({self.stable, *canary, *(rule.version for rule in self.rules)})

    @property
    def versions(self) -> frozenset[VersionNumber]:
        """Every version that the plan names."""
        return self.answering | {shadow.version for shadow in self.shadows}

    @property
    def tries(self) -> bool:
        """Whether it names more than the stable version."""
        return bool(self.canary is not None or self.shadows or self.rules)

    def roles(self, version: VersionNumber) -> tuple[str, ...]:
        """Return as what the plan names a version, in words: ``stable``, ``canary 10%``, ``shadow``, ``rule``."""
        roles = ["stable"] if version == self.stable else []
        if self.canary is not None and self.canary.version == version:
            roles.append(f"canary {percent(self.canary.share)}%")
        samples = [shadow.sample for shadow in self.shadows if shadow.version == version]
        roles += ["shadow" if sample == WHOLE else f"shadow {percent(sample)}%" for sample in samples]
        if any(rule.version == version for rule in self.rules):
            roles.append("rule")
        return tuple(roles)

    def to_json(self) -> dict[str, Any]:
        """Return the form of the journal and the snapshot, JSON-ready; shares are in ten-thousandths."""
        canary = self.canary
        return {
            "stable": self.stable,
            "canary": None
            if canary is None
            else {"version": canary.version, "share": canary.share, "seed": canary.seed},
            "shadows": [{"version": s.version, "sample": s.sample} for s in self.shadows],
            "rules": [{"header": r.header, "equals": r.equals, "version": r.version} for r in self.rules],
            "sticky": self.sticky,
            "note": self.note,
            "warm": self.warm,
            "instances": self.instances,
            "allow_incompatible": self.allow_incompatible,
        }

    def shown(self) -> dict[str, Any]:
        """Return the plan as the contract has it, JSON-ready: shares from 0 to 1, without seeds."""
        canary = self.canary
        return {
            "stable": self.stable,
            "canary": None if canary is None else {"version": canary.version, "share": canary.share / WHOLE},
            "shadows": [{"version": s.version, "sample": s.sample / WHOLE} for s in self.shadows],
            "rules": [{"header": r.header, "equals": r.equals, "version": r.version} for r in self.rules],
            "sticky": {"header": self.sticky},
            "note": self.note,
            "warm": self.warm,
            "instances": self.instances,
            "allow_incompatible": self.allow_incompatible,
        }

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Plan:
        """Read it, older ones too; raise KeyError, TypeError or ValueError where it is damaged."""
        canary = raw.get("canary")
        return cls(
            stable=VersionNumber(raw["stable"]),
            note=str(raw["note"]),
            warm=bool(raw.get("warm", False)),
            instances=int(raw.get("instances", 1)),
            canary=None
            if canary is None
            else Canary(VersionNumber(canary["version"]), int(canary["share"]), str(canary["seed"])),
            shadows=tuple(Shadow(VersionNumber(s["version"]), int(s["sample"])) for s in raw.get("shadows", ())),
            rules=tuple(
                Rule(str(r["header"]), str(r["equals"]), VersionNumber(r["version"])) for r in raw.get("rules", ())
            ),
            sticky=str(raw.get("sticky", KEY_HEADER)),
            allow_incompatible=bool(raw.get("allow_incompatible", False)),
        )


@dataclass(frozen=True, slots=True)
class PlanRevision:
    """One line of a model's journal. ``plan`` is None where the revision took all traffic away."""

    model: ModelName
    revision: int
    plan: Plan | None
    who: str
    why: str
    at_ms: int
