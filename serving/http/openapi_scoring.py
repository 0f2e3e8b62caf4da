"""MLflow's scoring routes in the OpenAPI document, by hand: they are the lane's. Not here: ping and its like."""

from __future__ import annotations

from typing import Any

from serving.http.openapi import in_path, lane_statuses
from serving.protocols.native import FORMS

_STATUS = lane_statuses(
    {
        "400": "The body is malformed, or does not fit the version's signature.",
        "404": "There is no such model, version, alias or plan; at the root: no default model.",
    }
)
_FORMS = (*FORMS, "messages", "prompt", "input")
_ERROR = {
    "type": "object",
    "required": ["error_code", "message"],
    "properties": {name: {"type": "string"} for name in ("error_code", "message", "sqlstate", "error_class")},
}


def scoring_paths() -> dict[str, Any]:
    """Return the OpenAPI path items of ``invocations`` and ``invoke``."""
    name = in_path("name", "The model's name.")
    version = in_path("version", "The version's number.")
    alias = in_path("alias", "The alias's name.")
    return {
        "/models/{name}/invocations": _item("score", "Score as MLflow's server does, by the plan", [name]),
        "/models/{name}/versions/{version}/invocations": _item(
            "score_version", "Score as MLflow's server does, with one version", [name, version]
        ),
        "/models/{name}/aliases/{alias}/invocations": _item(
            "score_alias", "Score as MLflow's server does, with an alias's version", [name, alias]
        ),
        "/models/{name}/invoke": _item("invoke", "The same as invocations, as SageMaker calls it", [name]),
        "/invocations": _item("score_default", "Score with HEADGATE_DEFAULT_MODEL", []),
    }


def _item(operation: str, summary: str, parameters: list[dict[str, Any]]) -> dict[str, Any]:
    properties: dict[str, Any] = {form: {} for form in _FORMS}
    body = {"schema": {"type": "object", "properties": {**properties, "params": {"type": "object"}}}}
    table = {"schema": {"type": "string", "format": "binary"}}
    answer = {"schema": {"type": "object", "properties": {"predictions": {}}}, "example": {"predictions": [0]}}
    responses: dict[str, Any] = {
        "200": {
            "description": "The predictions; for messages, prompt or input what the model answered, bare.",
            "content": {"application/json": answer},
        },
        "415": {"description": "The content type is not read here.", "content": {"text/plain": {}}},
    }
    for status, text in _STATUS.items():
        responses[status] = {"description": text, "content": {"application/json": {"schema": _ERROR}}}
    content = {"application/json": body, "text/csv": table, "application/vnd.apache.parquet": table}
    return {
        "post": {
            "operationId": operation,
            "summary": summary,
            "tags": ["mlflow"],
            "parameters": parameters,
            "requestBody": {"required": True, "content": content},
            "responses": responses,
        }
    }
