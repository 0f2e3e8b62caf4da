"""What request bodies may say: strict pydantic models, unknown fields refused."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

from registry.operations import FromLoggedModel, FromRun, FromUpload, Source

MAX_FILES = 10_000
"""Most files of one upload: each is looked up among all of them when it comes."""
MAX_INSTANCES = 64
_STRICT = ConfigDict(extra="forbid", strict=True)
_RUN_ID = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$"


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


class RegisterBody(BaseModel):
    """A version to register, from exactly one of a source and an upload."""

    model_config = _STRICT
    source: SourceBody | None = None
    upload: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")] | None = None
    idempotency_key: Annotated[str, Field(min_length=1, max_length=256)] | None = None
    alias: Annotated[str, Field(max_length=64)] | None = None

    @model_validator(mode="after")
    def _one(self) -> RegisterBody:
        if (self.source is None) == (self.upload is None):
            raise ValueError('give either "source" or "upload"')
        return self

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


class PlanBody(BaseModel):
    """A whole plan."""

    model_config = _STRICT
    stable: str = Field(max_length=32)
    note: str = Field("", max_length=1000)
    warm: bool = Field(False, description="Have every node load the versions that the plan names ahead, and keep them.")
    instances: int = Field(
        1, ge=1, le=MAX_INSTANCES, description="How many processes each version that the plan names gets on a node."
    )


class RollbackBody(BaseModel):
    """Which revision to put back; without one, the revision before the present."""

    model_config = _STRICT
    revision: int | None = Field(None, ge=1, le=2**53)


class AliasBody(BaseModel):
    """The version an alias shall name."""

    model_config = _STRICT
    version: str = Field(max_length=32)
