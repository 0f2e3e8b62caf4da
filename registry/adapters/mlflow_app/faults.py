"""What MLflow's Flask application answers when a handler of its own fails: its error shape, and no stack trace.

Registered through Flask's own error handlers. Not here: errors that MLflow raises on purpose, which it renders itself.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from registry.adapters.mlflow_app.answers import mlflow_body
from registry.errors import HeadgateError, Internal, InvalidRequest, NotFound
from registry.log import WARNING, event, failure

MISTAKEN = (TypeError, ValueError, KeyError, AttributeError, OverflowError, IndexError)
"""What MLflow's handlers raise where a request lacks a field, or a field is not of the type that they took it for."""
MESSAGE_LIMIT = 1024
MISTAKE = "MLflow cannot take this request: a field is missing, too large or of another type than it expects"


def answer_faults(flask_app: Any) -> None:
    """Make ``flask_app`` answer every failure in MLflow's error shape, and none at any length."""
    flask_app.register_error_handler(Exception, _render)
    flask_app.after_request(_shortened)


def _shortened(response: Any) -> Any:
    """Cut what MLflow says when it refuses on purpose: it repeats values of any length, and shows its own folder where
    it took a value for a path."""
    if response.status_code == 503:
        response.headers.setdefault("Retry-After", "1")  # MLflow's client waits as it says, and tries again
    if response.status_code < 400 or response.direct_passthrough:
        return response
    said = response.get_json(silent=True)
    if not isinstance(said, dict) or "error_code" not in said:
        return response
    message = str(said.get("message", "")).replace(f"{Path.cwd()}/", "")
    said["message"] = message if len(message) <= MESSAGE_LIMIT else f"{message[: MESSAGE_LIMIT - 1]}…"
    response.set_data(json.dumps(said))
    return response


def _render(error: Exception) -> Any:
    # Flask is there because MLflow is; nothing else here needs it.
    from flask import Response, request
    from werkzeug.exceptions import HTTPException

    if isinstance(error, HTTPException):
        status = error.code or 500
        if status < 400:
            return error
        told: HeadgateError = InvalidRequest("invalid_argument", f"MLflow cannot answer this: {error.name.lower()}")
    elif isinstance(error, HeadgateError):
        told, status = error, _status(error)
    elif type(error).__module__.startswith("graphql"):
        told, status = InvalidRequest("invalid_argument", "the query is not valid GraphQL"), 400
    elif isinstance(error, MISTAKEN):
        told, status = InvalidRequest("invalid_argument", MISTAKE), 400
        event("mlflow.mistook", WARNING, route=str(request.url_rule), error=type(error).__name__)
    else:
        told, status = Internal("internal", "MLflow failed at this request; the server's log says where"), 500
        failure("mlflow.failed", error, route=str(request.url_rule))
    return Response(mlflow_body(told, status), status, mimetype="application/json")


def _status(error: HeadgateError) -> int:
    if isinstance(error, NotFound):
        return 404
    return 400 if isinstance(error, InvalidRequest) else 503
