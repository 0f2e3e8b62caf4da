"""Every route of the registry that is ours, with the scope it needs; MLflow's stand in
``adapters/mlflow_app/routes.py``."""

from __future__ import annotations

from registry.edge.gate import Access, Route

V1 = "/registry/v1"
MODEL = V1 + "/models/{name}"
VERSION = MODEL + "/versions/{version}"
ROLLOUT = MODEL + "/rollouts/{rollout}"

REGISTRY_ROUTES: tuple[Route, ...] = (
    Route("GET", "/livez", Access.OPEN),
    Route("GET", "/readyz", Access.OPEN),
    Route("GET", "/metrics", Access.OBSERVE),
    Route("GET", "/openapi.json", Access.READ),
    Route("GET", "/docs", Access.READ),
    Route("GET", V1 + "/models", Access.READ),
    Route("GET", MODEL, Access.READ),
    Route("GET", MODEL + "/versions", Access.READ),
    Route("POST", MODEL + "/versions", Access.WRITE),
    Route("GET", VERSION, Access.READ),
    Route("DELETE", VERSION, Access.WRITE),
    Route("GET", VERSION + "/baseline", Access.READ, streams=True),
    Route("PUT", VERSION + "/baseline", Access.WRITE, streams=True),
    Route("POST", VERSION + "/admit", Access.WRITE),
    Route("POST", VERSION + "/retire", Access.WRITE),
    Route("GET", VERSION + "/drift", Access.READ),
    Route("POST", V1 + "/uploads", Access.WRITE),
    Route("GET", V1 + "/uploads/{upload_id}", Access.WRITE),
    Route("PUT", V1 + "/uploads/{upload_id}/files/{path...}", Access.WRITE, streams=True),
    Route("POST", V1 + "/uploads/{upload_id}/commit", Access.WRITE),
    Route("GET", MODEL + "/traffic", Access.READ),
    Route("PUT DELETE", MODEL + "/traffic", Access.OPERATE),
    Route("GET", MODEL + "/traffic/history", Access.READ),
    Route("POST", MODEL + "/traffic/rollback", Access.OPERATE),
    Route("GET", MODEL + "/traffic/status", Access.READ),
    Route("GET", MODEL + "/rollouts", Access.READ),
    Route("POST", MODEL + "/rollouts", Access.OPERATE),
    Route("GET", ROLLOUT, Access.READ),
    Route("POST", ROLLOUT + "/pause", Access.OPERATE),
    Route("POST", ROLLOUT + "/resume", Access.OPERATE),
    Route("POST", ROLLOUT + "/promote", Access.OPERATE),
    Route("POST", ROLLOUT + "/abort", Access.OPERATE),
    Route("GET", MODEL + "/shadows/{version}", Access.READ),
    Route("GET", VERSION + "/quality", Access.READ),
    Route("POST", MODEL + "/feedback", Access.NODE),
    Route("GET", MODEL + "/aliases/{alias}", Access.READ),
    Route("PUT DELETE", MODEL + "/aliases/{alias}", Access.OPERATE),
    Route("GET", MODEL + "/aliases/{alias}/history", Access.READ),
    Route("GET", V1 + "/snapshot", Access.NODE),
    Route("POST", V1 + "/windows", Access.NODE),
    Route("GET", V1 + "/nodes", Access.READ),
)
