"""The names of all ``HEADGATE_…`` environment variables, so that any process can refuse one that none of them reads.

Each name's sentence, type and default stand with its owner (``registry/settings.py``, ``serving/settings.py``, the
client's ``settings``); a test holds this list equal to theirs.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

PREFIX = "HEADGATE_"

KNOWN: frozenset[str] = frozenset(
    PREFIX + name
    for name in (
        # both processes and `make up`
        "HOME", "AUTH", "LOG_LEVEL", "ALLOWED_HOSTS", "S3_ENDPOINT", "S3_BUCKET", "S3_REGION",
        "OTLP_ENDPOINT", "OTLP_SAMPLE",
        # registry
        "REGISTRY_HOST", "REGISTRY_PORT", "DATABASE_URL", "RECONCILE_SECONDS", "UPLOAD_BYTES", "UPLOAD_TTL_HOURS",
        "DRIFT_ROWS", "DRIFT_SECONDS", "MONITORING_DAYS",
        "BASELINE_BYTES",
        "PREDICTIONS_KEPT", "PREDICTIONS_DAYS",
        # serving
        "SERVING_HOST", "SERVING_PORT", "GRPC_PORT", "REGISTRY_URL", "CACHE_BYTES", "BODY_BYTES", "JSON_DEPTH",
        "INPUT_VALUES",
        "RESPONSE_BYTES", "REQUEST_SECONDS", "LOAD_SECONDS", "QUEUE_ROWS", "MAX_BATCH_ROWS", "MEMORY_BUDGET_BYTES",
        "HOST_MEMORY_BYTES", "STORE_INPUTS", "SANDBOX", "INLINE", "WORKERS", "NODE_NAME", "WINDOW_SECONDS",
        "PREDICTIONS_SAMPLE", "STREAM_SECONDS",
        "MONITOR", "MONITOR_REQUESTS", "CAPTURE_SAMPLE", "CAPTURE_MODELS", "CAPTURE_REDACT", "DEFAULT_MODEL",
        # clients
        "SERVING_URL", "API_KEY", "TIMEOUT_SECONDS",
    )
)  # fmt: skip


def unknown_variables(names: Iterable[str]) -> list[str]:
    """Return one sentence for each ``HEADGATE_…`` name that nothing reads, with the nearest that something does."""
    complaints = []
    for name in sorted(names):
        if name.startswith(PREFIX) and name not in KNOWN:
            near = difflib.get_close_matches(name, KNOWN, n=1, cutoff=0.5)
            hint = f"; did you mean {near[0]}?" if near else "; docs/reference/settings.md lists them all"
            complaints.append(f"unknown setting {name}{hint}")
    return complaints
