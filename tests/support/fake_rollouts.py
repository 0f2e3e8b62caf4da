"""A rollout as the registry shows it, in the middle of its way, for whoever draws or reads one."""

from __future__ import annotations

from typing import Any

EVIDENCE: dict[str, Any] = {
    "error-rate": {
        "evidence": 0.62,
        "canary": {"requests": 1410, "bad": 12, "ratio": 0.0085},
        "stable": {"requests": 12640, "bad": 61, "ratio": 0.0048},
        "threshold": None,
    },
    "latency": {
        "evidence": -0.21,
        "canary": {"requests": 1398, "bad": 11, "ratio": 0.0079},
        "stable": {"requests": 12579, "bad": 126, "ratio": 0.01},
        "threshold": 0.0213,
        "margin": 0.002,
    },
    "quality": {"evidence": None, "message": "no labels yet"},
    "predictions": {
        "evidence": 0.3,
        "distance": 0.031,
        "canary": {"predictions": 1400},
        "stable": {"predictions": 12000},
    },
}
ARMS: dict[str, Any] = {
    "stable": {"requests": 12640, "errors": 61, "p50": 0.0031, "p99": 0.0213},
    "canary": {"requests": 1410, "errors": 12, "p50": 0.0029, "p99": 0.019},
}


def event(at: str, name: str, message: str, revision: int | None = None) -> dict[str, Any]:
    """Return a line of a journal; ``at`` is a time of day."""
    moment = f"2026-11-20T{at}.000Z"
    return {"at": moment, "event": name, "message": message, "who": "api", "revision": revision, "numbers": {}}


JOURNAL = [
    event("08:00:00", "started", "rollout of version 4 begins at step 1 of 3 (5 %)", 8),
    event("08:10:03", "advanced", "goes on to step 2 of 3 (25 %)", 9),
    event("08:10:33", "held", "holds at step 2 of 3 (25 %): too little traffic: 120 of 200 requests in this step"),
]


def rollout_json(**more: Any) -> dict[str, Any]:
    """Return a rollout at its second step of three."""
    return {
        "id": "1" * 32,
        "model": "churn",
        "version": "4",
        "state": "running",
        "reason": None,
        "step": 1,
        "weight": 25,
        "steps": [
            {"setWeight": 5, "pause": "10m"},
            {"setWeight": 25, "pause": "10m"},
            {"setWeight": 50, "pause": None},
        ],
        "metrics": [{"name": "error-rate", "tolerance": 1.25, "thresholdRange": {"max": 0.02}}],
        "alpha": 0.05,
        "minRequests": 200,
        "interval": "30s",
        "maxDuration": "24h",
        "note": "new features",
        "allow_incompatible": False,
        "stable": "3",
        "holding": "too little traffic: 120 of 200 requests in this step",
        "step_requests": 120,
        "started_at": "2026-11-20T08:00:00.000Z",
        "step_started_at": "2026-11-20T08:10:03.000Z",
        "ended_at": None,
        "plan_revision": 9,
        "evidence": EVIDENCE,
        "arms": ARMS,
        "journal": list(JOURNAL),
        **more,
    }
