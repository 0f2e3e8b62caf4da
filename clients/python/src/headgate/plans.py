"""Plans as values: who is stable, who is canary at what share, who is shadowed, and by which rules.

``Plan.to_json`` and ``Plan.from_json`` are the contract's form: what the platform shows can be sent back unchanged.
Reading is lenient where the platform may learn to say more. Not here: whether a plan is fit, which the platform says.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from headgate.errors import InvalidRequest
from headgate.names import quoted, version_number

KEY_HEADER = "x-headgate-key"
"""The header whose value stays on one arm, where a plan names no other."""
_FINEST = Decimal("0.0001")


def read_share(text: str) -> float:
    """Return a share that is written ``10%`` or ``0.1``; raise InvalidRequest where it is none."""
    raw, of = text.strip(), Decimal(1)
    if raw.endswith("%"):
        raw, of = raw[:-1].strip(), Decimal(100)
    elif "." not in raw and raw != "0":
        raise InvalidRequest(f"{quoted(text)} is no share: write 10% or 0.1")
    try:
        share = Decimal(raw) / of
    except InvalidOperation as error:
        raise InvalidRequest(f"{quoted(text)} is no share: write 10% or 0.1") from error
    if not share.is_finite() or not 0 <= share <= 1:
        raise InvalidRequest(f"{quoted(text)} is no share from 0% to 100%")
    if share % _FINEST:
        raise InvalidRequest(f"{quoted(text)} is finer than 0.01%, which shares are kept in")
    return float(share)


@dataclass(frozen=True, slots=True)
class Canary:
    """A version that answers a share of the requests: 0 to 1, kept in ten-thousandths."""

    version: str
    share: float


@dataclass(frozen=True, slots=True)
class Shadow:
    """A version that gets copies of a sample of the requests (0 to 1); its answers are compared only."""

    version: str
    sample: float = 1.0


@dataclass(frozen=True, slots=True)
class Rule:
    """Requests whose ``header`` has exactly the value ``equals`` go to ``version``."""

    header: str
    equals: str
    version: str


@dataclass(frozen=True, slots=True)
class Plan:
    """Who gets the traffic of one model. Always replaced whole; ``dataclasses.replace`` makes the next from the last.

    Attributes:
        stable: Answers whatever nothing else in the plan claims.
        canary: Answers a share of that.
        shadows: Get copies.
        rules: Looked at in order, before the canary's share; the first that fits decides.
        sticky: The header whose value stays on one arm; without it the request's id decides.
        note: Why, for the journal.
        warm: Whether every node loads what the plan names ahead, and keeps it.
        instances: How many processes each version that answers gets on a node; one that is a shadow only gets one.
        allow_incompatible: Whether versions may be named that refuse some of what stable's callers send.
    """

    stable: str
    canary: Canary | None = None
    shadows: tuple[Shadow, ...] = ()
    rules: tuple[Rule, ...] = ()
    sticky: str = KEY_HEADER
    note: str = ""
    warm: bool = False
    instances: int = 1
    allow_incompatible: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return the contract's form, JSON-ready; raise InvalidRequest ``invalid_name`` where a version is none."""
        canary = self.canary
        return {
            "stable": version_number(self.stable),
            "canary": None if canary is None else {"version": version_number(canary.version), "share": canary.share},
            "shadows": [{"version": version_number(s.version), "sample": s.sample} for s in self.shadows],
            "rules": [
                {"header": r.header, "equals": r.equals, "version": version_number(r.version)} for r in self.rules
            ],
            "sticky": {"header": self.sticky},
            "note": self.note,
            "warm": self.warm,
            "instances": self.instances,
            "allow_incompatible": self.allow_incompatible,
        }

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Plan:
        """Read the contract's form, older platforms' too: what is not there has its default."""
        canary = raw.get("canary")
        return cls(
            stable=str(raw["stable"]),
            canary=None if canary is None else Canary(str(canary["version"]), float(canary["share"])),
            shadows=tuple(Shadow(str(s["version"]), float(s.get("sample", 1))) for s in raw.get("shadows") or ()),
            rules=tuple(Rule(str(r["header"]), str(r["equals"]), str(r["version"])) for r in raw.get("rules") or ()),
            sticky=str((raw.get("sticky") or {}).get("header", KEY_HEADER)),
            note=str(raw.get("note") or ""),
            warm=bool(raw.get("warm", False)),
            instances=int(raw.get("instances", 1)),
            allow_incompatible=bool(raw.get("allow_incompatible", False)),
        )


@dataclass(frozen=True, slots=True)
class Traffic:
    """One revision of a model's plan, and who made it, when and why.

    Revision 0 says that there never was a plan. ``plan`` is None without one, and where all traffic was taken away.
    """

    model: str
    revision: int
    plan: Plan | None = None
    who: str = ""
    why: str = ""
    at: str | None = None

    @property
    def stable(self) -> str | None:
        """Who answers what nothing else in the plan claims; None without a plan."""
        return None if self.plan is None else self.plan.stable

    @property
    def note(self) -> str:
        """Why, in the words of whoever made the plan."""
        return "" if self.plan is None else self.plan.note

    def to_json(self) -> dict[str, Any]:
        """Return the contract's form, JSON-ready."""
        plan = None if self.plan is None else self.plan.to_json()
        line = {"who": self.who, "why": self.why, "at": self.at}
        return {"model": self.model, "revision": self.revision, "plan": plan, **line}

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Traffic:
        """Read a revision."""
        plan = raw.get("plan")
        return cls(
            model=str(raw["model"]),
            revision=int(raw["revision"]),
            plan=None if plan is None else Plan.from_json(plan),
            who=str(raw.get("who") or ""),
            why=str(raw.get("why") or ""),
            at=raw.get("at"),
        )
