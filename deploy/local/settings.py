"""The settings that `make up` uses itself: where state lives, who listens where, which S3.

Everything else passes through to the processes, which check their own (``registry/settings.py``,
``serving/settings.py``). Not here: looking whether a directory or port can be had (``deploy/local/home.py``).
"""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from registry.environment import PlatformSettings, require_consent


class StartError(Exception):
    """`make up` cannot run as asked; each line says what is wrong and what would be right."""

    def __init__(self, *lines: str) -> None:
        super().__init__(*lines)
        self.lines = lines


class LocalSettings(PlatformSettings):
    """What `make up` reads of the environment."""

    registry_host: str = Field("127.0.0.1", min_length=1, description="The address that the registry listens on.")
    registry_port: int = Field(5000, ge=1, le=65535, description="The port that the registry listens on.")
    serving_host: str = Field("127.0.0.1", min_length=1, description="The address that the serving node listens on.")
    serving_port: int = Field(8080, ge=1, le=65535, description="The port that the serving node listens on.")
    grpc_port: int = Field(
        8081,
        ge=0,
        le=65535,
        description="The port on which the serving node speaks gRPC (Open Inference Protocol); 0 turns that off.",
    )
    database_url: str | None = Field(
        None, description="The database, `postgresql://…` or `sqlite:///…`; without it, SQLite below HEADGATE_HOME."
    )

    @model_validator(mode="after")
    def _can_be_together(self) -> Self:
        used: dict[int, str] = {}
        for name in ("registry_port", "serving_port", "grpc_port"):
            port, variable = getattr(self, name), f"HEADGATE_{name.upper()}"
            if port in used:
                raise ValueError(f"{used[port]} and {variable} are both {port}; they must differ")
            used[port] = variable
        require_consent(self.registry_host, self.auth, "REGISTRY_HOST")
        require_consent(self.serving_host, self.auth, "SERVING_HOST")
        return self
