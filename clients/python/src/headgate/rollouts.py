"""Rollouts as values: what is asked of one, and how far it has come.

Names on the wire are those that people know from Argo Rollouts and Flagger (``setWeight``, ``maxDuration``). Reading is
lenient where the platform may learn to say more. Not here: the platform's defaults for what is not asked for, and
asking (``rollout_flows.py``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from headgate.names import version_number

Json = Mapping[str, Any]

ENDED = frozenset({"succeeded", "failed", "aborted", "expired"})


@dataclass(frozen=True, slots=True)
class Step:
    """One step: the share of requests in percent, and how long it lasts at least (``10m``, ``1h30m``).

    Without a pause it lasts until somebody resumes the rollout.
    """

    weight: float
    pause: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the contract's form, JSON-ready."""
        return {"setWeight": self.weight, "pause": self.pause}

    @classmethod
    def from_json(cls, raw: Json) -> Step:
        """Read a step."""
        return cls(float(raw["setWeight"]), _duration(raw.get("pause")))


@dataclass(frozen=True, slots=True)
class Metric:
    """One thing that is watched: ``error-rate``, ``latency``, ``invalid`` or ``quality``.

    Attributes:
        tolerance: How many times as much as stable's is tolerated; None for the platform's default.
        maximum: What is too much in any case: a ratio from 0 to 1, or seconds for ``latency``; None for nothing.
    """

    name: str
    tolerance: float | None = None
    maximum: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the contract's form, JSON-ready."""
        tolerance = {} if self.tolerance is None else {"tolerance": self.tolerance}
        maximum = {} if self.maximum is None else {"thresholdRange": {"max": self.maximum}}
        return {"name": self.name, **tolerance, **maximum}

    @classmethod
    def from_json(cls, raw: Json) -> Metric:
        """Read a metric."""
        return cls(
            str(raw["name"]), _number(raw.get("tolerance")), _number((raw.get("thresholdRange") or {}).get("max"))
        )


STEPS = (Step(5, "10m"), Step(25, "10m"), Step(50, "30m"))
"""The steps of a rollout that asks for no others."""


@dataclass(frozen=True, slots=True)
class RolloutSpec:
    """What a rollout is asked to do. What is None or empty is the platform's default.

    Attributes:
        version: Who is to become stable.
        steps: In order; weights never fall.
        metrics: What may fail it.
        alpha: How often, at most, a version that is not worse may be rolled back; all metrics share it.
        min_requests: Requests that the version must have answered in a step before the next.
        interval: How long between two looks at the evidence (``30s``).
        max_duration: How long it may take (``24h``).
        note: Why, for the journal.
        allow_incompatible: Whether the version may refuse some of what stable's callers send.
    """

    version: str
    steps: tuple[Step, ...] = STEPS
    metrics: tuple[Metric, ...] = ()
    alpha: float | None = None
    min_requests: int | None = None
    interval: str | None = None
    max_duration: str | None = None
    note: str = ""
    allow_incompatible: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return the contract's form, JSON-ready, without what is left to the platform."""
        document: dict[str, Any] = {
            "version": version_number(self.version),
            "steps": [step.to_json() for step in self.steps],
        }
        if self.metrics:
            document["metrics"] = [metric.to_json() for metric in self.metrics]
        asked = {
            "alpha": self.alpha,
            "minRequests": self.min_requests,
            "interval": self.interval,
            "maxDuration": self.max_duration,
            "note": self.note or None,
            "allow_incompatible": self.allow_incompatible or None,
        }
        return document | {name: value for name, value in asked.items() if value is not None}

    @classmethod
    def from_json(cls, raw: Json) -> RolloutSpec:
        """Read the contract's form."""
        steps = raw.get("steps")
        return cls(
            version=str(raw["version"]),
            steps=STEPS if steps is None else tuple(Step.from_json(step) for step in steps),
            metrics=tuple(Metric.from_json(metric) for metric in raw.get("metrics") or ()),
            alpha=raw.get("alpha"),
            min_requests=raw.get("minRequests"),
            interval=_duration(raw.get("interval")),
            max_duration=_duration(raw.get("maxDuration")),
            note=str(raw.get("note") or ""),
            allow_incompatible=bool(raw.get("allow_incompatible", False)),
        )


@dataclass(frozen=True, slots=True)
class Tally:
    """What one arm did, as one metric counts it: requests, bad ones among them, and their ratio (None without any)."""

    requests: int = 0
    bad: int = 0
    ratio: float | None = None

    @classmethod
    def from_json(cls, raw: Any) -> Tally:
        """Read a tally; of predictions only their number is told."""
        if not isinstance(raw, Mapping):
            return cls()
        requests = raw.get("requests", raw.get("predictions"))
        return cls(int(requests or 0), int(raw.get("bad") or 0), _number(raw.get("ratio")))


