"""The route of labels: ``POST /models/{name}/feedback``. Not here: what becomes of them (``serving/feedback.py``)."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter, Request

from registry.errors import InvalidRequest, quote
from registry.records import parse_model_name
from serving.feedback import FeedbackDesk
from serving.http import shapes
from serving.http.body import BodyReader
from serving.protocols.json_body import load_json
from serving.protocols.limits import Limits

JSON = "application/json"
_ITEM = {
    "type": "object",
    "required": ["request_id", "label"],
    "additionalProperties": False,
    "properties": {
        "request_id": {"type": "string", "description": "The X-Request-Id of the answer."},
        "row": {"type": "integer", "minimum": 0, "default": 0, "description": "Which of its rows."},
        "label": {"type": ["number", "string", "boolean"], "description": "What turned out to be true."},
        "observed_at": {"type": "string", "format": "date-time", "description": "When, with a zone."},
    },
}
_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            JSON: {
                "schema": {
                    "type": "object",
                    "required": ["items"],
                    "additionalProperties": False,
                    "properties": {"items": {"type": "array", "maxItems": 10_000, "items": _ITEM}},
                },
                "example": {"items": [{"request_id": "6f1c", "row": 0, "label": 1}]},
            }
        },
    }
}


def feedback_routes(desk: FeedbackDesk, bodies: BodyReader, limits: Limits) -> APIRouter:
    """Return the route, bound to ``desk``."""
    routes = APIRouter(tags=["feedback"])

    @routes.post(
        "/models/{name}/feedback", status_code=202, summary="Say what turned out to be true", openapi_extra=_BODY
    )
    async def feedback(name: str, request: Request) -> shapes.FeedbackTaken:
        model = parse_model_name(name)
        _require_json(request.headers.get("content-type", JSON))
        async with bodies.whole(request.headers, request.receive) as body:
            document, _ = await asyncio.to_thread(load_json, body, limits)
            return shapes.FeedbackTaken.model_validate(await desk.take(model, document))

    return routes


def _require_json(named: str) -> None:
    if named.partition(";")[0].strip().lower() != JSON:
        raise InvalidRequest("unsupported_media_type", f"send {JSON} here; '{quote(named)}' is not read")
