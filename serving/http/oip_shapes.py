"""What the routes of the Open Inference Protocol answer beside predicting, as pydantic models for the OpenAPI document.

Not here: what predicting answers (the lane writes that).
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field


class ServerMetadata(BaseModel):
    """Which server this is, and what of the protocol it can do."""

    name: str
    version: str
    extensions: list[str]


class Health(BaseModel):
    """Clients read one key or the other, or the status alone."""

    live: bool = True
    ready: bool = True


class NotReady(Health):
    """Why this node cannot serve."""

    error: str


class ModelNames(BaseModel):
    """All models."""

    models: list[str]


class ModelReady(BaseModel):
    """Whether a version may be asked on this node."""

    name: str
    ready: bool = True


class ModelNotReady(ModelReady):
    """Why it may not."""

    error: str


class TensorView(BaseModel):
    """One tensor; -1 is any length."""

    name: str
    datatype: str
    shape: list[int]


class ModelMetadata(BaseModel):
    """What a model takes and answers, by one version of it."""

    name: str
    versions: list[str] = Field(description="Those that may answer, oldest first; the newest 1,000.")
    platform: str = Field(description="`onnx_onnxv1`, or `mlflow_` and the flavour.")
    inputs: list[TensorView]
    outputs: list[TensorView] = Field(description="Empty where nobody knows before the model has answered.")


class ConfigTensor(BaseModel):
    """One tensor in Triton's words."""

    name: str
    data_type: str
    dims: list[int]


class ModelConfig(BaseModel):
    """A model's configuration in Triton's words."""

    name: str
    platform: str
    backend: str
    version_policy: dict[str, Any]
    max_batch_size: int = Field(description="0: the dimension of the batch is one of `dims`.")
    input: list[ConfigTensor]
    output: list[ConfigTensor]
    instance_group: list[dict[str, Any]]


class IndexRow(BaseModel):
    """How one version stands on this node."""

    name: str
    version: str
    state: Literal["READY", "UNAVAILABLE", "LOADING", "UNLOADING"]
    reason: str = ""


class Duration(BaseModel):
    """How often, and how many nanoseconds in all."""

    count: int
    ns: int


class InferenceStats(BaseModel):
    """Where the time of requests went."""

    success: Duration
    fail: Duration
    queue: Duration = Field(description="The wait for the version: its load, where there was one.")
    compute_input: Duration = Field(description="Reading the body and fitting it to the signature.")
    compute_infer: Duration = Field(description="From there to the model's answer, its turn in a batch included.")
    compute_output: Duration = Field(description="Writing the answer.")
    cache_hit: Duration = Field(description="Always 0: there is no cache of answers.")
    cache_miss: Duration = Field(description="Always 0.")


class BatchStats(BaseModel):
    """Runs of batches of one size."""

    batch_size: int
    compute_input: Duration = Field(description="Always 0: it is counted by request.")
    compute_infer: Duration = Field(description="The runs alone, without waiting.")
    compute_output: Duration = Field(description="Always 0: it is counted by request.")


class MemoryUsage(BaseModel):
    """Private memory of a loaded version."""

    type: str = "CPU"
    id: int = 0
    byte_size: int


class ModelStats(BaseModel):
    """What one version has done on this node, over all protocols, since its process began."""

    name: str
    version: str
    last_inference: int = Field(description="Milliseconds since the epoch; 0 for never.")
    inference_count: int = Field(description="Rows that were answered.")
    execution_count: int = Field(description="Runs of the model: of batches, where requests share them.")
    inference_stats: InferenceStats
    batch_stats: list[BatchStats]
    memory_usage: list[MemoryUsage]


class Stats(BaseModel):
    """Statistics of versions."""

    model_stats: list[ModelStats]


class Loaded(BaseModel):
    """The versions that the plan asks are loaded."""

    name: str
    load: bool = True


class Unloaded(BaseModel):
    """All versions are unloaded, or will be once their last request is over."""

    name: str
    unload: bool = True