@dataclass(frozen=True, slots=True)
class Evidence:
    """What one metric says against the canary.

    Attributes:
        evidence: How near it is to what ends the rollout: at 1 it does. Below 0 it speaks for the canary. None where
            nothing can be said yet.
        canary: What was counted on its arm, and ``stable`` on the other.
        threshold: For latency, the seconds above which an answer of stable counts as bad; None otherwise.
        margin: By how many seconds more one of the canary may take.
        distance: For predictions, the share of them that lie elsewhere than stable's; None otherwise.
        message: Why nothing can be said.
    """

    evidence: float | None
    canary: Tally = Tally()
    stable: Tally = Tally()
    threshold: float | None = None
    distance: float | None = None
    message: str = ""
    margin: float = 0.0

    @classmethod
    def from_json(cls, raw: Json) -> Evidence:
        """Read what the platform says of one metric."""
        return cls(
            _number(raw.get("evidence")),
            Tally.from_json(raw.get("canary")),
            Tally.from_json(raw.get("stable")),
            _number(raw.get("threshold")),
            _number(raw.get("distance")),
            str(raw.get("message") or ""),
            float(raw.get("margin") or 0),
        )


@dataclass(frozen=True, slots=True)
class Arm:
    """How one arm did in a rollout; times in seconds, None where nothing was timed."""

    requests: int = 0
    errors: int = 0
    p50: float | None = None
    p99: float | None = None

    @classmethod
    def from_json(cls, raw: Json) -> Arm:
        """Read an arm."""
        return cls(
            int(raw.get("requests") or 0), int(raw.get("errors") or 0), _number(raw.get("p50")), _number(raw.get("p99"))
        )


@dataclass(frozen=True, slots=True)
class RolloutEvent:
    """One line of a rollout's journal; ``revision`` is the plan's that came of it, ``numbers`` what was known then."""

    at: str
    event: str
    message: str
    who: str = ""
    revision: int | None = None
    numbers: Json = field(default_factory=dict)

    @classmethod
    def from_json(cls, raw: Json) -> RolloutEvent:
        """Read a line."""
        revision = raw.get("revision")
        return cls(
            str(raw["at"]),
            str(raw["event"]),
            str(raw.get("message") or ""),
            str(raw.get("who") or ""),
            None if revision is None else int(revision),
            raw.get("numbers") or {},
        )


@dataclass(frozen=True, slots=True)
class Rollout:
    """A plan that changes itself by steps, on evidence: what was asked, and how far it has come.

    Attributes:
        state: ``running paused succeeded failed aborted expired``.
        reason: Why it ended; empty before.
        step: Which of ``asked.steps`` it is at, from 0.
        weight: The share of requests that the version has now, in percent.
        step_requests: How many it is known to have answered in this step.
        asked: What it was asked to do, defaults filled in.
        stable: The version beside it.
        holding: Why it does not go on, or None.
        evidence: By metric.
        arms: ``stable`` and ``canary``.
        journal: Oldest first.
    """

    id: str
    model: str
    version: str
    state: str
    asked: RolloutSpec
    reason: str = ""
    step: int = -1
    weight: float = 0.0
    step_requests: int = 0
    stable: str = ""
    holding: str | None = None
    started_at: str | None = None
    step_started_at: str | None = None
    ended_at: str | None = None
    plan_revision: int | None = None
    evidence: Mapping[str, Evidence] = field(default_factory=dict)
    arms: Mapping[str, Arm] = field(default_factory=dict)
    journal: tuple[RolloutEvent, ...] = ()

    @property
    def ended(self) -> bool:
        """Whether nothing moves it any more."""
        return self.state in ENDED

    def to_json(self) -> dict[str, Any]:
        """Return the contract's form, JSON-ready: a file with it asks for the same again."""
        asked = {"metrics": [], "note": "", "allow_incompatible": False} | self.asked.to_json()
        come_to = {one.name: getattr(self, one.name) for one in fields(self) if one.name not in ("asked", *_MAPPED)}
        return {
            **come_to,
            **asked,
            "evidence": {name: asdict(one) for name, one in self.evidence.items()},
            "arms": {name: asdict(one) for name, one in self.arms.items()},
            "journal": [asdict(one) for one in self.journal],
        }

    @classmethod
    def from_json(cls, raw: Json) -> Rollout:
        """Read a rollout."""
        revision = raw.get("plan_revision")
        return cls(
            id=str(raw["id"]),
            model=str(raw["model"]),
            version=str(raw["version"]),
            state=str(raw["state"]),
            asked=RolloutSpec.from_json(raw),
            reason=str(raw.get("reason") or ""),
            step=int(raw.get("step", -1)),
            weight=float(raw.get("weight") or 0),
            step_requests=int(raw.get("step_requests") or 0),
            stable=str(raw.get("stable") or ""),
            holding=raw.get("holding"),
            started_at=raw.get("started_at"),
            step_started_at=raw.get("step_started_at"),
            ended_at=raw.get("ended_at"),
            plan_revision=None if revision is None else int(revision),
            evidence={str(name): Evidence.from_json(one) for name, one in (raw.get("evidence") or {}).items()},
            arms={str(name): Arm.from_json(one) for name, one in (raw.get("arms") or {}).items()},
            journal=tuple(RolloutEvent.from_json(line) for line in raw.get("journal") or ()),
        )


_MAPPED = ("evidence", "arms", "journal")


def _number(raw: Any) -> float | None:
    return None if raw is None else float(raw)


def _duration(raw: Any) -> str | None:
    """Return a duration as text; a number is one of seconds."""
    if raw is None or isinstance(raw, str):
        return raw
    return f"{round(float(raw) * 1000)}ms"
