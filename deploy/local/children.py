"""Which processes `make up` runs, with which command, environment and sign of readiness. Pure.

Order matters: children are started in this order and stopped in reverse, so that nobody loses what it stands on.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from deploy.local.messages import registry_url, serving_url
from deploy.local.settings import LocalSettings

# Requests in flight may take 30 s, their longest; then the process itself needs a moment.
PLATFORM_STOP_SECONDS = 35.0
STORE_STOP_SECONDS = 15.0
LOOPBACK_NAMES = "127.0.0.1,localhost,::1"


@dataclass(frozen=True, slots=True)
class ChildSpec:
    """One process to keep running.

    Args:
        name: What messages and its log file call it.
        argv: Its command.
        env: Its whole environment.
        ready_url: A plain-HTTP URL that answers 200 once it is ready.
        stop_seconds: How long it may take to end after SIGTERM, before SIGKILL.
    """

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(repr=False)
    ready_url: str
    stop_seconds: float


@dataclass(frozen=True, slots=True)
class Store:
    """The S3 that the platform uses: where it is and, for the embedded one, its credentials and its process."""

    endpoint: str
    access_key: str | None = None
    secret_key: str | None = field(default=None, repr=False)
    argv: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)

    @property
    def embedded(self) -> bool:
        """Tell whether it is a process of ours."""
        return bool(self.argv)


def plan_children(settings: LocalSettings, home: Path, store: Store, environ: Mapping[str, str]) -> list[ChildSpec]:
    """Return the processes in the order of their start.

    Args:
        settings: What the user asked for.
        home: The state directory, absolute.
        store: The S3 to use.
        environ: The environment of `make up`, which the processes inherit.
    """
    env = platform_environment(settings, home, store, environ)
    registry = ChildSpec(
        "registry", (sys.executable, "-m", "registry"), env, f"{registry_url(settings)}/readyz", PLATFORM_STOP_SECONDS
    )
    serving = ChildSpec(
        "serving", (sys.executable, "-m", "serving"), env, f"{serving_url(settings)}/readyz", PLATFORM_STOP_SECONDS
    )
    if not store.embedded:
        return [registry, serving]
    seaweedfs = ChildSpec(
        "SeaweedFS", store.argv, store.env, f"{store.endpoint.rstrip('/')}/healthz", STORE_STOP_SECONDS
    )
    return [seaweedfs, registry, serving]


def platform_environment(
    settings: LocalSettings, home: Path, store: Store, environ: Mapping[str, str]
) -> dict[str, str]:
    """Return the environment of the registry and of serving."""
    env = dict(environ)
    if store.access_key is not None and store.secret_key is not None:
        # The embedded store has credentials of its own; with it, nothing of the user's cloud account may leak in.
        env = _without_aws(environ)
        env |= {
            "AWS_ACCESS_KEY_ID": store.access_key,
            "AWS_SECRET_ACCESS_KEY": store.secret_key,
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
        }
    env |= {
        "HEADGATE_HOME": str(home),
        "HEADGATE_REGISTRY_HOST": settings.registry_host,
        "HEADGATE_REGISTRY_PORT": str(settings.registry_port),
        "HEADGATE_SERVING_HOST": settings.serving_host,
        "HEADGATE_SERVING_PORT": str(settings.serving_port),
        "HEADGATE_GRPC_PORT": str(settings.grpc_port),
        "HEADGATE_S3_ENDPOINT": store.endpoint,
        "HEADGATE_S3_BUCKET": settings.s3_bucket,
        "PYTHONUNBUFFERED": "1",
    }
    env.setdefault("HEADGATE_REGISTRY_URL", registry_url(settings))
    # A proxy of the user's must not be asked for addresses of this machine.
    for name in ("NO_PROXY", "no_proxy"):
        env[name] = ",".join(filter(None, (env.get(name, ""), LOOPBACK_NAMES)))
    return env


def names_of(children: Sequence[ChildSpec]) -> list[str]:
    """Return their names, in order."""
    return [child.name for child in children]


def _without_aws(environ: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environ.items() if not name.startswith("AWS_")}
