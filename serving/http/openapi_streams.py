"""The routes of streamed answers in the OpenAPI document, by hand: each is what its predict or infer route is, but for
how it answers.

Not here: those routes (``openapi.py``, ``openapi_oip.py``).
"""

from __future__ import annotations

from typing import Any

from serving.http.openapi import lane_paths
from serving.http.openapi_oip import oip_paths
from serving.protocols.sse import MEDIA_TYPE

_NATIVE = (
    "Server-sent events: `data` of each is what a predict answers, for one piece; after the last comes the event "
    '`done` with `{"pieces": n}`, or `error` with an error body.'
)
_OIP = (
    "Server-sent events: `data` of each is what an infer answers, for one piece; where the stream fails, the last is "
    '`{"error": "…"}`.'
)
_IN_ONE_PIECE = " Or the model has no `predict_stream`: it answers on {route}."


def stream_paths() -> dict[str, Any]:
    """Return the OpenAPI path items of the streaming routes, and of the other name that ``infer`` has."""
    found: dict[str, Any] = {}
    for path, item in lane_paths().items():
        found[f"{path}_stream"] = _streaming(item["post"], "predict", "predict_stream", _NATIVE, "422")
    for path, item in oip_paths().items():
        other = path.replace("/infer", "/generate")
        found[f"{path}_stream"] = _streaming(item["post"], "infer", "infer_stream", _OIP, "400")
        found[other] = _named(item["post"], "infer", "generate", "MLServer's name for infer")
        found[f"{other}_stream"] = _streaming(item["post"], "infer", "generate_stream", _OIP, "400")
    return found


def _named(operation: dict[str, Any], verb: str, name: str, summary: str) -> dict[str, Any]:
    said = operation["operationId"].replace(verb, name)
    return {"post": {**operation, "operationId": said, "summary": summary}}


def _streaming(operation: dict[str, Any], verb: str, name: str, text: str, status: str) -> dict[str, Any]:
    said = operation["operationId"].replace(verb, name)
    answer = {**operation["responses"]["200"], "description": text, "content": {MEDIA_TYPE: {"schema": _TEXT}}}
    refused = operation["responses"][status]
    words = refused["description"] + _IN_ONE_PIECE.format(route=verb)
    responses = {**operation["responses"], "200": answer, status: {**refused, "description": words}}
    summary = f"{operation['summary']}, piece by piece"
    return {"post": {**operation, "operationId": said, "summary": summary, "responses": responses}}


_TEXT = {"type": "string"}
