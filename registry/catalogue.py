"""Every metric of the registry: name, kind, labels, and one sentence. The page of metrics is made from it.

Not here: counting (``telemetry.py``).
"""

from __future__ import annotations

from registry.edge.exposition import BUILD_INFO, LONG_SECONDS, PROCESS, SECONDS, TRACES, Metric

HTTP_REQUESTS = Metric(
    "headgate_http_requests_total",
    "counter",
    ("route", "method", "code"),
    "Requests that the registry answered, by the route's template (MLflow's too; other: no such route), the method and "
    "the status class.",
)
HTTP_SECONDS = Metric(
    "headgate_http_request_seconds",
    "histogram",
    ("route", "method"),
    "Time from a request's head to the end of its answer; of /registry/v1/snapshot, the wait for a change is part.",
    SECONDS,
)
ADMISSIONS = Metric(
    "headgate_admissions_total", "counter", ("verdict",), "Admissions that ended, by verdict: ready or rejected."
)
ADMISSION_SECONDS = Metric(
    "headgate_admission_seconds",
    "histogram",
    ("verdict",),
    "Time from an admission's claim to its verdict, without what an earlier, postponed try took.",
    LONG_SECONDS,
)
REGISTERED = Metric(
    "headgate_registered_versions",
    "gauge",
    ("state",),
    "Versions by state; pending and checking are those that wait for their admission. Every registry says the same.",
    joins="max",
)
ROLLOUT_SHARE = Metric(
    "headgate_rollout_share_ratio",
    "gauge",
    ("model", "version"),
    "Share of the requests that a rollout gives its version now. Shown by the registry that leads.",
    joins="max",
)
ROLLOUT_EVIDENCE = Metric(
    "headgate_rollout_evidence",
    "gauge",
    ("model", "version", "metric"),
    "Evidence against a rollout's version: the log of the e-value over its limit; 1 ends the rollout.",
    joins="max",
)
ROLLOUTS = Metric(
    "headgate_rollouts_total",
    "counter",
    ("model", "outcome"),
    "Rollouts that ended, by outcome: succeeded, failed, aborted or expired.",
)
NODES = Metric(
    "headgate_nodes",
    "gauge",
    (),
    "Serving nodes that were heard of in the last minute. Every registry says the same.",
    joins="max",
)
NODE_REPORTED = Metric(
    "headgate_node_reported_timestamp_seconds",
    "gauge",
    ("node",),
    "When a node's last report was taken, in seconds since 1970; nodes that were heard of in the last hour.",
    joins="max",
)
SNAPSHOT_REVISION = Metric(
    "headgate_snapshot_revision", "gauge", (), "Revision of the newest snapshot, as nodes are to have it.", joins="max"
)
TURNS = Metric(
    "headgate_background_turns_total",
    "counter",
    ("task", "outcome"),
    "Turns of the registry's own tasks: done, unavailable (a store could not be reached), or failed (a fault of the "
    "platform; its log has the place).",
)
TURN_DONE = Metric(
    "headgate_background_done_timestamp_seconds",
    "gauge",
    ("task",),
    "When a task last did its work, in seconds since 1970: one that stands still has lost its database, S3 or MLflow.",
    joins="max",
)
LEADS = Metric(
    "headgate_leader",
    "gauge",
    ("lease",),
    "1 where this registry holds the lease of the work that one alone does: rollouts, while one goes on.",
)

CATALOGUE: tuple[Metric, ...] = (
    HTTP_REQUESTS,
    HTTP_SECONDS,
    ADMISSIONS,
    ADMISSION_SECONDS,
    REGISTERED,
    ROLLOUT_SHARE,
    ROLLOUT_EVIDENCE,
    ROLLOUTS,
    NODES,
    NODE_REPORTED,
    SNAPSHOT_REVISION,
    TURNS,
    TURN_DONE,
    LEADS,
    TRACES,
    BUILD_INFO,
    *PROCESS,
)
