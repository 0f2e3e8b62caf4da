"""Settings that both processes share, and how any process reads its own from the environment.

Each setting has one environment variable, one sentence and one validated type. Shared by registry, serving and
``make up``; what belongs to one of them alone stands in its own ``settings.py``. Nothing else reads the environment
(S3 credentials aside, which come the way every AWS client finds them).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from registry.variables import PREFIX, unknown_variables

MIB = 1024 * 1024
GIB = 1024 * MIB
_TRACES = ("opentelemetry.sdk.trace", "opentelemetry.exporter.otlp.proto.http.trace_exporter")


class SettingsProblem(Exception):
    """The environment asks for something that cannot be done; ``lines`` has one sentence for each problem."""

    def __init__(self, lines: list[str]) -> None:
        super().__init__("; ".join(lines))
        self.lines = lines


def _split(raw: object) -> object:
    return tuple(part.strip() for part in raw.split(",") if part.strip()) if isinstance(raw, str) else raw


def _http_url(raw: object) -> object:
    if isinstance(raw, str) and raw:
        parts = urlsplit(raw)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("write a URL that begins with http:// or https:// and names a host")
        return raw.rstrip("/")
    return raw


HttpUrl = Annotated[str, BeforeValidator(_http_url)]
Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]
"""A list, separated by commas."""


class PlatformSettings(BaseSettings):
    """Settings that registry and serving share."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid", hide_input_in_errors=True)

    home: Path = Field(Path("var"), description="The directory that holds this machine's state.")
    auth: Literal["off"] | None = Field(
        None,
        description="Say `off` to listen on an address other than loopback although there is no access control yet.",
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", description="The least severe log lines to write; at DEBUG, serving writes one for every request."
    )
    allowed_hosts: Names = Field(
        (), description="Host names, separated by commas, that requests may bear besides loopback ones; `*` admits all."
    )
    otlp_endpoint: HttpUrl | None = Field(
        None,
        description="Where traces go: the base URL of an OTLP/HTTP collector; without it nothing is traced. Needs the "
        "extra `otel`.",
    )
    otlp_sample: float = Field(
        0.1, ge=0, le=1, description="The share of requests to trace, of those whose caller does not say."
    )
    s3_endpoint: HttpUrl | None = Field(
        None, description="The URL of the S3 service; without it, the one that the AWS configuration names."
    )
    s3_bucket: str = Field(
        "headgate", pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", description="The bucket that holds all artifacts."
    )
    s3_region: str = Field("us-east-1", min_length=1, description="The region that requests to S3 are signed for.")

    @field_validator("otlp_endpoint")
    @classmethod
    def _need_the_extra(cls, endpoint: str | None) -> str | None:
        if endpoint is not None and not can_trace():
            raise ValueError(
                "this installation cannot send traces: install its extra (pip install '.[otel]'), or leave it unset"
            )
        return endpoint

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        *_: PydanticBaseSettingsSource,
        **__: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take what ``load`` hands in and nothing else, so that tests need not touch the environment."""
        return (init_settings,)

    @classmethod
    def load(cls, environ: Mapping[str, str]) -> Self:
        """Return the settings; raise SettingsProblem for unknown names and values that cannot be.

        A variable that is set but empty counts as not set, which is how compose files leave one out.
        """
        problems = unknown_variables(environ)
        names = {PREFIX + name.upper(): name for name in cls.model_fields}
        given: dict[str, Any] = {names[name]: value for name, value in environ.items() if name in names and value}
        try:
            settings = cls(**given)
        except ValidationError as error:
            found = error.errors(include_input=False, include_url=False)
            problems += [_sentence(str(e["loc"][0]) if e["loc"] else "", e["msg"]) for e in found]
        if problems:
            raise SettingsProblem(problems)
        return settings


def can_trace() -> bool:
    """Tell whether the extra ``otel`` is installed."""
    try:
        return all(find_spec(name) is not None for name in _TRACES)
    except ModuleNotFoundError:  # not even the package above it
        return False


def platform_version() -> str:
    """Return the version of the installed platform."""
    try:
        return version("headgate-platform")
    except PackageNotFoundError:
        return "0"


def require_consent(host: str, auth: str | None, variable: str) -> None:
    """Raise ValueError for an address that others can reach, unless access control was waived in so many words."""
    if auth is None and not is_loopback(host):
        raise ValueError(
            f"{PREFIX}{variable} is not a loopback address, and there is no access control yet: "
            f"use 127.0.0.1, or say {PREFIX}AUTH=off as well"
        )


def is_loopback(host: str) -> bool:
    """Tell whether only this machine can reach ``host``."""
    try:
        return host == "localhost" or ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _sentence(name: str, message: str) -> str:
    message = message.removeprefix("Value error, ")
    return f"{PREFIX}{name.upper()}: {message[:1].lower()}{message[1:]}" if name else message
