"""Metrics that dashboards and rules ask for and that the platform does not have yet, with series as it will show them.

Tests feed them to Prometheus in its place. A metric leaves this file when the generated page has it: a test insists.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from tests.support.promql import known

MODEL = "watched"
_VERSION = f'model="{MODEL}",version="1"'
_TENURE, _FEE, _PREDICTION = (f'{_VERSION},feature="{name}"' for name in ("tenure", "fee", "prediction"))
_STABLE, _TRAINING = (f'{_VERSION},arm="{arm}"' for arm in ("stable", "training"))

# By metric: its series' labels and values.
TO_COME: Mapping[str, Mapping[str, float]] = {
    "headgate_drift_psi": {_TENURE: 0.9, _FEE: 0.02, _PREDICTION: 0.4},
    "headgate_drift_psi_critical": {_TENURE: 0.3, _FEE: 0.3, _PREDICTION: 0.3},
    "headgate_drift_js": {_TENURE: 0.4, _FEE: 0.05, _PREDICTION: 0.3},
    "headgate_drift_ks": {_TENURE: 0.5, _FEE: 0.04, _PREDICTION: 0.2},
    "headgate_drift_wasserstein": {_TENURE: 1.2, _FEE: 0.1, _PREDICTION: 0.6},
    "headgate_drift_detected": {_TENURE: 1, _FEE: 0, _PREDICTION: 1},
    "headgate_missing_ratio": {_TENURE: 0.0, _FEE: 0.2},
    "headgate_window_rows": {_VERSION: 1000},
    "headgate_quality": {
        f'{_STABLE},metric="accuracy"': 0.7,
        f'{_STABLE},metric="log_loss"': 0.9,
        f'{_TRAINING},metric="accuracy"': 0.9,
        f'{_TRAINING},metric="log_loss"': 0.5,
    },
    "headgate_label_coverage_ratio": {_VERSION: 0.4},
    "headgate_drift_warned": {_TENURE: 1, _FEE: 1, _PREDICTION: 1},
    "headgate_load_failures_total": {f'{_VERSION},code="model_error"': 1},
    "headgate_snapshot_revision": {'job="registry"': 8, 'job="serving"': 7},
    "headgate_admission_seconds": {'verdict="ready"': 3},
    "headgate_background_done_timestamp_seconds": {'task="rollouts"': 1_000_000},
    "process_resident_memory_bytes": {'job="serving"': 1e8},
    "process_cpu_seconds_total": {'job="serving"': 5},
    "headgate_registered_versions": {f'state="{state}"': 1 for state in ("pending", "checking", "ready")},
    "headgate_node_reported_timestamp_seconds": {'node="lost"': 1_000_000},
    "headgate_http_requests_total": {'route="/registry/v1/models",method="GET",code="2xx"': 7},
    "headgate_http_request_seconds": {'route="/registry/v1/models",method="GET"': 0.01},
    "headgate_background_turns_total": {
        'task="rollouts",outcome="done"': 7,
        'task="rollouts",outcome="unavailable"': 1,
    },
    # With batch jobs, which are an issue of their own.
    "headgate_jobs": {f'state="{state}"': 3 for state in ("queued", "running", "succeeded", "failed")},
}


def exposition() -> str:
    """Return the page of those that the platform does not have, in Prometheus' text format."""
    return "".join(_lines())


def _lines() -> Iterator[str]:
    have = known()
    for name, series in TO_COME.items():
        for labels, value in series.items() if name not in have else ():
            if name.endswith("_seconds") and "timestamp" not in name:
                yield f'{name}_bucket{{{labels},le="0.01"}} 1\n{name}_bucket{{{labels},le="+Inf"}} 1\n'
                yield f"{name}_sum{{{labels}}} {value}\n{name}_count{{{labels}}} 1\n"
            else:
                yield f"{name}{{{labels}}} {value}\n"
