"""The Open Inference Protocol's infer routes in the OpenAPI document, by hand: the lane answers them.

Not here: the protocol's other routes, which FastAPI describes by itself.
"""

from __future__ import annotations

from typing import Any

from serving.http.openapi import in_path, lane_statuses

_STATUS = lane_statuses(
    {
        "400": "The body is malformed, or does not fit the version.",
        "404": "There is no such model, version or plan.",
        "415": "The content encoding is not read here.",
    }
)
_PARAMETERS = {"type": "object", "additionalProperties": True}
_DATATYPE = {
    "type": "string",
    "enum": [
        *("BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64"),
        *("FP16", "FP32", "FP64", "BF16", "BYTES"),
    ],
}
_TENSOR = {
    "type": "object",
    "required": ["name", "shape", "datatype"],
    "properties": {
        "name": {"type": "string"},
        "shape": {"type": "array", "items": {"type": "integer", "minimum": 0}},
        "datatype": _DATATYPE,
        "parameters": _PARAMETERS,
        "data": {"type": "array", "description": "Row-major, flat or nested; without it, see binary_data_size."},
    },
}
_ID = {"type": "string", "description": "The caller's name for the request; echoed."}


def oip_paths() -> dict[str, Any]:
    """Return the OpenAPI path items of the infer routes."""
    name = in_path("name", "The model's name.")
    version = in_path("version", "The version's number.")
    return {
        "/v2/models/{name}/infer": _item("infer", "Infer with the version that the plan chooses", [name]),
        "/v2/models/{name}/versions/{version}/infer": _item("infer_version", "Infer with one version", [name, version]),
    }


def _item(operation: str, summary: str, parameters: list[dict[str, Any]]) -> dict[str, Any]:
    error = {
        "type": "object",
        "required": ["error"],
        "properties": {"error": {"type": "string", "description": "What was wrong, and what would be right."}},
    }
    responses: dict[str, Any] = {"200": _answer()}
    for status, text in _STATUS.items():
        responses[status] = {"description": text, "content": {"application/json": {"schema": error}}}
    header = {
        "name": "Inference-Header-Content-Length",
        "in": "header",
        "required": False,
        "description": "How many bytes of the body are JSON, where binary tensors follow; 0 for a raw tensor.",
        "schema": {"type": "integer", "minimum": 0},
    }
    return {
        "post": {
            "operationId": operation,
            "summary": summary,
            "tags": ["open inference protocol"],
            "parameters": [*parameters, header],
            "requestBody": _request(),
            "responses": responses,
        }
    }


def _request() -> dict[str, Any]:
    wanted = {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}}
    schema = {
        "type": "object",
        "required": ["inputs"],
        "properties": {
            "id": _ID,
            "parameters": {
                **_PARAMETERS,
                "description": "timeout, priority, binary_data_output; others go to the model",
            },
            "inputs": {"type": "array", "minItems": 1, "items": _TENSOR},
            "outputs": {"type": "array", "items": {**wanted, "additionalProperties": True}},
        },
    }
    rows = {"name": "x", "shape": [1, 4], "datatype": "FP64", "data": [5.1, 3.5, 1.4, 0.2]}
    content = {
        "application/json": {"schema": schema, "examples": {"rows": {"value": {"inputs": [rows]}}}},
        "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
    }
    return {"required": True, "content": content}


def _answer() -> dict[str, Any]:
    schema = {
        "type": "object",
        "required": ["model_name", "model_version", "outputs"],
        "properties": {
            "model_name": {"type": "string"},
            "model_version": {"type": "string"},
            "id": _ID,
            "parameters": {**_PARAMETERS, "description": "headgate_arm, headgate_revision, headgate_request_id"},
            "outputs": {"type": "array", "items": _TENSOR},
        },
    }
    return {
        "description": "The output tensors.",
        "content": {
            "application/json": {"schema": schema},
            "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
        },
    }
