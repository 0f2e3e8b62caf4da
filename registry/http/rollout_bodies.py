"""What bodies about rollouts may say: strict pydantic models, unknown fields refused.

Here: the form. What the values may be is said once, by ``registry/traffic/spec.py``.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from registry.traffic.spec import (
    DEFAULT_ALPHA,
    DEFAULT_DURATION,
    DEFAULT_INTERVAL,
    DEFAULT_REQUESTS,
    DEFAULT_TOLERANCE,
    FAILING,
    MOST_STEPS,
    Spec,
    duration_text,
)

_STRICT = ConfigDict(extra="forbid", strict=True, populate_by_name=False)
Duration = str | float


class StepBody(BaseModel):
    """One step."""

    model_config = _STRICT
    weight: float = Field(alias="setWeight", description="Percent of the requests, 0 to 100, to two decimals.")
    pause: Duration | None = Field(
        None, description="How long it lasts at least: `10m`, `1h30m`, or seconds. Without one it waits for `resume`."
    )


class RangeBody(BaseModel):
    """What is too much whatever stable does."""

    model_config = _STRICT
    max: float = Field(description="A share (0 to 1) of the requests; for `latency` the seconds that were promised.")


class MetricBody(BaseModel):
    """One thing that is watched."""

    model_config = _STRICT
    name: str = Field(max_length=32, description=f"One of {', '.join(FAILING)}.")
    tolerance: float = Field(DEFAULT_TOLERANCE, description="How many times as much as stable's is tolerated.")
    threshold_range: RangeBody | None = Field(None, alias="thresholdRange")


class RolloutBody(BaseModel):
    """A rollout to begin."""

    model_config = _STRICT
    version: str = Field(max_length=32)
    steps: list[StepBody] = Field(min_length=1, max_length=MOST_STEPS)
    metrics: list[MetricBody] | None = Field(None, max_length=16)
    alpha: float = Field(DEFAULT_ALPHA, description="How often a canary that is no worse may be rolled back, at most.")
    min_requests: int = Field(
        DEFAULT_REQUESTS, alias="minRequests", description="What the canary must answer in each step."
    )
    interval: Duration = Field(duration_text(DEFAULT_INTERVAL), description="How long between two looks.")
    max_duration: Duration = Field(
        duration_text(DEFAULT_DURATION), alias="maxDuration", description="How long it may take, pauses left out."
    )
    note: str = Field("", max_length=1000)
    allow_incompatible: bool = False

    def spec(self) -> Spec:
        """Return what is asked for; raise InvalidRequest where a value cannot be."""
        return Spec.from_json(self.model_dump(by_alias=True, exclude_unset=True, exclude={"version"}))


class WhyBody(BaseModel):
    """A person's reason, for the journal."""

    model_config = _STRICT
    why: str = Field("", max_length=1000)
