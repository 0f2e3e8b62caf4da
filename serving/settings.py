"""What an operator may set on a serving node, besides what both processes share (``registry/environment.py``)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from registry.environment import GIB, MIB, HttpUrl, Names, PlatformSettings, require_consent
from registry.errors import HeadgateError
from registry.records import parse_target


def _target(raw: object) -> object:
    if isinstance(raw, str):
        try:
            parse_target(raw)
        except HeadgateError as error:
            raise ValueError(f"write a name, name@alias or name/version: {error.message}") from None
    return raw


Target = Annotated[str, BeforeValidator(_target)]
"""A model, perhaps with an alias or a version of it."""


class ServingSettings(PlatformSettings):
    """Settings of a serving node. Sizes are bytes, times are seconds."""

    serving_host: str = Field("127.0.0.1", min_length=1, description="The address that the serving node listens on.")
    serving_port: int = Field(8080, ge=1, le=65535, description="The port that the serving node listens on.")
    grpc_port: int = Field(
        8081,
        ge=0,
        le=65535,
        description="The port on which the serving node speaks gRPC (Open Inference Protocol); 0 turns that off.",
    )
    registry_url: HttpUrl = Field("http://127.0.0.1:5000", description="Where a serving node finds the registry.")
    cache_bytes: int = Field(
        20 * GIB, ge=MIB, description="How many bytes of artifacts a serving node keeps on disk beyond those in use."
    )
    body_bytes: int = Field(16 * MIB, ge=1024, description="The largest request body, after expansion.")
    json_depth: int = Field(64, ge=4, le=512, description="How deeply a JSON body may nest.")
    input_values: int = Field(10_000_000, ge=1, description="How many values one request may hold.")
    response_bytes: int = Field(256 * MIB, ge=1024, description="The largest answer.")
    request_seconds: float = Field(30.0, gt=0, le=3600, description="How long one request may take in all.")
    stream_seconds: float = Field(
        300.0,
        gt=0,
        le=86_400,
        description="How long a streamed answer may take in all; each of its pieces has `HEADGATE_REQUEST_SECONDS`.",
    )
    load_seconds: float = Field(60.0, gt=0, le=3600, description="How long loading one version may take.")
    queue_rows: int = Field(1024, ge=1, description="How many rows may wait for a version before requests are refused.")
    max_batch_rows: int = Field(
        256, ge=1, description="The most rows of several requests that a model gets at once; 1 turns batching off."
    )
    memory_budget_bytes: int | None = Field(
        None,
        ge=64 * MIB,
        description="How much private memory all loaded versions may take; without it, 70 % of what the machine or its "
        "control group grants.",
    )
    host_memory_bytes: int | None = Field(
        None,
        ge=64 * MIB,
        description="How much memory one version's process may take; without it, as much as all versions together.",
    )
    store_inputs: bool = Field(
        False,
        description="Whether inputs and answers may be kept: a few on which a shadow differs, for the operator.",
    )
    sandbox: Literal["auto", "required", "off"] = Field(
        "auto",
        description="How model processes are confined: `auto` applies what the system allows and warns of the rest, "
        "`required` loads no model where something is missing, `off` confines nothing beyond the process.",
    )
    workers: int = Field(
        1,
        ge=1,
        le=64,
        description="How many serving processes share the port, each with its share of memory and disk and with "
        "processes of its own for each version; for machines that have processors left when one is busy.",
    )
    node_name: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9._:-]{1,128}$",
        description="What the registry calls this node; without it, the machine's name and the port. Each of several "
        "workers adds its number.",
    )
    window_seconds: float = Field(
        10.0,
        ge=0.2,
        le=30,
        description="How often a node reports to the registry what it serves and how compared versions did.",
    )
    predictions_sample: float = Field(
        1.0,
        ge=0,
        le=1,
        description="The share of requests whose predictions are kept for labels, by a hash of the request's id; 0 "
        "keeps none.",
    )
    monitor: bool = Field(
        True,
        description="Whether a node counts the rows that versions are asked about and what they predict, for drift and "
        "live quality.",
    )
    monitor_requests: int = Field(
        3000,
        ge=1,
        description="Of how many requests a second a node counts all rows; of more it counts those of every second, "
        "fourth or eighth request, and so on.",
    )
    capture_sample: float = Field(
        0.0, ge=0, le=1, description="Which share of requests is kept, with its answers, as Parquet in S3."
    )
    capture_models: Names = Field(
        (), description="The models whose requests are captured, separated by commas; all without any."
    )
    capture_redact: Names = Field(
        (), description="Columns, separated by commas, whose values are left out of what is captured."
    )
    default_model: Target | None = Field(
        None,
        description="Which model answers at `/invocations`, as MLflow's server and SageMaker's containers have it: its "
        "name, `name@alias` or `name/version`; without it nothing answers there.",
    )
    inline: bool = Field(
        True, description="Whether ONNX graphs that are known to be harmless may run in the serving process itself."
    )

    @model_validator(mode="after")
    def _need_consent(self) -> Self:
        if self.serving_port == self.grpc_port:
            raise ValueError(
                f"HEADGATE_SERVING_PORT and HEADGATE_GRPC_PORT are both {self.grpc_port}; they must differ"
            )
        require_consent(self.serving_host, self.auth, "SERVING_HOST")
        return self


def load_settings(environ: Mapping[str, str]) -> ServingSettings:
    """Return the settings; raise SettingsProblem for unknown names and values that cannot be."""
    return ServingSettings.load(environ)
