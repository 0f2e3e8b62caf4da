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
    "1 where this registry holds the lease of the work that one alone does: rollouts, while one goes on, and monitor.",
)

_OF_A_FEATURE = ("model", "version", "feature")
_NEWEST = "in the newest judged window of its version's live rows"
DRIFT = (
    Metric(
        "headgate_drift_psi",
        "gauge",
        _OF_A_FEATURE,
        f"Population stability index of a feature {_NEWEST}, beside the baseline. Every registry says the same; the "
        "prediction and the features that moved most are shown, and the rest as other.",
        joins="max",
    ),
    Metric(
        "headgate_drift_psi_critical",
        "gauge",
        _OF_A_FEATURE,
        "Index above which it is drift, for as many rows as that window has.",
        joins="max",
    ),
    Metric(
        "headgate_drift_js",
        "gauge",
        _OF_A_FEATURE,
        f"Jensen-Shannon distance of a feature {_NEWEST}: 0 to 1.",
        joins="max",
    ),
    Metric(
        "headgate_drift_ks",
        "gauge",
        _OF_A_FEATURE,
        f"Kolmogorov-Smirnov distance of a feature of numbers {_NEWEST}: 0 to 1.",
        joins="max",
    ),
    Metric(
        "headgate_drift_wasserstein",
        "gauge",
        _OF_A_FEATURE,
        f"Wasserstein distance of a feature of numbers {_NEWEST}, in standard deviations of the baseline.",
        joins="max",
    ),
    Metric("headgate_drift_detected", "gauge", _OF_A_FEATURE, f"1 where a feature has drifted {_NEWEST}.", joins="max"),
    Metric(
        "headgate_drift_warned",
        "gauge",
        _OF_A_FEATURE,
        f"1 where a feature has moved enough to warn, or has drifted, {_NEWEST}.",
        joins="max",
    ),
    Metric(
        "headgate_missing_ratio",
        "gauge",
        _OF_A_FEATURE,
        f"Share of rows without a value of a feature {_NEWEST}.",
        joins="max",
    ),
    Metric(
        "headgate_window_rows",
        "gauge",
        ("model", "version"),
        "Rows of the newest judged window of a version.",
        joins="max",
    ),
)

QUALITY = Metric(
    "headgate_quality",
    "gauge",
    ("model", "version", "arm", "metric"),
    "Live quality by the labels that came: accuracy, precision, recall, f1, log_loss, auc, calibration_error; or mae, "
    "rmse, r2. The arm training is what the training run said. Every registry says the same.",
    joins="max",
)
LABEL_COVERAGE = Metric(
    "headgate_label_coverage_ratio",
    "gauge",
    ("model", "version"),
    "Share of a version's kept predictions that have a label; of versions that have any.",
    joins="max",
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
    *DRIFT,
    QUALITY,
    LABEL_COVERAGE,
    BUILD_INFO,
    *PROCESS,
)
