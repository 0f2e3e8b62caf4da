"""What a rollout is asked to do: its steps, its metrics, its patience. Values, their limits and their JSON form. Pure.

The names are those of Argo Rollouts and Flagger (``setWeight``, ``pause``, ``thresholdRange``). Two things are said
otherwise than there: a step is one object with its weight and its pause, and a pause is counted from the moment that
the step's plan was made. A step without a pause waits until somebody resumes (Argo's ``pause: {}``). Not here: what a
rollout does with it (``rollout.py``).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from registry.errors import InvalidRequest, quote
from registry.plans import WHOLE, percent

MOST_STEPS = 50
MOST_REQUESTS = 10**9
SECOND = 1_000
HOUR = 3_600 * SECOND
LONGEST = 90 * 24 * HOUR
SHORTEST_INTERVAL = 100
LONGEST_INTERVAL = HOUR
LEAST_ALPHA = 1e-6
MOST_ALPHA = 0.5
MOST_TOLERANCE = 100.0
DEFAULT_ALPHA = 0.05
DEFAULT_TOLERANCE = 1.25
DEFAULT_REQUESTS = 200
DEFAULT_INTERVAL = 30 * SECOND
DEFAULT_DURATION = 24 * HOUR
FAILING = ("error-rate", "latency", "invalid", "quality")
"""What a rollout may be asked to watch; what fails it."""

_UNITS = {"d": 24 * HOUR, "h": HOUR, "m": 60 * SECOND, "s": SECOND, "ms": 1}
_DURATION = re.compile(r"(?:([0-9]{1,9})d)?(?:([0-9]{1,9})h)?(?:([0-9]{1,9})m)?(?:([0-9]{1,9})s)?(?:([0-9]{1,9})ms)?")
_DURATION_RULE = "write it as '10m', '30s' or '1h30m', or as a number of seconds"


@dataclass(frozen=True, slots=True)
class Step:
    """One step: the canary's share in ten-thousandths, and how long it lasts at least, in milliseconds.

    ``pause_ms`` None: it lasts until somebody resumes.
    """

    share: int
    pause_ms: int | None


@dataclass(frozen=True, slots=True)
class Metric:
    """One thing that is watched: how many times as much as stable's is tolerated, and what is too much in any case."""

    name: str
    tolerance: float = DEFAULT_TOLERANCE
    limit: float | None = None


DEFAULT_METRICS = (Metric("error-rate"), Metric("latency"), Metric("invalid"))
"""What is watched where nothing else is asked for."""


@dataclass(frozen=True, slots=True)
class Spec:
    """A rollout as it was asked for. Times are milliseconds.

    Attributes:
        steps: At least one; weights never fall.
        metrics: What fails the rollout; each name once.
        alpha: How often, at most, a canary that is not worse may be rolled back; all metrics share it.
        min_requests: Requests that the canary must have answered in a step before the next.
        interval_ms: How long between two looks.
        max_duration_ms: How long it may take, times when it was paused left out.
        note: Why, in the words of whoever started it.
        allow_incompatible: Whether the version may refuse some of what stable's callers send.
    """

    steps: tuple[Step, ...]
    metrics: tuple[Metric, ...] = DEFAULT_METRICS
    alpha: float = DEFAULT_ALPHA
    min_requests: int = DEFAULT_REQUESTS
    interval_ms: int = DEFAULT_INTERVAL
    max_duration_ms: int = DEFAULT_DURATION
    note: str = ""
    allow_incompatible: bool = False

    def __post_init__(self) -> None:
        _require(1 <= len(self.steps) <= MOST_STEPS, f"steps must be 1 to {MOST_STEPS}")
        shares = [step.share for step in self.steps]
        _require(shares == sorted(shares), "setWeight must not fall from one step to the next")
        _require(all(0 <= share <= WHOLE for share in shares), "setWeight is a percentage, 0 to 100")
        names = [metric.name for metric in self.metrics]
        _require(bool(names), "metrics must name at least one; leave them out for the usual ones")
        _require(len(set(names)) == len(names), "metrics may name each one once")
        _require(LEAST_ALPHA <= self.alpha <= MOST_ALPHA, f"alpha must be from {LEAST_ALPHA} to {MOST_ALPHA}")
        _require(0 <= self.min_requests <= MOST_REQUESTS, f"minRequests must be 0 to {MOST_REQUESTS}")
        shortest, longest = duration_text(SHORTEST_INTERVAL), duration_text(LONGEST_INTERVAL)
        _require(SHORTEST_INTERVAL <= self.interval_ms <= LONGEST_INTERVAL, f"interval must be {shortest} to {longest}")
        _require(
            0 < self.max_duration_ms <= LONGEST, f"maxDuration must be above 0 and at most {duration_text(LONGEST)}"
        )
        pauses = sum(step.pause_ms or 0 for step in self.steps)
        _require(
            pauses < self.max_duration_ms,
            f"the pauses take {duration_text(pauses)}, and maxDuration is {duration_text(self.max_duration_ms)}: "
            "it would expire before its last step is over",
        )

    def to_json(self) -> dict[str, Any]:
        """Return the contract's form, JSON-ready."""
        return {
            "steps": [{"setWeight": percent(s.share), "pause": _pause_text(s.pause_ms)} for s in self.steps],
            "metrics": [_metric_json(metric) for metric in self.metrics],
            "alpha": self.alpha,
            "minRequests": self.min_requests,
            "interval": duration_text(self.interval_ms),
            "maxDuration": duration_text(self.max_duration_ms),
            "note": self.note,
            "allow_incompatible": self.allow_incompatible,
        }

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Spec:
        """Read the contract's form; what is not there has its default.

        Raises InvalidRequest where a value cannot be; KeyError or TypeError where the form is damaged.
        """
        steps = tuple(
            Step(share_of_weight(s["setWeight"]), None if s.get("pause") is None else duration_ms(s["pause"], "pause"))
            for s in raw["steps"]
        )
        given = raw.get("metrics")
        return cls(
            steps=steps,
            metrics=DEFAULT_METRICS if given is None else tuple(_metric_from(metric) for metric in given),
            alpha=raw.get("alpha", DEFAULT_ALPHA),
            min_requests=raw.get("minRequests", DEFAULT_REQUESTS),
            interval_ms=duration_ms(raw.get("interval", DEFAULT_INTERVAL / SECOND), "interval"),
            max_duration_ms=duration_ms(raw.get("maxDuration", DEFAULT_DURATION / SECOND), "maxDuration"),
            note=raw.get("note", ""),
            allow_incompatible=raw.get("allow_incompatible", False),
        )


