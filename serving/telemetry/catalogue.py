"""Every metric of a serving node: name, kind, labels, and one sentence. The page of metrics is made from it.

Not here: counting (``metrics.py``).
"""

from __future__ import annotations

from registry.edge.exposition import BUILD_INFO, LONG_SECONDS, PROCESS, SECONDS, TRACES, Metric

_PAIR = ("model", "version")
_ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 4096, 16384)

REQUESTS = Metric(
    "headgate_requests_total", "counter", (*_PAIR, "arm", "protocol", "code"), "Requests answered, by status class."
)
REQUEST_SECONDS = Metric(
    "headgate_request_seconds", "histogram", _PAIR, "Time from the whole body to the answer of successes.", SECONDS
)
STAGE_SECONDS = Metric(
    "headgate_stage_seconds",
    "histogram",
    (*_PAIR, "stage"),
    "Time in each stage of a success: decode, queue (waiting for the version), predict, encode.",
    SECONDS,
)
REFUSED = Metric(
    "headgate_refused_total",
    "counter",
    ("model", "reason"),
    "Requests refused with 429 or 503, and those whose time was over before their turn (expired), by the reason in the "
    "error's details, or by its code.",
)
BATCH_ROWS = Metric("headgate_batch_rows", "histogram", _PAIR, "Rows that a model got at once.", _ROWS)
QUEUE_ROWS = Metric("headgate_queue_rows", "gauge", _PAIR, "Rows that wait for a loaded version.")
VERSIONS = Metric("headgate_versions", "gauge", ("state",), "Versions by their state on this node.")
MEMORY = Metric(
    "headgate_version_memory_bytes",
    "gauge",
    _PAIR,
    "Private memory of a loaded version; versions of the same bytes share a process, and each shows it.",
)
MEMORY_BUDGET = Metric(
    "headgate_memory_budget_bytes", "gauge", (), "How much private memory all loaded versions may take."
)
LOAD_SECONDS = Metric("headgate_load_seconds", "histogram", _PAIR, "Time to load a version.", LONG_SECONDS)
LOAD_FAILURES = Metric(
    "headgate_load_failures_total", "counter", (*_PAIR, "code"), "Loads that failed, by the error's code."
)
UNLOADS = Metric(
    "headgate_unloads_total", "counter", ("reason",), "Versions unloaded: unwanted, operator, evicted, or died."
)
RESTARTS = Metric(
    "headgate_host_restarts_total",
    "counter",
    (*_PAIR, "reason"),
    "Processes of versions that ended by themselves: died (the only one, or the last), loading (while the version was "
    "loaded), or instance (others of the version are left).",
)
READERS_LOST = Metric(
    "headgate_table_readers_lost_total", "counter", ("reason",), "Table readers that a body ended: died, or too slow."
)
SHADOWED = Metric(
    "headgate_shadow_total",
    "counter",
    (*_PAIR, "outcome"),
    "Copies for a shadow by what became of them: compared, incomparable (other outputs or shapes), error, timeout, "
    "not_loaded, dropped.",
)
SHADOW_DIFFERENCE = Metric(
    "headgate_shadow_difference",
    "gauge",
    _PAIR,
    "Share of a shadow's compared answers in which any value differed, lately: each of the last 1,000 or so counts.",
    joins="max",
)
PLAN_REVISION = Metric("headgate_plan_revision", "gauge", ("model",), "Revision of the plan in force.", joins="max")
SNAPSHOT_REVISION = Metric(
    "headgate_snapshot_revision", "gauge", (), "Revision of the snapshot that this node has.", joins="max"
)
PLANS_WAITING = Metric(
    "headgate_plans_waiting",
    "gauge",
    (),
    "Models whose newest plan or alias waits for a version to be loaded here.",
    joins="max",
)
SNAPSHOT_AGE = Metric(
    "headgate_snapshot_age_seconds",
    "gauge",
    (),
    "Time since the registry last confirmed the snapshot; NaN where it never did.",
    joins="max",
)
REPORT_AGE = Metric(
    "headgate_report_age_seconds",
    "gauge",
    (),
    "Time since the registry last took a report of this node; NaN where it never did.",
    joins="max",
)
COUNTS_LOST = Metric(
    "headgate_counts_lost_total",
    "counter",
    ("reason",),
    "Requests to compared versions, copies for shadows, and rows watched for drift, whose counts the registry will "
    "never have: full (it was away for too long), refused (it did not take the report), busy (they came faster than "
    "they were counted), large (of a large request only some rows are counted), sampled (of more than "
    "HEADGATE_MONITOR_REQUESTS a second only some requests are), no_baseline (their baseline could not "
    "be fetched), or fault (counting them failed); and predictions: answers that labels cannot join, because there "
    "were too many.",
)
CAPTURED = Metric(
    "headgate_capture_total",
    "counter",
    ("outcome",),
    "Requests drawn for capture by what became of them: stored, dropped (no room), or failed (could not be written or "
    "stored).",
)
CACHED = Metric("headgate_artifact_cache_bytes", "gauge", (), "Bytes of artifacts that are kept on disk.")

CATALOGUE: tuple[Metric, ...] = (
    REQUESTS,
    REQUEST_SECONDS,
    STAGE_SECONDS,
    BATCH_ROWS,
    QUEUE_ROWS,
    REFUSED,
    VERSIONS,
    MEMORY,
    MEMORY_BUDGET,
    LOAD_SECONDS,
    LOAD_FAILURES,
    UNLOADS,
    RESTARTS,
    READERS_LOST,
    SHADOWED,
    SHADOW_DIFFERENCE,
    PLAN_REVISION,
    SNAPSHOT_REVISION,
    PLANS_WAITING,
    SNAPSHOT_AGE,
    REPORT_AGE,
    COUNTS_LOST,
    CAPTURED,
    CACHED,
    TRACES,
    BUILD_INFO,
    *PROCESS,
)
