"""The lane's routes in the OpenAPI document, by hand: no framework sees them.

Not here: the routes that FastAPI describes by itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from serving.protocols.native import FORMS

_ANY_STATUS = {
    "404": "There is no such model, version, alias or plan.",
    "408": "The body did not arrive in time.",
    "409": "The version is still being checked.",
    "413": "The body, or what it holds, is too large.",
    "429": "Too much at once; see Retry-After.",
    "500": "The model failed.",
    "503": "The version cannot answer now; see Retry-After.",
    "504": "The model took too long.",
}


def lane_statuses(own: Mapping[str, str]) -> dict[str, str]:
    """Return what each status of a lane route means, in order: what it means to all protocols, and ``own``."""
    return dict(sorted({**_ANY_STATUS, **own}.items()))


PREDICT_STATUS = lane_statuses(
    {
        "400": "The body or a name is malformed.",
        "406": "What the model answered is none of what is accepted.",
        "415": "The content type or encoding is not read here.",
        "422": "The input does not fit the version's signature, or the version may not serve.",
    }
)
TABLES = ("text/csv", "application/vnd.apache.parquet", "application/vnd.apache.arrow.stream")
_BINARY = {"schema": {"type": "string", "format": "binary"}}
_MEDIA = ("image/*", "application/octet-stream")


def lane_paths() -> dict[str, Any]:
    """Return the OpenAPI path items of the predict routes."""
    name = in_path("name", "The model's name.")
    version = in_path("version", "The version's number.")
    alias = in_path("alias", "The alias's name.")
    return {
        "/models/{name}/predict": _item("predict", "Predict with the version that the plan chooses", [name]),
        "/models/{name}/versions/{version}/predict": _item(
            "predict_version", "Predict with one version", [name, version]
        ),
        "/models/{name}/aliases/{alias}/predict": _item(
            "predict_alias", "Predict with the version that an alias names", [name, alias]
        ),
    }


def describe_plain_errors(document: dict[str, Any], prefix: str) -> None:
    """Say that errors below a path are ``{"error": "…"}``, as other systems' protocols have them."""
    schema = {"type": "object", "required": ["error"], "properties": {"error": {"type": "string"}}}
    error = {"description": "Any error.", "content": {"application/json": {"schema": schema}}}
    for path, item in document["paths"].items():
        if path == prefix or path.startswith(f"{prefix}/"):
            for operation in item.values():
                operation["responses"]["default"] = error


def _item(operation: str, summary: str, parameters: list[dict[str, Any]]) -> dict[str, Any]:
    responses: dict[str, Any] = {"200": _answer()}
    for status, text in PREDICT_STATUS.items():
        shape = {"application/json": {"schema": {"$ref": "#/components/schemas/ProblemBody"}}}
        responses[status] = {"description": text, "content": shape}
    return {
        "post": {
            "operationId": operation,
            "summary": summary,
            "tags": ["predict"],
            "parameters": [*parameters, *header_parameters()],
            "requestBody": _request(),
            "responses": responses,
        }
    }


def _request() -> dict[str, Any]:
    schema = {
        "type": "object",
        "properties": {
            "dataframe_split": {"type": "object", "description": "columns, data, and perhaps index"},
            "dataframe_records": {"type": "array", "items": {"type": "object"}},
            "instances": {"description": "TensorFlow Serving's row form: one entry a row"},
            "inputs": {"description": "one array, or an object of named arrays"},
            "params": {"type": "object", "description": "inference parameters of the signature"},
        },
        "oneOf": [{"required": [form]} for form in FORMS],
        "additionalProperties": False,
    }
    examples = {
        "records": {"value": {"dataframe_records": [{"age": 41, "plan": "basic"}]}},
        "split": {"value": {"dataframe_split": {"columns": ["age", "plan"], "data": [[41, "basic"]]}}},
        "inputs": {"value": {"inputs": [[5.1, 3.5, 1.4, 0.2]]}},
        "instances": {"value": {"instances": [[5.1, 3.5, 1.4, 0.2]], "params": {"threshold": 0.5}}},
    }
    content: dict[str, Any] = {"application/json": {"schema": schema, "examples": examples}}
    content |= dict.fromkeys((*TABLES, *_MEDIA), _BINARY)
    return {"required": True, "content": content | {"multipart/form-data": _form()}}


def _form() -> dict[str, Any]:
    text = "one part for each input, by its name; at most 16, a part that is JSON of at most 128 KiB"
    inputs = {"type": "string", "format": "binary", "description": text}
    params = {"type": "object", "description": "inference parameters of the signature"}
    return {"schema": {"type": "object", "properties": {"params": params}, "additionalProperties": inputs}}


def _answer() -> dict[str, Any]:
    schema = {
        "type": "object",
        "required": ["predictions", "model_name", "model_version", "request_id"],
        "properties": {
            "predictions": {"description": "As the model answered: nested lists, or a list of records."},
            "model_name": {"type": "string"},
            "model_version": {"type": "string"},
            "request_id": {"type": "string"},
        },
    }
    example = {"predictions": [0], "model_name": "churn", "model_version": "3", "request_id": "6f1c"}
    return {
        "description": "The predictions.",
        "headers": answer_headers(),
        "content": {
            "application/json": {"schema": schema, "example": example},
            "text/csv": {"schema": {"type": "string"}},
            "application/vnd.apache.arrow.stream": _BINARY,
            "image/png": _BINARY,
            "image/jpeg": _BINARY,
            "application/octet-stream": _BINARY,
        },
    }


def answer_headers() -> dict[str, Any]:
    """Return the headers of an answer: who gave it."""
    names = {
        "X-Request-Id": "The id of the request.",
        "X-Headgate-Model": "The model.",
        "X-Headgate-Version": "The version that answered.",
        "X-Headgate-Arm": "Which part of the plan answered: stable, alias, pinned.",
        "X-Headgate-Revision": "The revision of the plan in force on this node.",
    }
    return {name: {"description": text, "schema": {"type": "string"}} for name, text in names.items()}


def in_path(name: str, text: str) -> dict[str, Any]:
    """Return a parameter that stands in the path."""
    return {"name": name, "in": "path", "required": True, "description": text, "schema": {"type": "string"}}


def header_parameters() -> Iterator[dict[str, Any]]:
    """Yield the headers that a predict request may have."""
    for name, text in (
        ("X-Request-Id", "Up to 128 visible ASCII characters; one is made otherwise."),
        ("X-Request-Timeout-Ms", "How long the caller waits; may only shorten the node's own limit."),
        ("Content-Encoding", "gzip, deflate, or nothing."),
        ("traceparent", "The caller's place in a W3C trace; read where traces are on, and answered."),
    ):
        yield {"name": name, "in": "header", "required": False, "description": text, "schema": {"type": "string"}}
