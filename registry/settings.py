"""What an operator may set on the registry, besides what both processes share (``environment.py``)."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from registry.environment import GIB, PlatformSettings, require_consent


class RegistrySettings(PlatformSettings):
    """Settings of the registry. Sizes are bytes, times are seconds unless their name says otherwise."""

    registry_host: str = Field("127.0.0.1", min_length=1, description="The address that the registry listens on.")
    registry_port: int = Field(5000, ge=1, le=65535, description="The port that the registry listens on.")
    database_url: str | None = Field(
        None,
        pattern=r"^(sqlite:///|postgresql(\+psycopg)?://)",
        description="The database, `postgresql://…` or `sqlite:///…`; without it, SQLite below HEADGATE_HOME.",
    )
    reconcile_seconds: float = Field(
        0.5, gt=0, le=60, description="How long the registry waits between two looks at MLflow for new versions."
    )
    upload_bytes: int = Field(
        100 * GIB, ge=1, description="The largest model that may be uploaded, all its files together."
    )
    upload_ttl_hours: float = Field(24, gt=0, description="How many hours an upload that was never committed is kept.")
    predictions_kept: int = Field(
        100_000,
        ge=100,
        le=10_000_000,
        description="How many answered requests of each model are kept for labels; the oldest go first.",
    )
    predictions_days: float = Field(
        7, gt=0, le=365, description="How many days an answered request is kept for labels at most."
    )

    drift_rows: int = Field(
        1000,
        ge=200,
        le=10_000_000,
        description="How many rows a window of live rows must have before it is compared with the baseline.",
    )
    drift_seconds: float = Field(
        300,
        ge=1,
        le=86_400,
        description="How many seconds a window of live rows stays open at least; it is closed after a day in any case.",
    )
    monitoring_days: float = Field(
        30, gt=0, le=3650, description="How many days windows of live rows and their verdicts are kept."
    )
    baseline_bytes: int = Field(
        4 * GIB, ge=1, description="The largest table that a baseline may be made of, as a file."
    )

    @model_validator(mode="after")
    def _need_consent(self) -> Self:
        require_consent(self.registry_host, self.auth, "REGISTRY_HOST")
        return self

    @property
    def database(self) -> str:
        """The database's URL, the default filled in."""
        return self.database_url or f"sqlite:///{self.home.absolute() / 'registry' / 'headgate.db'}"
