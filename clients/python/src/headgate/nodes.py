"""What serving nodes have told the registry, as values: the nodes, how a plan arrives at them, how a shadow compares.

Reading is lenient where the platform may learn to say more. Not here: what one node itself says (``records.Served``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from headgate.plans import Plan
from headgate.rollouts import Evidence

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Held:
    """A model whose newest plan is not in force on a node yet: ``revision`` is, and ``awaits`` must load first."""

    model: str
    revision: int
    awaits: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Loaded:
    """A version that is not cold on a node."""

    model: str
    version: str
    state: str
    memory_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Node:
    """One serving process as the registry last heard of it.

    Attributes:
        boot: The process's own life: a node that was restarted has another.
        revision: Of the snapshot that it acts on.
        age_seconds: Since it was heard of.
        lost: Whether that is too long ago.
    """

    node: str
    boot: str
    revision: int
    age_seconds: float
    lost: bool = False
    held: tuple[Held, ...] = ()
    versions: tuple[Loaded, ...] = ()

    @classmethod
    def from_json(cls, raw: Json) -> Node:
        """Read a node."""
        return cls(
            node=str(raw["node"]),
            boot=str(raw["boot"]),
            revision=int(raw["revision"]),
            age_seconds=float(raw["age_seconds"]),
            lost=bool(raw.get("lost", False)),
            held=tuple(
                Held(str(h["model"]), int(h["revision"]), _texts(h.get("awaits"))) for h in raw.get("held") or ()
            ),
            versions=tuple(
                Loaded(str(v["model"]), str(v["version"]), str(v["state"]), int(v.get("memory_bytes") or 0))
                for v in raw.get("versions") or ()
            ),
        )


@dataclass(frozen=True, slots=True)
class NodeTraffic:
    """How far one model's plan has come on one node.

    Attributes:
        arrived: Whether the node follows the newest plan, with all versions that may answer loaded.
        in_force: The revision that it follows, or None where it follows none.
        awaits: Versions that must load first.
        versions: Where the plan's versions stand there: ``ready``, ``loading`` …
    """

    node: str
    boot: str
    age_seconds: float
    lost: bool
    arrived: bool
    in_force: int | None = None
    awaits: tuple[str, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def from_json(cls, raw: Json) -> NodeTraffic:
        """Read a node's line."""
        in_force = raw.get("in_force")
        return cls(
            node=str(raw["node"]),
            boot=str(raw["boot"]),
            age_seconds=float(raw["age_seconds"]),
            lost=bool(raw.get("lost", False)),
            arrived=bool(raw["arrived"]),
            in_force=None if in_force is None else int(in_force),
            awaits=_texts(raw.get("awaits")),
            versions={str(number): str(state) for number, state in (raw.get("versions") or {}).items()},
        )


@dataclass(frozen=True, slots=True)
class TrafficStatus:
    """The plan of a model and where it is in force: on ``arrived`` of the nodes."""

    model: str
    revision: int
    plan: Plan | None
    arrived: int
    nodes: tuple[NodeTraffic, ...] = ()

    @classmethod
    def from_json(cls, raw: Json) -> TrafficStatus:
        """Read a status."""
        plan = raw.get("plan")
        return cls(
            model=str(raw["model"]),
            revision=int(raw["revision"]),
            plan=None if plan is None else Plan.from_json(plan),
            arrived=int(raw["arrived"]),
            nodes=tuple(NodeTraffic.from_json(node) for node in raw.get("nodes") or ()),
        )


@dataclass(frozen=True, slots=True)
class Quantiles:
    """Quantiles of differences, or of times in seconds; None where nothing was counted."""

    p50: float | None = None
    p90: float | None = None
    p99: float | None = None
    max: float | None = None

    @classmethod
    def from_json(cls, raw: Json | None) -> Quantiles:
        """Read what is there of them."""
        given = raw or {}
        return cls(*(None if given.get(name) is None else float(given[name]) for name in ("p50", "p90", "p99", "max")))


@dataclass(frozen=True, slots=True)
class Agreement:
    """How often the primary answered one thing and the shadow another, or the same."""

    primary: str
    shadow: str
    count: int


@dataclass(frozen=True, slots=True)
class OutputComparison:
    """How one output of a shadow differed from the primary's.

    Attributes:
        compared: Values that were compared, and ``differed`` those of them that were not equal.
        absolute: Quantiles of the difference of numbers, and ``relative`` of its share of the primary's value.
        agreement: By pair of answers, where those are no real numbers.
        agreement_ratio: The share of pairs that are equal, or None without any.
    """

    compared: int
    differed: int
    absolute: Quantiles = Quantiles()
    relative: Quantiles = Quantiles()
    agreement: tuple[Agreement, ...] = ()
    agreement_ratio: float | None = None

    @classmethod
    def from_json(cls, raw: Json) -> OutputComparison:
        """Read what is said of one output."""
        ratio = raw.get("agreement_ratio")
        return cls(
            int(raw["compared"]),
            int(raw["differed"]),
            Quantiles.from_json(raw.get("absolute")),
            Quantiles.from_json(raw.get("relative")),
            tuple(Agreement(str(a["primary"]), str(a["shadow"]), int(a["count"])) for a in raw.get("agreement") or ()),
            None if ratio is None else float(ratio),
        )


@dataclass(frozen=True, slots=True)
class ShadowComparison:
    """How a shadow did beside whoever answered.

    Attributes:
        requests: Those that both were asked.
        outcomes: How many copies were ``compared``, ``error``, ``timeout``, ``dropped`` …
        differing: Of the compared ones, those with any difference.
        outputs: By the output's name; ``""`` where it has none.
        latency: Of ``primary`` and ``shadow``, in seconds.
        examples: Some that differ, where the platform may store inputs.
        good_canary: Whether it would have been one; None where too little was seen.
        reason: Why so, in words.
        evidence: By metric, as a rollout would have seen it.
    """

    model: str
    version: str
    since: str | None = None
    requests: int = 0
    outcomes: Mapping[str, int] = field(default_factory=dict)
    differing: int = 0
    outputs: Mapping[str, OutputComparison] = field(default_factory=dict)
    latency: Mapping[str, Quantiles] = field(default_factory=dict)
    examples: tuple[Json, ...] = ()
    good_canary: bool | None = None
    reason: str = ""
    evidence: Mapping[str, Evidence] = field(default_factory=dict)

    @classmethod
    def from_json(cls, raw: Json) -> ShadowComparison:
        """Read a comparison."""
        verdict = raw.get("verdict") or {}
        return cls(
            model=str(raw["model"]),
            version=str(raw["version"]),
            since=raw.get("since"),
            requests=int(raw.get("requests") or 0),
            outcomes={str(name): int(count) for name, count in (raw.get("outcomes") or {}).items()},
            differing=int(raw.get("differing") or 0),
            outputs={str(n): OutputComparison.from_json(one) for n, one in (raw.get("outputs") or {}).items()},
            latency={str(n): Quantiles.from_json(one) for n, one in (raw.get("latency") or {}).items()},
            examples=tuple(raw.get("examples") or ()),
            good_canary=verdict.get("good_canary"),
            reason=str(verdict.get("reason") or ""),
            evidence={str(n): Evidence.from_json(one) for n, one in (verdict.get("evidence") or {}).items()},
        )


def _texts(raw: Any) -> tuple[str, ...]:
    return tuple(str(item) for item in raw or ())
