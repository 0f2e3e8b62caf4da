"""This client's settings: each has one environment variable, one sentence, one type, one default.

``SETTINGS`` is what ``docs/reference/settings.md`` and ``headgate doctor`` read. Arguments win over the environment.
Not here: the settings of the platform's processes; of those only the names are known, so that ``doctor`` can tell
a misspelt variable from somebody else's.
"""

from __future__ import annotations

import difflib
import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from headgate.errors import BadSettings

PREFIX = "HEADGATE_"
ARGUMENT, DEFAULT = "argument", "default"


@dataclass(frozen=True, slots=True)
class Setting:
    """One environment variable of this client.

    Attributes:
        name: The variable.
        sentence: What it does.
        type: ``URL``, ``text`` or ``seconds``.
        default: What holds without it; empty for nothing.
    """

    name: str
    sentence: str
    type: str
    default: str


SETTINGS: tuple[Setting, ...] = (
    Setting(
        "HEADGATE_REGISTRY_URL",
        "Base URL of the registry; without it, HEADGATE_REGISTRY_PORT on this machine, if that is set.",
        "URL",
        "http://127.0.0.1:5000",
    ),
    Setting(
        "HEADGATE_SERVING_URL",
        "Base URL of serving; without it, HEADGATE_SERVING_PORT on this machine, if that is set.",
        "URL",
        "http://127.0.0.1:8080",
    ),
    Setting("HEADGATE_API_KEY", "API key that is sent to both as a bearer token; without it none is sent.", "text", ""),
    Setting("HEADGATE_TIMEOUT_SECONDS", "Longest wait for one answer.", "seconds", "60"),
)

PLATFORM_VARIABLES: frozenset[str] = frozenset(
    PREFIX + name
    for name in (
        "HOME", "AUTH", "LOG_LEVEL", "ALLOWED_HOSTS", "S3_ENDPOINT", "S3_BUCKET", "S3_REGION",
        "OTLP_ENDPOINT", "OTLP_SAMPLE",
        "REGISTRY_HOST", "REGISTRY_PORT", "DATABASE_URL", "RECONCILE_SECONDS", "UPLOAD_BYTES", "UPLOAD_TTL_HOURS",
        "DRIFT_ROWS", "DRIFT_SECONDS", "MONITORING_DAYS",
        "BASELINE_BYTES",
        "PREDICTIONS_KEPT", "PREDICTIONS_DAYS", "PREDICTIONS_SAMPLE",
        "SERVING_HOST", "SERVING_PORT", "GRPC_PORT", "CACHE_BYTES", "BODY_BYTES", "JSON_DEPTH", "INPUT_VALUES",
        "RESPONSE_BYTES", "REQUEST_SECONDS", "LOAD_SECONDS", "QUEUE_ROWS", "MAX_BATCH_ROWS", "MEMORY_BUDGET_BYTES",
        "HOST_MEMORY_BYTES", "STORE_INPUTS", "SANDBOX", "INLINE", "WORKERS", "NODE_NAME", "WINDOW_SECONDS",
        "STREAM_SECONDS",
        "MONITOR", "MONITOR_REQUESTS", "CAPTURE_SAMPLE", "CAPTURE_MODELS", "CAPTURE_REDACT", "DEFAULT_MODEL",
    )
)  # fmt: skip
"""Variables of the platform's own processes, which may stand in the same environment."""

