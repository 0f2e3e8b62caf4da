"""The lane's routes of TensorFlow Serving and KServe V1 in the OpenAPI document, by hand: no framework sees them.

Not here: their routes that FastAPI describes by itself (``tfs.py``).
"""

from __future__ import annotations

from typing import Any

from serving.http.openapi import in_path

_PREFIXES = {
    "/v1/models/{name}": ("", "with the version that the plan chooses"),
    "/v1/models/{name}/versions/{version}": ("_version", "with one version"),
    "/v1/models/{name}/labels/{label}": ("_label", "with the version that an alias names"),
}
_PARAMETERS = {"name": "The model's name.", "version": "The version's number.", "label": "The alias's name."}
_SIGNATURE = {"type": "string", "description": "serving_default, or nothing."}
_INSTANCES = {"type": "array", "minItems": 1, "description": 'One entry a row; bytes as {"b64": "…"}.'}
_INPUTS = {"description": "One array, or an object of named arrays."}
_EXAMPLES = {"type": "array", "minItems": 1, "items": {"type": "object"}, "description": "Features by name."}
_CONTEXT = {"type": "object", "description": "Features of every example."}
_PREDICT = {
    "type": "object",
    "properties": {"signature_name": _SIGNATURE, "instances": _INSTANCES, "inputs": _INPUTS},
    "oneOf": [{"required": ["instances"]}, {"required": ["inputs"]}],
}
_RESULTS = {
    "type": "object",
    "properties": {"signature_name": _SIGNATURE, "context": _CONTEXT, "examples": _EXAMPLES},
    "required": ["examples"],
}
_PREDICTED = {
    "type": "object",
    "properties": {
        "predictions": {"description": "For instances: one entry a row."},
        "outputs": {"description": "For inputs: the output, or an object of named outputs."},
    },
}
_CLASSIFIED = {"type": "object", "properties": {"results": {"type": "array", "description": "[[label, score], …]"}}}
_REGRESSED = {"type": "object", "properties": {"results": {"type": "array", "items": {"type": "number"}}}}
_VERBS: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "predict": ("Predict", _PREDICT, _PREDICTED),
    "classify": ("Classify examples", _RESULTS, _CLASSIFIED),
    "regress": ("Regress examples", _RESULTS, _REGRESSED),
}


def tfs_lane_paths() -> dict[str, Any]:
    """Return the OpenAPI path items of their predict, classify and regress."""
    return {
        f"{path}:{verb}": _item(path, f"tfs_{verb}{suffix}", f"{title} {how}", asked, answered)
        for path, (suffix, how) in _PREFIXES.items()
        for verb, (title, asked, answered) in _VERBS.items()
    }


def _item(path: str, operation: str, summary: str, asked: dict[str, Any], answered: dict[str, Any]) -> dict[str, Any]:
    parameters = [in_path(name, text) for name, text in _PARAMETERS.items() if f"{{{name}}}" in path]
    return {
        "post": {
            "operationId": operation,
            "summary": summary,
            "tags": ["tensorflow serving, kserve v1"],
            "parameters": parameters,
            "requestBody": {"required": True, "content": {"application/json": {"schema": asked}}},
            "responses": {
                "200": {"description": "The answer.", "content": {"application/json": {"schema": answered}}},
            },
        }
    }