def duration_ms(raw: object, name: str) -> int:
    """Return a duration (``"1h30m"``, or a number of seconds) in milliseconds; raise InvalidRequest naming ``name``."""
    if isinstance(raw, (int, float)) and not isinstance(raw, bool):
        if math.isfinite(raw) and 0 <= raw * SECOND <= LONGEST:
            return round(raw * SECOND)
    elif isinstance(raw, str) and raw:
        match = _DURATION.fullmatch(raw)
        if match is not None and any(part is not None for part in match.groups()):
            total = sum(int(part or 0) * unit for part, unit in zip(match.groups(), _UNITS.values(), strict=True))
            if total <= LONGEST:
                return total
    raise InvalidRequest(
        "invalid_argument",
        f"{name} '{quote(raw)}' is no duration up to {duration_text(LONGEST)}; {_DURATION_RULE}",
    )


def duration_text(milliseconds: int) -> str:
    """Return a duration as ``duration_ms`` reads it: ``1h30m``, ``0s``."""
    text, rest = "", milliseconds
    for unit, size in _UNITS.items():
        count, rest = divmod(rest, size)
        text += f"{count}{unit}" if count else ""
    return text or "0s"


def share_of_weight(weight: object) -> int:
    """Return a percentage as ten-thousandths; raise InvalidRequest ``invalid_input``, as for a plan's share, where it
    is none, or finer than 0.01."""
    if isinstance(weight, (int, float)) and not isinstance(weight, bool) and 0 <= weight <= 100:
        share = round(weight * (WHOLE // 100))
        if math.isclose(share, weight * (WHOLE // 100), abs_tol=1e-9) and (share == 0) == (weight == 0):
            return share
    raise InvalidRequest(
        "invalid_input",
        f"setWeight '{quote(weight)}' is no percentage from 0 to 100 with at most two decimals",
        {"path": "steps.setWeight", "expected": "0 to 100 in steps of 0.01", "got": quote(weight)},
    )


def _pause_text(pause_ms: int | None) -> str | None:
    return None if pause_ms is None else duration_text(pause_ms)


def _metric_json(metric: Metric) -> dict[str, Any]:
    limit = {} if metric.limit is None else {"thresholdRange": {"max": metric.limit}}
    return {"name": metric.name, "tolerance": metric.tolerance, **limit}


def _metric_from(raw: Mapping[str, Any]) -> Metric:
    name, tolerance = raw["name"], raw.get("tolerance", DEFAULT_TOLERANCE)
    _require(name in FAILING, f"there is no metric '{quote(name)}'; there are {', '.join(FAILING)}")
    _require(1 <= tolerance <= MOST_TOLERANCE, f"tolerance must be 1 to {MOST_TOLERANCE:g}")
    limit = (raw.get("thresholdRange") or {}).get("max")
    if limit is not None:
        _require(name != "quality", "thresholdRange is for error-rate, invalid (a ratio) and latency (seconds)")
        most = 3600 if name == "latency" else 1
        _require(0 < limit < most, f"thresholdRange.max of {name} must be above 0 and below {most}")
    return Metric(name, float(tolerance), None if limit is None else float(limit))


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise InvalidRequest("invalid_argument", otherwise)
