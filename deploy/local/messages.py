"""What `make up` says, as text. Pure: printing is ``deploy/local/__main__.py``'s part."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from pathlib import Path

from deploy.local.settings import LocalSettings

TAIL_LINES = 12
_CLIENTS_DEFAULTS = ("http://127.0.0.1:5000", "http://127.0.0.1:8080")


def reachable(host: str) -> str:
    """Return the address under which this machine itself reaches a listener on ``host``, ready for a URL."""
    if host in ("0.0.0.0", ""):  # noqa: S104 - compared, not bound
        return "127.0.0.1"
    if host == "::":
        return "[::1]"
    return f"[{host}]" if ":" in host else host


def registry_url(settings: LocalSettings) -> str:
    """Return the registry's URL as seen from this machine."""
    return f"http://{reachable(settings.registry_host)}:{settings.registry_port}"


def serving_url(settings: LocalSettings) -> str:
    """Return serving's URL as seen from this machine."""
    return f"http://{reachable(settings.serving_host)}:{settings.serving_port}"


def grpc_address(settings: LocalSettings) -> str:
    """Return where serving speaks gRPC, as clients of it are told: without a scheme."""
    return f"{reachable(settings.serving_host)}:{settings.grpc_port}"


def ready_text(settings: LocalSettings, home: Path, seconds: float) -> str:
    """Return the block that is printed once everything is ready."""
    registry, serving = registry_url(settings), serving_url(settings)
    database = "SQLite" if settings.database_url is None else "PostgreSQL"
    store = "SeaweedFS" if settings.s3_endpoint is None else f"an S3 of yours, bucket {settings.s3_bucket}"
    return "\n".join(
        (
            f"Headgate is ready ({seconds:.1f} s).",
            "",
            f"  MLflow UI     {registry}",
            f"  Registry API  {registry}/docs",
            f"  Serving       {serving}/docs",
            *((f"  gRPC          {grpc_address(settings)}",) if settings.grpc_port else ()),
            f"  State         {home} ({database}, {store})",
            f"  Logs          {home / 'logs'}",
            "",
            "Try it, in another terminal (Ctrl-C here stops everything):",
            *_exports(settings),
            f"  MLFLOW_TRACKING_URI={registry} .venv/bin/python docs/examples/train.py",
            "  .venv/bin/headgate status",
            f"  curl {serving}/models",
        )
    )


def _exports(settings: LocalSettings) -> tuple[str, ...]:
    """Return what tells the client where everything is, for a shell; nothing where it would look there anyway."""
    registry, serving = registry_url(settings), serving_url(settings)
    if (registry, serving) == _CLIENTS_DEFAULTS:
        return ()
    return (f"  export HEADGATE_REGISTRY_URL={registry} HEADGATE_SERVING_URL={serving}",)


def starting_text(names: Sequence[str], home: Path) -> str:
    """Return the first line."""
    return f"Starting {', '.join(names)} (state and logs in {home}) ..."


def died_text(name: str, status: int | None, delay: float, log: Path) -> str:
    """Return the line about a child that ended by itself; ``status`` as subprocess tells it, None: never started."""
    again = f"starting it again in {delay:g} s (log: {log})"
    return f"{name} could not be started; {again}" if status is None else f"{name} {ending(status)}; {again}"


def refused_text(name: str, tail: Sequence[str]) -> str:
    """Return what is said of a child that refused its settings."""
    return f"{name} refuses to start:\n{quoted(tail)}"


def tail_text(name: str, tail: Sequence[str]) -> str:
    """Return the last lines of a child that keeps failing."""
    return f"the last lines of {name}:\n{quoted(tail)}"


def waiting_text(names: Sequence[str], seconds: float, logs: Path) -> str:
    """Return the line for a start that takes long."""
    return f"still waiting for {', '.join(names)} after {seconds:.0f} s (logs: {logs})"


def ending(status: int) -> str:
    """Return how a process ended, in words."""
    if status >= 0:
        return f"ended with exit code {status}"
    try:
        return f"was killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"was killed by signal {-status}"


def quoted(lines: Sequence[str]) -> str:
    """Return log lines indented and safe for a terminal: a log may hold escape sequences."""
    kept = lines[-TAIL_LINES:] or ("(it wrote nothing)",)
    return "\n".join("  | " + "".join(c if c.isprintable() else "?" for c in line)[:400] for line in kept)
