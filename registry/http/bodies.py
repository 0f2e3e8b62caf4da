"""What request bodies may say: strict pydantic models, unknown fields refused."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from registry.monitoring.training import BaselineFile
from registry.operations import FromLoggedModel, FromRun, FromUpload, Source
from registry.plans import KEY_HEADER, WHOLE, Canary, Plan, Rule, Shadow
from registry.records import parse_version
from registry.traffic.fitness import share_of

MAX_FILES = 10_000
"""Most files of one upload: each is looked up among all of them when it comes."""
MAX_INSTANCES = 64
MAX_SHADOWS = 16
MAX_RULES = 32
CREDENTIALS = frozenset(
    {
        "authorization",
        "proxy-authorization",
        "cookie",
        "set-cookie",
        "x-api-key",
        "x-auth-token",
        "x-amz-security-token",
    }
)
"""Headers that no plan may read: its rules are shown to everybody who may look, and kept for ever."""
_STRICT = ConfigDict(extra="forbid", strict=True)
_RUN_ID = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$"


def _choosing_header(name: str) -> str:
    if name.lower() in CREDENTIALS:
        raise ValueError("a plan is shown and kept for ever, so no credential may decide; send a header of its own")
    return name.lower()


_Header = Annotated[
    str,
    Field(pattern=r"^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}$", description="A header's name; case does not matter."),
    AfterValidator(_choosing_header),
]


class UploadFileBody(BaseModel):
    """One file that will be sent."""

    model_config = _STRICT
    path: str = Field(min_length=1, max_length=1024)
    size: int = Field(ge=0, le=2**50)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class UploadBody(BaseModel):
    """The files of a model directory."""

    model_config = _STRICT
    files: list[UploadFileBody] = Field(min_length=1, max_length=MAX_FILES)


class SourceBody(BaseModel):
    """A model that was logged: by a run and the name or path it was logged under, or by MLflow's model id."""

    model_config = _STRICT
    run_id: Annotated[str, Field(pattern=_RUN_ID)] | None = None
    path: Annotated[str, Field(min_length=1, max_length=512)] | None = None
    model_id: Annotated[str, Field(pattern=r"^m-[A-Za-z0-9]{1,64}$")] | None = None

    @model_validator(mode="after")
    def _one(self) -> SourceBody:
        if (self.model_id is None) == (self.run_id is None) or (self.run_id is None) != (self.path is None):
            raise ValueError('give {"run_id", "path"} or {"model_id"}')
        return self


class BaselineBody(BaseModel):
    """A table among the model's own files that its baseline is made of, once the version is ready."""

    model_config = _STRICT
    path: Annotated[str, Field(min_length=1, max_length=1024)]
    prediction: Annotated[str, Field(min_length=1, max_length=256)] | None = None


class RegisterBody(BaseModel):
    """A version to register, from exactly one of a source and an upload."""

    model_config = _STRICT
    source: SourceBody | None = None
    upload: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")] | None = None
    idempotency_key: Annotated[str, Field(min_length=1, max_length=256)] | None = None
    alias: Annotated[str, Field(max_length=64)] | None = None
    baseline: BaselineBody | None = None

    @model_validator(mode="after")
    def _one(self) -> RegisterBody:
        if (self.source is None) == (self.upload is None):
            raise ValueError('give either "source" or "upload"')
        return self

    def to_baseline(self) -> BaselineFile | None:
        """Return the table that it names."""
        return None if self.baseline is None else BaselineFile(self.baseline.path, self.baseline.prediction)

    def to_source(self) -> Source:
        """Return what it names."""
        if self.upload is not None:
            return FromUpload(self.upload)
        source = self.source
        assert source is not None  # the validator above has seen to it
        if source.model_id is not None:
            return FromLoggedModel(source.model_id)
        assert source.run_id is not None and source.path is not None
        return FromRun(source.run_id, source.path)


_SHARE_SCHEMA: dict[str, Any] = {"minimum": 0, "maximum": 1, "multipleOf": 1 / WHOLE}
_Share = Annotated[float, Field(description="0 to 1, in steps of 0.0001", json_schema_extra=_SHARE_SCHEMA)]
_Number = Annotated[str, Field(max_length=32)]


class CanaryBody(BaseModel):
    """A version that answers a share of the requests."""

    model_config = _STRICT
    version: _Number
    share: _Share


class ShadowBody(BaseModel):
    """A version that gets copies of a sample of the requests."""

    model_config = _STRICT
    version: _Number
    sample: _Share = 1.0


class RuleBody(BaseModel):
    """Requests whose header has exactly this value go to a version."""

    model_config = _STRICT
    header: _Header
    equals: str = Field(pattern=r"^[!-~](?:[ -~]{0,254}[!-~])?$", description="1 to 256 visible ASCII characters")
    version: _Number


class StickyBody(BaseModel):
    """The header whose value stays on one arm."""

    model_config = _STRICT
    header: _Header


class PlanBody(BaseModel):
    """A whole plan. What ``GET …/traffic`` shows as "plan" is one."""

    model_config = _STRICT
    stable: _Number
    canary: CanaryBody | None = None
    shadows: list[ShadowBody] = Field([], max_length=MAX_SHADOWS)
    rules: list[RuleBody] = Field([], max_length=MAX_RULES, description="The first that fits decides.")
    sticky: StickyBody | None = Field(None, description=f"Without it: {KEY_HEADER}.")
    note: str = Field("", max_length=1000)
    warm: bool = Field(False, description="Have every node load the versions that the plan names ahead, and keep them.")
    instances: int = Field(
        1,
        ge=1,
        le=MAX_INSTANCES,
        description="How many processes each version that answers gets on a node; one that is a shadow only gets one.",
    )
    allow_incompatible: bool = Field(
        False, description="Name versions too that refuse some of what callers of the stable one send."
    )

    def to_plan(self) -> Plan:
        """Return the plan; raise NotFound for a version that is spelt wrong, InvalidRequest for a share."""
        canary = self.canary
        return Plan(
            stable=parse_version(self.stable),
            note=self.note,
            warm=self.warm,
            instances=self.instances,
            canary=None
            if canary is None
            else Canary(parse_version(canary.version), share_of(canary.share, "canary.share")),
            shadows=tuple(
                Shadow(parse_version(shadow.version), share_of(shadow.sample, f"shadows.{at}.sample"))
                for at, shadow in enumerate(self.shadows)
            ),
            rules=tuple(Rule(rule.header, rule.equals, parse_version(rule.version)) for rule in self.rules),
            sticky=KEY_HEADER if self.sticky is None else self.sticky.header,
            allow_incompatible=self.allow_incompatible,
        )


class RollbackBody(BaseModel):
    """Which revision to put back; without one, the revision before the present."""

    model_config = _STRICT
    revision: int | None = Field(None, ge=1, le=2**53)


class AliasBody(BaseModel):
    """The version an alias shall name."""

    model_config = _STRICT
    version: _Number
    note: str = Field("", max_length=1000)
