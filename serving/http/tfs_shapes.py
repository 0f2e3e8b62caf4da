"""What the routes of TensorFlow Serving and KServe V1 beside the lane answer, as pydantic models.

Not here: what the lane answers (``openapi_tfs.py``).
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field


class StatusAlive(BaseModel):
    """KServe's liveness."""

    status: str = "alive"


class ModelNames(BaseModel):
    """KServe's list of models."""

    models: list[str]


class VersionCondition(BaseModel):
    """Why a version is where it is."""

    error_code: str = Field(description="OK, or one of TensorFlow Serving's codes.")
    error_message: str


class VersionStatus(BaseModel):
    """Where a version stands on this node, in TensorFlow Serving's words."""

    version: str
    state: str = Field(description="START, LOADING, AVAILABLE, UNLOADING or END; AVAILABLE may have to be loaded yet.")
    status: VersionCondition


class VersionStatuses(BaseModel):
    """Versions, newest first."""

    model_version_status: list[VersionStatus]


class ModelStatus(VersionStatuses):
    """TensorFlow Serving's status of a model, and KServe's readiness of it."""

    name: str
    ready: bool = Field(description="Whether the version that the plan chooses can answer.")


class ModelSpec(BaseModel):
    """Of whom the metadata tell."""

    name: str
    signature_name: str
    version: str


class ModelMetadata(BaseModel):
    """What a version takes and answers, as TensorFlow's SignatureDef in JSON."""

    model_spec: ModelSpec
    metadata: dict[str, Any] = Field(description="signature_def, with the signature serving_default.")