_DEFAULTS = {setting.name: setting.default for setting in SETTINGS}
_LONGEST_SECONDS = 86_400.0


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings, checked: URLs without a final slash, the timeout in seconds. The key never shows in a ``repr``.

    Attributes:
        registry_origin: Where the registry's URL came from: ``argument``, a variable's name, or ``default``.
        serving_origin: The same for serving's.
    """

    registry_url: str
    serving_url: str
    api_key: str | None = field(default=None, repr=False)
    timeout: float = 60.0
    registry_origin: str = DEFAULT
    serving_origin: str = DEFAULT


def resolve(
    registry_url: str | None = None,
    serving_url: str | None = None,
    *,
    api_key: str | None = None,
    timeout: float | None = None,
    environment: Mapping[str, str] | None = None,
) -> Settings:
    """Return the settings in force: an argument, else its variable (an empty one counts as unset), else its default.

    A URL is also made of the port that the process on this machine listens on, where only that variable is set.

    Raises:
        BadSettings: Where one cannot be used; the message names the argument or the variable.
    """
    env = os.environ if environment is None else environment

    def read(argument: str | None, label: str, variable: str) -> tuple[str, str]:
        if argument is not None:
            return argument, label
        return env.get(variable) or _DEFAULTS[variable], variable

    key, key_label = read(api_key, "api_key", "HEADGATE_API_KEY")
    seconds, seconds_label = read(None if timeout is None else str(timeout), "timeout", "HEADGATE_TIMEOUT_SECONDS")
    registry, registry_origin = _place(registry_url, "registry", env)
    serving, serving_origin = _place(serving_url, "serving", env)
    return Settings(
        registry, serving, _key(key, key_label), _seconds(seconds, seconds_label), registry_origin, serving_origin
    )


def url_variable(process: str) -> str:
    """Return the variable that holds the URL of ``registry`` or ``serving``."""
    return f"{PREFIX}{process.upper()}_URL"


def unknown_variables(names: Iterable[str]) -> list[str]:
    """Return one sentence for each ``HEADGATE_…`` name that nothing reads, with the nearest that something does."""
    known = PLATFORM_VARIABLES | _DEFAULTS.keys()
    complaints = []
    for name in sorted(names):
        if name.startswith(PREFIX) and name not in known:
            near = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.5)
            complaints.append(f"nothing reads {name}" + (f"; did you mean {near[0]}?" if near else ""))
    return complaints


def _place(argument: str | None, process: str, env: Mapping[str, str]) -> tuple[str, str]:
    """Return a process's URL and where it came from."""
    variable, port_variable = url_variable(process), f"{PREFIX}{process.upper()}_PORT"
    if argument is not None:
        return _url(argument, f"{process}_url"), ARGUMENT
    if given := env.get(variable):
        return _url(given, variable), variable
    if port := env.get(port_variable):
        return f"http://127.0.0.1:{_port(port, port_variable)}", port_variable
    return _DEFAULTS[variable], DEFAULT


def _port(raw: str, label: str) -> int:
    if not (raw.isascii() and raw.isdecimal() and len(raw) <= 5 and 0 < int(raw) < 65536):
        raise BadSettings(f"{label} must be a port from 1 to 65535; or set the URL itself, with …_URL")
    return int(raw)


def _url(raw: str, label: str) -> str:
    wanted = f"{label} must be a URL such as http://127.0.0.1:5000"
    try:
        parts = urlsplit(raw)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise BadSettings(f"{wanted}; {error}") from error
    if parts.scheme not in ("http", "https") or not host or any(c.isspace() or not c.isprintable() for c in raw):
        raise BadSettings(f"{wanted}, with http:// or https:// and a host")
    if parts.username is not None or parts.password is not None:
        raise BadSettings(f"{label} must not hold a user or password; HEADGATE_API_KEY is where a key belongs")
    if parts.query or parts.fragment:
        raise BadSettings(f"{wanted}, with no '?' or '#'")
    return raw.rstrip("/")


def _key(raw: str, label: str) -> str | None:
    if not all(33 <= ord(c) < 127 for c in raw):
        raise BadSettings(
            f"{label} holds a space, a line break or a character outside ASCII; copy the key again, alone"
        )
    return raw or None


def _seconds(raw: str, label: str) -> float:
    try:
        seconds = float(raw)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds <= _LONGEST_SECONDS:
        raise BadSettings(f"{label} must be a number of seconds, above 0 and at most {_LONGEST_SECONDS:.0f}")
    return seconds
