"""What the routes beside the lane answer, as pydantic models, which also write the OpenAPI document.

Not here: what the lane answers, which no framework sees (``openapi.py``).
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field


class Alive(BaseModel):
    """The event loop turns."""

    alive: bool = True


class SnapshotView(BaseModel):
    """What this node knows of the registry."""

    revision: int
    models: int
    age_seconds: float | None = Field(description="Seconds since the registry last confirmed it.")


class Ready(BaseModel):
    """Whether this node can serve the plans in its snapshot, and if not, why."""

    ready: bool
    reason: str = ""
    snapshot: SnapshotView | None = None


class CanaryView(BaseModel):
    """Who answers a share of the requests."""

    version: str
    share: float = Field(description="From 0 to 1.")


class ShadowView(BaseModel):
    """Who gets copies of a sample of the requests."""

    version: str
    sample: float = Field(description="From 0 to 1.")


class RuleView(BaseModel):
    """Who answers requests with this header."""

    header: str
    equals: str
    version: str


class StickyView(BaseModel):
    """What keeps a caller on one arm."""

    header: str


class PlanView(BaseModel):
    """Who gets the traffic."""

    stable: str
    canary: CanaryView | None = None
    shadows: list[ShadowView] = []
    rules: list[RuleView] = Field([], description="In order; the first that fits decides.")
    sticky: StickyView
    allow_incompatible: bool = False
    note: str = ""
    warm: bool = Field(False, description="Whether every node loads the versions it names ahead, and keeps them.")
    instances: int = Field(1, description="Processes of each version on a node.")


class WaitingView(BaseModel):
    """What the registry says already and this node does not follow yet."""

    plan: PlanView | None = Field(description="The newest plan.")
    revision: int = Field(description="Its revision.")
    aliases: dict[str, str] = Field(description="Aliases that name something else by then.")
    reason: str = Field(description="What it waits for.")


class MannerView(BaseModel):
    """How a loaded version runs."""

    runtime: str = Field(description="`host`: processes of its own; `inline`: in the serving process.")
    confined: list[str] = Field([], description="What its processes gave up; docs/guides/sandbox.md explains each.")
    batching: bool = Field(False, description="Whether requests share batches.")
    batching_reason: str = Field("", description="Why they do, or do not.")
    streams: bool = Field(False, description="Whether its model answers piece by piece as well: predict_stream.")


class VersionView(BaseModel):
    """One version as this node sees it."""

    model: str
    version: str
    state: str = Field(description="Here: cold, loading, ready, draining, failed or quarantined.")
    reason: str = Field("", description="Why it failed or is quarantined here, if it is.")
    memory_bytes: int = Field(0, description="Private memory of the loaded version.")
    leases: int = Field(0, description="Requests that use it now.")
    idle_seconds: float | None = Field(None, description="Seconds since it was last used; null if never here.")
    crashes: int = Field(0, description="Deaths of its processes here that still count; five end in quarantine.")
    last_output: list[str] = Field(
        [],
        description="The end of what its process printed last, by lines; shown for one version alone. It may hold what "
        "the model was asked.",
    )
    loaded: MannerView | None = Field(None, description="How it runs here; null where it is not loaded.")
    instances: int = Field(1, description="Processes it has here when it is loaded.")
    digest: str
    size: int = Field(description="Bytes of its artifact.")
    runtime: str
    flavors: list[str]
    signature: dict[str, Any] | None = Field(None, description="MLflow's signature.")


class SageMakerModel(BaseModel):
    """A model as SageMaker's multi-model contract names it."""

    sagemaker_name: str = Field(serialization_alias="modelName", description="The name, as SageMaker spells the field.")
    sagemaker_url: str = Field(serialization_alias="modelUrl", description="`models:/` and the name.")


class ModelLine(SageMakerModel):
    """One model in the list."""

    name: str
    stable: str | None = Field(description="The version that the plan names; null without a plan.")
    revision: int = Field(description="The plan's revision.")
    versions: int = Field(description="How many versions may answer.")


class ModelPage(BaseModel):
    """Models by name."""

    models: list[ModelLine]
    next_page_token: str | None = Field(description="Pass it as page_token for more; null at the end.")
    sagemaker_token: str | None = Field(
        serialization_alias="nextPageToken", description="The same, as SageMaker spells it."
    )


class ModelView(SageMakerModel):
    """One model as this node sees it."""

    name: str
    plan: PlanView | None = Field(description="The plan in force here.")
    revision: int = Field(description="Of the plan in force here.")
    waiting: WaitingView | None = Field(
        None, description="The newest plan or aliases, while a version that they name is not loaded here."
    )
    aliases: dict[str, str]
    versions: list[VersionView] = Field(description="Newest first, at most 1,000.")
    others: dict[str, str] = Field(description="Versions that may not answer, with their state in the registry.")


class Unloaded(BaseModel):
    """Where the version stands after the order."""

    model: str
    version: str
    state: str = Field(description="draining while leases are out or its process ends, else cold.")


class FeedbackRefusal(BaseModel):
    """A label that was not taken."""

    index: int = Field(description="Its place among the items, from 0 on.")
    code: str = Field(description="unknown_request, unknown_row or invalid_argument.")
    message: str


class FeedbackTaken(BaseModel):
    """What became of labels."""

    accepted: int
    refused: list[FeedbackRefusal]


class Problem(BaseModel):
    """What went wrong."""

    code: str
    message: str
    request_id: str
    details: dict[str, Any] = {}


class ProblemBody(BaseModel):
    """The one error body."""

    error: Problem
