"""The few MLflow tracking routes that logging a model's files needs, in memory: experiments, runs, artifacts."""

from __future__ import annotations

import uuid
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

_API = "/api/2.0/mlflow"


def mlflow_routes(files: dict[str, bytes]) -> list[Route]:
    """Return the routes; what is uploaded lands in ``files`` by path, and each run's last status under its id."""
    experiments: dict[str, str] = {}

    async def by_name(request: Request) -> Response:
        name = request.query_params["experiment_name"]
        if name not in experiments:
            return JSONResponse({"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "no such experiment"}, 404)
        found = {
            "experiment_id": experiments[name],
            "name": name,
            "lifecycle_stage": "active",
            "artifact_location": "x",
        }
        return JSONResponse({"experiment": found})

    async def create_experiment(request: Request) -> Response:
        experiments[(await request.json())["name"]] = number = str(len(experiments) + 1)
        return JSONResponse({"experiment_id": number})

    async def create_run(request: Request) -> Response:
        experiment = (await request.json())["experiment_id"]
        return JSONResponse({"run": _run(uuid.uuid4().hex, experiment, "RUNNING")})

    async def get_run(request: Request) -> Response:
        return JSONResponse({"run": _run(request.query_params["run_id"], "1", "RUNNING")})

    async def update_run(request: Request) -> Response:
        body = await request.json()
        files[body["run_id"]] = str(body["status"]).encode()
        return JSONResponse({"run_info": _run(body["run_id"], "1", body["status"])["info"]})

    async def put(request: Request) -> Response:
        files[request.path_params["path"]] = await request.body()
        return JSONResponse({})

    return [
        Route(f"{_API}/experiments/get-by-name", by_name),
        Route(f"{_API}/experiments/create", create_experiment, methods=["POST"]),
        Route(f"{_API}/runs/create", create_run, methods=["POST"]),
        Route(f"{_API}/runs/get", get_run),
        Route(f"{_API}/runs/update", update_run, methods=["POST"]),
        Route("/api/2.0/mlflow-artifacts/artifacts/{path:path}", put, methods=["PUT"]),
    ]


def _run(run_id: str, experiment: str, status: str) -> dict[str, Any]:
    info = {
        "run_id": run_id,
        "run_uuid": run_id,
        "experiment_id": experiment,
        "status": status,
        "lifecycle_stage": "active",
        "artifact_uri": f"mlflow-artifacts:/{experiment}/{run_id}/artifacts",
    }
    return {"info": info, "data": {}}
